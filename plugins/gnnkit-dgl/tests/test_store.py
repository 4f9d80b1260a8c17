"""Graphs in parts: cutting them, training on them, and what ends that. Servers and trainers are processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Dict, Iterator, List, Tuple

import numpy as np
import pytest

from gnnkit.train.parts import STORE, read_parts
from tests.parallel.launching import wait_until
from tests.parallel.namespaces import two_machines

SECONDS = 240
HOSTS = ("10.79.0.1", "10.79.0.2")
SMALL = ["--backend", "dgl", "--model", "sage", "--fanouts", "10,10", "--batch-size", "128"]
COMMON = ["--backend", "dgl", "--model", "sage", "--fanouts", "10,10", "--batch-size", "1024"]


def command(*arguments: str) -> List[str]:
    return [sys.executable, "-m", "gnnkit", *arguments]


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments), cwd=cwd, capture_output=True, text=True, timeout=SECONDS, check=False, env=environment()
    )


def environment() -> Dict[str, str]:
    root = Path(__file__).parents[3]
    path = os.pathsep.join([str(root), str(root / "plugins/gnnkit-dgl"), os.environ.get("PYTHONPATH", "")])
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}


def cut(folder: Path, dataset: str, num: int, *more: str) -> Path:
    done = run("data", "partition", dataset, "--parts", str(num), "--out", "parts", "--json", *more, cwd=folder)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert sum(part["nodes"] for part in found["parts"]) == found["num_nodes"]
    assert sum(part["edges"] for part in found["parts"]) == found["num_edges"]
    return folder / "parts"


def left_behind(parts: Path) -> List[str]:
    """Shared memory that has the name of parts."""
    name = json.loads((parts / STORE / "graph.json").read_text())["graph_name"]
    return [file.name for file in Path("/dev/shm").glob(f"*{name}*")]


def test_one_part_trains_in_two_processes(tmp_path: Path, digits: Path) -> None:
    parts = digits / "parts"
    done = run("run", "--parts", str(parts), *SMALL, "--epochs", "3", "--processes", "2", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["test_accuracy"] > 0.8
    (manifest,) = tmp_path.glob("runs/*/manifest.json")
    found = json.loads(manifest.read_text())
    assert found["processes"] == 2 and "random numbers are their own" in found["sampling"]
    assert not left_behind(parts)


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["run", "--parts", "nothing"], "is no folder of parts"),
        (["run", "--graph-store", "dgl"], "Give --parts DIR"),
        (["run", "--parts", "parts", "--dataset", "karate"], "are of data set 'digits'"),
        (["run", "--parts", "parts", "--task", "link_prediction"], "are of task 'node_classification'"),
        (["run", "--parts", "parts", "--graph-store", "pyg"], "are of graph store 'dgl'"),
        (
            ["run", "--parts", "parts", "--nodes", "2", "--rendezvous", "localhost:1"],
            "There are 1 parts and 2 machines",
        ),
        (["run", "--parts", "parts", "--processes", "2", "--max-restarts", "1"], "--max-restarts lets processes come"),
        (["data", "partition", "digits", "--parts", "0", "--out", "new"], "expected at least 1"),
        (["data", "partition", "digits", "--parts", "1", "--out", "parts"], "holds something already"),
        (["data", "partition", "digits", "--parts", "1", "--out", "new", "--graph-store", "reference"], "no graphs in"),
        (["data", "partition", "digits", "--parts", "9999", "--out", "new"], "Take fewer parts"),
        (["data", "partition", "digits", "--parts", "1", "--out", "new", "--task", "unsupervised"], "whole graphs"),
    ],
)
def test_mistakes_are_one_line(arguments: List[str], words: str, digits: Path) -> None:
    from tests.commands import gnnkit_here

    done = gnnkit_here(*arguments, cwd=digits)
    assert done.returncode == 2 and words in done.stderr, done.stderr
    assert done.stderr.count("\n") == 1 and not (digits / "new").exists()


def test_processes_of_torchrun_start_no_servers(digits: Path) -> None:
    by_hand = {**environment(), "TORCHELASTIC_RUN_ID": "1", "RANK": "0", "WORLD_SIZE": "1"}
    done = subprocess.run(
        command("run", "--parts", "parts"), cwd=digits, env=by_hand, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2 and "Start it without torchrun" in done.stderr


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("digits")
    cut(folder, "digits", 1)
    return folder


def test_parts_know_what_they_are_of(digits: Path) -> None:
    found = read_parts(digits / "parts")
    assert found.dataset["name"] == "digits" and found.store == "dgl" and found.num_features == 64
    inner, outer = (np.load(digits / "parts" / STORE / f"{name}.npy") for name in ("inner", "outer"))
    assert (inner[outer] == np.arange(len(outer))).all()


SCRIPT = str(Path(__file__).with_name("look_for_leaks.py"))


@pytest.mark.long
def test_no_batch_sees_its_own_pairs(tmp_path: Path) -> None:
    parts = cut(tmp_path, "digits", 1, "--task", "link_prediction")
    words = [sys.executable, SCRIPT, str(parts), str(tmp_path / "log"), "0", "1", "127.0.0.1"]
    looked = subprocess.run(
        words, env=environment(), capture_output=True, text=True, timeout=SECONDS, check=False, cwd=tmp_path
    )
    assert looked.returncode == 0 and "would have been seen" in looked.stdout, looked.stderr


@pytest.mark.long
def test_a_killed_server_ends_the_job(tmp_path: Path) -> None:
    parts = cut(tmp_path, "digits", 1)
    job = start(command("run", "--parts", "parts", *COMMON, "--epochs", "5000", "--run-dir", "run"), tmp_path)
    wait_until(lambda: (tmp_path / "run" / "metrics.jsonl").exists(), job)
    (number,) = servers_of(job.pid)
    os.kill(number, signal.SIGKILL)
    begin = time.monotonic()
    _, err = job.communicate(timeout=SECONDS)
    assert time.monotonic() - begin < 30
    (line,) = [line for line in err.splitlines() if line.startswith("error:")]
    assert job.returncode == 2 and f"process {number}) was ended by SIGKILL" in line
    assert not left_behind(parts)


def start(words: List[str], cwd: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        words, cwd=cwd, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def servers_of(launcher: int) -> List[int]:
    """Servers that a launcher has started."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
            words = (stat.parent / "cmdline").read_bytes()
        except OSError:
            continue
        if parent == launcher and b"gnnkit_dgl.serving" in words:
            found.append(int(stat.parent.name))
    return found


@pytest.fixture
def machines() -> Iterator[Tuple[str, str]]:
    """Names of two network namespaces that a cable joins."""
    with two_machines(HOSTS, "cd") as names:
        yield names


@pytest.fixture
def real_data() -> None:
    """Real data are there."""
    folder = os.environ.get("GNNKIT_DATA", "")
    if not folder or not Path(folder).is_dir():
        pytest.skip(f"real data needed: set GNNKIT_DATA to their folder (it is {folder!r})")


def start_on(machine: str, cwd: Path, *words: str) -> subprocess.Popen[str]:
    """Start a command on a machine, which has shared memory of its own."""
    inside = 'mount -t tmpfs tmpfs /dev/shm && exec "$@"'
    return start(["ip", "netns", "exec", machine, "unshare", "--mount", "sh", "-c", inside, "sh", *words], cwd)


def both(machines: Tuple[str, str], cwd: Path, *more: str) -> List[subprocess.Popen[str]]:
    shared = ["run", "--parts", "parts", *COMMON, "--nodes", "2", "--rendezvous", f"{HOSTS[0]}:29621", *more]
    return [start_on(name, cwd, *command(*shared, "--node-rank", str(rank))) for rank, name in enumerate(machines)]


@pytest.mark.long
def test_two_machines_are_as_good_as_one(machines: Tuple[str, str], tmp_path: Path, real_data: None) -> None:
    parts = cut(tmp_path, "facebook_large", 2)
    jobs = both(machines, tmp_path, "--run-dir", "two", "--json")
    said = [job.communicate(timeout=SECONDS) for job in jobs]
    assert [job.returncode for job in jobs] == [0, 0], said
    one = run("run", "--dataset", "facebook_large", *COMMON, "--json", cwd=tmp_path)
    assert one.returncode == 0, one.stderr
    found, wanted = (json.loads(text)["test_accuracy"] for text in (said[0][0], one.stdout))
    assert found > wanted - 0.01
    assert not left_behind(parts)


@pytest.mark.long
def test_a_killed_server_ends_the_job_on_both_machines(
    machines: Tuple[str, str], tmp_path: Path, real_data: None
) -> None:
    cut(tmp_path, "facebook_large", 2)
    jobs = both(machines, tmp_path, "--run-dir", "two", "--epochs", "500")
    wait_until(lambda: (tmp_path / "two" / "metrics.jsonl").exists(), jobs[0])
    (number,) = servers_of(jobs[1].pid)
    os.kill(number, signal.SIGKILL)
    begin = time.monotonic()
    said = [job.communicate(timeout=SECONDS)[1] for job in jobs]
    assert time.monotonic() - begin < 30
    for job, err in zip(jobs, said):
        (line,) = [line for line in err.splitlines() if line.startswith("error:")]
        assert job.returncode == 2 and "server of machine 1" in line, said


@pytest.mark.long
def test_no_batch_sees_its_own_pairs_on_two_machines(machines: Tuple[str, str], tmp_path: Path) -> None:
    parts = cut(tmp_path, "digits", 2, "--task", "link_prediction")
    jobs = []
    for rank, name in enumerate(machines):
        (tmp_path / str(rank)).mkdir()
        place = [str(tmp_path / str(rank) / "log"), str(rank), "2", HOSTS[rank], HOSTS[0], "29631"]
        jobs.append(start_on(name, tmp_path, sys.executable, SCRIPT, str(parts), *place))
    said = [job.communicate(timeout=SECONDS) for job in jobs]
    assert [job.returncode for job in jobs] == [0, 0] and "would have been seen" in said[0][0], said
