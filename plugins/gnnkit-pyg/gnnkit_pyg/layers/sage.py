"""``SAGEConv``."""

from __future__ import annotations

from typing import ClassVar, Dict, Mapping, Optional, Tuple

from torch import Tensor
from torch_geometric import nn as pyg

from gnnkit.backends import NativeSAGE, aggregates
from gnnkit.nn import ConvSpec, NativeParameter
from gnnkit_pyg.block import PygBlock
from gnnkit_pyg.layers.common import unweighted


class SAGE(NativeSAGE):
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

    @property
    def matrices(self) -> Tuple[Tensor, Tensor, Optional[Tensor]]:
        """See :class:`NativeSAGE`."""
        return self.conv.lin_r.weight, self.conv.lin_l.weight, self.conv.lin_l.bias

    def by_library(self, lowered: PygBlock, h_src: Tensor, own: Tensor) -> Tensor:
        """See :class:`NativeSAGE`."""
        if lowered.is_reduced:
            return self.normalized(self.conv.lin_l(aggregates(h_src, own)) + self.conv.lin_r(own))
        h_src, graph = unweighted(lowered, h_src, self.conv.lin_l.weight)
        out: Tensor = self.conv((h_src, own), graph)
        return out
