"""Message passing with PyTorch Geometric's primitives, for layers that users write with ``gnnkit.nn.MessagePassing``.

Rules: edge arrays are in the order of the block's ``indices``, which is also the order of ``edge_index``.
"""

from __future__ import annotations

from typing import Optional

from torch import Tensor
from torch_geometric.utils import scatter, softmax

from gnnkit.nn import REDUCTIONS, MessageOps, Relations, check_choice
from gnnkit_pyg.block import PygBlock


class PygOps(MessageOps):
    """``torch_geometric.utils`` behind :class:`gnnkit.nn.MessageOps`."""

    def gather_src(self, lowered: PygBlock, h_src: Tensor) -> Tensor:
        """See :class:`gnnkit.nn.MessageOps`."""
        return h_src.index_select(0, lowered.block.indices)

    def gather_dst(self, lowered: PygBlock, h_dst: Tensor) -> Tensor:
        """See :class:`gnnkit.nn.MessageOps`."""
        return h_dst.index_select(0, lowered.block.dst)

    def scatter(self, lowered: PygBlock, messages: Tensor, reduce: str) -> Tensor:
        """See :class:`gnnkit.nn.MessageOps`."""
        check_choice("reduce", reduce, REDUCTIONS)
        out: Tensor = scatter(messages, lowered.block.dst, 0, lowered.num_dst, reduce)
        return out

    def edge_weight(self, lowered: PygBlock) -> Optional[Tensor]:
        """See :class:`gnnkit.nn.MessageOps`."""
        return lowered.block.edge_weight

    def edge_attr(self, lowered: PygBlock) -> Optional[Tensor]:
        """See :class:`gnnkit.nn.MessageOps`."""
        return lowered.block.edge_attr

    def relations(self, lowered: PygBlock) -> Relations:
        """See :class:`gnnkit.nn.MessageOps`."""
        return lowered.relations

    def edge_softmax(self, lowered: PygBlock, scores: Tensor) -> Tensor:
        """See :class:`gnnkit.nn.MessageOps`."""
        out: Tensor = softmax(scores, lowered.block.dst, num_nodes=lowered.num_dst)
        return out

    def aggregate(self, lowered: PygBlock, h_src: Tensor, reduce: str, edge_weight: Optional[Tensor] = None) -> Tensor:
        """See :class:`gnnkit.nn.MessageOps`. Unweighted and on the CPU, no message is ever stored."""
        check_choice("reduce", reduce, REDUCTIONS)
        if edge_weight is None and h_src.ndim == 2 and lowered.sums is not None:
            return lowered.sums.reduce(h_src, reduce)
        return super().aggregate(lowered, h_src, reduce, edge_weight)
