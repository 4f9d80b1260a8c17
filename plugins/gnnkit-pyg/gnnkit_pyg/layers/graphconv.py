"""``GraphConv``."""

from __future__ import annotations

from typing import ClassVar, Mapping

from torch import Tensor
from torch_geometric import nn as pyg

from gnnkit.backends import NativeConv, aggregates
from gnnkit.nn import ConvSpec
from gnnkit_pyg.block import PygBlock
from gnnkit_pyg.layers.common import sum_dtype


class GraphConvolution(NativeConv):
    """``GraphConv``, which multiplies by the block's edge weights."""

    names: ClassVar[Mapping[str, str]] = {
        "lin_self.weight": "conv.lin_root.weight",
        "lin_neigh.weight": "conv.lin_rel.weight",
        "bias": "conv.lin_rel.bias",
    }

    def __init__(self, spec: ConvSpec) -> None:
        super().__init__(spec)
        self.conv = pyg.GraphConv(spec.in_channels, spec.out_channels, aggr="add")

    def forward(self, lowered: PygBlock, h_src: Tensor, h_dst: Tensor) -> Tensor:
        """Features of the destinations, [num_dst, out_channels]."""
        conv, weight = self.conv, self.conv.lin_rel.weight
        if lowered.is_reduced:
            total = aggregates(h_src, h_dst)
        elif lowered.use_csr:
            total = lowered.reduce(h_src.to(sum_dtype(h_src, weight)), weighted=True)
        else:
            out: Tensor = conv((h_src.to(weight.dtype), h_dst), lowered.edge_index, lowered.weights(weight.dtype))
            return out
        updated: Tensor = conv.lin_rel(total) + conv.lin_root(h_dst)
        return updated
