"""Time per batch and memory of one training in several processes: ``python -m benchmarks.processes``.

Rules: the graph is written once and memory-mapped; every count of processes trains on the same batches, each process on
its share. Memory is proportional set size (a page that n processes share counts 1/n in each), looked at from outside
while they train, and what counts is the largest sum. The launcher's own is told apart.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Dict, List, Sequence

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
    """

    graph: GraphSpec
    model: str = "sage"
    backend: str = "reference"
    batch_size: int = 1024
    fanouts: Sequence[int] = (10, 10)
    hidden: int = 128
    batches: int = 60
    epochs: int = 2


@dataclass
class Measured:
    """What was found.

    Attributes:
        num_processes: How many trained.
        seconds: A batch, median over those of the last epoch.
        losses: Of the epochs.
        memory: Of all processes together, in bytes, at the moment when it was largest: "pss"; "shared", of it what lies
            in files, such as the graph; "own", the rest.
        each: Proportional set size of each process then, in bytes.
        launcher: That of the launcher.
    """

    num_processes: int
    seconds: float = 0.0
    losses: List[float] = field(default_factory=list)
    memory: Dict[str, int] = field(default_factory=dict)
    each: List[int] = field(default_factory=list)
    launcher: int = 0


def measure(training: Training, num_processes: int) -> Measured:
    """Train in so many processes, which torchrun starts, and look at them."""
    prepare(training.graph)
    with tempfile.TemporaryDirectory() as home:
        told, output = Path(home) / "training.json", Path(home) / "found.json"
        told.write_text(json.dumps(asdict(training)))
        start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(num_processes)]
        job = [*start, "-m", "benchmarks.processes", "--worker", str(told), str(output)]
        process = subprocess.Popen(job, cwd=ROOT)
        found = Measured(num_processes)
        try:
            while process.poll() is None:
                _look(process.pid, found)
                time.sleep(_BEAT)
        finally:
            process.terminate()
            process.wait()
        if process.returncode != 0:
            raise SystemExit(f"The training in {num_processes} processes ended with exit code {process.returncode}.")
        told_by_first = json.loads(output.read_text())
    found.seconds, found.losses = told_by_first["seconds"], told_by_first["losses"]
    return found


def _look(launcher: int, found: Measured) -> None:
    with suppress(OSError):  # One may end meanwhile.
        children = Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split()
        looks = [memory_of(int(number)) for number in children]
        if len(looks) == found.num_processes and sum(each["pss"] for each in looks) > found.memory.get("pss", 0):
            found.memory = {name: sum(each[name] for each in looks) for name in looks[0]}
            found.each = [each["pss"] for each in looks]
            found.launcher = memory_of(launcher)["pss"]


def memory_of(process: int) -> Dict[str, int]:
    """Proportional set size of a process in bytes: "pss", of it in files "shared", and the rest "own"."""
    lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    sizes = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss")}
    return {"pss": sizes["Pss"], "shared": sizes["Pss_File"] + sizes["Pss_Shmem"], "own": sizes["Pss_Anon"]}


def work(training: Dict[str, Any], output: Path) -> None:
    """What each process does."""
    import torch

    from gnnkit import Trainer, build_model
    from gnnkit.data import random_split
    from gnnkit.parallel import join_world, leave_world
    from gnnkit.runs import Callback, EpochRecord

    class Clock(Callback):
        """Seconds between batches, epoch by epoch."""

        def __init__(self) -> None:
            self.epochs: List[List[float]] = [[]]

        def on_batch(self, index: int) -> None:
            self.epochs[-1].append(time.perf_counter())

        def on_epoch(self, record: EpochRecord) -> None:
            self.epochs.append([])

    from dataclasses import replace

    graph, clock = open_graph(GraphSpec(**training["graph"])), Clock()
    num = training["batches"] * training["batch_size"]
    splits = {"train": graph.splits["train"][:num], **{name: graph.splits[name][:1000] for name in ("valid", "test")}}
    graph = replace(graph, splits=splits)
    del random_split, torch
    model = build_model(
        training["model"], graph, num_layers=len(training["fanouts"]), hidden_channels=training["hidden"], dropout=0.0
    )
    settings = {name: training[name] for name in ("batch_size", "fanouts", "epochs")}
    result = Trainer(
        training["backend"],
        "cpu",
        callbacks=[clock],
        progress=False,
        evaluation="sampled",
        keep_memory=False,
        **settings,
    ).fit(model, graph)
    if join_world().is_first:
        times = clock.epochs[-2]
        seconds = statistics.median(after - before for before, after in zip(times, times[1:]))
        losses = [record.train_loss for record in result.history]
        output.write_text(json.dumps({"seconds": seconds, "losses": losses}))
    leave_world()


def main(arguments: Sequence[str]) -> List[Measured]:
    """Measure as the command line says, and print a row for each count of processes."""
    if arguments and arguments[0] == "--worker":
        work(json.loads(Path(arguments[1]).read_text()), Path(arguments[2]))
        return []
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
    given = parser.parse_args(arguments)
    training = Training(
        GraphSpec("chunked", given.nodes, given.edges, given.features, classes=16),
        model=given.model,
        backend=given.backend,
        batch_size=given.batch_size,
        fanouts=[int(text) for text in given.fanouts.split(",")],
        batches=given.batches,
        epochs=given.epochs,
    )
    found = []
    for text in given.processes.split(","):
        found.append(measure(training, int(text)))
        one, last = found[0], found[-1]
        sizes = ", ".join(f"{name} {last.memory[name] / 1e9:.3f} GB" for name in last.memory)
        print(
            f"{last.num_processes} processes: {last.seconds:.3f} s a batch; {sizes}; "
            f"{last.memory['pss'] / one.memory['pss']:.3f} times that of {one.num_processes}; "
            f"launcher {last.launcher / 1e9:.3f} GB; losses {[round(loss, 6) for loss in last.losses]}",
            flush=True,
        )
    return found


if __name__ == "__main__":
    main(sys.argv[1:])
