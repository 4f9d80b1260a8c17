"""``GINEConv``, which scores every edge, so a list of edges is what it needs."""

from __future__ import annotations

from typing import ClassVar, Mapping

from torch import Tensor
from torch_geometric import nn as pyg

from gnnkit.backends import NativeConv
from gnnkit.nn import ConvSpec, make_mlp, mlp_places
from gnnkit_pyg.block import PygBlock


class GINE(NativeConv):
    """``GINEConv`` with a fixed epsilon."""

    names: ClassVar[Mapping[str, str]] = {
        **mlp_places("conv.nn"),
        "lin_edge.weight": "conv.lin.weight",
        "lin_edge.bias": "conv.lin.bias",
    }

    def __init__(self, spec: ConvSpec) -> None:
        super().__init__(spec)
        self.conv = pyg.GINEConv(make_mlp(spec), eps=spec.options.eps, edge_dim=spec.edge_channels)

    def forward(self, lowered: PygBlock, h_src: Tensor, h_dst: Tensor) -> Tensor:
        """Features of the destinations, [num_dst, out_channels]."""
        h_src = h_src.to(self.conv.lin.weight.dtype)
        out: Tensor = self.conv((h_src, h_dst), lowered.edge_index, lowered.block.edge_attr)
        return out
