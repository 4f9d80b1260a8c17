"""``dgl.nn.SAGEConv``."""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar, Dict, Mapping

from torch import Tensor
from torch.nn import functional

from gnnkit.backends import NativeConv, aggregates
from gnnkit.nn import ConvSpec, NativeParameter
from gnnkit_dgl.layers.common import native, product_dtype


class SAGE(NativeConv):
    """``dgl.nn.SAGEConv`` with "mean" or "pool"."""

    names: ClassVar[Mapping[str, str]] = {
        "lin_self.weight": "conv.fc_self.weight",
        "lin_neigh.weight": "conv.fc_neigh.weight",
    }

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

    def forward(self, lowered: Any, h_src: Tensor, h_dst: Tensor) -> Tensor:
        """Features of the destinations, [num_dst, out_channels]."""
        if lowered.is_reduced:
            updated: Tensor = self.conv.fc_self(h_dst) + self.conv.fc_neigh(aggregates(h_src, h_dst))
            return self.normalized(updated)
        if lowered.num_edges() == 0:
            # DGL's gradient of a maximum over no edges at all falls to source 0.
            own: Tensor = self.conv.fc_self(h_dst)
            return self.normalized(own)
        # Messages in bfloat16 where the products are: DGL adds them up in float32, twice as fast as float32 messages.
        h_src = h_src.to(product_dtype(h_src, self.conv.fc_neigh.weight.t()))
        out: Tensor = self.conv(lowered, (h_src, h_dst))
        return out

    def normalized(self, out: Tensor) -> Tensor:
        """Outputs divided by their norms, where the convolution says so."""
        return functional.normalize(out, dim=-1) if self.spec.options.normalize else out
