"""Small graphs that differ by a motif: the built-in data set for tasks about whole graphs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Mapping

import numpy as np

from gnnkit.data import Graph, from_edge_index
from gnnkit.datasets.base import Dataset, check_option
from gnnkit.datasets.edges import undirected

_CYCLE = ((0, 1), (1, 2), (2, 3), (3, 4), (4, 0))
_ROOF = (1, 4)
"""What makes a house of a cycle of five nodes."""


@dataclass(frozen=True)
class Motifs(Dataset):
    """Random trees, each with a cycle of five nodes (class "cycle") or with a house (class "house") hung on.

    Needs no files. Trees grow by preferential attachment (Barabasi and Albert, 1999), a fifth of their sizes above or
    below ``num_nodes`` at most. The one feature is 1 for every node, so only the structure tells the classes apart.
    ``graph_data["leaves"]`` counts the nodes with one neighbour, a number to regress.

    After the data set BA-2motifs of D. Luo et al., "Parameterized explainer for graph neural network", 2020.

    Attributes:
        num_graphs: Number of graphs G, half of each class.
        num_nodes: Mean number of nodes of a tree.
    """

    name = "motifs"
    summary = "Small graphs with a cycle or a house hung on a tree; computed from the seed."

    num_graphs: int = 400
    num_nodes: int = 20

    def __post_init__(self) -> None:
        for key, least in (("num_graphs", 2), ("num_nodes", 5)):
            value = getattr(self, key)
            check_option(self.requested, key, value, value >= least, f"at least {least}")

    def read(self, files: Mapping[str, Path]) -> Graph:
        """Compute the graphs."""
        random = np.random.Generator(np.random.Philox(key=self.seed))
        spread = self.num_nodes // 5
        sizes = random.integers(self.num_nodes - spread, self.num_nodes + spread + 1, self.num_graphs)
        classes = random.permutation(self.num_graphs) % 2
        starts = np.concatenate([[0], np.cumsum(sizes + len(_CYCLE))])
        pairs = [
            self._pairs(random, int(size), bool(is_house)) + start
            for size, is_house, start in zip(sizes, classes, starts)
        ]
        edges = undirected(np.concatenate(pairs).T)
        leaves = np.bincount(edges[1], minlength=starts[-1]) == 1
        return from_edge_index(
            edges,
            int(starts[-1]),
            x=np.ones((starts[-1], 1), dtype=np.float32),
            graph_ptr=starts,
            graph_y=classes,
            graph_data={"leaves": np.add.reduceat(leaves.astype(np.float32), starts[:-1])},
            class_names=["cycle", "house"],
        )

    def _pairs(self, random: np.random.Generator, size: int, is_house: bool) -> np.ndarray:
        """The undirected edges of one graph: its tree first, then the motif."""
        ends = [0]  # Every node as often as it has neighbours, so that one drawn from it is drawn by its degree.
        tree = []
        for node in range(1, size):
            other = ends[int(random.integers(len(ends)))]
            tree.append((node, other))
            ends += [node, other]
        motif = [*_CYCLE, *([_ROOF] if is_house else [])]
        hung = (size, int(random.integers(size)))
        return np.array([*tree, *((a + size, b + size) for a, b in motif), hung], dtype=np.int64)
