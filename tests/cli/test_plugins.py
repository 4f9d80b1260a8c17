"""Plugins that cannot work cost their own line, nothing else. They are real packages on the path, not stand-ins."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PLUGINS = {
    "raises": "raise RuntimeError('no licence server')",
    "asserts": "assert False, 'wrong torch'",
    "exits": "raise SystemExit(3)",
    "missing": "import a_library_that_nobody_has",
    "other": "from gnnkit.backends.reference import ReferenceBackend\nPlugin = object()",
    "old": (
        "from gnnkit.backends.reference import ReferenceBackend\n"
        "class Plugin(ReferenceBackend):\n    name = 'old'\n    api_version = 0"
    ),
    "good": (
        "from gnnkit.backends.reference import ReferenceBackend\nclass Plugin(ReferenceBackend):\n    name = 'good'"
    ),
}


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict:
    """An environment in which every plugin of ``PLUGINS`` is installed."""
    site = tmp_path_factory.mktemp("site")
    for name, source in PLUGINS.items():
        (site / f"plugin_{name}.py").write_text(source + "\n")
        info = site / f"plugin_{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: plugin_{name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[gnnkit.backends]\n{name} = plugin_{name}:Plugin\n")
    path = os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")])
    return {**os.environ, "PYTHONPATH": path}


def gnnkit_command(environment: dict, *arguments: str, cwd: Path) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "gnnkit.cli.main", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, env=environment)


def test_each_is_listed_with_its_cause(environment: dict, tmp_path: Path) -> None:
    done = gnnkit_command(environment, "backends", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout.splitlines()[-1])
    assert answers["reference"]["status"] == answers["good"]["status"] == "ready"
    for name, cause in {
        "raises": "no licence server",
        "asserts": "wrong torch",
        "exits": "SystemExit",
        "missing": "a_library_that_nobody_has",
        "other": "not a Backend class",
        "old": "version 0",
    }.items():
        assert answers[name]["status"] == "broken"
        assert cause in answers[name]["detail"]


def test_a_broken_one_is_refused_and_a_good_one_runs(environment: dict, tmp_path: Path) -> None:
    for name in ("raises", "asserts", "exits", "missing", "other", "old"):
        done = gnnkit_command(environment, "run", "--backend", name, "--dataset", "karate", cwd=tmp_path)
        assert done.returncode == 2, name
        assert f"'{name}' is installed but cannot be used" in done.stderr
        assert "Traceback" not in done.stderr
    assert not (tmp_path / "runs").exists()
    done = gnnkit_command(environment, "run", "--backend", "good", "--dataset", "karate", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["backend"] == "good"


def test_two_of_one_name_are_ambiguous(environment: dict, tmp_path: Path) -> None:
    info = tmp_path / "twin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: twin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[gnnkit.backends]\ngood = twin:Plugin\n")
    path = os.pathsep.join([str(tmp_path), environment["PYTHONPATH"]])
    done = gnnkit_command({**environment, "PYTHONPATH": path}, "run", "--backend", "good", cwd=tmp_path)
    assert done.returncode == 2
    assert "two plugins claim this name" in done.stderr


def test_doctor_and_datasets_answer(tmp_path: Path) -> None:
    environment = dict(os.environ)
    values = json.loads(gnnkit_command(environment, "doctor", "--json", cwd=tmp_path).stdout.splitlines()[-1])
    assert values["devices"]["cpu"]["status"] == values["backends"]["reference"]["status"] == "ready"
    values = json.loads(gnnkit_command(environment, "datasets", "--json", cwd=tmp_path).stdout.splitlines()[-1])
    assert {"digits", "karate", "cora", "facebook_large"} <= set(values)


def test_an_official_backend_that_is_not_installed_gives_the_install_line() -> None:
    from gnnkit.backends import Backend
    from gnnkit.errors import NotInstalledError
    from gnnkit.registry import Registry

    registry = Registry("gnnkit.no_such_group", "backend", Backend, official={"dgl": "gnnkit-dgl"})
    with pytest.raises(NotInstalledError, match="pip install gnnkit-dgl"):
        registry.load("dgl")
