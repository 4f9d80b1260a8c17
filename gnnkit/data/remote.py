"""Graphs whose edges and features lie elsewhere: what such a graph can be asked for.

Rules: node ids are the data's own on both sides of the interface. One thread asks at a time.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Mapping, Tuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

PREPARATIONS = ("none", "self_loops", "gcn_norm")
"""Ways in which edges are prepared for a model: as they are, with self-loops, with self-loops and GCN's weights."""


class Neighbors(ABC):
    """Edges and features that lie elsewhere, for example in the servers of a library.

    Attributes:
        sampling: What decides which neighbours are drawn, for the manifest of a run.
    """

    sampling: ClassVar[str]

    @abstractmethod
    def sample(
        self, nodes: NDArray[np.int64], fanout: int, *, replace: bool
    ) -> Tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Draw in-neighbours.

        Args:
            nodes: Node ids, each once. Shape [n].
            fanout: How many for each node at most; -1 takes all.
            replace: Whether they are drawn with replacement.

        Returns:
            Sources and destinations of the edges that were drawn, in any order. Shape [E] each.
        """

    @abstractmethod
    def features(self, nodes: Tensor) -> Tensor:
        """Rows of features.

        Args:
            nodes: Node ids. Shape [n], int64.

        Returns:
            Shape [n, F], float32, in memory of their own.
        """

    @abstractmethod
    def degrees(self, nodes: NDArray[np.int64]) -> NDArray[np.int64]:
        """How many in-edges nodes have, self-loops left out. Shape [n]."""


@dataclass(frozen=True, eq=False)
class Remote:
    """Where the edges and features of a graph are, and what is known of them.

    Attributes:
        neighbors: Where they are.
        num_edges: How many edges there are.
        summary: What :func:`gnnkit.data.summarize` said of the whole graph.
        descriptions: What :func:`gnnkit.data.describe_data` said of it, by preparation.
        preparation: Which one of ``PREPARATIONS`` holds.
    """

    neighbors: Neighbors
    num_edges: int
    summary: Mapping[str, str]
    descriptions: Mapping[str, Mapping[str, Any]]
    preparation: str = "none"
