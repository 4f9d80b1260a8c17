"""PyTorch Geometric's own convolutions, each in a thin module that takes gnnkit's arguments.

Rules: the library's layer is the attribute ``conv`` of its wrapper and does the work; a wrapper hands it the block in
the form that suits it and chooses the dtype of messages. Matrices are multiplied in bfloat16 where autocast says so:

- fed a sparse matrix, messages have the dtype of the products, because torch takes one dtype at a time there and adds
  bfloat16 up in float32;
- fed a list of edges, messages have the dtype of the weights, because adding bfloat16 to bfloat16 one message at a
  time would lose all but the first few hundred neighbours of a node.

Where a block is reduced, there is nothing to add up: a wrapper calls what its layer does after its sum.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, ClassVar, Dict, Mapping, Tuple, Type

import torch
from torch import Tensor, nn
from torch_geometric import nn as pyg

from gnnkit.backends import NativeConv, aggregates
from gnnkit.data import Block
from gnnkit.nn import ConvSpec, NativeParameter
from gnnkit_pyg.block import PygBlock


class _GCNConv(pyg.GCNConv):  # type: ignore[misc]
    def message_and_aggregate(self, adj_t, x):  # type: ignore[no-untyped-def]
        """PyG's own sum by ``torch.sparse.mm`` without a reduction has no bfloat16 on the CPU; this one has."""
        return torch.sparse.mm(adj_t, x.to(adj_t.dtype), "sum")


class _GINConv(pyg.GINConv):  # type: ignore[misc]
    def message_and_aggregate(self, adj_t, x):  # type: ignore[no-untyped-def]
        """See ``_GCNConv``."""
        return torch.sparse.mm(adj_t, x[0], "sum")


def _product_dtype(h: Tensor, weight: Tensor) -> torch.dtype:
    """The dtype that torch gives to a product of features and weights here and now, autocast included."""
    return (h[:0] @ weight.t()).dtype


def _sum_dtype(h: Tensor, weight: Tensor) -> torch.dtype:
    """The dtype of messages to be added up: that of products, or that of the weights.

    The latter where torch would add bfloat16 up in bfloat16, as releases before 2.1 do.
    """
    dtype = _product_dtype(h, weight)
    return dtype if dtype != torch.bfloat16 or _adds_bfloat16_in_float32() else weight.dtype


@lru_cache(maxsize=None)
def _adds_bfloat16_in_float32() -> bool:
    num = 512
    block = Block(torch.tensor([0, num]), torch.arange(num), num)
    row = PygBlock(block, use_csr=True).csr(torch.bfloat16, weighted=False)
    return float(torch.sparse.mm(row, torch.ones(num, 1, dtype=torch.bfloat16), "sum")) == num


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
            out: Tensor = self.conv(h_src, lowered.csr(_sum_dtype(h_src, weight), weighted=True))
            return out
        # A list of edges is taken for a square graph; destinations come first in it, and the others receive nothing.
        out = self.conv(h_src, lowered.edge_index, lowered.weights(weight.dtype))
        return out[: lowered.num_dst]


def _unweighted(lowered: PygBlock, h_src: Tensor, weight: Tensor, *, adds: bool = True) -> Tuple[Tensor, Tensor]:
    """Source features and the graph, in the form and dtype for a layer that ignores edge weights."""
    if lowered.use_csr:
        h_src = h_src.to(_sum_dtype(h_src, weight) if adds else _product_dtype(h_src, weight))
        return h_src, lowered.csr(h_src.dtype, weighted=False)
    return h_src.to(weight.dtype), lowered.edge_index


class SAGE(NativeConv):
    """``SAGEConv`` with "mean", or with "max" over projected neighbours."""

    names: ClassVar[Mapping[str, str]] = {
        "lin_self.weight": "conv.lin_r.weight",
        "lin_neigh.weight": "conv.lin_l.weight",
        "bias": "conv.lin_l.bias",
    }

    def __init__(self, spec: ConvSpec) -> None:
        super().__init__(spec)
        is_pool = spec.aggregation == "max"
        self.conv = pyg.SAGEConv(spec.in_channels, spec.out_channels, aggr=spec.aggregation, project=is_pool)

    @classmethod
    def parameter_map(cls, spec: ConvSpec) -> Dict[str, NativeParameter]:
        """Max-pool has a projection besides."""
        places = super().parameter_map(spec)
        if spec.aggregation == "max":
            places["lin_pool.weight"] = NativeParameter("conv.lin.weight")
            places["lin_pool.bias"] = NativeParameter("conv.lin.bias")
        return places

    def forward(self, lowered: PygBlock, h_src: Tensor, h_dst: Tensor) -> Tensor:
        """Features of the destinations, [num_dst, out_channels]."""
        if lowered.is_reduced:
            updated: Tensor = self.conv.lin_l(aggregates(h_src, h_dst)) + self.conv.lin_r(h_dst)
            return updated
        h_src, graph = _unweighted(lowered, h_src, self.conv.lin_l.weight, adds=self.spec.aggregation != "max")
        out: Tensor = self.conv((h_src, h_dst), graph)
        return out


class GIN(NativeConv):
    """``GINConv`` with a fixed epsilon."""

    names: ClassVar[Mapping[str, str]] = {
        f"mlp.{layer}.{parameter}": f"conv.nn.{layer}.{parameter}"
        for layer in (0, 2)
        for parameter in ("weight", "bias")
    }

    def __init__(self, spec: ConvSpec) -> None:
        super().__init__(spec)
        width = spec.mlp_width
        mlp = nn.Sequential(nn.Linear(spec.in_channels, width), nn.ReLU(), nn.Linear(width, spec.out_channels))
        self.conv = _GINConv(mlp, eps=spec.eps)

    def forward(self, lowered: PygBlock, h_src: Tensor, h_dst: Tensor) -> Tensor:
        """Features of the destinations, [num_dst, out_channels]."""
        if lowered.is_reduced:
            updated: Tensor = self.conv.nn(aggregates(h_src, h_dst) + (1 + self.conv.eps) * h_dst)
            return updated
        h_src, graph = _unweighted(lowered, h_src, self.conv.nn[0].weight)
        out: Tensor = self.conv((h_src, h_dst), graph)
        return out


class _Attention(NativeConv):
    """What both attention layers share. They score every edge, so a list of edges is what they need anyway."""

    native: ClassVar[Any]

    def __init__(self, spec: ConvSpec) -> None:
        super().__init__(spec)
        self.conv = self.native(
            spec.in_channels,
            spec.out_channels,
            heads=spec.heads,
            concat=spec.concat,
            negative_slope=spec.negative_slope,
            dropout=spec.attention_dropout,
            add_self_loops=False,
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
        out: Tensor = self.conv(h_src if is_same else (h_src, h_dst), lowered.edge_index)
        return out


class GAT(_Attention):
    """``GATConv``."""

    native = pyg.GATConv
    names: ClassVar[Mapping[str, str]] = {"att_src": "conv.att_src", "att_dst": "conv.att_dst", "bias": "conv.bias"}

    @classmethod
    def parameter_map(cls, spec: ConvSpec) -> Dict[str, NativeParameter]:
        """PyG before 2.6 calls the matrix that both sides share by the name of the source's."""
        return {"lin.weight": NativeParameter(f"conv.{_gat_linear()}.weight"), **super().parameter_map(spec)}


@lru_cache(maxsize=None)
def _gat_linear() -> str:
    return "lin" if isinstance(getattr(pyg.GATConv(1, 1), "lin", None), nn.Module) else "lin_src"


class GATv2(_Attention):
    """``GATv2Conv``."""

    native = pyg.GATv2Conv
    names: ClassVar[Mapping[str, str]] = {
        "lin_src.weight": "conv.lin_l.weight",
        "lin_src.bias": "conv.lin_l.bias",
        "lin_dst.weight": "conv.lin_r.weight",
        "lin_dst.bias": "conv.lin_r.bias",
        "att": "conv.att",
        "bias": "conv.bias",
    }


LAYERS: Mapping[str, Type[NativeConv]] = {"gcn": GCN, "sage": SAGE, "gat": GAT, "gatv2": GATv2, "gin": GIN}
"""The wrapper of each kind of convolution."""
