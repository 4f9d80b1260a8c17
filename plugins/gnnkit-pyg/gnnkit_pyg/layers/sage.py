"""``SAGEConv``."""

from __future__ import annotations

from typing import ClassVar, Dict, Mapping

from torch import Tensor
from torch.nn import functional
from torch_geometric import nn as pyg

from gnnkit.backends import NativeConv, aggregates
from gnnkit.nn import ConvSpec, NativeParameter
from gnnkit_pyg.block import PygBlock
from gnnkit_pyg.layers.common import sum_dtype, unweighted


class SAGE(NativeConv):
    """``SAGEConv`` with "mean", or with "max" over projected neighbours."""

    names: ClassVar[Mapping[str, str]] = {
        "lin_self.weight": "conv.lin_r.weight",
        "lin_neigh.weight": "conv.lin_l.weight",
    }

    def __init__(self, spec: ConvSpec) -> None:
        super().__init__(spec)
        self.conv = pyg.SAGEConv(
            spec.in_channels,
            spec.out_channels,
            aggr=spec.options.aggregation,
            normalize=spec.options.normalize,
            project=spec.options.aggregation == "max",
            bias=spec.options.bias,
        )

    @classmethod
    def parameter_map(cls, spec: ConvSpec) -> Dict[str, NativeParameter]:
        """Max-pool has a projection besides, and the bias may be missing."""
        places = super().parameter_map(spec)
        if spec.options.bias:
            places["bias"] = NativeParameter("conv.lin_l.bias")
        if spec.options.aggregation == "max":
            places["lin_pool.weight"] = NativeParameter("conv.lin.weight")
            places["lin_pool.bias"] = NativeParameter("conv.lin.bias")
        return places

    def forward(self, lowered: PygBlock, h_src: Tensor, h_dst: Tensor) -> Tensor:
        """Features of the destinations, [num_dst, out_channels]."""
        conv, options = self.conv, self.spec.options
        if lowered.is_reduced:
            mean = aggregates(h_src, h_dst)
        elif lowered.use_csr and options.aggregation == "mean":
            mean = lowered.reduce(h_src.to(sum_dtype(h_src, conv.lin_l.weight)), "mean")
        else:
            h_src, graph = unweighted(lowered, h_src, conv.lin_l.weight)
            out: Tensor = conv((h_src, h_dst), graph)
            return out
        updated: Tensor = conv.lin_l(mean) + conv.lin_r(h_dst)
        return functional.normalize(updated, dim=-1) if options.normalize else updated
