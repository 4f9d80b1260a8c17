"""``GINConv``."""

from __future__ import annotations

from typing import ClassVar, Mapping

from torch import Tensor
from torch_geometric import nn as pyg

from gnnkit.backends import NativeConv, aggregates
from gnnkit.nn import ConvSpec, make_mlp
from gnnkit_pyg.block import PygBlock
from gnnkit_pyg.layers.common import sum_dtype


class GIN(NativeConv):
    """``GINConv`` with a fixed epsilon."""

    names: ClassVar[Mapping[str, str]] = {
        f"mlp.{layer}.{parameter}": f"conv.nn.{layer}.{parameter}"
        for layer in (0, 2)
        for parameter in ("weight", "bias")
    }

    def __init__(self, spec: ConvSpec) -> None:
        super().__init__(spec)
        self.conv = pyg.GINConv(make_mlp(spec), eps=spec.options.eps)

    def forward(self, lowered: PygBlock, h_src: Tensor, h_dst: Tensor) -> Tensor:
        """Features of the destinations, [num_dst, out_channels]."""
        if lowered.is_reduced:
            total = aggregates(h_src, h_dst)
        elif lowered.use_csr:
            total = lowered.reduce(h_src.to(sum_dtype(h_src, self.conv.nn[0].weight)))
        else:
            out: Tensor = self.conv((h_src.to(self.conv.nn[0].weight.dtype), h_dst), lowered.edge_index)
            return out
        own = h_dst if self.spec.options.eps == 0 else (1 + self.conv.eps) * h_dst
        updated: Tensor = self.conv.nn(total + own)
        return updated
