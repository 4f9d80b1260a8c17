"""Pairs that are none, drawn for pairs to be told from.

Rules: what is drawn for a pair depends on (seed, epoch, number of the pair) alone, so it is the same in any batch, in
any part of one, on every backend and in every process. Kernels check nothing.
"""

from __future__ import annotations

from typing import Any, Optional, Tuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from gnnkit.data import Graph
from gnnkit.errors import ConfigError, DataError
from gnnkit.jit import kernel
from gnnkit.sampling.kernels import first_not_below
from gnnkit.sampling.known_pairs import KnownPairs, is_known
from gnnkit.sampling.random import derive, next_below, next_unit, stream_key

Array = Any
"""A NumPy array; the kernels' own docstrings give dtype and shape."""

BY = ("uniform", "degree")
"""How a node is drawn: all alike, or in proportion to a power of the in-degree."""

DEGREE_POWER = 0.75
"""That power, as in word2vec (Mikolov et al., 2013)."""

_MOST_TRIES = 10_000
# What stands in the place of the hop in keys of streams; see gnnkit.sampling.walks for those before.
_NEGATIVE, _ORIENTATION, _SHIFT, _SHARED = -4, -5, -6, -7


@kernel
def _draw_node(sums: Array, nodes: Array, first: int, last: int, state: np.uint64) -> Any:
    """A node from ``first`` up to ``last``, and the state after it.

    In proportion to the steps of ``sums`` (float64, ascending); uniform if empty. Places are of ``nodes``, if there are
    any.
    """
    if len(sums) == 0:
        place, state = next_below(state, last - first)
        place += first
    else:
        unit, state = next_unit(state)
        before = sums[first - 1] if first > 0 else 0.0
        place = first_not_below(sums, first, last, before + unit * (sums[last - 1] - before))
    return (nodes[place] if len(nodes) else place), state


@kernel
def _draw(
    ids: Array,
    key: np.uint64,
    sums: Array,
    nodes: Array,
    bounds: Array,
    groups: Array,
    asked: Array,
    indptr: Array,
    indices: Array,
    both: bool,
    most: int,
    sources: Array,
    destinations: Array,
) -> int:
    """Fill int64 ``destinations`` [T, K], and with ``both`` ``sources`` [T, K], else ``sources`` [T, 1] is given.

    Row t draws destinations of the group ``groups[1, t]`` and sources of ``groups[0, t]``, whose places are those
    between two ``bounds``. Known nodes are those of ``asked[t]``, with ``both`` those of the source. Empty ``indptr``:
    nothing is known. Returns the first row that found no pair in so many tries, or -1.
    """
    for row in range(len(ids)):
        state = derive(key, np.uint64(ids[row]))
        start, end = groups[0, row], groups[1, row]
        for column in range(destinations.shape[1]):
            source, destination, found = sources[row, 0], 0, False
            for _ in range(most):
                if both:
                    source, state = _draw_node(sums, nodes, bounds[start], bounds[start + 1], state)
                destination, state = _draw_node(sums, nodes, bounds[end], bounds[end + 1], state)
                if destination == source:
                    continue
                if len(indptr) == 0 or not is_known(indptr, indices, source if both else asked[row], destination):
                    found = True
                    break
            if not found:
                return row
            destinations[row, column] = destination
            if both:
                sources[row, column] = source
    return -1


class NegativeSampler:
    """Draws pairs that are none: for a pair's source other destinations, or both nodes.

    A node is never paired with itself.

    Args:
        graph: Its nodes are drawn.
        num: How many to draw for each pair.
        by: "uniform", or "degree": in proportion to the in-degree to the power of 0.75.
        known: Pairs that may not be drawn. None: any may be.
        seed: Seed of the random numbers.
        types: Type of each node, where rows draw nodes of one type. Shape [N], integers from 0. None: all are of one.

    Raises:
        ConfigError: ``num`` is below 1, or there is no such way.
        DataError: Fewer than two nodes, or ``by="degree"`` without edges.

    Example:
        >>> import gnnkit
        >>> sampler = NegativeSampler(gnnkit.load_dataset("karate"), 3)
        >>> sampler.destinations(np.array([0, 33]), np.array([4, 9]), epoch=0).shape
        (2, 3)
    """

    def __init__(
        self,
        graph: Graph,
        num: int,
        *,
        by: str = "uniform",
        known: Optional[KnownPairs] = None,
        seed: int = 0,
        types: Optional[Tensor] = None,
    ) -> None:
        if num < 1:
            raise ConfigError(f"The number of negatives is {num}, expected at least 1.")
        if by not in BY:
            raise ConfigError(f"Negatives are drawn by {by!r}, expected one of {', '.join(BY)}.")
        if graph.num_nodes < 2:
            raise DataError("indptr", f"no negatives are possible among {graph.num_nodes} nodes, expected 2 at least.")
        self.num = num
        self.seed = seed
        nothing: NDArray[np.int64] = np.empty(0, dtype=np.int64)
        self._nodes, self._bounds = nothing, np.array([0, graph.num_nodes])
        if types is not None:
            self._nodes = np.argsort(types.numpy(), kind="stable")
            self._bounds = np.concatenate([[0], np.cumsum(np.bincount(types.numpy()))])
        self._sums: NDArray[np.float64] = np.empty(0)
        if by == "degree":
            if graph.num_edges == 0:
                raise DataError("indices", "the graph has no edges, and negatives are drawn by degree.")
            degrees = graph.in_degrees.numpy().astype(np.float64) ** DEGREE_POWER
            self._sums = np.cumsum(degrees if types is None else degrees[self._nodes])
        self._known = (nothing, nothing) if known is None else (known.indptr, known.indices)

    def destinations(
        self,
        sources: NDArray[np.int64],
        ids: NDArray[np.int64],
        *,
        epoch: int,
        types: Optional[NDArray[np.int64]] = None,
        asked: Optional[NDArray[np.int64]] = None,
    ) -> NDArray[np.int64]:
        """Draw destinations for the sources of pairs.

        Args:
            sources: Node ids. Shape [T], int64.
            ids: Numbers of the pairs, which key what is drawn. Shape [T], int64.
            epoch: Number of the epoch, part of the key.
            types: Type of the nodes to draw for each pair. Shape [T], int64. None: the first, which is the only one.
            asked: Which row of what is known counts for each pair. Shape [T], int64. None: that of its source.

        Returns:
            Node ids. Shape [T, num], int64.

        Raises:
            DataError: A source has a known pair with every other node.
        """
        both_types = None if types is None else (types, types)
        return self._drawn(np.ascontiguousarray(sources)[:, None], ids, epoch, both_types, asked, both=False)

    def pairs(
        self, ids: NDArray[np.int64], *, epoch: int, types: Optional[Tuple[int, int]] = None
    ) -> NDArray[np.int64]:
        """Draw pairs of nodes.

        Args:
            ids: As for :meth:`destinations`.
            epoch: Likewise.
            types: Types of sources and of destinations. None: the first, which is the only one.

        Returns:
            Sources and destinations. Shape [2, T, num], int64.

        Raises:
            DataError: All pairs are known.
        """
        sources = np.empty((len(ids), self.num), dtype=np.int64)
        each = None if types is None else (np.full(len(ids), types[0]), np.full(len(ids), types[1]))
        return np.stack([sources, self._drawn(sources, ids, epoch, each, None, both=True)])

    def _drawn(
        self,
        sources: NDArray[np.int64],
        ids: NDArray[np.int64],
        epoch: int,
        types: Optional[Tuple[NDArray[np.int64], NDArray[np.int64]]],
        asked: Optional[NDArray[np.int64]],
        *,
        both: bool,
    ) -> NDArray[np.int64]:
        """Destinations; with ``both``, sources are written as well."""
        found = np.empty((len(ids), self.num), dtype=np.int64)
        key = stream_key(self.seed, epoch, 0, _NEGATIVE)
        groups = np.zeros((2, len(ids)), dtype=np.int64) if types is None else np.stack(types).astype(np.int64)
        rows = np.ascontiguousarray(sources[:, 0] if asked is None else asked)
        where = self._sums, self._nodes, self._bounds, groups, rows
        row = _draw(ids, key, *where, *self._known, both, _MOST_TRIES, sources, found)
        if row >= 0:
            what, of = ("pairs", "") if both else ("nodes", f" for node {int(sources[row, 0])}")
            raise DataError(
                "links.pairs",
                f"no negatives are possible{of}: {_MOST_TRIES:,} {what} were drawn, and all are known.",
                fix="Leave known pairs among the negatives with filtered=False, or give negatives of your own.",
            )
        return found


@kernel
def _fill_flips(ids: Array, key: np.uint64, out: Array) -> None:
    for row in range(len(ids)):
        choice, _ = next_below(derive(key, np.uint64(ids[row])), 2)
        out[row] = choice == 1


def flipped(ids: NDArray[np.int64], *, seed: int, epoch: int) -> NDArray[np.bool_]:
    """Which undirected pairs are read from their other end in an epoch, so that either node is a source half the time.

    Args:
        ids: Numbers of the pairs. Shape [T], int64.
        seed: Seed of the random numbers.
        epoch: Number of the epoch.
    """
    out = np.empty(len(ids), dtype=np.bool_)
    _fill_flips(ids, stream_key(seed, epoch, 0, _ORIENTATION), out)
    return out


def shifts(num_pairs: int, num: int, *, seed: int, epoch: int, batch: int) -> NDArray[np.int64]:
    """How far away the pairs are whose destinations serve as negatives of a batch's pairs.

    Args:
        num_pairs: Pairs in the batch, 2 at least.
        num: How many negatives each pair has.
        seed: Seed of the random numbers.
        epoch: Number of the epoch.
        batch: Number of the batch.

    Returns:
        Numbers from 1 to ``num_pairs - 1``, distinct if there are so many. Shape [num], int64.
    """
    key = np.array([int(stream_key(seed, epoch, batch, _SHIFT)), 0], dtype=np.uint64)
    generator = np.random.Generator(np.random.Philox(key=key))
    return 1 + generator.choice(num_pairs - 1, size=num, replace=num > num_pairs - 1).astype(np.int64)


def shared_nodes(
    own: NDArray[np.int64], num_nodes: int, num: int, *, seed: int, epoch: int, batch: int
) -> NDArray[np.int64]:
    """Nodes that serve as negatives of all of a batch: some of its own, at most half, filled up with others.

    Args:
        own: Nodes of the batch, each once. int64.
        num_nodes: Number of nodes of the graph.
        num: How many are wanted, at most ``num_nodes``.
        seed: Seed of the random numbers.
        epoch: Number of the epoch.
        batch: Number of the batch.

    Returns:
        Different node ids. Shape [num], int64.

    Example:
        >>> drawn = shared_nodes(np.array([7, 8, 9]), 100, 4, seed=0, epoch=0, batch=0)
        >>> drawn[:2].tolist(), len(set(drawn.tolist()))
        ([7, 8], 4)
    """
    if num >= num_nodes:
        return np.arange(num_nodes)
    key = np.array([int(stream_key(seed, epoch, batch, _SHARED)), 0], dtype=np.uint64)
    generator = np.random.Generator(np.random.Philox(key=key))
    kept = own[: num // 2]
    drawn = generator.choice(num_nodes, size=num, replace=False).astype(np.int64)
    others = drawn[~np.isin(drawn, kept)]
    return np.concatenate([kept, others[: num - len(kept)]])
