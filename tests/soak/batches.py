"""Train on many batches and watch the process: ``python -m tests.soak.batches --batches 60000``.

Prints for memory, threads and open files what a straight line through the samples after the first tenth rises by, and
ends with exit code 1 where one of them grows.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any, Dict, List

import numpy as np

import gnnkit
from gnnkit.train import Callback

EVERY = 500
"""Batches from one sample to the next."""
LIMITS = {"resident memory, MB": 8.0, "threads": 0.5, "open files": 0.5}
"""What each may rise by from the first tenth of the batches to the last one."""


class _Done(BaseException):
    """Ends a training."""


class Watch(Callback):
    """Samples the process while it trains.

    Args:
        batches: When to end.
    """

    def __init__(self, batches: int) -> None:
        self.batches = batches
        self.done = 0
        self.samples: List[List[float]] = []

    def on_batch(self, index: int) -> None:
        """See :class:`Callback`."""
        self.done += 1
        if self.done % EVERY == 0:
            self.samples.append([self.done, *sample().values()])
        if self.done == self.batches:
            raise _Done


def sample() -> Dict[str, float]:
    """What the process holds just now, in the order of ``LIMITS``."""
    lines = Path("/proc/self/status").read_text().splitlines()
    fields = dict(line.split(":", 1) for line in lines if ":" in line)
    return {
        "resident memory, MB": float(fields["VmRSS"].split()[0]) / 1024,
        "threads": float(fields["Threads"]),
        "open files": float(len(os.listdir("/proc/self/fd"))),
    }


def soak(backend: str, batches: int, run_dir: Path) -> Dict[str, float]:
    """Train, and give what each quantity rises by.

    Args:
        backend: Name of the backend.
        batches: How many batches.
        run_dir: The run folder, so that states are saved all along.
    """
    graph = gnnkit.load_dataset("synthetic", num_nodes=2000, num_edges=10_000, num_features=16)
    watch = Watch(batches)
    settings: Dict[str, Any] = {"fanouts": [5, 5], "batch_size": 16, "epochs": 10**6, "eval_every": 20}
    device = "ipu-emulator" if backend == "ipu" else "cpu"
    trainer = gnnkit.Trainer(backend, device, callbacks=[watch], progress=False, run_dir=run_dir, **settings)
    with suppress(_Done):
        trainer.fit(gnnkit.build_model("sage", graph, hidden_channels=16), graph)
    values = np.array([each for each in watch.samples if each[0] > batches / 10])
    slopes = [np.polyfit(values[:, 0], values[:, 1 + i], 1)[0] for i in range(len(LIMITS))]
    return {name: float(slope) * batches * 0.9 for name, slope in zip(LIMITS, slopes)}


def main() -> int:
    """Soak the backends that are asked for; 1 if something grows."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--batches", type=int, default=60_000)
    parser.add_argument("--backends", default="reference,pyg,dgl")
    asked = parser.parse_args()
    names = asked.backends.split(",")
    if len(names) > 1:  # A process for each, so that none finds gaps in memory that another one has left.
        command = [sys.executable, "-m", "tests.soak.batches", "--batches", str(asked.batches), "--backends"]
        return max(subprocess.run([*command, name], check=False).returncode for name in names)
    with tempfile.TemporaryDirectory() as folder:
        rises = soak(names[0], asked.batches, Path(folder) / "run")
    print(f"{names[0]}, {asked.batches:,} batches:", ", ".join(f"{name} {rises[name]:+.3f}" for name in rises))
    return int(any(rises[name] > LIMITS[name] for name in rises))


if __name__ == "__main__":
    sys.exit(main())
