"""The first layer's aggregation, done while loading.

Rules: only what stands before the first parameter moves here, so results change by rounding alone. Neighbours are read
straight from the table of features, added up in float32 (float64 for float64), and never copied: the widest matrix of
a batch is not made at all. What a backend sees is an ordinary block, in which every destination has one in-edge, from
its finished aggregate; no layer needs to know.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Optional

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gnnkit.data import Block
from gnnkit.errors import ConfigError
from gnnkit.jit import fetch_row, finish_streams, is_streamed, kernel, rows_ahead, stream
from gnnkit.loading.ahead import parts_ahead
from gnnkit.loading.gather import gather_rows, loaded_dtype, put_number, put_row, stored_array, widened
from gnnkit.sampling import Buffers

REDUCTIONS = ("sum", "weighted_sum", "mean")
"""How neighbours can be reduced ahead: their sum, their sum by edge weights, their mean."""
_AT_ONCE = 128
"""Rows that are reduced before they are rounded."""
_PART = 64
"""Edges whose sources are asked for together; whole fours, so that sums are made in the same order."""


@dataclass(frozen=True)
class InputReduction:
    """What a model's first layer does with its neighbours before it uses a parameter.

    Attributes:
        reduce: One of ``REDUCTIONS``.
        keep_own: Whether the layer also reads the destinations' own features.
        rounded: Whether float32 features come in bfloat16, because the layer's products round them anyway.

    Raises:
        ConfigError: No such reduction.
    """

    reduce: str
    keep_own: bool = True
    rounded: bool = False

    def __post_init__(self) -> None:
        if self.reduce not in REDUCTIONS:
            raise ConfigError(f"reduce is {self.reduce!r}, expected one of {', '.join(REDUCTIONS)}.")


def reduced_block(block: Block, reduction: InputReduction) -> Block:
    """The block that stands in for ``block`` once its sources are reduced.

    Returns:
        A block with the same destinations. Destination i has one in-edge of weight 1, from source ``num_dst + i`` if
        the destinations' own features are kept in front, else from source i.
    """
    num = block.num_dst
    first = num if reduction.keep_own else 0
    return Block(torch.arange(num + 1), torch.arange(first, first + num), first + num, is_reduced=True)


def reduce_inputs(x: Tensor, nodes: Tensor, block: Block, reduction: InputReduction, buffers: Buffers) -> Tensor:
    """Features of the sources of :func:`reduced_block`.

    Args:
        x: Features in host memory, possibly memory-mapped. Shape [N, F], floating point.
        nodes: Rows of the block's sources. Shape [block.num_src], int64.
        block: The first block as it was sampled.
        reduction: What to do.
        buffers: Where the result is made.

    Returns:
        The destinations' own features, if they are kept, then for every destination its reduced neighbours; 0 where
        there are none. Shape [2 * num_dst or num_dst, F]; float32 for float16 and bfloat16 input, else as ``x``; and
        bfloat16 instead of float32 where features are to be rounded.
    """
    num = block.num_dst
    first = num if reduction.keep_own else 0
    out = buffers.empty((first + num, x.shape[1]), reduced_dtype(x.dtype, reduction.rounded))
    indptr, indices = block.indptr.numpy(), block.indices.numpy()
    weights = None
    if reduction.reduce == "weighted_sum" and block.edge_weight is not None:
        weights = block.edge_weight.numpy()
    target, done = out[first:], 0
    for part in parts_ahead(x, nodes):
        stop = num if part.stop == len(nodes) else _num_with(indptr, indices, part.stop)
        options = (indices, weights, reduction.reduce == "mean")
        reduce_rows(x, nodes.numpy(), indptr[done : stop + 1], *options, target[done:stop])
        done = stop
    gather_rows(x, nodes[:first], out[:first])
    return out


def reduced_dtype(dtype: torch.dtype, rounded: bool) -> torch.dtype:
    """The type in which stored features of type ``dtype`` come once they are reduced."""
    loaded = loaded_dtype(dtype)
    return torch.bfloat16 if rounded and loaded == torch.float32 else loaded


def reduce_rows(
    x: Tensor,
    nodes: Optional[NDArray[np.int64]],
    indptr: NDArray[np.int64],
    indices: NDArray[np.int64],
    weights: Optional[NDArray[Any]],
    is_mean: bool,
    out: Tensor,
) -> None:
    """Write the sum, or the mean, of rows of a table for each destination.

    Args:
        x: The table. Shape [N, F].
        nodes: Row of each source. Shape [num_src], int64. None: ``indices`` are rows.
        indptr: Where each destination's edges begin in ``indices``. Shape [n + 1], int64.
        indices: Source of each edge. One-dimensional, int64.
        weights: Weight of each edge, likewise. None: they are 1.
        is_mean: Whether sums are divided by the number of edges.
        out: Where they go. Shape [n, F], of a type of :func:`reduced_dtype`.
    """
    reduce = _reduce_rounded if out.dtype == torch.bfloat16 else _reduce
    reduce(stored_array(x), nodes, indptr, indices, weights, is_mean, stored_array(out))


def _num_with(indptr: NDArray[np.int64], indices: NDArray[np.int64], num_src: int) -> int:
    """How many destinations, from the first, have all of their sources among the first ``num_src``."""
    is_later = indices >= num_src
    edge = int(is_later.argmax()) if is_later.any() else len(indices)
    return int(np.searchsorted(indptr, edge, side="right")) - 1


@kernel
def _reduce(table: Any, nodes: Any, indptr: Any, indices: Any, weights: Any, is_mean: bool, out: Any) -> None:
    if weights is None:  # Numba compiles one of the branches, by the type of the argument.
        _reduce_rows(table, nodes, indptr, indices, is_mean, out)
    else:
        _reduce_weighted_rows(table, nodes, indptr, indices, weights, out)


@kernel
def _reduce_rounded(table: Any, nodes: Any, indptr: Any, indices: Any, weights: Any, is_mean: bool, out: Any) -> None:
    """The same in float32, some rows at a time in memory that stays in the cache, then rounded."""
    sums = np.empty((min(_AT_ONCE, len(out)), out.shape[1]), np.float32)
    is_past = is_streamed(out)
    line = np.empty((1, out.shape[1]), out.dtype)
    for begin in range(0, len(out), _AT_ONCE):
        end = min(begin + _AT_ONCE, len(out))
        _reduce(table, nodes, indptr[begin : end + 1], indices, weights, is_mean, sums[: end - begin])
        for row in range(begin, end):
            if is_past:
                put_row(out, row, sums, row - begin, line)
            else:
                for column in range(out.shape[1]):
                    put_number(out, row, column, sums[row - begin, column])
    finish_streams()


@kernel
def _row(nodes: Any, source: int) -> Any:
    return source if nodes is None else nodes[source]


@kernel
def _fetch_sources(table: Any, nodes: Any, indices: Any, begin: int, end: int, ahead: int) -> None:
    """Ask for the rows that are read after those of the edges from ``begin`` to ``end``."""
    for later in range(begin + ahead, min(end + ahead, len(indices))):
        fetch_row(table, _row(nodes, indices[later]))


@kernel
def _put_sums(out: Any, dst: int, line: Any, by: Any, is_past: bool) -> None:
    """Write sums, divided by a number, into a row."""
    if is_past:
        for column in range(out.shape[1]):
            line[0, column] /= by
        stream(out, dst, line, 0)
    else:
        for column in range(out.shape[1]):
            out[dst, column] = line[0, column] / by


@kernel
def _reduce_rows(table: Any, nodes: Any, indptr: Any, indices: Any, is_mean: bool, out: Any) -> None:
    ahead = rows_ahead(table)
    is_past = is_streamed(out)
    line = np.empty((1, out.shape[1]), out.dtype)
    sums = line[0]  # In the first-level cache, until they are complete.
    for dst in range(len(indptr) - 1):
        edge, last = indptr[dst], indptr[dst + 1]
        num = np.float32(last - edge)  # An integer would make the division one in float64.
        for column in range(out.shape[1]):
            sums[column] = 0
        while edge < last:  # In parts: the rows of a hub are not all asked for before the first is read.
            end = min(edge + _PART, last)
            _fetch_sources(table, nodes, indices, edge, end, ahead)
            while edge + 4 <= end:  # Four at a time: the sums make a quarter of the ways to memory and back.
                r0, r1 = _row(nodes, indices[edge]), _row(nodes, indices[edge + 1])
                r2, r3 = _row(nodes, indices[edge + 2]), _row(nodes, indices[edge + 3])
                for column in range(out.shape[1]):
                    total = sums[column] + widened(table[r0, column])
                    total = total + widened(table[r1, column])
                    total = total + widened(table[r2, column])
                    sums[column] = total + widened(table[r3, column])
                edge += 4
            while edge < end:
                source = _row(nodes, indices[edge])
                for column in range(out.shape[1]):
                    sums[column] += widened(table[source, column])
                edge += 1
        _put_sums(out, dst, line, num if is_mean and num > 1 else np.float32(1), is_past)
    finish_streams()


@kernel
def _reduce_weighted_rows(table: Any, nodes: Any, indptr: Any, indices: Any, weights: Any, out: Any) -> None:
    ahead = rows_ahead(table)
    is_past = is_streamed(out)
    line = np.empty((1, out.shape[1]), out.dtype)
    sums = line[0]
    for dst in range(len(indptr) - 1):
        for column in range(out.shape[1]):
            sums[column] = 0
        for edge in range(indptr[dst], indptr[dst + 1]):
            _fetch_sources(table, nodes, indices, edge, edge + 1, ahead)
            source, weight = _row(nodes, indices[edge]), weights[edge]
            for column in range(out.shape[1]):
                sums[column] += weight * widened(table[source, column])
        _put_sums(out, dst, line, np.float32(1), is_past)
    finish_streams()
