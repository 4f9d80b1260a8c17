"""``GINConv``."""

from __future__ import annotations

from typing import ClassVar, Mapping

import torch
from torch import Tensor
from torch_geometric import nn as pyg

from gnnkit.backends import NativeConv, aggregates
from gnnkit.nn import ConvSpec, make_mlp
from gnnkit_pyg.block import PygBlock
from gnnkit_pyg.layers.common import unweighted


class _GINConv(pyg.GINConv):  # type: ignore[misc]
    def message_and_aggregate(self, adj_t, x):  # type: ignore[no-untyped-def]
        """As GCN's: PyG's own has no bfloat16 on the CPU."""
        return torch.sparse.mm(adj_t, x[0], "sum")


class GIN(NativeConv):
    """``GINConv`` with a fixed epsilon."""

    names: ClassVar[Mapping[str, str]] = {
        f"mlp.{layer}.{parameter}": f"conv.nn.{layer}.{parameter}"
        for layer in (0, 2)
        for parameter in ("weight", "bias")
    }

    def __init__(self, spec: ConvSpec) -> None:
        super().__init__(spec)
        self.conv = _GINConv(make_mlp(spec), eps=spec.options.eps)

    def forward(self, lowered: PygBlock, h_src: Tensor, h_dst: Tensor) -> Tensor:
        """Features of the destinations, [num_dst, out_channels]."""
        if lowered.is_reduced:
            updated: Tensor = self.conv.nn(aggregates(h_src, h_dst) + (1 + self.conv.eps) * h_dst)
            return updated
        h_src, graph = unweighted(lowered, h_src, self.conv.nn[0].weight)
        out: Tensor = self.conv((h_src, h_dst), graph)
        return out
