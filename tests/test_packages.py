"""The four distributions: they are built, an index would take them, and each installs alone."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any, Dict

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS: Dict[str, str] = {
    "gnnkit": ".",
    "gnnkit_pyg": "plugins/gnnkit-pyg",
    "gnnkit_dgl": "plugins/gnnkit-dgl",
    "gnnkit_ipu": "plugins/gnnkit-ipu",
}
PLUGINS = list(FOLDERS)[1:]


def run(*command: Any, cwd: Path = ROOT) -> str:
    """The output of a program that succeeds."""
    done = subprocess.run([*map(str, command)], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where distributions are put, the core's among them."""
    pytest.importorskip("build", reason="build is not installed: pip install -e '.[release]'")
    pytest.importorskip("twine", reason="twine is not installed: pip install -e '.[release]'")
    folder = tmp_path_factory.mktemp("dist")
    build("gnnkit", folder)
    return folder


@pytest.fixture(scope="module")
def all_four(dist: Path) -> Path:
    """The same folder with all distributions."""
    for name in PLUGINS:
        build(name, dist)
    return dist


def build(name: str, folder: Path) -> None:
    """Build an sdist, and a wheel from it."""
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, FOLDERS[name])


def check(name: str, folder: Path) -> None:
    """Check descriptions as an index does, and that licence and types are in the wheel."""
    (wheel,), (source,) = folder.glob(f"{name}-*.whl"), folder.glob(f"{name}-*.tar.gz")
    run(sys.executable, "-m", "twine", "check", "--strict", wheel, source)
    inside = zipfile.ZipFile(wheel).namelist()
    assert any(path.endswith("LICENSE") for path in inside) and f"{name}/py.typed" in inside
    assert not any(path.startswith(("tests/", "benchmarks/", "docs/")) for path in inside)


def test_the_core_would_be_taken_by_an_index(dist: Path) -> None:
    check("gnnkit", dist)
    (wheel,) = dist.glob("gnnkit-*.whl")
    assert "gnnkit/report/templates/" in " ".join(zipfile.ZipFile(wheel).namelist())


@pytest.mark.long
@pytest.mark.parametrize("name", PLUGINS)
def test_a_plugin_would_be_taken_by_an_index(name: str, all_four: Path) -> None:
    check(name, all_four)


@pytest.mark.long
@pytest.mark.parametrize("name", FOLDERS)
def test_each_installs_alone_into_a_clean_environment(name: str, all_four: Path, tmp_path: Path) -> None:
    run(sys.executable, "-m", "venv", tmp_path / "venv")
    python = tmp_path / "venv" / "bin" / "python"
    (wheel,) = all_four.glob(f"{name}-*.whl")
    install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    run(*install, "--constraint", ROOT / "constraints.txt", "--find-links", all_four, wheel)
    # Isolated (-I): neither this folder nor PYTHONPATH lends a module.
    run(python, "-I", "-c", f"import {name}", cwd=tmp_path)
    code = "from gnnkit.cli.main import main; main()"
    shown = run(python, "-I", "-c", code, "run", "--dataset", "karate", "--epochs", "1", cwd=tmp_path)
    assert "test accuracy" in shown
    backend = {"gnnkit": "reference", "gnnkit_ipu": "ipu"}.get(name, name[-3:])
    assert backend in run(python, "-I", "-c", code, "backends", cwd=tmp_path)
