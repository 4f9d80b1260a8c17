"""``dgl.nn.SAGEConv``."""

from __future__ import annotations

from functools import partial
from typing import ClassVar, Dict, Mapping, Optional

from torch import Tensor
from torch.nn import functional

from gnnkit.backends import NativeConv, aggregates, product_dtype
from gnnkit.nn import ConvSpec, NativeParameter, activated
from gnnkit_dgl.block import DglBlock
from gnnkit_dgl.layers.common import native


class SAGE(NativeConv):
    """``dgl.nn.SAGEConv`` with "mean" or "pool"."""

    names: ClassVar[Mapping[str, str]] = {
        "lin_self.weight": "conv.fc_self.weight",
        "lin_neigh.weight": "conv.fc_neigh.weight",
    }

    finds_own: ClassVar[bool] = True
    activates: ClassVar[bool] = True

    def __init__(self, spec: ConvSpec) -> None:
        super().__init__(spec)
        options = spec.options
        self.conv = native("SAGEConv")(
            spec.in_channels,
            spec.out_channels,
            {"mean": "mean", "max": "pool"}[options.aggregation],
            bias=options.bias,
            norm=partial(functional.normalize, dim=-1) if options.normalize else None,
        )

    @classmethod
    def parameter_map(cls, spec: ConvSpec) -> Dict[str, NativeParameter]:
        """DGL keeps the bias in the matrix of the destinations."""
        names = super().parameter_map(spec)
        if spec.options.bias:
            names["bias"] = NativeParameter("conv.fc_self.bias")
        if spec.options.aggregation == "max":
            names["lin_pool.weight"] = NativeParameter("conv.fc_pool.weight")
            names["lin_pool.bias"] = NativeParameter("conv.fc_pool.bias")
        return names

    def forward(
        self, lowered: DglBlock, h_src: Tensor, h_dst: Optional[Tensor], activation: Optional[str] = None
    ) -> Tensor:
        """Features of the destinations, [num_dst, out_channels]."""
        conv, sums = self.conv, lowered.sums
        if sums is not None and self.spec.options.aggregation == "mean":
            matrices = (conv.fc_self.weight, conv.fc_neigh.weight, conv.fc_self.bias)
            if not self.spec.options.normalize:
                return sums.affine(h_src, h_dst, *matrices, "mean", activation=activation)
            return activated(self.normalized(sums.affine(h_src, h_dst, *matrices, "mean")), activation)
        own = h_src[: lowered.block.num_dst] if h_dst is None else h_dst
        return activated(self.by_library(lowered, h_src, own), activation)

    def by_library(self, lowered: DglBlock, h_src: Tensor, own: Tensor) -> Tensor:
        """The same by DGL's layer, or by its linear layers where there is nothing for it to add up.

        Args:
            lowered: The lowered block.
            h_src: Features of the sources. Shape [num_src, F].
            own: Features of the destinations. Shape [num_dst, F].
        """
        conv = self.conv
        if lowered.is_reduced:
            return self.normalized(conv.fc_self(own) + conv.fc_neigh(aggregates(h_src, own)))
        if lowered.block.num_edges == 0:
            # DGL's gradient of a maximum over no edges at all falls to source 0.
            return self.normalized(conv.fc_self(own))
        # Messages in bfloat16 where the products are: DGL adds them up in float32, twice as fast as float32 messages.
        h_src = h_src.to(product_dtype(h_src, conv.fc_neigh.weight))
        out: Tensor = conv(lowered.native, (h_src, own))
        return out

    def normalized(self, out: Tensor) -> Tensor:
        """Outputs divided by their norms, where the convolution says so."""
        return functional.normalize(out, dim=-1) if self.spec.options.normalize else out
