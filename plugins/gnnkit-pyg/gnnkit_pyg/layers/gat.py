"""``GATConv``."""

from __future__ import annotations

from functools import lru_cache
from typing import ClassVar, Dict, Mapping

from torch import nn
from torch_geometric import nn as pyg

from gnnkit.nn import ConvSpec, NativeParameter
from gnnkit_pyg.layers.attention import Attention


class GAT(Attention):
    """``GATConv``."""

    native = pyg.GATConv
    names: ClassVar[Mapping[str, str]] = {"att_src": "conv.att_src", "att_dst": "conv.att_dst", "bias": "conv.bias"}

    @classmethod
    def parameter_map(cls, spec: ConvSpec) -> Dict[str, NativeParameter]:
        """PyG before 2.6 calls the matrix that both sides share by the name of the source's."""
        return {"lin.weight": NativeParameter(f"conv.{_gat_linear()}.weight"), **super().parameter_map(spec)}


@lru_cache(maxsize=None)
def _gat_linear() -> str:
    return "lin" if isinstance(getattr(pyg.GATConv(1, 1), "lin", None), nn.Module) else "lin_src"
