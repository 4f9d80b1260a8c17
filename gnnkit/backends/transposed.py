"""A block's edges by source: what the gradient of a sum over in-edges goes along.

Rules: edges of one source are in the order in which the block has them, so gradients are added up in the order in which
torch adds them up.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from gnnkit.data import Block
from gnnkit.jit import kernel


class EdgesBySource(NamedTuple):
    """The edges of a block, sorted by source.

    Attributes:
        indptr: Edge offsets by source. Shape [num_src + 1], int64.
        dst: Destination of each edge. Shape [E], int64.
        edges: Position of each edge in the block's ``indices``. Shape [E], int64.
    """

    indptr: Tensor
    dst: Tensor
    edges: Tensor


def edges_by_source(block: Block) -> EdgesBySource:
    """Sort the edges of a block in host memory by their sources, by counting.

    Args:
        block: The message flow of one layer.

    Example:
        >>> block = Block(torch.tensor([0, 2, 3]), torch.tensor([2, 0, 2]), num_src=3)
        >>> indptr, dst, edges = edges_by_source(block)
        >>> indptr.tolist(), dst.tolist(), edges.tolist()
        ([0, 1, 1, 3], [0, 0, 1], [1, 0, 2])
    """
    indptr = np.zeros(block.num_src + 1, dtype=np.int64)
    dst, edges = np.empty((2, block.num_edges), dtype=np.int64)
    _transpose(block.indptr.numpy(), block.indices.numpy(), indptr, dst, edges)
    return EdgesBySource(torch.from_numpy(indptr), torch.from_numpy(dst), torch.from_numpy(edges))


@kernel
def _transpose(indptr: Any, indices: Any, by_source: Any, dst: Any, edges: Any) -> None:
    num_src = len(by_source) - 1
    for edge in range(len(indices)):
        by_source[indices[edge] + 1] += 1
    for source in range(num_src):
        by_source[source + 1] += by_source[source]
    for destination in range(len(indptr) - 1):
        for edge in range(indptr[destination], indptr[destination + 1]):
            place = by_source[indices[edge]]
            by_source[indices[edge]] = place + 1
            dst[place], edges[place] = destination, edge
    # Every entry has moved on to the begin of the next.
    for source in range(num_src, 0, -1):
        by_source[source] = by_source[source - 1]
    by_source[0] = 0
