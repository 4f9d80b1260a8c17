"""``PNAConv``, which computes a message for every edge, so a list of edges is what it needs."""

from __future__ import annotations

import math
from typing import Dict

import torch
from torch import Tensor
from torch_geometric import nn as pyg

from gnnkit.backends import NativeConv
from gnnkit.nn import ConvSpec, NativeParameter, delta_of
from gnnkit_pyg.block import PygBlock

_PLACES = {"pre": "pre_nns.0.0", "post": "post_nns.0.0", "lin": "lin", "lin_edge": "edge_encoder"}


class _Std(pyg.aggr.Aggregation):  # type: ignore[misc]
    """PyG's own standard deviation is the root of mean(m^2) - mean(m)^2, of whose digits few are right in float32."""

    def forward(self, x, index=None, ptr=None, dim_size=None, dim=-2):  # type: ignore[no-untyped-def]
        mean = self.reduce(x, index, ptr, dim_size, dim, reduce="mean")
        centred = x - mean.index_select(dim, index)
        variance = self.reduce(centred * centred, index, ptr, dim_size, dim, reduce="mean")
        root = variance.clamp(min=1e-5).sqrt()
        return root.masked_fill(root <= math.sqrt(1e-5), 0.0)


class _PNAConv(pyg.PNAConv):  # type: ignore[misc]
    def forward(self, x, edge_index, edge_attr=None):  # type: ignore[no-untyped-def]
        """PyG's own for one tower, but with sources that are not destinations, too."""
        h_src, h_dst = (h.unsqueeze(1) for h in x)
        # propagate_type: (x: PairTensor, edge_attr: OptTensor)
        sizes = (len(h_src), len(h_dst))
        out = self.propagate(edge_index, x=(h_src, h_dst), edge_attr=edge_attr, size=sizes)
        return self.lin(self.post_nns[0](torch.cat([h_dst, out], dim=-1)[:, 0]))


class PNA(NativeConv):
    """``PNAConv`` with one tower and gnnkit's mean of log-degrees."""

    def __init__(self, spec: ConvSpec) -> None:
        super().__init__(spec)
        # The histogram of degrees serves for means alone, of which one is asked for, and that is known.
        histogram = torch.tensor([0, 1])
        self.conv = _PNAConv(
            spec.in_channels,
            spec.out_channels,
            [_Std() if name == "std" else name for name in spec.options.aggregators],
            spec.options.scalers,
            histogram,
            edge_dim=spec.edge_channels,
        )
        scaler = self.conv.aggr_module
        del scaler.avg_deg_log  # A buffer of float32, which has not all digits of the mean.
        scaler.avg_deg_log = delta_of(spec)

    @classmethod
    def parameter_map(cls, spec: ConvSpec) -> Dict[str, NativeParameter]:
        """PyG keeps layers in lists, one for each tower."""
        places = {}
        for name in spec.parameters:
            module, _, parameter = name.rpartition(".")
            places[name] = NativeParameter(f"conv.{_PLACES[module]}.{parameter}")
        return places

    def forward(self, lowered: PygBlock, h_src: Tensor, h_dst: Tensor) -> Tensor:
        """Features of the destinations, [num_dst, out_channels]."""
        edges = None if self.spec.edge_channels is None else lowered.block.edge_attr
        out: Tensor = self.conv((h_src, h_dst), lowered.edge_index, edges)
        return out
