"""``dgl.nn.SAGEConv``."""

from __future__ import annotations

from functools import partial
from typing import ClassVar, Dict, Mapping, Optional, Tuple

from torch import Tensor
from torch.nn import functional

from gnnkit.backends import NativeSAGE, aggregates, product_dtype
from gnnkit.nn import ConvSpec, NativeParameter
from gnnkit_dgl.block import DglBlock
from gnnkit_dgl.layers.common import native


class SAGE(NativeSAGE):
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

    @property
    def matrices(self) -> Tuple[Tensor, Tensor, Optional[Tensor]]:
        """See :class:`NativeSAGE`."""
        return self.conv.fc_self.weight, self.conv.fc_neigh.weight, self.conv.fc_self.bias

    def by_library(self, lowered: DglBlock, h_src: Tensor, own: Tensor) -> Tensor:
        """See :class:`NativeSAGE`; by the library's linear layers where there is nothing for it to add up."""
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
