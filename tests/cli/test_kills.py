"""Runs that are ended at random moments, by kill -9 or other signals, go on to the bits of an unbroken run."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Dict, List, Tuple

import pytest
import safetensors.torch

from tests.conftest import need
from tests.plugins import environment_with

DATA = ["--dataset", "synthetic", "dataset.options.num_nodes=4000", "dataset.options.num_edges=20000"]
TRAINING = ["--model", "sage", "--fanouts", "5,5", "--batch-size", "128", "--epochs", "12", "model.norm=batch"]
SAVING = ["--deterministic", "--save-every", "5 batches"]
BACKENDS = {
    "reference": ["--backend", "reference", "--device", "cpu"],
    "pyg": ["--backend", "pyg", "--device", "cpu", "train.accumulate=3"],
    "dgl": ["--backend", "dgl", "--device", "cpu", "train.average=0.9", "train.schedule=cosine"],
    "ipu": ["--backend", "ipu", "--device", "ipu-emulator"],
}
STATE = "checkpoints/last.safetensors"
SIGNALS = [signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP]


def start(arguments: List[str], folder: Path) -> subprocess.Popen:
    command = [sys.executable, "-m", "gnnkit.cli.main", "run", *arguments]
    return subprocess.Popen(
        command, cwd=folder, env=environment_with(folder), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def to_the_end(arguments: List[str], folder: Path) -> None:
    process = start(arguments, folder)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output


def seconds_of(arguments: List[str], run: Path) -> Tuple[float, float]:
    """How long a run takes to its first state, and from there to its end."""
    begin = time.monotonic()
    process = start([*arguments, "--run-dir", run.name], run.parent)
    first = state_is_there(process, run)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    return first - begin, time.monotonic() - first


def state_is_there(process: subprocess.Popen, run: Path) -> float:
    """Wait for the first state of a run; when it was there, or the process had ended."""
    while not (run / STATE).is_file() and process.poll() is None:
        time.sleep(0.01)
    return time.monotonic()


def ended(when: Tuple[bool, float], number: int, arguments: List[str], run: Path) -> int:
    """Send a signal to a run: so many seconds after its first state, or after its start; its exit code."""
    process = start([*arguments, "--run-dir", run.name], run.parent)
    if when[0]:
        state_is_there(process, run)
    try:
        process.communicate(timeout=when[1])
    except subprocess.TimeoutExpired:
        process.send_signal(number)
        output, _ = process.communicate(timeout=60)
        assert process.returncode in (128 + number, -number, 0), output
    return process.returncode


def is_complete(run: Path) -> bool:
    manifest = run / "manifest.json"
    return manifest.is_file() and json.loads(manifest.read_text())["status"] == "complete"


def outcome(run: Path) -> Tuple[Any, ...]:
    """What a run comes to: curves, results and weights, without times."""
    manifest = json.loads((run / "manifest.json").read_text())
    assert manifest["status"] == "complete"
    history = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    curves = [{name: each[name] for name in ("epoch", "train_loss", "valid_loss", "valid_metric")} for each in history]
    result = {name: value for name, value in manifest["result"].items() if name.startswith(("valid", "test", "best"))}
    weights: Dict[str, Any] = {}
    for name in ("best", "last"):
        tensors = safetensors.torch.load_file(run / "checkpoints" / f"{name}.safetensors")
        weights[name] = {key: value.tolist() for key, value in tensors.items()}
    return curves, result, weights


def check(backend: str, num_kills: int, seed: int, folder: Path) -> Dict[str, int]:
    """End runs and go on with them; how many were ended by what, or before a state was there."""
    need(backend, "sage")
    arguments = [*DATA, *TRAINING, *SAVING, *BACKENDS[backend]]
    loading, training = seconds_of(arguments, folder / "whole")
    expected, draw = outcome(folder / "whole"), random.Random(seed)
    counts: Dict[str, int] = {}
    number = 0
    while sum(counts.values()) < num_kills:
        number += 1
        assert number < 4 * num_kills + 20, counts
        earlier, run = None, ""
        for attempt in range(3):  # Ended, gone on with and ended again; the third time to its end.
            run = f"run-{number}-{attempt}"
            begin = [*arguments] if earlier is None else ["--resume", earlier]
            if attempt == 2:
                to_the_end([*begin, "--run-dir", run], folder)
                break
            kind, is_training = draw.choice(SIGNALS), draw.random() < 0.9
            when = (is_training, draw.uniform(0, training if is_training else loading))
            code = ended(when, kind, begin, folder / run)
            if code == 0 or is_complete(folder / run):
                break
            has_state = (folder / run / STATE).is_file()
            name = kind.name if has_state else "before the first state"
            counts[name] = counts.get(name, 0) + 1
            earlier = run if has_state else earlier
        assert outcome(folder / run) == expected, (number, run)
    return counts


@pytest.mark.long
@pytest.mark.parametrize(("backend", "num_kills"), [("reference", 14), ("pyg", 12), ("dgl", 12), ("ipu", 12)])
def test_fifty(backend: str, num_kills: int, tmp_path: Path) -> None:
    print(backend, check(backend, num_kills, 1, tmp_path))
