"""``GATv2Conv``."""

from __future__ import annotations

from typing import ClassVar, Dict, Mapping

from torch_geometric import nn as pyg

from gnnkit.nn import ConvSpec, NativeParameter
from gnnkit_pyg.layers.attention import Attention


class GATv2(Attention):
    """``GATv2Conv``."""

    native = pyg.GATv2Conv
    names: ClassVar[Mapping[str, str]] = {
        "lin_src.weight": "conv.lin_l.weight",
        "lin_src.bias": "conv.lin_l.bias",
        "lin_dst.weight": "conv.lin_r.weight",
        "lin_dst.bias": "conv.lin_r.bias",
        "att": "conv.att",
        "bias": "conv.bias",
    }

    @classmethod
    def parameter_map(cls, spec: ConvSpec) -> Dict[str, NativeParameter]:
        """Edge features have a matrix of their own."""
        places = super().parameter_map(spec)
        if spec.edge_channels is not None:
            places["lin_edge.weight"] = NativeParameter("conv.lin_edge.weight")
        return places
