"""Commands that are started at the same moment with one run folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import List, Tuple

import pytest

NUM = 2


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder whose preparation goes into the cache."""
    folder = tmp_path / "ring"
    folder.mkdir()
    nodes = range(60)
    (folder / "nodes.csv").write_text("id,a,b,label\n" + "".join(f"{i},{i % 7},{i % 3},{i % 2}\n" for i in nodes))
    (folder / "edges.csv").write_text("source,target\n" + "".join(f"{i},{(i + 1) % 60}\n" for i in nodes))
    return folder


def started_at_once(data: Path, *run_dirs: str) -> List[Tuple[int, str, str]]:
    """Exit code, output and errors of a run for each of the folders."""
    environment = {**os.environ, "GNNKIT_CACHE": str(data.parent / "cache"), "OMP_NUM_THREADS": "1"}
    command = [
        sys.executable,
        "-m",
        "gnnkit",
        "run",
        "--dataset",
        str(data),
        "--device",
        "cpu",
        "--epochs",
        "2",
        "--json",
    ]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    running = [
        subprocess.Popen([*command, "--run-dir", name], cwd=data.parent, env=environment, **pipes)  # type: ignore[call-overload]
        for name in run_dirs
    ]
    return [(process.wait(), *process.communicate()) for process in running]


def test_one_run_folder_is_of_one(data: Path) -> None:
    done = started_at_once(data, *["run"] * NUM)
    assert sorted(code for code, _, _ in done) == [0] + [2] * (NUM - 1), done
    for code, _, errors in done:
        assert code == 0 or [line for line in errors.splitlines() if "already exists" in line], errors
    assert json.loads((data.parent / "run" / "manifest.json").read_text())["status"] == "complete"
