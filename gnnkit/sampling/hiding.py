"""Finding the edges between pairs of nodes, which a batch that learns them must not see."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gnnkit.jit import kernel
from gnnkit.sampling.kernels import first_not_below

Array = Any
"""A NumPy array; the kernels' own docstrings give dtype and shape."""

NO_EDGES: NDArray[np.int64] = np.empty(0, dtype=np.int64)
"""Positions of no edges."""


@kernel
def _count(indptr: Array, indices: Array, pairs: Array, loops: bool, out: Array) -> int:
    """Write where each pair's edges begin and end, int64 [n, 2]; returns how many edges that are."""
    total = 0
    for row in range(len(pairs)):
        source, destination = pairs[row, 0], pairs[row, 1]
        start, end = indptr[destination], indptr[destination + 1]
        if source == destination and not loops:
            out[row, 0], out[row, 1] = start, start
            continue
        out[row, 0] = first_not_below(indices, start, end, source)
        out[row, 1] = first_not_below(indices, out[row, 0], end, source + 1)
        total += out[row, 1] - out[row, 0]
    return total


@kernel
def _fill(ranges: Array, out: Array) -> None:
    position = 0
    for row in range(len(ranges)):
        for edge in range(ranges[row, 0], ranges[row, 1]):
            out[position] = edge
            position += 1


def edges_between(indptr: Array, indices: Array, pairs: Array, *, loops: bool = True) -> NDArray[np.int64]:
    """Positions of all edges that run from a pair's source to its destination, however often they are repeated.

    Args:
        indptr: Edge offsets by destination. Shape [N + 1], int64.
        indices: Sources, ascending within a destination. Shape [E], int64.
        pairs: Source and destination. Shape [n, 2], int64.
        loops: Whether edges from a node to itself are among them.

    Returns:
        Ascending positions in ``indices``, each once. int64.

    Example:
        >>> indptr, indices = np.array([0, 0, 3]), np.array([0, 0, 1])
        >>> edges_between(indptr, indices, np.array([[0, 1], [1, 0]])).tolist()
        [0, 1]
    """
    if not len(pairs):
        return NO_EDGES
    ranges = np.empty((len(pairs), 2), dtype=np.int64)
    found = np.empty(_count(indptr, indices, np.ascontiguousarray(pairs), loops, ranges), dtype=np.int64)
    _fill(ranges, found)
    return np.unique(found)
