"""Brody, Alon and Yahav, 2022, "How attentive are graph attention networks?"."""

from __future__ import annotations

from typing import Any, Dict, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from gnnkit.data import Block
from gnnkit.nn.convs.attention import AttentionConv, AttentionOptions, HeadConvolution
from gnnkit.nn.convs.base import ConvSpec, ParameterSpec, ReferenceConv
from gnnkit.nn.convs.dense import edge_features, incidence, join_heads, softmax_matrix
from gnnkit.nn.message_passing import MessageOps


class GATv2(HeadConvolution):
    """Sum of W_src h_u + b_src by softmax over a . leaky_relu(W_src h_u + b_src + W_dst h_v + b_dst + W_edge e_uv)."""

    name = "gatv2"
    options_class = AttentionOptions
    self_loops = True
    reads_edges = True
    on_sources = frozenset({"lin_src.weight"})

    def parameters(self, spec: ConvSpec) -> Dict[str, ParameterSpec]:
        """See :class:`Convolution`."""
        width = spec.heads * spec.out_channels
        parameters = {
            "lin_src.weight": ParameterSpec((width, spec.in_channels)),
            "lin_src.bias": ParameterSpec((width,), "zeros"),
            "lin_dst.weight": ParameterSpec((width, spec.in_channels)),
            "lin_dst.bias": ParameterSpec((width,), "zeros"),
            "att": ParameterSpec((spec.heads, spec.out_channels)),
            "bias": ParameterSpec((spec.out_width,), "zeros"),
        }
        if spec.edge_channels is not None:
            parameters["lin_edge.weight"] = ParameterSpec((width, spec.edge_channels))
        return parameters

    def dense(self, spec: ConvSpec, p: Mapping[str, Tensor], block: Block, h: Tensor) -> Tensor:
        """See :class:`Convolution`."""
        into, heads = incidence(block), []
        for k in range(spec.heads):
            rows = slice(k * spec.out_channels, (k + 1) * spec.out_channels)
            src = (h @ p["lin_src.weight"][rows].T + p["lin_src.bias"][rows])[block.indices]
            both = src + (h @ p["lin_dst.weight"][rows].T + p["lin_dst.bias"][rows])[block.dst]
            if spec.edge_channels is not None:
                both = both + edge_features(block) @ p["lin_edge.weight"][rows].T
            scores = functional.leaky_relu(both, spec.options.negative_slope) @ p["att"][k]
            heads.append(softmax_matrix(into, scores) @ src)
        return join_heads(heads, spec.concat) + p["bias"]

    def reference(self, spec: ConvSpec, ops: MessageOps) -> ReferenceConv:
        """See :class:`Convolution`."""
        return GATv2Conv(spec, ops)


class GATv2Conv(AttentionConv):
    """See :class:`GATv2`."""

    def __init__(self, spec: ConvSpec, ops: MessageOps) -> None:
        super().__init__(spec, ops)
        width = spec.heads * spec.out_channels
        self.lin_src = nn.Linear(spec.in_channels, width)
        self.lin_dst = nn.Linear(spec.in_channels, width)
        self.att = nn.Parameter(torch.empty(spec.heads, spec.out_channels))
        if spec.edge_channels is not None:
            self.lin_edge = nn.Linear(spec.edge_channels, width, bias=False)

    def forward(self, lowered: Any, h_src: Tensor, h_dst: Tensor) -> Tensor:
        """Features of the destinations, [num_dst, out_width]."""
        h_src, h_dst = self.split_heads(self.lin_src(h_src)), self.split_heads(self.lin_dst(h_dst))
        both = self.ops.gather_src(lowered, h_src) + self.ops.gather_dst(lowered, h_dst)
        if self.spec.edge_channels is not None:
            both = both + self.split_heads(self.lin_edge(self.ops.edge_attr(lowered)))
        scores = (functional.leaky_relu(both, self.spec.options.negative_slope) * self.att).sum(-1)
        return self.attend(lowered, h_src, scores)
