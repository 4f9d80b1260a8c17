"""``GraphConv``."""

from __future__ import annotations

from typing import ClassVar, Mapping, Optional

from torch import Tensor
from torch_geometric import nn as pyg

from gnnkit.backends import NativeConv, aggregates
from gnnkit.nn import ConvSpec, activated
from gnnkit_pyg.block import PygBlock


class GraphConvolution(NativeConv):
    """``GraphConv``, which multiplies by the block's edge weights."""

    names: ClassVar[Mapping[str, str]] = {
        "lin_self.weight": "conv.lin_root.weight",
        "lin_neigh.weight": "conv.lin_rel.weight",
        "bias": "conv.lin_rel.bias",
    }

    finds_own: ClassVar[bool] = True
    activates: ClassVar[bool] = True

    def __init__(self, spec: ConvSpec) -> None:
        super().__init__(spec)
        self.conv = pyg.GraphConv(spec.in_channels, spec.out_channels, aggr="add")

    def forward(
        self, lowered: PygBlock, h_src: Tensor, h_dst: Optional[Tensor], activation: Optional[str] = None
    ) -> Tensor:
        """Features of the destinations, [num_dst, out_channels]."""
        rel, root = self.conv.lin_rel, self.conv.lin_root
        if lowered.sums is not None:
            matrices = (root.weight, rel.weight, rel.bias)
            return lowered.sums.affine(h_src, h_dst, *matrices, "sum", weighted=True, activation=activation)
        own = h_src[: lowered.num_dst] if h_dst is None else h_dst
        if lowered.is_reduced:
            out = rel(aggregates(h_src, own)) + root(own)
        else:
            dtype = rel.weight.dtype
            out = self.conv((h_src.to(dtype), own), lowered.edge_index, lowered.weights(dtype))
        return activated(out, activation)
