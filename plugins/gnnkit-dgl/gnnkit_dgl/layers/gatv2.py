"""``dgl.nn.GATv2Conv``."""

from __future__ import annotations

from typing import ClassVar, Mapping

from torch import Tensor

from gnnkit_dgl.block import DglBlock
from gnnkit_dgl.layers.attention import Attention


class GATv2(Attention):
    """``dgl.nn.GATv2Conv``."""

    layer = "GATv2Conv"
    has_linear_bias = True
    names: ClassVar[Mapping[str, str]] = {
        "lin_src.weight": "conv.fc_src.weight",
        "lin_src.bias": "conv.fc_src.bias",
        "lin_dst.weight": "conv.fc_dst.weight",
        "lin_dst.bias": "conv.fc_dst.bias",
        "att": "conv.attn",
        "bias": "bias",
    }

    def forward(self, lowered: DglBlock, h_src: Tensor, h_dst: Tensor) -> Tensor:
        """Features of the destinations, [num_dst, out_width]."""
        return self.join_heads(self.conv(lowered.native, (h_src, h_dst)))
