"""``dgl.nn.GINConv``."""

from __future__ import annotations

from typing import ClassVar, Mapping

from torch import Tensor, nn

from gnnkit.backends import NativeGIN, product_dtype
from gnnkit.nn import ConvSpec, make_mlp, mlp_places
from gnnkit_dgl.block import DglBlock
from gnnkit_dgl.layers.common import native
from gnnkit_dgl.ops import DglOps


class GIN(NativeGIN):
    """``dgl.nn.GINConv`` with a fixed epsilon."""

    names: ClassVar[Mapping[str, str]] = mlp_places("conv.apply_func")

    def __init__(self, spec: ConvSpec) -> None:
        super().__init__(spec)
        self.conv = native("GINConv")(make_mlp(spec), "sum", init_eps=spec.options.eps)
        self._ops = DglOps()

    @property
    def mlp(self) -> nn.Sequential:
        """See :class:`NativeGIN`."""
        return self.conv.apply_func  # type: ignore[no-any-return]

    def neighbors(self, lowered: DglBlock, h_src: Tensor, weight: Tensor) -> Tensor:
        """See :class:`NativeGIN`."""
        return self._ops.aggregate(lowered, h_src.to(product_dtype(h_src, weight)), "sum")
