"""What ``GATConv`` and ``GATv2Conv`` share."""

from __future__ import annotations

from typing import Any, ClassVar, Dict

from torch import Tensor

from gnnkit.backends import NativeConv
from gnnkit.nn import ConvSpec, NativeParameter
from gnnkit_pyg.block import PygBlock


class Attention(NativeConv):
    """What both attention layers share. They score every edge, so a list of edges is what they need anyway."""

    native: ClassVar[Any]

    def __init__(self, spec: ConvSpec) -> None:
        super().__init__(spec)
        self.conv = self.native(
            spec.in_channels,
            spec.out_channels,
            heads=spec.heads,
            concat=spec.concat,
            negative_slope=spec.options.negative_slope,
            dropout=spec.options.attention_dropout,
            add_self_loops=False,
            edge_dim=spec.edge_channels,
        )

    @classmethod
    def parameter_map(cls, spec: ConvSpec) -> Dict[str, NativeParameter]:
        """PyG keeps the attention vectors as [1, heads, out]."""
        shape = (1, spec.heads, spec.out_channels)
        return {
            name: NativeParameter(native, shape=shape if name.startswith("att") else None)
            for name, native in cls.names.items()
        }

    def forward(self, lowered: PygBlock, h_src: Tensor, h_dst: Tensor) -> Tensor:
        """Features of the destinations, [num_dst, out_width]."""
        # Given one tensor instead of two, GATConv transforms it once; on a whole graph that halves the work. Targets
        # come first among the sources, so where there are as many they are the same; no address tells a compiler that.
        is_same = h_src.shape == h_dst.shape
        edges = None if self.spec.edge_channels is None else lowered.block.edge_attr
        out: Tensor = self.conv(h_src if is_same else (h_src, h_dst), lowered.edge_index, edges)
        return out
