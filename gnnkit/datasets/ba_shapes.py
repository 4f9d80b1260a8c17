"""BA-Shapes: houses hung on a random graph, the usual data set to judge explanations with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import List, Mapping, Tuple

import numpy as np

from gnnkit.data import Graph, from_edge_index
from gnnkit.datasets.base import Dataset, check_option

_HOUSE = ((0, 1), (1, 2), (2, 3), (3, 0), (0, 4), (1, 4))
"""Two nodes in the middle (0, 1), two at the bottom (2, 3), one at the top (4)."""
_ROLES = (1, 1, 2, 2, 3)


@dataclass(frozen=True)
class BaShapes(Dataset):
    """A graph grown by preferential attachment, with houses of five nodes hung on, and some random edges.

    After Ying et al., "GNNExplainer: generating explanations for graph neural networks", 2019. Classes say where in a
    house a node is: none, middle, bottom, top. The ten features are 1 for every node, so only the structure tells them
    apart. ``edge_data["house"]`` is the number of the house that an edge belongs to, -1 for none: what an explanation
    of a node in a house should find.

    Attributes:
        num_nodes: Nodes of the graph without houses.
        num_houses: Houses.
        random_share: Random edges, as a share of the nodes.
    """

    name = "ba_shapes"
    summary = "Houses hung on a random graph, to judge explanations with; computed from the seed."

    num_nodes: int = 300
    num_houses: int = 80
    random_share: float = 0.1

    def __post_init__(self) -> None:
        check_option(self.requested, "num_nodes", self.num_nodes, self.num_nodes >= 10, "at least 10")
        check_option(self.requested, "num_houses", self.num_houses, self.num_houses >= 1, "at least 1")
        check_option(self.requested, "random_share", self.random_share, 0 <= self.random_share <= 1, "0 to 1")

    def read(self, files: Mapping[str, Path]) -> Graph:
        """Compute the graph."""
        random = np.random.Generator(np.random.Philox(key=self.seed))
        pairs, houses = self._grown(random), []
        houses += [-1] * len(pairs)
        labels = [0] * self.num_nodes
        for house, anchor in enumerate(random.choice(self.num_nodes, self.num_houses, replace=True)):
            start = len(labels)
            labels += _ROLES
            pairs += [(start + a, start + b) for a, b in _HOUSE] + [(start + 4, int(anchor))]
            houses += [house] * len(_HOUSE) + [-1]
        known = {frozenset(pair) for pair in pairs}
        while len(pairs) < len(houses) + int(self.random_share * len(labels)):
            a, b = (int(node) for node in random.integers(len(labels), size=2))
            if a != b and frozenset((a, b)) not in known:
                known.add(frozenset((a, b)))
                pairs.append((a, b))
        houses += [-1] * (len(pairs) - len(houses))
        edges = np.array(pairs, dtype=np.int64).T
        order = random.permutation(len(labels))
        ends = [len(labels) * share // 10 for share in (8, 9)]
        return from_edge_index(
            np.concatenate([edges, edges[::-1]], axis=1),
            len(labels),
            x=np.ones((len(labels), 10), dtype=np.float32),
            y=labels,
            splits=dict(zip(("train", "valid", "test"), np.split(order, ends))),
            edge_data={"house": np.array(houses * 2, dtype=np.int64)},
            class_names=["no house", "middle", "bottom", "top"],
        )

    def _grown(self, random: np.random.Generator) -> List[Tuple[int, int]]:
        """Edges of a graph in which each new node joins five others, drawn by degree (Barabasi and Albert, 1999)."""
        pairs: List[Tuple[int, int]] = []
        ends = list(range(5))
        for node in range(5, self.num_nodes):
            others: List[int] = []
            while len(others) < 5:
                other = ends[int(random.integers(len(ends)))]
                if other not in others:
                    others.append(other)
            pairs += [(node, other) for other in others]
            ends += [*others, *[node] * 5]
        return pairs
