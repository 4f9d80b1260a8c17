"""``dgl.nn.GINConv``."""

from __future__ import annotations

from typing import ClassVar, Mapping, Optional

from torch import Tensor

from gnnkit.backends import NativeConv, aggregates, product_dtype, sum_dtype
from gnnkit.nn import ConvSpec, make_mlp
from gnnkit_dgl.block import DglBlock
from gnnkit_dgl.layers.common import native
from gnnkit_dgl.ops import DglOps


class GIN(NativeConv):
    """``dgl.nn.GINConv`` with a fixed epsilon."""

    names: ClassVar[Mapping[str, str]] = {
        f"mlp.{layer}.{parameter}": f"conv.apply_func.{layer}.{parameter}"
        for layer in (0, 2)
        for parameter in ("weight", "bias")
    }

    finds_own: ClassVar[bool] = True

    def __init__(self, spec: ConvSpec) -> None:
        super().__init__(spec)
        self.conv = native("GINConv")(make_mlp(spec), "sum", init_eps=spec.options.eps)
        self._ops = DglOps()

    def forward(self, lowered: DglBlock, h_src: Tensor, h_dst: Optional[Tensor]) -> Tensor:
        """Features of the destinations, [num_dst, out_channels]."""
        factor, weight = 1 + self.spec.options.eps, self.conv.apply_func[0].weight
        if lowered.sums is not None and h_dst is None:
            total = lowered.sums.reduce(h_src.to(sum_dtype(h_src, weight)), own=factor)
            return self.conv.apply_func(total)  # type: ignore[no-any-return]
        own = h_src[: lowered.block.num_dst] if h_dst is None else h_dst
        if lowered.is_reduced:
            total = aggregates(h_src, own)
        else:
            total = self._ops.aggregate(lowered, h_src.to(product_dtype(h_src, weight)), "sum")
        return self.conv.apply_func(total + (own if factor == 1 else factor * own))  # type: ignore[no-any-return]
