"""Morris et al., 2019, "Weisfeiler and Leman go neural: Higher-order graph neural networks"."""

from __future__ import annotations

from typing import Any, Dict, Mapping, Optional

import torch
from torch import Tensor, nn

from gnnkit.data import Block
from gnnkit.nn.convs.base import Convolution, ConvSpec, ParameterSpec, ReferenceConv
from gnnkit.nn.convs.dense import adjacency
from gnnkit.nn.message_passing import MessageOps


class GraphConvolution(Convolution):
    """W_self h_v + W_neigh sum w_uv h_u + b; the weights w are those of the data, 1 where they have none."""

    name = "graphconv"
    reads_weights = True

    def reduces_first(self, options: Any) -> Optional[str]:
        """See :class:`Convolution`."""
        return "weighted_sum"

    def is_affine(self, options: Any) -> bool:
        """See :class:`Convolution`."""
        return True

    def parameters(self, spec: ConvSpec) -> Dict[str, ParameterSpec]:
        """See :class:`Convolution`."""
        return {
            "lin_self.weight": ParameterSpec((spec.out_channels, spec.in_channels)),
            "lin_neigh.weight": ParameterSpec((spec.out_channels, spec.in_channels)),
            "bias": ParameterSpec((spec.out_channels,), "zeros"),
        }

    def dense(self, spec: ConvSpec, p: Mapping[str, Tensor], block: Block, h: Tensor) -> Tensor:
        """See :class:`Convolution`."""
        neighbours = adjacency(block, weighted=True) @ h
        return h[: block.num_dst] @ p["lin_self.weight"].T + neighbours @ p["lin_neigh.weight"].T + p["bias"]

    def reference(self, spec: ConvSpec, ops: MessageOps) -> ReferenceConv:
        """See :class:`Convolution`."""
        return GraphConv(spec, ops)


class GraphConv(ReferenceConv):
    """See :class:`GraphConvolution`."""

    def __init__(self, spec: ConvSpec, ops: MessageOps) -> None:
        super().__init__(spec, ops)
        self.lin_self = nn.Linear(spec.in_channels, spec.out_channels, bias=False)
        self.lin_neigh = nn.Linear(spec.in_channels, spec.out_channels, bias=False)
        self.bias = nn.Parameter(torch.empty(spec.out_channels))

    def forward(self, lowered: Any, h_src: Tensor, h_dst: Tensor) -> Tensor:
        """Features of the destinations, [num_dst, out_channels]."""
        weight = self.ops.edge_weight(lowered)
        neighbours = self.reduced_product(lowered, h_src, h_dst, self.lin_neigh, "sum", weight)
        out: Tensor = self.lin_self(h_dst) + neighbours + self.bias
        return out
