"""A process that dies ends the job by one line, or the job goes on from its last state."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.commands import gnnkit_here
from tests.parallel.launching import ended, epochs_of, run, start, wait_until, workers

DIGITS = ["run", "--dataset", "digits", "--model", "sage", "--batch-size", "97", "--fanouts", "5,5"]


def kill(process: subprocess.Popen[str], rank: int) -> int:
    number = workers(process.pid)[rank]
    os.kill(number, signal.SIGKILL)
    return number


def test_the_command_trains_in_two_processes_and_a_dead_one_ends_them(tmp_path: Path) -> None:
    code, out, err = run(*DIGITS, "--epochs", "2", "--processes", "2", "--json", "--run-dir", str(tmp_path / "run"))
    assert code == 0, err
    assert json.loads(out)["epochs"] == 2
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert manifest["status"] == "complete" and manifest["processes"] == 2
    assert epochs_of(tmp_path / "run") == 2

    folder = tmp_path / "killed"
    process = start(*DIGITS, "--epochs", "500", "--processes", "2", "--run-dir", str(folder))
    wait_until(lambda: epochs_of(folder) >= 1, process)
    number, begin = kill(process, 1), time.monotonic()
    code, out, err = ended(process)
    assert time.monotonic() - begin < 30
    assert code == 2 and not workers(process.pid)
    (line,) = [line for line in err.splitlines() if line.startswith("error:")]
    assert f"Process 1 (number {number} of the system) was ended by SIGKILL" in line
    assert "Traceback" not in err + out


@pytest.mark.long
def test_what_a_process_cannot_use_is_one_line() -> None:
    code, _, err = run("run", "--dataset", "karate", "--epochs", "2", "--processes", "2")
    assert code == 2
    assert err.count("error:") == 1 and "on the full graph is not shared" in err


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--processes", "0"], "expected at least 1"),
        (["--nodes", "2"], "--rendezvous HOST:PORT"),
        (["--nodes", "2:1", "--rendezvous", "localhost:1"], "expected a number of machines"),
        (["--max-restarts", "2"], "Give --processes or --nodes"),
        (["--processes", "2", "--folds", "3"], "Leave --processes out"),
        (["--processes", "2", "--time-limit", "0"], "expected seconds"),
    ],
)
def test_options_that_cannot_be_used(arguments: list[str], words: str, tmp_path: Path) -> None:
    done = gnnkit_here("run", "--dataset", "karate", "--batch-size", "2", *arguments, cwd=tmp_path)
    assert done.returncode == 2 and words in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.long
def test_restarted_processes_end_with_the_weights_of_an_unbroken_run(tmp_path: Path) -> None:
    epochs, again = 25, ["--processes", "2", "--max-restarts", "2", "--deterministic"]
    code, _, err = run(*DIGITS, "--epochs", str(epochs), *again, "--run-dir", str(tmp_path / "whole"))
    assert code == 0, err
    whole = load_file(tmp_path / "whole" / "checkpoints" / "last.safetensors")
    draw = random.Random(0)
    for attempt in range(10):
        folder = tmp_path / f"killed-{attempt}"
        process = start(*DIGITS, "--epochs", str(epochs), *again, "--run-dir", str(folder))
        moment, rank, delay = draw.randrange(epochs - 2), draw.randrange(2), draw.random()
        wait_until(lambda folder=folder, moment=moment: epochs_of(folder) >= moment, process)
        time.sleep(delay)
        if len(workers(process.pid)) == 2:  # They may not have started yet, which is a moment, too.
            kill(process, rank)
        code, _, err = ended(process)
        assert code == 0, (moment, rank, err)
        assert epochs_of(folder) == epochs
        found = load_file(folder / "checkpoints" / "last.safetensors")
        assert all(torch.equal(found[name], value) for name, value in whole.items()), (moment, rank)


@pytest.mark.long
def test_every_killed_job_ends(tmp_path: Path) -> None:
    draw = random.Random(1)
    for attempt in range(10):
        folder, rank = tmp_path / str(attempt), draw.randrange(2)
        process = start(*DIGITS, "--epochs", "500", "--processes", "2", "--run-dir", str(folder))
        wait_until(lambda rank=rank, process=process: rank in workers(process.pid), process)
        time.sleep(draw.random() * 10)
        number, begin = kill(process, rank), time.monotonic()
        code, _, err = ended(process)
        assert code == 2 and time.monotonic() - begin < 30, err
        assert f"Process {rank} (number {number}" in err and "Traceback" not in err
