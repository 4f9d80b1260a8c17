"""``TransformerConv``, which scores every edge, so a list of edges is what it needs."""

from __future__ import annotations

from typing import Dict

from torch import Tensor
from torch_geometric import nn as pyg

from gnnkit.backends import NativeConv
from gnnkit.nn import ConvSpec, NativeParameter
from gnnkit_pyg.block import PygBlock


class Transformer(NativeConv):
    """``TransformerConv``."""

    def __init__(self, spec: ConvSpec) -> None:
        super().__init__(spec)
        self.conv = pyg.TransformerConv(
            spec.in_channels,
            spec.out_channels,
            heads=spec.heads,
            concat=spec.concat,
            beta=spec.options.beta,
            dropout=spec.options.attention_dropout,
            edge_dim=spec.edge_channels,
        )

    @classmethod
    def parameter_map(cls, spec: ConvSpec) -> Dict[str, NativeParameter]:
        """PyG has gnnkit's names."""
        return {name: NativeParameter(f"conv.{name}") for name in spec.parameters}

    def forward(self, lowered: PygBlock, h_src: Tensor, h_dst: Tensor) -> Tensor:
        """Features of the destinations, [num_dst, out_width]."""
        edges = None if self.spec.edge_channels is None else lowered.block.edge_attr
        out: Tensor = self.conv((h_src, h_dst), lowered.edge_index, edges)
        return out
