"""``dgl.nn.GraphConv``."""

from __future__ import annotations

from typing import ClassVar, Dict, Mapping

from torch import Tensor

from gnnkit.backends import NativeConv, aggregates, product_dtype, sum_dtype
from gnnkit.nn import ConvSpec, NativeParameter
from gnnkit_dgl.block import DglBlock
from gnnkit_dgl.layers.common import native


class GCN(NativeConv):
    """``dgl.nn.GraphConv`` without its own normalisation: the block's edge weights carry it."""

    names: ClassVar[Mapping[str, str]] = {"bias": "conv.bias"}

    def __init__(self, spec: ConvSpec) -> None:
        super().__init__(spec)
        self.conv = native("GraphConv")(spec.in_channels, spec.out_channels, norm="none", allow_zero_in_degree=True)

    @classmethod
    def parameter_map(cls, spec: ConvSpec) -> Dict[str, NativeParameter]:
        """DGL stores the matrix as [in, out]."""
        return {"lin.weight": NativeParameter("conv.weight", transpose=True), **super().parameter_map(spec)}

    def forward(self, lowered: DglBlock, h_src: Tensor, h_dst: Tensor) -> Tensor:
        """Features of the destinations, [num_dst, out_channels]."""
        matrix, bias = self.conv.weight, self.conv.bias
        if lowered.is_reduced:
            updated: Tensor = aggregates(h_src, h_dst) @ matrix + bias
            return updated
        if lowered.sums is not None:
            projected = h_src @ matrix
            total: Tensor = lowered.sums.reduce(projected.to(sum_dtype(h_src, matrix.t())), weighted=True) + bias
            return total
        weight = lowered.block.edge_weight
        if weight is not None:
            # GraphConv multiplies by its matrix before it aggregates if that makes the messages narrower.
            is_product = self.spec.in_channels > self.spec.out_channels
            weight = weight.to(product_dtype(h_src, matrix.t()) if is_product else h_src.dtype)
        out: Tensor = self.conv(lowered.native, (h_src, h_dst), edge_weight=weight)
        return out
