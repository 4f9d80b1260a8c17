"""Time per batch and memory of one training in several processes: ``python -m benchmarks.processes``.

Rules: what is measured is ``gnnkit run``, as users start it, on a saved graph that is written once and memory-mapped.
Every count of processes trains on the same batches, each process on its share. Memory is proportional set size (of a
page that n processes share each has 1/n), looked at from outside while they train; what counts is the largest sum. What
starts the processes is told apart.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, List, Sequence

import numpy as np

from benchmarks.graphs import GraphSpec, open_graph, prepare

ROOT = Path(__file__).parent.parent
_BEAT = 0.3
"""Seconds from one look at the processes to the next."""


@dataclass(frozen=True)
class Training:
    """What is trained.

    Attributes:
        graph: On what.
        model: Name of the model.
        backend: Name of the backend.
        batch_size: Training nodes of a batch, which processes share.
        fanouts: Neighbours sampled per layer, seeds first.
        hidden: Width of the hidden layers.
        batches: Batches of an epoch.
        epochs: Epochs, each with an evaluation of 1,000 nodes.
        settings: More settings of ``gnnkit run``, such as ``train.num_threads=1``.
    """

    graph: GraphSpec
    model: str = "sage"
    backend: str = "reference"
    batch_size: int = 1024
    fanouts: Sequence[int] = (10, 10)
    hidden: int = 128
    batches: int = 60
    epochs: int = 2
    settings: Sequence[str] = ()


@dataclass
class Measured:
    """What was found.

    Attributes:
        num_processes: How many trained.
        seconds: A batch, mean of the last epoch, which has an evaluation of 1,000 nodes in it.
        losses: Of the epochs.
        memory: Of all processes together, in bytes, at the moment when it was largest: "pss"; "shared", of it what lies
            in files, such as the graph; "own", the rest.
        each: Proportional set size of each process then, in bytes.
        starting: That of the launcher, and of the process that the others are forked from.
    """

    num_processes: int
    seconds: float = 0.0
    losses: List[float] = field(default_factory=list)
    memory: Dict[str, int] = field(default_factory=dict)
    each: List[int] = field(default_factory=list)
    starting: int = 0


def measure(training: Training, num_processes: int) -> Measured:
    """Train in so many processes, and look at them."""
    with tempfile.TemporaryDirectory() as home:
        data, run = Path(home) / "graph", Path(home) / "run"
        _save(training, data)
        command = [sys.executable, "-m", "gnnkit", *_arguments(training, data), "--run-dir", str(run)]
        command += ["--processes", str(num_processes)] if num_processes > 1 else []
        found = Measured(num_processes)
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, env={**os.environ, **_PATH})
        try:
            while process.poll() is None:
                _look(process.pid, found)
                time.sleep(_BEAT)
        finally:
            process.terminate()
            process.wait()
        if process.returncode != 0:
            raise SystemExit(f"The training in {num_processes} processes ended with exit code {process.returncode}.")
        epochs = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    found.seconds = epochs[-1]["seconds"] / training.batches
    found.losses = [epoch["train_loss"] for epoch in epochs]
    return found


def measure_machines(training: Training, starters: Sequence[str], rendezvous: str) -> Measured:
    """Train with one process on each machine; they see the same files under the same names.

    Args:
        training: What is trained.
        starters: Words before a command that is to run on a machine, for each of them.
        rendezvous: Where they meet, an address of the first.
    """
    with tempfile.TemporaryDirectory() as home:
        data, run = Path(home) / "graph", Path(home) / "run"
        _save(training, data)
        command = [sys.executable, "-m", "gnnkit", *_arguments(training, data), "--run-dir", str(run)]
        command += ["--processes", "1", "--nodes", str(len(starters)), "--rendezvous", rendezvous]
        path = [f"{name}={value}" for name, value in _PATH.items()]
        processes = [
            subprocess.Popen(
                [*starter.split(), "env", *path, *command, "--node-rank", str(rank)],
                cwd=ROOT,
                stdout=subprocess.DEVNULL,
            )
            for rank, starter in enumerate(starters)
        ]
        try:
            codes = [process.wait() for process in processes]
        finally:
            for process in processes:
                process.terminate()
        if any(codes):
            raise SystemExit(f"The training on {len(starters)} machines ended with exit codes {codes}.")
        epochs = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    losses = [epoch["train_loss"] for epoch in epochs]
    return Measured(len(starters), seconds=epochs[-1]["seconds"] / training.batches, losses=losses)


_PATH = {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}


def _arguments(training: Training, data: Path) -> List[str]:
    """The command."""
    names = ("model", "backend", "batch_size", "epochs", "hidden")
    options = [text for name in names for text in (f"--{name.replace('_', '-')}", str(getattr(training, name)))]
    options += ["--dataset", str(data), "--fanouts", ",".join(map(str, training.fanouts)), "--dropout", "0"]
    options += ["--layers", str(len(training.fanouts)), "train.evaluation=sampled", *training.settings]
    return ["run", *options]


def _save(training: Training, folder: Path) -> None:
    """A saved graph whose large arrays are those of the prepared one, not copied, with as many seeds as are wanted."""
    from gnnkit.datasets.cache import array_entry, write_meta

    source, graph = prepare(training.graph).resolve(), open_graph(training.graph)
    folder.mkdir()
    entries: Dict[str, Dict[str, object]] = {"arrays": {}, "splits": {}}
    for name in ("indptr", "indices", "x", "y"):
        (folder / f"{name}.npy").symlink_to(source / f"{name}.npy")
        entries["arrays"][name] = array_entry(folder / f"{name}.npy")
    num = {"train": training.batches * training.batch_size, "valid": 1000, "test": 1000}
    for name, count in num.items():
        np.save(folder / f"{name}.npy", graph.splits[name][:count].numpy())
        entries["splits"][name] = array_entry(folder / f"{name}.npy")
    write_meta(folder, entries, graph)


def _look(command: int, found: Measured) -> None:
    """Keep what the processes have, if it is more than ever before."""
    with suppress(OSError):  # One may end meanwhile.
        starting, working = [], [command]
        if found.num_processes > 1:
            starting = [command, *_children(command)]
            working = [child for process in _children(command) for child in _children(process)]
            working = [child for child in working if Path(f"/proc/{child}/comm").read_text().startswith("gnnkit-")]
        looks = [memory_of(process) for process in working]
        if len(looks) == found.num_processes and sum(each["pss"] for each in looks) > found.memory.get("pss", 0):
            found.memory = {name: sum(each[name] for each in looks) for name in looks[0]}
            found.each = [each["pss"] for each in looks]
            found.starting = sum(memory_of(process)["pss"] for process in starting)


def _children(process: int) -> List[int]:
    files = Path(f"/proc/{process}/task").glob("*/children")
    return [int(number) for file in files for number in file.read_text().split()]


def memory_of(process: int) -> Dict[str, int]:
    """Proportional set size of a process in bytes: "pss", of it in files "shared", and the rest "own"."""
    lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    sizes = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss")}
    return {"pss": sizes["Pss"], "shared": sizes["Pss_File"] + sizes["Pss_Shmem"], "own": sizes["Pss_Anon"]}


def _row(one: Measured, last: Measured) -> str:
    """What is printed of a count of processes; ``one`` is what it is compared with."""
    sizes = ", ".join(f"{name} {size / 1e9:.3f} GB" for name, size in last.memory.items())
    each = ", ".join(f"{size / 1e9:.3f}" for size in last.each)
    return (
        f"{last.num_processes} processes: {last.seconds:.3f} s a batch; {sizes} ({each}), "
        f"{last.memory['pss'] / one.memory['pss']:.3f} times that of {one.num_processes}; what starts them "
        f"{last.starting / 1e9:.3f} GB; losses {', '.join(f'{loss:.6f}' for loss in last.losses)}"
    )


def main(arguments: Sequence[str]) -> List[Measured]:
    """Measure as the command line says, and print a row for each count of processes."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.processes", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--nodes", type=int, default=1_600_000)
    parser.add_argument("--edges", type=int, default=20_000_000)
    parser.add_argument("--features", type=int, default=128)
    parser.add_argument("--processes", default="1,2", help="counts, such as 1,2,4")
    parser.add_argument("--batch-size", type=int, default=1024)
    parser.add_argument("--batches", type=int, default=60)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--fanouts", default="10,10")
    parser.add_argument("--backend", default="reference")
    parser.add_argument("--model", default="sage")
    on = "how a command is started on a machine, such as 'ip netns exec a' or 'ssh b'; once for each machine"
    parser.add_argument("--on", action="append", default=[], metavar="COMMAND", help=on)
    parser.add_argument("--rendezvous", metavar="HOST:PORT", help="address of the first machine, as of gnnkit run")
    parser.add_argument("settings", nargs="*", help="more settings of gnnkit run, such as train.num_threads=1")
    given = parser.parse_args(arguments)
    if bool(given.on) != bool(given.rendezvous):
        parser.error("several machines need --on, once for each, and --rendezvous")
    training = Training(
        GraphSpec("chunked", given.nodes, given.edges, given.features, classes=16),
        model=given.model,
        backend=given.backend,
        batch_size=given.batch_size,
        fanouts=[int(text) for text in given.fanouts.split(",")],
        batches=given.batches,
        epochs=given.epochs,
        settings=given.settings,
    )
    found = []
    for text in given.processes.split(","):
        found.append(measure(training, int(text)))
        print(_row(found[0], found[-1]), flush=True)
    if given.on:
        found.append(measure_machines(training, given.on, given.rendezvous))
        losses = ", ".join(f"{loss:.6f}" for loss in found[-1].losses)
        print(f"{len(given.on)} machines: {found[-1].seconds:.3f} s a batch; losses {losses}", flush=True)
    return found


if __name__ == "__main__":
    main(sys.argv[1:])
