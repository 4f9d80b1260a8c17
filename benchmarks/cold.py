"""``python -m benchmarks.cold``: batches whose features are on disk, with reading ahead and without.

Rules: features leave the page cache before every batch; edges and labels stay in it. Batches with and without reading
ahead take turns, and so do measurements of what the disk gives to 16 threads that read at random places. Features that
are too large for the memory are the same ones, read as on a machine with as much memory as they take. Where a control
group leaves less memory than that, nothing is put out or assumed: the group's limit decides what stays in memory.
"""

from __future__ import annotations

import argparse
import datetime
import mmap
import os
import statistics
import sys
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Iterator, List, Optional, Sequence, Tuple
from unittest.mock import patch

import numpy as np

from benchmarks import report
from benchmarks.graphs import GraphSpec, home, open_graph, prepare
from benchmarks.rows import LARGE
from gnnkit import Graph
from gnnkit.io.memory import memory_limit
from gnnkit.loading import NeighborLoader
from gnnkit.sampling import NeighborSampler

ROUNDS = 7
THREADS = 16
SECONDS = 0.5
"""Of one measurement of the disk."""
FANOUTS = ((5,), (10, 5), (15, 10, 5))
_PLACES = ("gnnkit.io.memory.memory_limit", "gnnkit.loading.ahead.memory_limit")


@dataclass
class Reading:
    """What was read, by turns: seconds of each, and bytes from the disk."""

    seconds: List[float] = field(default_factory=list)
    num_bytes: List[int] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Bytes a second, median."""
        return statistics.median(size / seconds for size, seconds in zip(self.num_bytes, self.seconds))

    def add(self, seconds: float, num_bytes: int) -> None:
        """One more turn."""
        self.seconds.append(seconds)
        self.num_bytes.append(num_bytes)


@dataclass
class Case:
    """Batches of one kind.

    Attributes:
        fanouts: Of the batches.
        is_large: Whether features are read as those that are larger than half of the memory.
        limit: Bytes of memory that there really are, if features do not fit into them.
        rows: Rows of features a batch, mean.
        ahead: With reading ahead.
        plain: Without.
        disk: What 16 threads read at random places, as many bytes at a time as reading ahead does at least.
    """

    fanouts: Tuple[int, ...]
    is_large: bool
    limit: Optional[int] = None
    rows: float = 0.0
    ahead: Reading = field(default_factory=Reading)
    plain: Reading = field(default_factory=Reading)
    disk: Reading = field(default_factory=Reading)

    @property
    def request(self) -> int:
        """Bytes that the disk is asked for at a time, at least."""
        return mmap.PAGESIZE if self.is_large else 128 << 10

    @property
    def ratio(self) -> float:
        """How many times as fast batches come by reading ahead, median of the rounds."""
        return statistics.median(b / a for a, b in zip(self.ahead.seconds, self.plain.seconds))

    def cells(self) -> List[str]:
        """Its line of the table."""
        a, b = (statistics.median(each.seconds) for each in (self.ahead, self.plain))
        share = self.ahead.rate / self.disk.rate
        return [
            ",".join(map(str, self.fanouts)),
            self._beside,
            f"{self.rows:,.0f}",
            f"{1 / b:.2f}",
            f"{1 / a:.2f}",
            f"{self.ratio:.1f}",
            f"{self.plain.rate / 1e6:.0f}",
            f"{self.ahead.rate / 1e6:.0f}",
            f"{self.disk.rate / 1e6:.0f} at {self.request >> 10} kB",
            f"{share:.1f}",
        ]

    @property
    def _beside(self) -> str:
        if self.limit is not None:
            return f"larger than all of it, {self.limit / 1e9:.1f} GB"
        return "larger than half of it" if self.is_large else "smaller"


HEADER = (
    "fan-outs",
    "features beside the memory",
    "rows a batch",
    "batches/s without",
    "batches/s with",
    "ratio",
    "MB/s without",
    "MB/s with",
    "MB/s of the disk",
    "with / disk",
)


class Features:
    """The file of a graph's features, mapped.

    Args:
        graph: The graph, of which only the features are replaced.
        file: A ``.npy`` file.
    """

    def __init__(self, graph: Graph, file: Path) -> None:
        import torch

        array: Any = np.load(file, mmap_mode="c")
        self._mapping = array._mmap
        self._file = os.open(file, os.O_RDONLY)
        os.posix_fadvise(self._file, 0, 0, os.POSIX_FADV_RANDOM)
        self.num_bytes = file.stat().st_size
        self.graph = replace(graph, x=torch.from_numpy(np.asarray(array)))

    def drop(self, is_large: bool = False) -> None:
        """Put it out of the page cache, and say how it is read."""
        self._mapping.madvise(mmap.MADV_DONTNEED)
        self._mapping.madvise(mmap.MADV_RANDOM if is_large else mmap.MADV_NORMAL)
        os.posix_fadvise(self._file, 0, 0, os.POSIX_FADV_DONTNEED)

    def at_random(self, request: int, number: int) -> Tuple[float, int]:
        """Seconds and bytes of many threads that read at random places, the file not in the page cache."""
        self.drop()
        start = time.perf_counter()
        counts = [0] * THREADS

        def read(thread: int) -> None:
            random = np.random.default_rng((number, thread))
            while time.perf_counter() - start < SECONDS:
                for place in random.integers(0, self.num_bytes // request, 16).tolist():
                    os.pread(self._file, request, place * request)
                    counts[thread] += 1

        before = _num_read()
        threads = [threading.Thread(target=read, args=(thread,)) for thread in range(THREADS)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        return time.perf_counter() - start, _num_read() - before


def measure(features: Features, case: Case, rounds: int, batch_size: int) -> Case:
    """Measure one kind of batches."""
    loader = _loader(features, case, rounds + 1, batch_size)
    limit = features.num_bytes if case.is_large else memory_limit()
    with ExitStack() as stack:
        for place in _PLACES:
            stack.enter_context(patch(place, lambda: limit))
        for number in range(rounds + 1):
            turns = [(case.ahead, True), (case.plain, False)]
            for reading, is_ahead in turns if number % 2 else reversed(turns):
                features.drop(case.is_large)
                told = _load(loader, number, is_ahead)
                if number:  # In the first one, kernels are compiled.
                    reading.add(*told)
            case.disk.add(*features.at_random(case.request, number))
    return case


def measure_limited(features: Features, case: Case, rounds: int, batch_size: int) -> Case:
    """The same where features really do not fit: batches follow each other, every other one is read ahead."""
    loader = _loader(features, case, 2 * (rounds + 1), batch_size)
    for number in range(rounds):
        case.disk.add(*features.at_random(case.request, number))
    features.drop(is_large=True)
    for number in range(2 * (rounds + 1)):
        is_ahead = number % 4 in (0, 3)
        told = _load(loader, number, is_ahead)
        if number > 1:  # In the first ones, kernels are compiled, and memory fills.
            (case.ahead if is_ahead else case.plain).add(*told)
    return case


def _loader(features: Features, case: Case, num: int, batch_size: int) -> NeighborLoader:
    """Makes so many batches of a kind, whose rows are counted here."""
    graph = features.graph
    wanted = graph.splits["train"][: num * batch_size]
    sampler = NeighborSampler(graph, list(case.fanouts))
    loader = NeighborLoader(graph, wanted, sampler, batch_size=batch_size, shuffle=False, num_threads=0)
    case.rows = statistics.mean(size.num_nodes[0] for size in loader.sizes(0, limit=num))
    return loader


def _load(loader: NeighborLoader, number: int, is_ahead: bool) -> Tuple[float, int]:
    """Seconds and bytes from the disk of a batch."""
    with patch("gnnkit.loading.ahead._IS_SUPPORTED", is_ahead):
        before, start = _num_read(), time.perf_counter()
        next(loader.epoch(0, range(number, number + 1)))
        return time.perf_counter() - start, _num_read() - before


def _num_read() -> int:
    """Bytes that this process has had from the disk."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("read_bytes"))


def measure_all(spec: GraphSpec, every: Sequence[Tuple[int, ...]], rounds: int, batch_size: int) -> Iterator[Case]:
    """Batches of all fan-outs from one graph."""
    prepare(spec)
    features = Features(open_graph(spec), home() / spec.key / "x.npy")
    limit = memory_limit()
    if limit < features.num_bytes:
        for fanouts in every:
            yield measure_limited(features, Case(fanouts, True, limit), rounds, batch_size)
        return
    for is_large in (True, False):
        for fanouts in every:
            yield measure(features, Case(fanouts, is_large), rounds, batch_size)


def main(arguments: Sequence[str] = ()) -> List[Case]:
    """Measure, print a table, and on request write it into the documentation."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cold", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="batches of each kind (%(default)s)")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: shows that it works, measures nothing")
    parser.add_argument("--write", action="store_true", help="write the table of docs/benchmarks.md")
    options = parser.parse_args(list(arguments))
    if options.quick and options.write:
        parser.error("--quick measures nothing that could be written")
    spec, every, rounds, batch_size = LARGE, FANOUTS, options.rounds, 1024
    if options.quick:
        spec, every, rounds, batch_size = replace(LARGE, nodes=20_000, edges=200_000), FANOUTS[:1], 1, 64
    cases = []
    for case in measure_all(spec, every, rounds, batch_size):
        cases.append(case)
        print(", ".join(f"{name}: {cell}" for name, cell in zip(HEADER, case.cells())), flush=True)
    if options.write:
        machine = report.machine()
        text = f"{datetime.date.today().isoformat()}, {report.machine_title(machine)}, {machine['memory']}."
        section = "cold" if cases[0].limit is None else "cold-limited"
        report.write_section(section, f"{report.markdown(HEADER, [case.cells() for case in cases])}\n\n{text}")
    return cases


if __name__ == "__main__":
    main(sys.argv[1:])
