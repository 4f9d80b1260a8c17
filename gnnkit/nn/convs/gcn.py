"""Kipf and Welling, 2017, "Semi-supervised classification with graph convolutional networks"."""

from __future__ import annotations

from typing import Any, Dict, Mapping, Optional

import torch
from torch import Tensor, nn

from gnnkit.data import Block
from gnnkit.nn.convs.base import Convolution, ConvSpec, ParameterSpec, ReferenceConv
from gnnkit.nn.convs.dense import adjacency
from gnnkit.nn.message_passing import MessageOps


class GCN(Convolution):
    """Sum of w_uv W h_u, plus b; the weights w are the graph's normalisation D^-1/2 A D^-1/2."""

    name = "gcn"
    self_loops = True
    gcn_norm = True
    reads_weights = True
    reads_own = False

    def reduces_first(self, options: Any) -> Optional[str]:
        """See :class:`Convolution`."""
        return "weighted_sum"

    def parameters(self, spec: ConvSpec) -> Dict[str, ParameterSpec]:
        """See :class:`Convolution`."""
        return {
            "lin.weight": ParameterSpec((spec.out_channels, spec.in_channels)),
            "bias": ParameterSpec((spec.out_channels,), "zeros"),
        }

    def dense(self, spec: ConvSpec, p: Mapping[str, Tensor], block: Block, h: Tensor) -> Tensor:
        """See :class:`Convolution`."""
        return adjacency(block, weighted=True) @ h @ p["lin.weight"].T + p["bias"]

    def reference(self, spec: ConvSpec, ops: MessageOps) -> ReferenceConv:
        """See :class:`Convolution`."""
        return GCNConv(spec, ops)


class GCNConv(ReferenceConv):
    """See :class:`GCN`."""

    def __init__(self, spec: ConvSpec, ops: MessageOps) -> None:
        super().__init__(spec, ops)
        self.lin = nn.Linear(spec.in_channels, spec.out_channels, bias=False)
        self.bias = nn.Parameter(torch.empty(spec.out_channels))

    def forward(self, lowered: Any, h_src: Tensor, h_dst: Tensor) -> Tensor:
        """Features of the destinations, [num_dst, out_channels]."""
        return self.ops.aggregate(lowered, self.lin(h_src), "sum", self.ops.edge_weight(lowered)) + self.bias
