"""Finding the edges between pairs of nodes, which a batch that learns them must not see."""

from __future__ import annotations

from typing import Any, NamedTuple, Optional

import numpy as np
from numpy.typing import NDArray

from gnnkit.jit import fetch, kernel
from gnnkit.sampling.kernels import AHEAD, first_not_below
from gnnkit.sampling.typed_kernels import count_between, put_between

Array = Any
"""A NumPy array; the kernels' own docstrings give dtype and shape."""


class Hidden(NamedTuple):
    """Edges that a sampler may not take.

    Attributes:
        edges: Their positions, ascending. int64.
        ends: For which nodes it is worth looking there: that of a node's low bits is True if one of the edges runs to
            it. bool, [a power of two].
    """

    edges: NDArray[np.int64]
    ends: NDArray[np.bool_]


NOTHING = Hidden(np.empty(0, dtype=np.int64), np.zeros(1, dtype=bool))
"""No edges."""


def hide(indptr: Array, indices: Array, pairs: Array, *, loops: bool = True, types: Optional[Array] = None) -> Hidden:
    """All edges between pairs; the arguments are those of :func:`edges_between`."""
    # Few other nodes share a place with an end then, and all places fit into a core's first cache.
    ends = np.zeros(1 << (8 * len(pairs)).bit_length(), dtype=bool)
    ends[pairs[:, 1] & (len(ends) - 1)] = True
    return Hidden(edges_between(indptr, indices, pairs, loops=loops, types=types), ends)


@kernel
def _count(indptr: Array, indices: Array, pairs: Array, loops: bool, out: Array) -> int:
    """Write where each pair's edges begin and end, int64 [n, 2]; returns how many edges that are."""
    total = 0
    for row in range(len(pairs)):
        if row + AHEAD < len(pairs):
            fetch(indptr, pairs[row + AHEAD, 1], 0)
        source, destination = pairs[row, 0], pairs[row, 1]
        start, end = indptr[destination], indptr[destination + 1]
        if source == destination and not loops:
            out[row, 0], out[row, 1] = start, start
            continue
        first = first_not_below(indices, start, end, source)
        last = first
        while last < end and indices[last] == source:
            last += 1
        out[row, 0], out[row, 1] = first, last
        total += last - first
    return total


@kernel
def _fill(ranges: Array, out: Array) -> None:
    position = 0
    for row in range(len(ranges)):
        for edge in range(ranges[row, 0], ranges[row, 1]):
            out[position] = edge
            position += 1


def edges_between(
    indptr: Array, indices: Array, pairs: Array, *, loops: bool = True, types: Optional[Array] = None
) -> NDArray[np.int64]:
    """Positions of all edges that run from a pair's source to its destination, however often they are repeated.

    Args:
        indptr: Edge offsets by destination. Shape [N + 1], int64.
        indices: Sources, ascending within a destination, or within its edges of one relation. Shape [E], int64.
        pairs: Source and destination. Shape [n, 2], int64. In a typed graph a third column may say of which relation,
            -1 for all.
        loops: Whether edges from a node to itself are among them.
        types: Relation of each edge of a typed graph, ascending within a destination. Shape [E], integers.

    Returns:
        Ascending positions in ``indices``, each once. int64.

    Example:
        >>> indptr, indices = np.array([0, 0, 3]), np.array([0, 0, 1])
        >>> edges_between(indptr, indices, np.array([[0, 1], [1, 0]])).tolist()
        [0, 1]
    """
    if types is not None:
        pairs = np.ascontiguousarray(pairs)
        typed = np.empty(count_between(indptr, indices, types, pairs, loops), dtype=np.int64)
        put_between(indptr, indices, types, pairs, loops, typed)
        return np.unique(typed)
    ranges = np.empty((len(pairs), 2), dtype=np.int64)
    found = np.empty(_count(indptr, indices, np.ascontiguousarray(pairs), loops, ranges), dtype=np.int64)
    _fill(ranges, found)
    return np.unique(found)
