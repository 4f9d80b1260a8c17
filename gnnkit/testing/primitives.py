"""Message-passing primitives against their definition, edge by edge."""

from __future__ import annotations

from typing import Any, Callable, Mapping

import torch
from torch import Tensor

from gnnkit.data import Block
from gnnkit.nn import MessageOps
from gnnkit.testing.compare import compare
from gnnkit.testing.graphs import draw

_REDUCTIONS: Mapping[str, Callable[[Tensor, int], Tensor]] = {
    "sum": torch.sum,
    "mean": torch.mean,
    "max": torch.amax,
    "min": torch.amin,
}


def check_primitives(
    ops: MessageOps, lowered: Any, block: Block, where: str, dtype: torch.dtype, tolerance: float
) -> None:
    """Refuse primitives that do not compute what they are defined as.

    Args:
        ops: The primitives.
        lowered: The block as the backend's own graph.
        block: The block.
        where: What the message says of the case.
        dtype: Of features and scores.
        tolerance: By how much sums may differ; what is only copied may not.

    Raises:
        AssertionError: With the first primitive that is wrong.
    """
    into = [block.dst == v for v in range(block.num_dst)]
    for trailing in ((3,), (2, 3)):
        h = (
            draw(block.num_src, *trailing, seed=1).to(dtype) - 1.0
        )  # Mostly negative: the maximum of nothing is still 0.
        messages = h[block.indices]
        _compare("gather_src", where, ops.gather_src(lowered, h), messages, 0.0)
        h_dst = draw(block.num_dst, *trailing, seed=5).to(dtype)
        _compare("gather_dst", where, ops.gather_dst(lowered, h_dst), h_dst[block.dst], 0.0)
        for reduce, function in _REDUCTIONS.items():
            rows, nothing = [messages[edges] for edges in into], h.new_zeros(trailing)
            expected = torch.stack([function(row, 0) if len(row) else nothing for row in rows])
            _compare(f"scatter {reduce}", where, ops.scatter(lowered, messages, reduce), expected, tolerance)
            _compare(f"aggregate {reduce}", where, ops.aggregate(lowered, h, reduce), expected, tolerance)
    weight = draw(block.num_edges, seed=2).to(dtype)
    weight[::3] = 0.0
    weighted = h.new_zeros((block.num_dst, *trailing)).index_add(0, block.dst, messages * weight[:, None, None])
    _compare("weighted aggregate", where, ops.aggregate(lowered, h, "sum", weight), weighted, tolerance)
    scores = draw(block.num_edges, 2, seed=3).to(dtype) * 100.0
    expected = torch.zeros_like(scores)
    for edges in into:
        expected[edges] = scores[edges].softmax(0)
    _compare("edge_softmax", where, ops.edge_softmax(lowered, scores), expected, tolerance)


def _compare(what: str, where: str, received: Tensor, expected: Tensor, tolerance: float) -> None:
    assert received.dtype == expected.dtype, f"{what} {where} gives {received.dtype}, expected {expected.dtype}."
    compare(f"{what} {where}", received, expected, tolerance)
