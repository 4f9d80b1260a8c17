"""``dgl.nn.GINEConv``."""

from __future__ import annotations

from typing import ClassVar, Mapping

from torch import Tensor, nn

from gnnkit.backends import NativeConv
from gnnkit.nn import ConvSpec, make_mlp, mlp_places
from gnnkit_dgl.block import DglBlock
from gnnkit_dgl.layers.common import native


class GINE(NativeConv):
    """``dgl.nn.GINEConv`` with a fixed epsilon; it wants edge features as wide as a node's, so they are made so."""

    names: ClassVar[Mapping[str, str]] = {
        **mlp_places("conv.apply_func"),
        "lin_edge.weight": "lin_edge.weight",
        "lin_edge.bias": "lin_edge.bias",
    }

    def __init__(self, spec: ConvSpec) -> None:
        super().__init__(spec)
        assert spec.edge_channels is not None, "a model without edge features is refused"
        self.lin_edge = nn.Linear(spec.edge_channels, spec.in_channels)
        self.conv = native("GINEConv")(make_mlp(spec), init_eps=spec.options.eps)

    def forward(self, lowered: DglBlock, h_src: Tensor, h_dst: Tensor) -> Tensor:
        """Features of the destinations, [num_dst, out_channels]."""
        if lowered.block.num_edges == 0:
            # DGL warns of messages over no edges, whose sum is 0.
            own: Tensor = self.conv.apply_func((1 + self.conv.eps) * h_dst)
            return own
        edges = self.lin_edge(lowered.native.edata["attr"])
        # DGL takes one dtype at a time, and under autocast the product has another than the features.
        out: Tensor = self.conv(lowered.native, (h_src.to(edges.dtype), h_dst), edges)
        return out
