"""Installing plugins for a test: packages on the path with metadata but without pip, or in a new environment."""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import subprocess
import sysconfig
import venv
from pathlib import Path
from typing import Dict

import pytest

NARROW = """
from gnnkit.backends import BackendCapabilities
from gnnkit.backends.reference import ReferenceBackend
class Plugin(ReferenceBackend):
    name = "narrow"
    capabilities = BackendCapabilities(
        convs=frozenset({"gcn"}), devices=frozenset({"cpu"}), dtypes=frozenset({"float32"}), note="It is young."
    )
"""
"""A backend, for :func:`install`, that declares little."""


def install(site: Path, name: str, source: str, *, group: str = "backends", distribution: str = "") -> None:
    """Put a module with a class ``Plugin`` and the metadata of its distribution into a folder of the path."""
    distribution = distribution or f"plugin_{name}"
    module = re.sub(r"[-.]", "_", distribution).lower()
    (site / f"{module}.py").write_text(source + "\n")
    info = site / f"{distribution}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[gnnkit.{group}]\n{name} = {module}:Plugin\n")
    importlib.invalidate_caches()


def environment_with(site: Path, **settings: str) -> Dict[str, str]:
    """The environment of a process that finds the folder's plugins."""
    path = os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")])
    return {**os.environ, "PYTHONPATH": path, **settings}


def use(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have this process, and those that it starts, find the folder's plugins; for plugins that do no harm."""
    monkeypatch.setenv("PYTHONPATH", environment_with(site)["PYTHONPATH"])
    monkeypatch.syspath_prepend(site)


def clean_environment(parent: Path) -> Path:
    """A new virtual environment that sees gnnkit and all that is installed here; its interpreter."""
    venv.create(parent / "venv", with_pip=False)
    python = parent / "venv" / "bin" / "python"
    # Nothing is downloaded; the sources under test come first, which editable installs do not show to another one.
    specs = [importlib.util.find_spec(name) for name in ("gnnkit", "gnnkit_pyg", "gnnkit_dgl", "gnnkit_ipu")]
    paths = [str(Path(spec.origin).parent.parent) for spec in specs if spec is not None and spec.origin]
    paths += [sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
    (site_of(python) / "here.pth").write_text("\n".join(dict.fromkeys(paths)) + "\n")
    return python


def site_of(python: Path) -> Path:
    """Where a virtual environment keeps what is installed into it."""
    (site,) = python.parents[1].glob("lib/python*/site-packages")
    return site


def run_python(python: Path, *arguments: str, cwd: Path) -> str:
    """Run an interpreter to its good end; its output."""
    done = subprocess.run([python, *arguments], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def pip_install(python: Path, *folders: Path) -> None:
    """Install packages from their sources, without a download."""
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--disable-pip-version-check"]
    run_python(python, "-m", "pip", "install", *options, *map(str, folders), cwd=folders[0])
