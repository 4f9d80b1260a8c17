"""``SAGEConv``."""

from __future__ import annotations

from typing import ClassVar, Dict, Mapping, Optional

from torch import Tensor
from torch.nn import functional
from torch_geometric import nn as pyg

from gnnkit.backends import NativeConv, aggregates
from gnnkit.nn import ConvSpec, NativeParameter, activated
from gnnkit_pyg.block import PygBlock
from gnnkit_pyg.layers.common import unweighted


class SAGE(NativeConv):
    """``SAGEConv`` with "mean", or with "max" over projected neighbours."""

    names: ClassVar[Mapping[str, str]] = {
        "lin_self.weight": "conv.lin_r.weight",
        "lin_neigh.weight": "conv.lin_l.weight",
    }

    finds_own: ClassVar[bool] = True
    activates: ClassVar[bool] = True

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

    def forward(
        self, lowered: PygBlock, h_src: Tensor, h_dst: Optional[Tensor], activation: Optional[str] = None
    ) -> Tensor:
        """Features of the destinations, [num_dst, out_channels]."""
        conv, sums = self.conv, lowered.sums
        if sums is not None and self.spec.options.aggregation == "mean":
            matrices = (conv.lin_r.weight, conv.lin_l.weight, conv.lin_l.bias)
            if not self.spec.options.normalize:
                return sums.affine(h_src, h_dst, *matrices, "mean", activation=activation)
            return activated(functional.normalize(sums.affine(h_src, h_dst, *matrices, "mean"), dim=-1), activation)
        own = h_src[: lowered.num_dst] if h_dst is None else h_dst
        if lowered.is_reduced:
            out = conv.lin_l(aggregates(h_src, own)) + conv.lin_r(own)
            out = functional.normalize(out, dim=-1) if self.spec.options.normalize else out
        else:
            h_src, graph = unweighted(lowered, h_src, conv.lin_l.weight)
            out = conv((h_src, own), graph)
        return activated(out, activation)
