"""``GCNConv``."""

from __future__ import annotations

from typing import ClassVar, Mapping

from torch import Tensor
from torch_geometric import nn as pyg

from gnnkit.backends import NativeConv, aggregates, sum_dtype
from gnnkit.nn import ConvSpec
from gnnkit_pyg.block import PygBlock


class GCN(NativeConv):
    """``GCNConv`` without its own normalisation and self-loops: the block carries both."""

    names: ClassVar[Mapping[str, str]] = {"lin.weight": "conv.lin.weight", "bias": "conv.bias"}

    def __init__(self, spec: ConvSpec) -> None:
        super().__init__(spec)
        self.conv = pyg.GCNConv(spec.in_channels, spec.out_channels, normalize=False, add_self_loops=False)

    def forward(self, lowered: PygBlock, h_src: Tensor, h_dst: Tensor) -> Tensor:
        """Features of the destinations, [num_dst, out_channels]."""
        conv, weight = self.conv, self.conv.lin.weight
        if lowered.is_reduced:
            updated: Tensor = conv.lin(aggregates(h_src, h_dst)) + conv.bias
            return updated
        if lowered.sums is not None:
            dtype = sum_dtype(h_src, weight)
            total: Tensor = lowered.sums.reduce(conv.lin(h_src).to(dtype), weighted=True) + conv.bias
            return total
        # A list of edges is taken for a square graph; destinations come first in it, and the others receive nothing.
        out: Tensor = conv(h_src, lowered.edge_index, lowered.weights(weight.dtype))
        return out[: lowered.num_dst]
