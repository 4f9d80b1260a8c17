"""``GINConv``."""

from __future__ import annotations

from typing import ClassVar, Mapping, Optional

from torch import Tensor
from torch_geometric import nn as pyg

from gnnkit.backends import NativeConv, aggregates, sum_dtype
from gnnkit.nn import ConvSpec, make_mlp
from gnnkit_pyg.block import PygBlock


class GIN(NativeConv):
    """``GINConv`` with a fixed epsilon."""

    names: ClassVar[Mapping[str, str]] = {
        f"mlp.{layer}.{parameter}": f"conv.nn.{layer}.{parameter}"
        for layer in (0, 2)
        for parameter in ("weight", "bias")
    }

    finds_own: ClassVar[bool] = True

    def __init__(self, spec: ConvSpec) -> None:
        super().__init__(spec)
        self.conv = pyg.GINConv(make_mlp(spec), eps=spec.options.eps)

    def forward(self, lowered: PygBlock, h_src: Tensor, h_dst: Optional[Tensor]) -> Tensor:
        """Features of the destinations, [num_dst, out_channels]."""
        factor, weight = 1 + self.spec.options.eps, self.conv.nn[0].weight
        if lowered.sums is not None and h_dst is None:
            total = lowered.sums.reduce(h_src.to(sum_dtype(h_src, weight)), own=factor)
            return self.conv.nn(total)  # type: ignore[no-any-return]
        own = h_src[: lowered.num_dst] if h_dst is None else h_dst
        if lowered.is_reduced:
            total = aggregates(h_src, own)
        elif lowered.sums is not None:
            total = lowered.sums.reduce(h_src.to(sum_dtype(h_src, weight)))
        else:
            out: Tensor = self.conv((h_src.to(weight.dtype), own), lowered.edge_index)
            return out
        return self.conv.nn(total + (own if factor == 1 else factor * own))  # type: ignore[no-any-return]
