"""The digits data set: handwritten digits that come with scikit-learn, linked to those that look alike."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Mapping

import numpy as np

from gnnkit.data import Graph, from_edge_index
from gnnkit.datasets.base import Dataset, check_option, seeded_split
from gnnkit.datasets.edges import undirected


@dataclass(frozen=True)
class Digits(Dataset):
    """1,797 handwritten digits of 8 x 8 pixels, each linked to the digits nearest to it in pixel space.

    Needs no files. Features are the 64 pixels, scaled to 0..1; classes are the digits. The neighbours are found from
    the pixels of all digits alone; labels play no part. Split 60/20/20 by the seed.

    From E. Alpaydin and C. Kaynak, "Optical recognition of handwritten digits", UCI repository, 1998 (its test part).

    Attributes:
        neighbors: How many nearest digits, by Euclidean distance, each digit is linked to. Links run both ways, so a
            digit can have more.
    """

    name = "digits"
    summary = "1,797 handwritten digits, linked to their nearest neighbours; built in, 10 classes."
    keeps = True  # Importing scikit-learn takes a second.

    neighbors: int = 8

    def __post_init__(self) -> None:
        good = 1 <= self.neighbors < 1797
        check_option(self.requested, "neighbors", self.neighbors, good, "a number from 1 to 1796")

    def read(self, files: Mapping[str, Path]) -> Graph:
        """Build the graph."""
        from sklearn.datasets import load_digits
        from sklearn.neighbors import kneighbors_graph

        pixels, labels = load_digits(return_X_y=True)
        near = kneighbors_graph(pixels, self.neighbors).tocoo()
        return from_edge_index(
            undirected(np.stack([near.row, near.col]).astype(np.int64)),
            x=(pixels / 16).astype(np.float32),
            y=labels.astype(np.int64),
            class_names=[str(digit) for digit in range(10)],
        )

    def split(self, graph: Graph) -> Graph:
        """Split by the seed."""
        return seeded_split(graph, self.seed)
