"""The reference backend: message passing in plain torch, written to be read.

Rules: every convolution is the reference form of its kind (:mod:`gnnkit.nn.convs`) on these primitives; this backend is
what the others are compared with, so clarity comes before speed.
"""

from __future__ import annotations

from copy import copy
from typing import ClassVar, Dict, Optional

import torch
from torch import Tensor, nn

from gnnkit.backends.base import Backend, BackendCapabilities
from gnnkit.data import Block
from gnnkit.nn import CONVS, PER_RELATION, REDUCTIONS, ConvSpec, MessageOps, Relations, check_choice


class ReferenceOps(MessageOps):
    """Message passing with ``index_select``, ``index_add`` and ``scatter_reduce``; a lowered block is the block."""

    def gather_src(self, lowered: Block, h_src: Tensor) -> Tensor:
        """See :class:`gnnkit.nn.MessageOps`."""
        return h_src.index_select(0, lowered.indices)

    def gather_dst(self, lowered: Block, h_dst: Tensor) -> Tensor:
        """See :class:`gnnkit.nn.MessageOps`."""
        return h_dst.index_select(0, lowered.dst)

    def scatter(self, lowered: Block, messages: Tensor, reduce: str) -> Tensor:
        """See :class:`gnnkit.nn.MessageOps`."""
        check_choice("reduce", reduce, REDUCTIONS)
        out = messages.new_zeros((lowered.num_dst,) + tuple(messages.shape[1:]))
        if reduce in ("sum", "mean"):
            total = out.index_add(0, lowered.dst, messages)
            return total if reduce == "sum" else total / _per_row(lowered.indptr.diff().clamp(min=1), total)
        index = _per_row(lowered.dst, messages).expand_as(messages)
        return out.scatter_reduce(0, index, messages, {"max": "amax", "min": "amin"}[reduce], include_self=False)

    def edge_weight(self, lowered: Block) -> Optional[Tensor]:
        """See :class:`gnnkit.nn.MessageOps`."""
        return lowered.edge_weight

    def edge_attr(self, lowered: Block) -> Optional[Tensor]:
        """See :class:`gnnkit.nn.MessageOps`."""
        return lowered.edge_attr

    def relations(self, lowered: Block) -> Relations:
        """See :class:`gnnkit.nn.MessageOps`. The dense form, which is the formula."""
        return Relations(lowered, lambda block: block, dense=True)

    def edge_softmax(self, lowered: Block, scores: Tensor) -> Tensor:
        """See :class:`gnnkit.nn.MessageOps`."""
        largest = self.scatter(lowered, scores.detach(), "max")
        powers = (scores - self.gather_dst(lowered, largest)).exp()
        return powers / self.gather_dst(lowered, self.scatter(lowered, powers, "sum"))


def _per_row(values: Tensor, like: Tensor) -> Tensor:
    """Shape [n] to [n, 1, ...] with as many dimensions as ``like``."""
    return values.reshape((-1,) + (1,) * (like.ndim - 1))


class ReferenceBackend(Backend):
    """Plain torch. Always there, on every torch device."""

    name: ClassVar[str] = "reference"
    api_version: ClassVar[int] = 1
    capabilities = BackendCapabilities(
        convs=frozenset(CONVS),
        edge_convs=frozenset(kind for kind, conv in CONVS.items() if conv.reads_edges),
        relational=PER_RELATION,
        exports=frozenset({"torch", "onnx"}),
    )

    def lower(self, block: Block) -> Block:
        """A copy, which does not know of itself: what holds itself keeps its memory for long."""
        lowered = copy(block)
        vars(lowered).pop("lowered", None)
        return lowered

    def conv(self, spec: ConvSpec) -> nn.Module:
        """See :class:`Backend`."""
        return self.on_primitives(spec)

    def ops(self) -> MessageOps:
        """See :class:`Backend`."""
        return ReferenceOps()

    def versions(self) -> Dict[str, str]:
        """See :class:`Backend`."""
        return {"torch": torch.__version__}
