"""``dgl.nn.GINConv``."""

from __future__ import annotations

from typing import Any, ClassVar, Mapping

from torch import Tensor

from gnnkit.backends import NativeConv, aggregates
from gnnkit.nn import ConvSpec, make_mlp
from gnnkit_dgl.layers.common import native, product_dtype
from gnnkit_dgl.ops import DglOps


class GIN(NativeConv):
    """``dgl.nn.GINConv`` with a fixed epsilon."""

    names: ClassVar[Mapping[str, str]] = {
        f"mlp.{layer}.{parameter}": f"conv.apply_func.{layer}.{parameter}"
        for layer in (0, 2)
        for parameter in ("weight", "bias")
    }

    def __init__(self, spec: ConvSpec) -> None:
        super().__init__(spec)
        self.conv = native("GINConv")(make_mlp(spec), "sum", init_eps=spec.options.eps)
        self._ops = DglOps()

    def forward(self, lowered: Any, h_src: Tensor, h_dst: Tensor) -> Tensor:
        """Features of the destinations, [num_dst, out_channels]."""
        if lowered.is_reduced:
            total = aggregates(h_src, h_dst)
        else:
            dtype = product_dtype(h_src, self.conv.apply_func[0].weight.t())
            total = self._ops.aggregate(lowered, h_src.to(dtype), "sum")
        own = h_dst if self.spec.options.eps == 0 else (1 + self.conv.eps) * h_dst
        updated: Tensor = self.conv.apply_func(total + own)
        return updated
