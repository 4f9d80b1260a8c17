"""``GraphConv``."""

from __future__ import annotations

from typing import ClassVar, Mapping

import torch
from torch import Tensor
from torch_geometric import nn as pyg

from gnnkit.backends import NativeConv, aggregates
from gnnkit.nn import ConvSpec
from gnnkit_pyg.block import PygBlock
from gnnkit_pyg.layers.common import sum_dtype


class _GraphConv(pyg.GraphConv):  # type: ignore[misc]
    def message_and_aggregate(self, adj_t, x):  # type: ignore[no-untyped-def]
        """As GCN's: PyG's own has no bfloat16 on the CPU."""
        return torch.sparse.mm(adj_t, x[0].to(adj_t.dtype), "sum")


class GraphConvolution(NativeConv):
    """``GraphConv``, which multiplies by the block's edge weights."""

    names: ClassVar[Mapping[str, str]] = {
        "lin_self.weight": "conv.lin_root.weight",
        "lin_neigh.weight": "conv.lin_rel.weight",
        "bias": "conv.lin_rel.bias",
    }

    def __init__(self, spec: ConvSpec) -> None:
        super().__init__(spec)
        self.conv = _GraphConv(spec.in_channels, spec.out_channels, aggr="add")

    def forward(self, lowered: PygBlock, h_src: Tensor, h_dst: Tensor) -> Tensor:
        """Features of the destinations, [num_dst, out_channels]."""
        weight = self.conv.lin_rel.weight
        if lowered.is_reduced:
            updated: Tensor = self.conv.lin_rel(aggregates(h_src, h_dst)) + self.conv.lin_root(h_dst)
            return updated
        if lowered.use_csr:
            matrix = lowered.csr(sum_dtype(h_src, weight), weighted=True)
            out: Tensor = self.conv((h_src, h_dst), matrix)
        else:
            out = self.conv((h_src.to(weight.dtype), h_dst), lowered.edge_index, lowered.weights(weight.dtype))
        return out
