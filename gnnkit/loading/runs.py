"""The edges of a typed block as runs: those of one destination and one relation.

Rules: runs are sorted by (relation, destination). Kernels check nothing.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gnnkit.data import Block
from gnnkit.jit import kernel


class EdgeRuns(NamedTuple):
    """A block's edges, sorted by run.

    Attributes:
        ptr: Where the runs of each relation begin, and where the last one's end. Shape [R + 1], int64.
        indptr: Where the edges of each run begin. Shape [runs + 1], int64.
        sources: Source of each edge. Shape [E], int64.
        dst: Destination of each run. Shape [runs], int64.
        dst_indptr: Where each destination's runs begin in ``places``. Shape [num_dst + 1], int64.
        places: The runs of each destination, by relation. Shape [runs], int64.
    """

    ptr: NDArray[np.int64]
    indptr: NDArray[np.int64]
    sources: NDArray[np.int64]
    dst: NDArray[np.int64]
    dst_indptr: NDArray[np.int64]
    places: NDArray[np.int64]


def edge_runs(block: Block, edge_type: NDArray[np.int64], num_relations: int) -> EdgeRuns:
    """Sort the edges of a block by run.

    Args:
        block: The block, in host memory.
        edge_type: Relation of each edge, ascending within a destination. Shape [E], int64.
        num_relations: How many relations the schema has.

    Example:
        >>> import torch
        >>> block = Block(torch.tensor([0, 3]), torch.tensor([1, 2, 1]), 3)
        >>> runs = edge_runs(block, np.array([0, 0, 1]), 2)
        >>> runs.ptr.tolist(), runs.indptr.tolist(), runs.sources.tolist()
        ([0, 1, 2], [0, 2, 3], [1, 2, 1])
    """
    indptr, indices = block.indptr.numpy(), block.indices.numpy()
    counts = np.zeros((2, num_relations + 1), dtype=np.int64)
    num_runs = _count_runs(indptr, edge_type, counts)
    offsets, sources = np.empty(num_runs + 1, dtype=np.int64), np.empty(len(indices), dtype=np.int64)
    owners, places = np.empty((2, num_runs), dtype=np.int64)
    ends = np.empty(len(indptr), dtype=np.int64)
    _fill_runs(indptr, indices, edge_type, counts.copy(), offsets, sources, ends, places, owners)
    return EdgeRuns(counts[0], offsets, sources, owners, ends, places)


@kernel
def _count_runs(indptr: Any, types: Any, counts: Any) -> int:
    """Write where the runs, and the edges, of each relation begin: int64 zeros [2, R + 1]. Returns how many runs."""
    for destination in range(len(indptr) - 1):
        for edge in range(indptr[destination], indptr[destination + 1]):
            counts[1, types[edge] + 1] += 1
            if edge == indptr[destination] or types[edge] != types[edge - 1]:
                counts[0, types[edge] + 1] += 1
    for relation in range(1, counts.shape[1]):
        counts[0, relation] += counts[0, relation - 1]
        counts[1, relation] += counts[1, relation - 1]
    return counts[0, -1]  # type: ignore[no-any-return]


@kernel
def _fill_runs(
    indptr: Any, indices: Any, types: Any, at: Any, offsets: Any, sources: Any, ends: Any, places: Any, owners: Any
) -> None:
    """Write runs in order of (relation, destination), and each destination's own. ``at`` is what was counted.

    ``owners`` becomes the destination of each run.
    """
    position = 0
    ends[0] = 0
    for destination in range(len(indptr) - 1):
        for edge in range(indptr[destination], indptr[destination + 1]):
            relation = types[edge]
            if edge == indptr[destination] or relation != types[edge - 1]:
                run = at[0, relation]
                at[0, relation] += 1
                offsets[run] = at[1, relation]
                places[position] = run
                owners[run] = destination
                position += 1
            sources[at[1, relation]] = indices[edge]
            at[1, relation] += 1
        ends[destination + 1] = position
    offsets[len(offsets) - 1] = len(sources)
