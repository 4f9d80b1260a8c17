"""Generated packages: they install, and their tests pass as they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Dict

import pytest

from gnnkit.cli.new_plugin import KINDS, write_plugin
from gnnkit.errors import ConfigError, UnknownNameError
from tests.commands import gnnkit_here, here_and_in_a_process
from tests.plugins import clean_environment, pip_install, run_python, site_of, use

# Each in its own folder, as its author types "pytest" there; in one interpreter, because starting one takes seconds.
OWN_TESTS = """
import os, sys
import pytest
for folder in sys.argv[2:]:
    os.chdir(folder)
    sys.path[0] = folder
    sys.modules.pop("tests", None)
    some = ["-k", sys.argv[1]] if sys.argv[1] else []
    assert pytest.main(["-q", "-p", "no:cacheprovider", *some]) == 0, folder
"""


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Dict[str, Path]:
    """The folder of a new plugin of each kind."""
    home = tmp_path_factory.mktemp("home")
    return {kind: write_plugin(f"my-{kind}", kind, home) for kind in KINDS}


@pytest.fixture(scope="module")
def clean(written: Dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a new environment in which they are installed."""
    python = clean_environment(tmp_path_factory.mktemp("clean"))
    pip_install(python, *written.values())
    return python


@pytest.fixture
def installed(clean: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What that environment has, for the commands of this process and those that they start."""
    use(site_of(clean), monkeypatch)


# A backend has more than 500 tests; a few of each kind are enough to see that they run.
SOME = "declaration or outputs or put or loads or mean"


@pytest.mark.parametrize("some", [pytest.param(SOME, id="some"), pytest.param("", marks=pytest.mark.long, id="all")])
def test_generated_plugins_pass_their_own_tests(
    some: str, written: Dict[str, Path], clean: Path, tmp_path: Path
) -> None:
    out = run_python(clean, "-c", OWN_TESTS, some, *map(str, written.values()), cwd=tmp_path)
    assert out.count(" passed") == len(KINDS) and "failed" not in out


def test_a_generated_workflow_checks_the_plugin(written: Dict[str, Path]) -> None:
    for kind, folder in written.items():
        workflow = (folder / ".github" / "workflows" / "test.yml").read_text()
        assert f"gnnkit conform my-{kind} --kind {kind}" in workflow


def run(*arguments: str, cwd: Path) -> dict:
    done = gnnkit_here("run", *arguments, "--epochs", "1", "--json", cwd=cwd)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_takes_a_generated_plugin(kind: str, installed: None, tmp_path: Path) -> None:
    values = run(f"--{kind}", f"my-{kind}", cwd=tmp_path)
    config = next((tmp_path / "runs").glob("*/config.yaml")).read_text()
    assert f"my-{kind}" in config and values["epochs"] == 1


def test_a_generated_device_does_every_task(installed: None, tmp_path: Path) -> None:
    # It runs torch's own operations.
    task = ("--task", "unsupervised", "train.batch_size=16", "train.fanouts=[4,4]")
    assert run("--device", "my-device", "--model", "sage", *task, cwd=tmp_path)["device"] == "my-device"


@pytest.mark.parametrize(
    "name",
    ["", "Upper", "under_score", "1st", "a--b", "-a", "a-", "a b", "../up", "gnnkit-x", "gnnkit", "reference", "pyg"],
)
def test_bad_names_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="name"):
        write_plugin(name, "backend", tmp_path)
    assert not list(tmp_path.iterdir())


def test_an_unknown_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'backend'"):
        write_plugin("mine", "backends", tmp_path)


@here_and_in_a_process
def test_an_existing_folder_is_kept(command, tmp_path: Path) -> None:
    (tmp_path / "gnnkit-mine").mkdir()
    (tmp_path / "gnnkit-mine" / "thesis.txt").write_text("years of work")
    done = command("new-plugin", "mine", "--kind", "device", "--dir", str(tmp_path), cwd=tmp_path)
    assert done.returncode == 2 and "is there already" in done.stderr
    assert [path.name for path in (tmp_path / "gnnkit-mine").iterdir()] == ["thesis.txt"]
    assert [path.name for path in tmp_path.iterdir()] == ["gnnkit-mine"]


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="Cannot write"):
        write_plugin("mine", "dataset", tmp_path / "file")
