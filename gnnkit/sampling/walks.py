"""Random walks, and pairs of nodes near each other with nodes drawn at random to tell them from.

Rules: a walk depends on nothing but (graph, seed, epoch, batch, node where it starts), a pair on the walk besides, and
negatives on (graph, seed, epoch, batch) alone. Walks go from a node to one of its in-neighbours, as messages come;
undirected data carry both directions. Kernels check nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Union

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from gnnkit.data import Graph
from gnnkit.errors import ConfigError, DataError
from gnnkit.jit import kernel
from gnnkit.sampling.kernels import first_not_below
from gnnkit.sampling.neighbor import check_node_ids
from gnnkit.sampling.random import derive, next_below, next_unit, stream_key

Array = Any
"""A NumPy array; the kernels' own docstrings give dtype and shape."""

DEGREE_POWER = 0.75
"""Negatives are drawn in proportion to this power of their degree."""

# What stands in the place of the hop in keys of streams, so that walks have nothing in common with sampled neighbours.
_WALK, _PARTNER, _NEGATIVE = -1, -2, -3


@kernel
def walk(indptr: Array, indices: Array, key: np.uint64, walks: Array) -> None:
    """Fill int64 ``walks`` [n, length + 1], whose first column is given: every step goes to a random in-neighbour."""
    for row in range(len(walks)):
        node = walks[row, 0]
        state = derive(key, np.uint64(node))
        for step in range(1, walks.shape[1]):
            degree = indptr[node + 1] - indptr[node]
            if degree > 0:
                choice, state = next_below(state, degree)
                node = indices[indptr[node] + choice]
            walks[row, step] = node


@kernel
def pick_partners(walks: Array, key: np.uint64, partners: Array) -> None:
    """Write one of each walk's nodes besides its first, every step being equally likely; -1 where there is none."""
    for row in range(len(walks)):
        start = walks[row, 0]
        others = 0
        for step in range(1, walks.shape[1]):
            others += walks[row, step] != start
        partners[row] = -1
        if others > 0:
            left, _ = next_below(derive(key, np.uint64(start)), others)
            for step in range(1, walks.shape[1]):
                if walks[row, step] != start:
                    if left == 0:
                        partners[row] = walks[row, step]
                    left -= 1


@kernel
def draw_in_proportion(sums: Array, key: np.uint64, drawn: Array) -> None:
    """Fill ``drawn`` with independent draws; ``sums`` (float64, ascending) are the running sums of the weights."""
    state = key
    for position in range(len(drawn)):
        unit, state = next_unit(state)
        # unit lies in (0, 1], so there is always a first sum that is not below it, and its weight is not 0.
        drawn[position] = first_not_below(sums, 0, len(sums), unit * sums[-1])


def random_walks(
    graph: Graph, nodes: Union[Tensor, ArrayLike], length: int, *, seed: int, epoch: int, batch: int
) -> NDArray[np.int64]:
    """Walk from nodes along their edges, each step to a neighbour drawn uniformly.

    Args:
        graph: The graph. Walks go from destination to source of an edge.
        nodes: Where walks start. Integers of shape [n], at least one. Walks from the same node are equal.
        length: Number of steps, at least 1.
        seed: Seed of the random numbers.
        epoch: Number of the epoch, part of their key.
        batch: Number of the batch, likewise.

    Returns:
        The nodes of every walk, the first of them where it starts. Shape [n, length + 1], int64. A walk that comes to
        a node without neighbours stays there.

    Raises:
        ConfigError: There are no nodes, or ``length`` is below 1.
        DataError: Nodes are not node ids of the graph.

    Example:
        >>> import torch
        >>> ring = Graph(torch.arange(6), torch.tensor([4, 0, 1, 2, 3]))
        >>> random_walks(ring, [0, 3], 2, seed=0, epoch=0, batch=0).tolist()
        [[0, 4, 3], [3, 2, 1]]
    """
    if length < 1:
        raise ConfigError(f"The length of walks is {length}, expected at least 1.")
    starts = check_node_ids(nodes, graph.num_nodes, "nodes")
    walks = np.empty((len(starts), length + 1), dtype=np.int64)
    walks[:, 0] = starts
    walk(graph.indptr.numpy(), graph.indices.numpy(), stream_key(seed, epoch, batch, _WALK), walks)
    return walks


@dataclass(frozen=True, eq=False)
class SampledPairs:
    """Pairs of nodes near each other, and nodes drawn from the whole graph. P pairs, Q negatives.

    Attributes:
        sources: The nodes that were asked for, without those whose walk met no other node. Shape [P], int64.
        partners: A node of the walk from each source, never the source itself. Shape [P], int64.
        negatives: Independent draws that all pairs share. Shape [Q], int64.
    """

    sources: NDArray[np.int64]
    partners: NDArray[np.int64]
    negatives: NDArray[np.int64]


class PairSampler:
    """Draws what unsupervised GraphSAGE learns from.

    A pair is a node and one of those that a random walk from it meets. Negatives are drawn in proportion to the degree
    to the power of 0.75. As in Hamilton, Ying and Leskovec, "Inductive representation learning on large graphs" (2017).

    Args:
        graph: The graph; degrees are in-degrees. A self-loop is a step that stays.
        walk_length: Steps of a walk.
        num_negatives: How many negatives to draw for a batch.
        seed: Seed of the random numbers.

    Raises:
        ConfigError: A length or a number below 1.
        DataError: The graph has no edges.

    Example:
        >>> import gnnkit
        >>> sampler = PairSampler(gnnkit.load_dataset("karate"), num_negatives=3)
        >>> pairs = sampler.sample([0, 1], epoch=0, batch=0)
        >>> pairs.sources.tolist(), len(pairs.partners), len(pairs.negatives)
        ([0, 1], 2, 3)
    """

    def __init__(self, graph: Graph, *, walk_length: int = 5, num_negatives: int = 100, seed: int = 0) -> None:
        for name, value in (("walk_length", walk_length), ("num_negatives", num_negatives)):
            if value < 1:
                raise ConfigError(f"{name} is {value}, expected at least 1.")
        if graph.num_edges == 0:
            raise DataError("indices", "the graph has no edges, and random walks need them.")
        self.graph = graph
        self.walk_length = walk_length
        self.num_negatives = num_negatives
        self.seed = seed
        degrees = np.diff(graph.indptr.numpy())
        self._sums: NDArray[np.float64] = np.cumsum(degrees.astype(np.float64) ** DEGREE_POWER)

    def sample(self, nodes: Union[Tensor, ArrayLike], *, epoch: int, batch: int) -> SampledPairs:
        """Draw the pairs and the negatives of one batch.

        Args:
            nodes: Where pairs begin. Integers of shape [n], at least one.
            epoch: Number of the epoch, part of the key of the random numbers.
            batch: Number of the batch in its epoch, likewise.

        Raises:
            ConfigError: There are no nodes.
            DataError: Nodes are not node ids of the graph.
        """
        walks = random_walks(self.graph, nodes, self.walk_length, seed=self.seed, epoch=epoch, batch=batch)
        partners = np.empty(len(walks), dtype=np.int64)
        pick_partners(walks, stream_key(self.seed, epoch, batch, _PARTNER), partners)
        negatives = np.empty(self.num_negatives, dtype=np.int64)
        draw_in_proportion(self._sums, stream_key(self.seed, epoch, batch, _NEGATIVE), negatives)
        met = partners >= 0
        return SampledPairs(walks[met, 0], partners[met], negatives)
