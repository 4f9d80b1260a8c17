"""Every row of the table of mistakes: one line that names the way out, exit code 2, nothing left behind."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Dict

import pytest
import torch

from tests.cli.mistakes import LONG, MISTAKES, Mistake, prepare, write
from tests.cli.slips import SLIPS
from tests.commands import gnnkit_command, gnnkit_here

ALL = [*MISTAKES, *SLIPS]
IN_A_PROCESS = ("a run folder that is a file", "a command that is none")
"""Rows that are also tried as a user types them."""


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data and a run."""
    folder = tmp_path_factory.mktemp("workplace")
    prepare(folder)
    done = gnnkit_here("run", "--dataset", "mine", "--epochs", "2", "--device", "cpu", "--run-dir", "run", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def here(workplace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it in which a mistake can be made, with a folder of its own for temporary files."""
    folder = tmp_path / "here"
    shutil.copytree(workplace, folder, symlinks=True)
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    monkeypatch.setenv("GNNKIT_CACHE", str(tmp_path / "cache"))
    return folder


@pytest.mark.parametrize("mistake", ALL, ids=lambda mistake: mistake.name)
def test_a_mistake_gives_one_line_and_leaves_nothing(
    mistake: Mistake, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check(mistake, here, monkeypatch, gnnkit_here)


@pytest.mark.parametrize("name", IN_A_PROCESS)
def test_a_mistake_in_a_process(name: str, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check(next(mistake for mistake in MISTAKES if mistake.name == name), here, monkeypatch, gnnkit_command)


def check(mistake: Mistake, here: Path, monkeypatch: pytest.MonkeyPatch, command) -> None:
    for package in mistake.needs:
        pytest.importorskip(package)
    if mistake.line.startswith("export") and not hasattr(getattr(torch, "compiler", None), "is_exporting"):
        pytest.skip(f"torch {torch.__version__} exports no programs")
    write(here, mistake.files)
    for name, value in mistake.environment.items():
        monkeypatch.setenv(name, value)
    before = content(here.parent)
    done = command(*mistake.arguments, cwd=here)
    lines = [line for line in done.stderr.splitlines() if not line.startswith("warning:")]
    assert done.returncode == 2, done
    assert len(lines) == 1 and lines[0].startswith("error: "), done.stderr
    for words in mistake.says:
        assert words.replace("LONG", LONG) in lines[0]
    assert done.stdout == ""
    assert content(here.parent) == before


def content(folder: Path) -> Dict[str, bytes]:
    """Everything below a folder, except for the cache, which may be filled, and code that PyG and torch keep there."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else b""
        for path in folder.rglob("*")
        if "cache" not in path.relative_to(folder).parts and not re.search("_propagate_|torchinductor_", path.name)
    }


@pytest.mark.parametrize("options", [[], ["--json"]], ids=["table", "json"])
def test_a_full_disk_behind_standard_output(options: list, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "gnnkit.cli.main", "datasets", *options]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1 and "Free some space" in done.stderr


def test_there_are_enough_rows() -> None:
    assert len(SLIPS) >= 40
    assert len({mistake.name for mistake in ALL}) == len(ALL)
    assert all(mistake.says for mistake in ALL), "each names its way out"
