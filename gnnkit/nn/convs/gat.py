"""Velickovic et al., 2018, "Graph attention networks"."""

from __future__ import annotations

from typing import Any, Dict, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from gnnkit.data import Block
from gnnkit.nn.convs.attention import AttentionConv, AttentionOptions, HeadConvolution
from gnnkit.nn.convs.base import ConvSpec, ParameterSpec, ReferenceConv
from gnnkit.nn.convs.dense import incidence, join_heads, softmax_matrix
from gnnkit.nn.message_passing import MessageOps


class GAT(HeadConvolution):
    """Sum of W h_u by softmax over leaky_relu(a_src . W h_u + a_dst . W h_v), plus b."""

    name = "gat"
    options_class = AttentionOptions
    self_loops = True
    on_sources = frozenset({"lin.weight"})

    def parameters(self, spec: ConvSpec) -> Dict[str, ParameterSpec]:
        """See :class:`Convolution`."""
        return {
            "lin.weight": ParameterSpec((spec.heads * spec.out_channels, spec.in_channels)),
            "att_src": ParameterSpec((spec.heads, spec.out_channels)),
            "att_dst": ParameterSpec((spec.heads, spec.out_channels)),
            "bias": ParameterSpec((spec.out_width,), "zeros"),
        }

    def dense(self, spec: ConvSpec, p: Mapping[str, Tensor], block: Block, h: Tensor) -> Tensor:
        """See :class:`Convolution`."""
        into, heads = incidence(block), []
        for k in range(spec.heads):
            w = p["lin.weight"][k * spec.out_channels : (k + 1) * spec.out_channels]
            src = (h @ w.T)[block.indices]
            dst = (h @ w.T)[block.dst]
            scores = functional.leaky_relu(src @ p["att_src"][k] + dst @ p["att_dst"][k], spec.options.negative_slope)
            heads.append(softmax_matrix(into, scores) @ src)
        return join_heads(heads, spec.concat) + p["bias"]

    def reference(self, spec: ConvSpec, ops: MessageOps) -> ReferenceConv:
        """See :class:`Convolution`."""
        return GATConv(spec, ops)


class GATConv(AttentionConv):
    """See :class:`GAT`."""

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
        scores = functional.leaky_relu(from_src + from_dst, self.spec.options.negative_slope)
        return self.attend(lowered, h_src, scores)
