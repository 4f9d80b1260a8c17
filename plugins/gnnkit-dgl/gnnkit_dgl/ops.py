"""Message passing with DGL's kernels, for layers that users write with ``gnnkit.nn.MessagePassing``.

Rules: edge arrays are in the order of the block's ``indices``, which is also the order of DGL's edge ids here.
"""

from __future__ import annotations

from typing import Any, Optional, Tuple

from torch import Tensor

from gnnkit.nn import REDUCTIONS, SCORES, MessageOps, Relations, check_choice
from gnnkit_dgl.block import DglBlock
from gnnkit_dgl.compat import import_dgl


class DglOps(MessageOps):
    """``dgl.ops`` behind :class:`gnnkit.nn.MessageOps`; see :class:`gnnkit_dgl.block.DglBlock`."""

    def __init__(self) -> None:
        self._ops: Any = import_dgl().ops

    def __reduce__(self) -> Tuple[Any, ...]:
        return type(self), ()  # Modules cannot be pickled.

    def gather_src(self, lowered: DglBlock, h_src: Tensor) -> Tensor:
        """See :class:`gnnkit.nn.MessageOps`."""
        out: Tensor = self._ops.copy_u(lowered.native, h_src)
        return out

    def gather_dst(self, lowered: DglBlock, h_dst: Tensor) -> Tensor:
        """See :class:`gnnkit.nn.MessageOps`."""
        out: Tensor = self._ops.copy_v(lowered.native, h_dst)
        return out

    def scatter(self, lowered: DglBlock, messages: Tensor, reduce: str) -> Tensor:
        """See :class:`gnnkit.nn.MessageOps`."""
        return self._reduce(lowered, "copy_e", reduce, messages)

    def edge_weight(self, lowered: DglBlock) -> Optional[Tensor]:
        """See :class:`gnnkit.nn.MessageOps`."""
        return lowered.block.edge_weight

    def edge_attr(self, lowered: DglBlock) -> Optional[Tensor]:
        """See :class:`gnnkit.nn.MessageOps`."""
        return lowered.block.edge_attr

    def relations(self, lowered: DglBlock) -> Relations:
        """See :class:`gnnkit.nn.MessageOps`."""
        return lowered.relations

    def edge_softmax(self, lowered: DglBlock, scores: Tensor) -> Tensor:
        """See :class:`gnnkit.nn.MessageOps`."""
        out: Tensor = self._ops.edge_softmax(lowered.native, scores)
        return out

    def aggregate(self, lowered: DglBlock, h_src: Tensor, reduce: str, edge_weight: Optional[Tensor] = None) -> Tensor:
        """See :class:`gnnkit.nn.MessageOps`. One kernel: no message is ever stored."""
        if edge_weight is None:
            if reduce in ("sum", "mean") and h_src.ndim == 2 and lowered.sums is not None:
                return lowered.sums.reduce(h_src, reduce)  # Half the time of DGL's kernel.
            return self._reduce(lowered, "copy_u", reduce, h_src)
        trailing = (1,) * (h_src.ndim - edge_weight.ndim)
        factors = edge_weight.to(h_src.dtype).reshape(tuple(edge_weight.shape) + trailing)
        return self._reduce(lowered, "u_mul_e", reduce, h_src, factors)

    def edge_scores(self, lowered: DglBlock, a_src: Tensor, a_dst: Tensor, op: str) -> Tensor:
        """See :class:`gnnkit.nn.MessageOps`. Sums and products are one kernel: no end is ever copied to an edge."""
        check_choice("op", op, SCORES)
        if op == "concatenate" or lowered.block.num_edges == 0:
            return super().edge_scores(lowered, a_src, a_dst, op)
        if op == "add":
            total: Tensor = self._ops.u_add_v(lowered.native, a_src, a_dst)
            return total
        product: Tensor = self._ops.u_dot_v(lowered.native, a_src, a_dst)
        return product.squeeze(-1)

    def _reduce(self, lowered: DglBlock, message: str, reduce: str, features: Tensor, *factors: Tensor) -> Tensor:
        """Run one of DGL's kernels, whose extremum over no edges is infinite, with a gradient for edge 0."""
        check_choice("reduce", reduce, REDUCTIONS)
        if lowered.block.num_edges == 0:
            return features.new_zeros((lowered.block.num_dst,) + tuple(features.shape[1:]))
        out: Tensor = getattr(self._ops, f"{message}_{reduce}")(lowered.native, features, *factors)
        if reduce in ("sum", "mean"):
            return out
        is_empty = lowered.block.indptr.diff() == 0
        return out.masked_fill(is_empty.reshape((-1,) + (1,) * (out.ndim - 1)), 0.0)
