"""Ctrl-C and other signals during ``gnnkit run``, in a process of its own as a user has it."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Mapping, Tuple

import pytest

from gnnkit.runs import read_state
from tests.commands import gnnkit_here
from tests.plugins import environment_with, install

LIMIT = 2.0
"""Seconds within which the process must have ended."""
ATTEMPTS = 3
"""How often that is tried, because other tests may take the processor for a while."""

SAMPLED = ["--dataset", "synthetic", "--model", "sage", "--fanouts", "10,10", "train.evaluation=sampled"]
SIZES = {
    "small batches": ["dataset.options.num_nodes=4000", "dataset.options.num_edges=40000", "--batch-size", "64"],
    "large batches": ["dataset.options.num_nodes=20000", "dataset.options.num_edges=200000", "--batch-size", "16000"],
}
SLOW_DEVICE = """
import time
from pathlib import Path
from gnnkit.devices.cpu import CpuDevice

class Plugin(CpuDevice):
    name = "slow"

    def put(self, batch):
        if Path("run/metrics.jsonl").exists():
            time.sleep(60)
        return super().put(batch)
"""


LONG_STEPS = """
import time
from gnnkit.devices.cpu import CpuDevice

class Step:
    def __init__(self, step):
        self.step = step

    def __call__(self, batch):
        time.sleep(1.0)
        return self.step(batch)

    def __getattr__(self, name):
        return getattr(self.step, name)

class Plugin(CpuDevice):
    name = "long"

    def prepare(self, module, optimizer, options):
        step = super().prepare(module, optimizer, options)
        return step if optimizer is None else Step(step)
"""


def interrupted(
    *arguments: str, cwd: Path, environment: Mapping[str, str], number: int = signal.SIGINT
) -> subprocess.CompletedProcess:
    """The command, interrupted by a signal after its first epoch; in time in one of several attempts."""
    for _ in range(ATTEMPTS):
        shutil.rmtree(cwd / "run", ignore_errors=True)
        done, seconds = interrupted_once(*arguments, cwd=cwd, environment=environment, number=number)
        if seconds < LIMIT:
            return done
    pytest.fail(f"it took {seconds:.2f} s to end, at most {LIMIT} are allowed")


def interrupted_once(
    *arguments: str, cwd: Path, environment: Mapping[str, str], number: int
) -> Tuple[subprocess.CompletedProcess, float]:
    """The command after a signal, and the seconds that it took to end."""
    command = [sys.executable, "-m", "gnnkit.cli.main", "run", *arguments, "--epochs", "1000", "--run-dir", "run"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    # A shell may have had these tests ignore the signal, and that is inherited.
    listening = partial(signal.signal, number, signal.SIG_DFL)
    process = subprocess.Popen(command, cwd=cwd, env=dict(environment), preexec_fn=listening, **pipes)
    try:
        output, errors, seconds = interrupt(process, cwd, number)
    finally:
        process.kill()  # Where it has ended, as it should, this does nothing.
    return subprocess.CompletedProcess(command, process.returncode, output, errors), seconds


def interrupt(process: subprocess.Popen, cwd: Path, number: int) -> Tuple[str, str, float]:
    """Wait until the run has done an epoch, interrupt it; what it wrote, and the seconds that it took to end."""
    deadline = time.monotonic() + 60
    while not (cwd / "run" / "metrics.jsonl").exists():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline, "no epoch ended"
        time.sleep(0.02)
    time.sleep(0.1)
    process.send_signal(number)
    start = time.monotonic()
    output, errors = process.communicate(timeout=30)
    return output, errors, time.monotonic() - start


def last_line(done: subprocess.CompletedProcess) -> str:
    """What was said at the end; before it there is a line for each epoch and nothing else."""
    *lines, last = done.stderr.splitlines()
    assert [line for line in lines if "ompil" not in line and not line.startswith("epoch ")] == []
    return last


# Small batches are interrupted below, too.
CASES = [
    *(pytest.param(size, marks=pytest.mark.long) for size in SIZES),
    "a batch that takes a minute",
]


@pytest.mark.parametrize("case", CASES)
def test_a_run_ends_at_once_and_can_be_resumed(case: str, tmp_path: Path) -> None:
    install(tmp_path, "slow", SLOW_DEVICE, group="devices")
    arguments = [*SIZES.get(case, SIZES["small batches"]), "--device", "cpu" if case in SIZES else "slow"]
    done = interrupted(*SAMPLED, *arguments, cwd=tmp_path, environment=environment_with(tmp_path))
    assert done.returncode == 130, done.stderr
    assert last_line(done) == "interrupted; go on with: gnnkit run --resume run"
    run = tmp_path / "run"
    assert json.loads((run / "manifest.json").read_text())["status"] == "interrupted"
    files = {str(file.relative_to(run)) for file in run.rglob("*") if file.is_file()} - {"checkpoints/best.safetensors"}
    assert files == {"manifest.json", "config.yaml", "metrics.jsonl", "log.txt", "checkpoints/last.safetensors"}
    epochs = [json.loads(line)["epoch"] for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert epochs == list(range(1, len(epochs) + 1))

    more = str(epochs[-1] + 1)
    again = ["--resume", "run", "--device", "cpu", "--epochs", more, "--run-dir", "next", "--json"]
    resumed = gnnkit_here("run", *again, cwd=tmp_path)
    assert resumed.returncode == 0, resumed.stderr
    assert json.loads(resumed.stdout.splitlines()[-1])["epochs"] == int(more)


def test_a_step_of_a_second_is_finished_and_its_state_saved(tmp_path: Path) -> None:
    install(tmp_path, "long", LONG_STEPS, group="devices")
    sizes = ["dataset.options.num_nodes=400", "dataset.options.num_edges=2000", "--batch-size", "120"]
    arguments = [*SAMPLED, *sizes, "--device", "long"]
    environment = environment_with(tmp_path)
    done, seconds = interrupted_once(*arguments, cwd=tmp_path, environment=environment, number=signal.SIGTERM)
    assert seconds < 5.0
    assert done.returncode == 128 + signal.SIGTERM
    assert last_line(done) == "interrupted; go on with: gnnkit run --resume run"
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert (manifest["status"], manifest["error"]) == ("interrupted", "Ended: SIGTERM")
    state = read_state(tmp_path / "run")
    assert state.position is not None and state.position.batches == 1


# SIGTERM is sent above, too.
@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=["SIGTERM", "SIGHUP"])
def test_signals_that_end_a_process_end_a_run_like_an_interrupt(number: signal.Signals, tmp_path: Path) -> None:
    arguments = [*SAMPLED, *SIZES["small batches"], "--device", "cpu", "train.save_every=1"]
    done = interrupted(*arguments, cwd=tmp_path, environment=environment_with(tmp_path), number=number)
    assert done.returncode == 128 + number, done.stderr
    assert last_line(done) == "interrupted; go on with: gnnkit run --resume run"
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert (manifest["status"], manifest["error"]) == ("interrupted", f"Ended: {number.name}")
    saved = read_state(tmp_path / "run")
    assert len(saved.history) == len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines())
