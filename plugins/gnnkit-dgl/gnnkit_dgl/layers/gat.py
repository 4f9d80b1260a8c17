"""``dgl.nn.GATConv``."""

from __future__ import annotations

from typing import ClassVar, Mapping

from torch import Tensor

from gnnkit_dgl.block import DglBlock
from gnnkit_dgl.layers.attention import Attention


class GAT(Attention):
    """``dgl.nn.GATConv``."""

    layer = "GATConv"
    has_linear_bias = False
    names: ClassVar[Mapping[str, str]] = {
        "lin.weight": "conv.fc.weight",
        "att_src": "conv.attn_l",
        "att_dst": "conv.attn_r",
        "bias": "bias",
    }

    def forward(self, lowered: DglBlock, h_src: Tensor, h_dst: Tensor) -> Tensor:
        """Features of the destinations, [num_dst, out_width]."""
        # Given one tensor, GATConv takes the block's destinations from the front of the transformed sources instead of
        # transforming them again, which on a whole graph halves the work.
        is_front = h_dst.data_ptr() == h_src.data_ptr() and h_dst.stride() == h_src.stride()
        return self.join_heads(self.conv(lowered.native, h_src if is_front else (h_src, h_dst)))
