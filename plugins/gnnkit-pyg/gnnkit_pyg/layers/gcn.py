"""``GCNConv``."""

from __future__ import annotations

from typing import ClassVar, Mapping

import torch
from torch import Tensor
from torch_geometric import nn as pyg

from gnnkit.backends import NativeConv, aggregates
from gnnkit.nn import ConvSpec
from gnnkit_pyg.block import PygBlock
from gnnkit_pyg.layers.common import sum_dtype


class _GCNConv(pyg.GCNConv):  # type: ignore[misc]
    def message_and_aggregate(self, adj_t, x):  # type: ignore[no-untyped-def]
        """PyG's own sum by ``torch.sparse.mm`` without a reduction has no bfloat16 on the CPU; this one has."""
        return torch.sparse.mm(adj_t, x.to(adj_t.dtype), "sum")


class GCN(NativeConv):
    """``GCNConv`` without its own normalisation and self-loops: the block carries both."""

    names: ClassVar[Mapping[str, str]] = {"lin.weight": "conv.lin.weight", "bias": "conv.bias"}

    def __init__(self, spec: ConvSpec) -> None:
        super().__init__(spec)
        self.conv = _GCNConv(spec.in_channels, spec.out_channels, normalize=False, add_self_loops=False)

    def forward(self, lowered: PygBlock, h_src: Tensor, h_dst: Tensor) -> Tensor:
        """Features of the destinations, [num_dst, out_channels]."""
        weight = self.conv.lin.weight
        if lowered.is_reduced:
            updated: Tensor = self.conv.lin(aggregates(h_src, h_dst)) + self.conv.bias
            return updated
        if lowered.use_csr:
            # GCNConv says that it takes no bipartite graph, but a matrix of unequal sides says its own sizes.
            out: Tensor = self.conv(h_src, lowered.csr(sum_dtype(h_src, weight), weighted=True))
            return out
        # A list of edges is taken for a square graph; destinations come first in it, and the others receive nothing.
        out = self.conv(h_src, lowered.edge_index, lowered.weights(weight.dtype))
        return out[: lowered.num_dst]
