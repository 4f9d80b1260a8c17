"""Generated packages: they install, and their tests pass as they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from gnnkit.cli.new_plugin import KINDS, write_plugin
from gnnkit.errors import ConfigError, UnknownNameError
from tests.commands import gnnkit_command
from tests.plugins import clean_environment, pip_install, run_python


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a new environment."""
    return clean_environment(tmp_path_factory.mktemp("clean"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_generated_plugin_passes_its_own_tests(kind: str, clean: Path, tmp_path: Path) -> None:
    folder = write_plugin(f"my-{kind}", kind, tmp_path)
    pip_install(clean, folder)
    out = run_python(clean, "-m", "pytest", "-q", "-p", "no:cacheprovider", cwd=folder)
    assert " passed" in out and "failed" not in out
    out = run_python(clean, "-m", "gnnkit.cli.main", "run", f"--{kind}", f"my-{kind}", "--epochs", "1", cwd=tmp_path)
    assert f"my-{kind}" in out or kind == "task"
    if kind == "device":  # It runs torch's own operations, so it can do every task.
        task = ("--task", "unsupervised", "train.batch_size=16", "train.fanouts=[4,4]")
        run = ("run", "--device", "my-device", "--epochs", "1", "--model", "sage")
        out = run_python(clean, "-m", "gnnkit.cli.main", *run, *task, cwd=tmp_path)
        assert "my-device" in out
    workflow = (folder / ".github" / "workflows" / "test.yml").read_text()
    assert f"gnnkit conform my-{kind} --kind {kind}" in workflow


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


def test_an_existing_folder_is_kept(tmp_path: Path) -> None:
    (tmp_path / "gnnkit-mine").mkdir()
    (tmp_path / "gnnkit-mine" / "thesis.txt").write_text("years of work")
    done = gnnkit_command("new-plugin", "mine", "--kind", "device", "--dir", str(tmp_path), cwd=tmp_path)
    assert done.returncode == 2 and "is there already" in done.stderr
    assert [path.name for path in (tmp_path / "gnnkit-mine").iterdir()] == ["thesis.txt"]
    assert [path.name for path in tmp_path.iterdir()] == ["gnnkit-mine"]


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="Cannot write"):
        write_plugin("mine", "dataset", tmp_path / "file")
