"""``dgl.nn.GINEConv``."""

from __future__ import annotations

from typing import Any, ClassVar, Mapping

from torch import Tensor, nn

from gnnkit.backends import NativeConv
from gnnkit.nn import ConvSpec, make_mlp
from gnnkit_dgl.layers.common import native


class GINE(NativeConv):
    """``dgl.nn.GINEConv`` with a fixed epsilon; it wants edge features as wide as a node's, so they are made so."""

    names: ClassVar[Mapping[str, str]] = {
        **{
            f"mlp.{layer}.{parameter}": f"conv.apply_func.{layer}.{parameter}"
            for layer in (0, 2)
            for parameter in ("weight", "bias")
        },
        "lin_edge.weight": "lin_edge.weight",
        "lin_edge.bias": "lin_edge.bias",
    }

    def __init__(self, spec: ConvSpec) -> None:
        super().__init__(spec)
        assert spec.edge_channels is not None, "a model without edge features is refused"
        self.lin_edge = nn.Linear(spec.edge_channels, spec.in_channels)
        self.conv = native("GINEConv")(make_mlp(spec), init_eps=spec.options.eps)

    def forward(self, lowered: Any, h_src: Tensor, h_dst: Tensor) -> Tensor:
        """Features of the destinations, [num_dst, out_channels]."""
        edges = self.lin_edge(lowered.edata["attr"])
        # DGL takes one dtype at a time, and under autocast the product has another than the features.
        out: Tensor = self.conv(lowered, (h_src.to(edges.dtype), h_dst), edges)
        return out
