"""``GINConv``."""

from __future__ import annotations

from typing import ClassVar, Mapping, Optional

from torch import Tensor, nn
from torch_geometric import nn as pyg

from gnnkit.backends import NativeGIN, sum_dtype
from gnnkit.nn import ConvSpec, make_mlp, mlp_places
from gnnkit_pyg.block import PygBlock


class GIN(NativeGIN):
    """``GINConv`` with a fixed epsilon."""

    names: ClassVar[Mapping[str, str]] = mlp_places("conv.nn")

    def __init__(self, spec: ConvSpec) -> None:
        super().__init__(spec)
        self.conv = pyg.GINConv(make_mlp(spec), eps=spec.options.eps)

    @property
    def mlp(self) -> nn.Sequential:
        """See :class:`NativeGIN`."""
        return self.conv.nn  # type: ignore[no-any-return]

    def forward(self, lowered: PygBlock, h_src: Tensor, h_dst: Optional[Tensor]) -> Tensor:
        """Features of the destinations, [num_dst, out_channels]."""
        if lowered.sums is not None or lowered.is_reduced:
            return super().forward(lowered, h_src, h_dst)
        own = h_src[: lowered.num_dst] if h_dst is None else h_dst
        out: Tensor = self.conv((h_src.to(self.conv.nn[0].weight.dtype), own), lowered.edge_index)
        return out

    def neighbors(self, lowered: PygBlock, h_src: Tensor, weight: Tensor) -> Tensor:
        """See :class:`NativeGIN`."""
        assert lowered.sums is not None, "lists of edges are the library's own"
        return lowered.sums.reduce(h_src.to(sum_dtype(h_src, weight)))
