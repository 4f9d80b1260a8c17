"""Two machines, which are two network namespaces with their own shared memory: needs root."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Iterator

import pytest
import torch
from safetensors.torch import load_file

from tests.parallel.launching import SECONDS, environment, epochs_of, run, wait_until
from tests.parallel.namespaces import cable_end, ip, two_machines

pytestmark = pytest.mark.long

HOSTS = ("10.77.0.1", "10.77.0.2")
SETTINGS = ["run", "--dataset", "digits", "--model", "sage", "--batch-size", "97", "--fanouts", "5,5"]


@pytest.fixture
def machines() -> Iterator[tuple[str, str]]:
    """Names of two network namespaces that a cable joins."""
    with two_machines(HOSTS, "ab") as names:
        yield names


def start_on(machine: str, *arguments: str) -> subprocess.Popen[str]:
    """Start ``gnnkit`` on a machine, in a process group of its own."""
    inside = 'mount -t tmpfs tmpfs /dev/shm && exec "$@"'
    command = ["ip", "netns", "exec", machine, "unshare", "--mount", "sh", "-c", inside, "sh", sys.executable]
    settings = environment()
    settings.pop("GLOO_SOCKET_IFNAME")  # The command finds it out.
    return subprocess.Popen(
        [*command, "-m", "gnnkit", *arguments],
        env=settings,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def lose(process: subprocess.Popen[str]) -> None:
    """End all that runs on a machine at once; its processes have sessions of their own."""
    found, todo = [], [process.pid]
    parents: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents.setdefault(int(stat.read_text().rpartition(")")[2].split()[1]), []).append(int(stat.parent.name))
        except OSError:
            continue
    while todo:
        number = todo.pop()
        found.append(number)
        todo += parents.get(number, [])
    for number in found:
        os.kill(number, signal.SIGKILL)


def common(folder: Path, epochs: int, nodes: str, *more: str) -> list[str]:
    shared = ["--processes", "1", "--nodes", nodes, "--rendezvous", f"{HOSTS[0]}:29511", "--run-dir", str(folder)]
    return [*SETTINGS, "--epochs", str(epochs), *shared, *more]


def test_two_machines_train_as_one(machines: tuple[str, str], tmp_path: Path) -> None:
    both = [start_on(machine, *common(tmp_path / "two", 4, "2")) for machine in machines]
    said = [process.communicate(timeout=SECONDS) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    code, _, err = run(*SETTINGS, "--epochs", "4", "--dropout", "0.5", "--run-dir", str(tmp_path / "one"))
    assert code == 0, err
    assert json.loads((tmp_path / "two" / "manifest.json").read_text())["processes"] == 2
    assert epochs_of(tmp_path / "two") == epochs_of(tmp_path / "one") == 4


def test_a_lost_machine_ends_the_job_by_a_line(machines: tuple[str, str], tmp_path: Path) -> None:
    arguments = common(tmp_path / "lost", 500, "2", "--time-limit", "20")
    first, second = (start_on(machine, *arguments) for machine in machines)
    wait_until(lambda: epochs_of(tmp_path / "lost") >= 2, first)
    # The cable is cut, so that no connection is closed.
    ip("-n", machines[1], "link", "set", cable_end("b"), "down")
    begin = time.monotonic()
    _, err = first.communicate(timeout=SECONDS)
    assert time.monotonic() - begin < 60
    lines = [line for line in err.splitlines() if line.startswith("error:")]
    assert first.returncode == 2 and len(lines) == 1 and "Process 1" in lines[0], err
    assert "Traceback" not in err
    lose(second)
    second.communicate(timeout=SECONDS)


def test_the_job_goes_on_without_a_lost_machine(machines: tuple[str, str], tmp_path: Path) -> None:
    folder, epochs = tmp_path / "elastic", 20
    arguments = common(folder, epochs, "1:2", "--max-restarts", "3", "--time-limit", "20", "--deterministic")
    first = start_on(machines[0], *arguments)
    second = start_on(machines[1], *arguments)
    wait_until(lambda: epochs_of(folder) >= 3, first)
    lose(second)
    second.communicate(timeout=SECONDS)
    _, err = first.communicate(timeout=SECONDS)
    assert first.returncode == 0, err
    assert epochs_of(folder) == epochs
    assert all(torch.isfinite(value).all() for value in load_file(folder / "checkpoints" / "best.safetensors").values())
