"""The reference backend: the standard convolutions in plain torch, written to be read.

Rules: every layer follows its formula line by line on :class:`gnnkit.nn.MessageOps`; this backend is what the others
are compared with, so clarity comes before speed.
"""

from __future__ import annotations

from typing import Any, ClassVar, Dict, Optional

import torch
from torch import Tensor, nn
from torch.nn import functional

from gnnkit.backends.base import Backend, BackendCapabilities
from gnnkit.data import Block
from gnnkit.nn import REDUCTIONS, ConvSpec, MessageOps, MessagePassing, check_choice


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

    def edge_softmax(self, lowered: Block, scores: Tensor) -> Tensor:
        """See :class:`gnnkit.nn.MessageOps`."""
        largest = self.scatter(lowered, scores.detach(), "max")
        powers = (scores - self.gather_dst(lowered, largest)).exp()
        return powers / self.gather_dst(lowered, self.scatter(lowered, powers, "sum"))


def _per_row(values: Tensor, like: Tensor) -> Tensor:
    """Shape [n] to [n, 1, ...] with as many dimensions as ``like``."""
    return values.reshape((-1,) + (1,) * (like.ndim - 1))


class _Conv(MessagePassing):
    """A standard convolution; its submodules make its parameters' names the canonical ones."""

    def __init__(self, spec: ConvSpec, ops: MessageOps) -> None:
        super().__init__(ops)
        self.spec = spec


class GCNConv(_Conv):
    """Kipf and Welling, 2017: sum of w_uv W h_u, plus b; the weights w are the graph's normalisation."""

    def __init__(self, spec: ConvSpec, ops: MessageOps) -> None:
        super().__init__(spec, ops)
        self.lin = nn.Linear(spec.in_channels, spec.out_channels, bias=False)
        self.bias = nn.Parameter(torch.empty(spec.out_channels))

    def forward(self, lowered: Any, h_src: Tensor, h_dst: Tensor) -> Tensor:
        """Features of the destinations, [num_dst, out_channels]."""
        return self.ops.aggregate(lowered, self.lin(h_src), "sum", self.ops.edge_weight(lowered)) + self.bias


class SAGEConv(_Conv):
    """Hamilton et al., 2017: W_self h_v + W_neigh aggregate(h_u) + b, with mean, or max over relu(W_pool h_u + b)."""

    def __init__(self, spec: ConvSpec, ops: MessageOps) -> None:
        super().__init__(spec, ops)
        self.lin_self = nn.Linear(spec.in_channels, spec.out_channels, bias=False)
        self.lin_neigh = nn.Linear(spec.in_channels, spec.out_channels, bias=False)
        self.bias = nn.Parameter(torch.empty(spec.out_channels))
        if spec.aggregation == "max":
            self.lin_pool = nn.Linear(spec.in_channels, spec.in_channels)

    def forward(self, lowered: Any, h_src: Tensor, h_dst: Tensor) -> Tensor:
        """Features of the destinations, [num_dst, out_channels]."""
        if self.spec.aggregation == "max":
            h_src = functional.relu(self.lin_pool(h_src))
        neighbours = self.ops.aggregate(lowered, h_src, self.spec.aggregation)
        out: Tensor = self.lin_self(h_dst) + self.lin_neigh(neighbours) + self.bias
        return out


class _AttentionConv(_Conv):
    def __init__(self, spec: ConvSpec, ops: MessageOps) -> None:
        super().__init__(spec, ops)
        self.bias = nn.Parameter(torch.empty(spec.out_width))

    def attend(self, lowered: Any, h_src: Tensor, scores: Tensor) -> Tensor:
        """Sum the sources [num_src, heads, out] by softmax of the scores [E, heads], then join heads, plus bias."""
        attention = self.ops.edge_softmax(lowered, scores)
        attention = functional.dropout(attention, self.spec.attention_dropout, self.training)
        out = self.ops.aggregate(lowered, h_src, "sum", attention)
        out = out.flatten(1) if self.spec.concat else out.mean(dim=1)
        return out + self.bias

    def split_heads(self, h: Tensor) -> Tensor:
        """[n, heads * out] to [n, heads, out]."""
        return h.reshape(-1, self.spec.heads, self.spec.out_channels)


class GATConv(_AttentionConv):
    """Velickovic et al., 2018: scores are leaky_relu(a_src . W h_u + a_dst . W h_v)."""

    def __init__(self, spec: ConvSpec, ops: MessageOps) -> None:
        super().__init__(spec, ops)
        self.lin = nn.Linear(spec.in_channels, spec.heads * spec.out_channels, bias=False)
        self.att_src = nn.Parameter(torch.empty(spec.heads, spec.out_channels))
        self.att_dst = nn.Parameter(torch.empty(spec.heads, spec.out_channels))

    def forward(self, lowered: Any, h_src: Tensor, h_dst: Tensor) -> Tensor:
        """Features of the destinations, [num_dst, out_width]."""
        h_src, h_dst = self.split_heads(self.lin(h_src)), self.split_heads(self.lin(h_dst))
        from_src = self.ops.gather_src(lowered, (h_src * self.att_src).sum(-1))
        from_dst = self.ops.gather_dst(lowered, (h_dst * self.att_dst).sum(-1))
        scores = functional.leaky_relu(from_src + from_dst, self.spec.negative_slope)
        return self.attend(lowered, h_src, scores)


class GATv2Conv(_AttentionConv):
    """Brody et al., 2022: scores are a . leaky_relu(W_src h_u + W_dst h_v)."""

    def __init__(self, spec: ConvSpec, ops: MessageOps) -> None:
        super().__init__(spec, ops)
        self.lin_src = nn.Linear(spec.in_channels, spec.heads * spec.out_channels)
        self.lin_dst = nn.Linear(spec.in_channels, spec.heads * spec.out_channels)
        self.att = nn.Parameter(torch.empty(spec.heads, spec.out_channels))

    def forward(self, lowered: Any, h_src: Tensor, h_dst: Tensor) -> Tensor:
        """Features of the destinations, [num_dst, out_width]."""
        h_src, h_dst = self.split_heads(self.lin_src(h_src)), self.split_heads(self.lin_dst(h_dst))
        both = self.ops.gather_src(lowered, h_src) + self.ops.gather_dst(lowered, h_dst)
        scores = (functional.leaky_relu(both, self.spec.negative_slope) * self.att).sum(-1)
        return self.attend(lowered, h_src, scores)


class GINConv(_Conv):
    """Xu et al., 2019: MLP((1 + eps) h_v + sum h_u), the MLP being linear, ReLU, linear."""

    def __init__(self, spec: ConvSpec, ops: MessageOps) -> None:
        super().__init__(spec, ops)
        self.mlp = nn.Sequential(
            nn.Linear(spec.in_channels, spec.mlp_width), nn.ReLU(), nn.Linear(spec.mlp_width, spec.out_channels)
        )

    def forward(self, lowered: Any, h_src: Tensor, h_dst: Tensor) -> Tensor:
        """Features of the destinations, [num_dst, out_channels]."""
        h: Tensor = (1 + self.spec.eps) * h_dst + self.ops.aggregate(lowered, h_src, "sum")
        return self.mlp(h)  # type: ignore[no-any-return]


_CONVS = {"gcn": GCNConv, "sage": SAGEConv, "gat": GATConv, "gatv2": GATv2Conv, "gin": GINConv}


class ReferenceBackend(Backend):
    """Plain torch. Always there, on every torch device."""

    name: ClassVar[str] = "reference"
    api_version: ClassVar[int] = 1
    capabilities = BackendCapabilities(exports=frozenset({"torch", "onnx"}))

    def lower(self, block: Block) -> Block:
        """The block itself."""
        return block

    def conv(self, spec: ConvSpec) -> nn.Module:
        """See :class:`Backend`."""
        return _CONVS[spec.kind](spec, self.ops())

    def ops(self) -> MessageOps:
        """See :class:`Backend`."""
        return ReferenceOps()

    def versions(self) -> Dict[str, str]:
        """See :class:`Backend`."""
        return {"torch": torch.__version__}
