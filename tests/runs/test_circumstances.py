"""What a manifest says of how a run came about."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

import gnnkit
from gnnkit.runs import read_run
from tests.commands import gnnkit_command, gnnkit_here

QUICK = ["run", "--dataset", "karate", "--epochs", "2", "--device", "cpu", "--run-dir"]


def manifest(folder: Path) -> dict:
    return json.loads((folder / "manifest.json").read_text())


def test_the_command_and_no_repository(tmp_path: Path) -> None:
    assert gnnkit_command(*QUICK, "a b", cwd=tmp_path).returncode == 0
    said = manifest(tmp_path / "a b")
    assert said["command"].endswith("run --dataset karate --epochs 2 --device cpu --run-dir 'a b'")
    assert said["processor"] and said["git"] is None


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_the_revision_of_the_folder_and_whether_it_is_dirty(tmp_path: Path) -> None:
    def git(folder: Path, *arguments: str) -> str:
        who = ["-c", "user.name=me", "-c", "user.email=me@example.org"]
        return subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout

    # Each process asks once for each folder, so each state has a folder of its own.
    for is_dirty in (False, True):
        folder = tmp_path / str(is_dirty)
        folder.mkdir()
        git(folder, "init", "-q")
        (folder / "code.py").write_text("x = 1\n")
        git(folder, "add", "code.py")
        git(folder, "commit", "-q", "-m", "first")
        if is_dirty:
            (folder / "code.py").write_text("x = 2\n")
        assert gnnkit_here(*QUICK, "one", cwd=folder).returncode == 0
        assert manifest(folder / "one")["git"] == {
            "revision": git(folder, "rev-parse", "HEAD").strip(),
            "dirty": is_dirty,
        }


@pytest.mark.parametrize("clip_norm", [None, 0.1, 1e9])
def test_the_norm_of_the_gradients_is_recorded_where_they_are_clipped(tmp_path: Path, clip_norm) -> None:
    graph = gnnkit.load_dataset("karate")

    def train(name: str, clip_norm):
        settings = {"epochs": 3, "run_dir": tmp_path / name, "clip_norm": clip_norm}
        gnnkit.Trainer(device="cpu", progress=False, **settings).fit(gnnkit.build_model("gcn", graph), graph)
        return read_run(tmp_path / name).history

    history = train("one", clip_norm)
    norms = [record.gradient_norm for record in history]
    if clip_norm is None:
        assert norms == [None] * 3
        return
    assert all(norm > 0.1 for norm in norms)  # Before they were clipped.
    if clip_norm == 1e9:  # Too large to change anything.
        without = [record.train_loss for record in train("two", None)]
        assert [record.train_loss for record in history] == without
