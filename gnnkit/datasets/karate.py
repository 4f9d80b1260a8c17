"""Zachary's karate club."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Mapping

import numpy as np

from gnnkit.data import Graph, from_edge_index
from gnnkit.datasets.base import Dataset
from gnnkit.datasets.edges import undirected

# Friends of each member that have a higher number.
_FRIENDS = {
    0: (1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13, 17, 19, 21, 31),
    1: (2, 3, 7, 13, 17, 19, 21, 30),
    2: (3, 7, 8, 9, 13, 27, 28, 32),
    3: (7, 12, 13),
    4: (6, 10),
    5: (6, 10, 16),
    6: (16,),
    8: (30, 32, 33),
    9: (33,),
    13: (33,),
    14: (32, 33),
    15: (32, 33),
    18: (32, 33),
    19: (33,),
    20: (32, 33),
    22: (32, 33),
    23: (25, 27, 29, 32, 33),
    24: (25, 27, 31),
    25: (31,),
    26: (29, 33),
    27: (33,),
    28: (31, 33),
    29: (32, 33),
    30: (32, 33),
    31: (32, 33),
    32: (33,),
}
_COMMUNITIES = "1111333101311100310101002200200200"


@dataclass(frozen=True)
class Karate(Dataset):
    """The 34 members of a karate club and their 78 friendships.

    Needs no files. Features are the identity matrix. Classes are four communities found by modularity, as is usual
    with this graph since Kipf and Welling 2017. The split is fixed and semi-supervised: the first member of each
    community trains, every third of the others validates, the rest tests.

    From W. W. Zachary, "An information flow model for conflict and fission in small groups", 1977.
    """

    name = "karate"
    summary = "Zachary's karate club: 34 members, 4 communities; built in."

    def read(self, files: Mapping[str, Path]) -> Graph:
        """Build the graph."""
        pairs = [(member, friend) for member, friends in _FRIENDS.items() for friend in friends]
        labels = np.array([int(digit) for digit in _COMMUNITIES])
        train = np.unique(labels, return_index=True)[1]
        others = np.setdiff1d(np.arange(len(labels)), train)
        is_valid = np.arange(len(others)) % 3 == 0
        return from_edge_index(
            undirected(np.array(pairs, dtype=np.int64).T),
            x=np.eye(len(labels), dtype=np.float32),
            y=labels,
            splits={"train": train, "valid": others[is_valid], "test": others[~is_valid]},
        )
