"""A synthetic graph of any size on disk, made and converted in bounded memory, and the command that trains on it.

Ten million nodes and a hundred million edges, which take 6 GB on disk:

    python examples/large_graph.py large --nodes 10000000 --edges 100000000

Neighbours are drawn from a node's own class more often than from others, and features are noise around the centre of
the class, so that there is something to learn.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path
from typing import Optional, Sequence

import numpy as np
from common import launch

from gnnkit.data import Graph
from gnnkit.datasets import import_graph

CHUNK = 1 << 20


def write_edges(file: Path, num_nodes: int, num_edges: int, num_classes: int, random: np.random.Generator) -> None:
    """Text, one edge a line. The class of a node is its number modulo ``num_classes``."""
    with file.open("w") as stream:
        for start in range(0, num_edges, CHUNK):
            count = min(CHUNK, num_edges - start)
            source, target = random.integers(0, num_nodes, (2, count))
            is_alike = random.random(count) < 0.6
            alike = target // num_classes * num_classes + source % num_classes
            target = np.where(is_alike & (alike < num_nodes), alike, target)
            stream.write("\n".join(map("%d %d".__mod__, zip(source.tolist(), target.tolist()))) + "\n")


def write_features(file: Path, num_nodes: int, width: int, num_classes: int, random: np.random.Generator) -> None:
    """Half precision, [num_nodes, width]."""
    centres = random.standard_normal((num_classes, width), dtype=np.float32)
    x = np.lib.format.open_memmap(file, mode="w+", dtype=np.float16, shape=(num_nodes, width))
    rows = max(1, CHUNK // width)
    for start in range(0, num_nodes, rows):
        part = x[start : start + rows]
        classes = np.arange(start, start + len(part)) % num_classes
        part[:] = centres[classes] + 4 * random.standard_normal(part.shape, dtype=np.float32)


def main(argv: Optional[Sequence[str]] = None) -> Graph:
    """Write the files, convert them, and say how to train; returns the graph."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where the graph goes")
    parser.add_argument("--nodes", type=int, default=100_000)
    parser.add_argument("--edges", type=int, default=1_000_000)
    parser.add_argument("--features", type=int, default=128, help="width of the features")
    parser.add_argument("--classes", type=int, default=16)
    parser.add_argument("--train", type=int, default=102_400, help="training nodes; a tenth as many validate and test")
    parser.add_argument("--memory", type=float, default=2.0, help="gigabytes that the conversion may take")
    parser.add_argument("--keep", type=Path, help="keep the files that are converted in this folder")
    given = parser.parse_args(argv)
    random = np.random.default_rng(0)
    raw = given.keep or Path(tempfile.mkdtemp(prefix="large-graph-", dir=given.folder.resolve().parent))
    raw.mkdir(exist_ok=True)
    try:
        write_edges(raw / "edges.txt", given.nodes, given.edges, given.classes, random)
        write_features(raw / "features.npy", given.nodes, given.features, given.classes, random)
        np.save(raw / "labels.npy", np.arange(given.nodes) % given.classes)
        train = min(given.train, given.nodes // 2)
        order = random.permutation(given.nodes)[: train + 2 * (train // 10)]
        ends = {"train": (0, train), "valid": (train, train + train // 10), "test": (train + train // 10, len(order))}
        for name, (start, end) in ends.items():
            np.save(raw / f"{name}.npy", order[start:end])
        graph = import_graph(
            raw / "edges.txt",
            given.folder,
            features=raw / "features.npy",
            labels=raw / "labels.npy",
            splits={name: raw / f"{name}.npy" for name in ends},
            memory=int(given.memory * 1e9),
        )
    finally:
        if given.keep is None:
            shutil.rmtree(raw)
    print(graph)
    print(f"gnnkit run --dataset {given.folder} --model sage --fanouts 15,10,5 --layers 3 train.evaluation=sampled")
    return graph


if __name__ == "__main__":
    launch(main)
