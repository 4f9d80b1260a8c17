"""Hamilton, Ying and Leskovec, 2017, "Inductive representation learning on large graphs"."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, FrozenSet, Mapping, Optional

import torch
from torch import Tensor, nn
from torch.nn import functional

from gnnkit.data import Block
from gnnkit.nn.convs.base import Convolution, ConvSpec, ParameterSpec, ReferenceConv, check_one_of
from gnnkit.nn.convs.dense import adjacency, extreme, incidence, mean
from gnnkit.nn.message_passing import MessageOps
from gnnkit.options import check_types

AGGREGATIONS = ("mean", "max")
"""How "sage" can reduce its neighbours."""


@dataclass(frozen=True)
class SAGEOptions:
    """Options of "sage".

    Attributes:
        aggregation: How neighbours are reduced: "mean", or "max" (max-pool with a linear layer before it).
        normalize: Whether every output is divided by its Euclidean norm.
        bias: Whether there is a bias.
    """

    aggregation: str = "mean"
    normalize: bool = False
    bias: bool = True

    def __post_init__(self) -> None:
        check_types(self)
        check_one_of(self, "aggregation", AGGREGATIONS)


class SAGE(Convolution):
    """W_self h_v + W_neigh aggregate(h_u) + b, with mean, or max over relu(W_pool h_u + b_pool)."""

    name = "sage"
    options_class = SAGEOptions
    on_sources = frozenset({"lin_pool.weight"})

    def reduces_first(self, options: SAGEOptions) -> Optional[str]:
        """See :class:`Convolution`."""
        return "mean" if options.aggregation == "mean" else None

    def is_affine(self, options: SAGEOptions) -> bool:
        """See :class:`Convolution`."""
        return options.aggregation == "mean" and not options.normalize

    def behind_parameters(self, options: SAGEOptions) -> FrozenSet[str]:
        """See :class:`Convolution`."""
        return frozenset({"lin_neigh.weight"} if options.aggregation == "max" else ())

    def parameters(self, spec: ConvSpec) -> Dict[str, ParameterSpec]:
        """See :class:`Convolution`."""
        parameters = {
            "lin_self.weight": ParameterSpec((spec.out_channels, spec.in_channels)),
            "lin_neigh.weight": ParameterSpec((spec.out_channels, spec.in_channels)),
        }
        if spec.options.bias:
            parameters["bias"] = ParameterSpec((spec.out_channels,), "zeros")
        if spec.options.aggregation == "max":
            parameters["lin_pool.weight"] = ParameterSpec((spec.in_channels, spec.in_channels))
            parameters["lin_pool.bias"] = ParameterSpec((spec.in_channels,), "zeros")
        return parameters

    def dense(self, spec: ConvSpec, p: Mapping[str, Tensor], block: Block, h: Tensor) -> Tensor:
        """See :class:`Convolution`."""
        if spec.options.aggregation == "mean":
            neighbours = mean(adjacency(block, weighted=False), h)
        else:
            pooled = functional.relu(h @ p["lin_pool.weight"].T + p["lin_pool.bias"])
            neighbours = extreme(incidence(block), pooled[block.indices], largest=True)
        out = h[: block.num_dst] @ p["lin_self.weight"].T + neighbours @ p["lin_neigh.weight"].T
        out = out + p["bias"] if spec.options.bias else out
        return functional.normalize(out, dim=-1) if spec.options.normalize else out

    def reference(self, spec: ConvSpec, ops: MessageOps) -> ReferenceConv:
        """See :class:`Convolution`."""
        return SAGEConv(spec, ops)


class SAGEConv(ReferenceConv):
    """See :class:`SAGE`."""

    def __init__(self, spec: ConvSpec, ops: MessageOps) -> None:
        super().__init__(spec, ops)
        self.lin_self = nn.Linear(spec.in_channels, spec.out_channels, bias=False)
        self.lin_neigh = nn.Linear(spec.in_channels, spec.out_channels, bias=False)
        self.bias = nn.Parameter(torch.empty(spec.out_channels)) if spec.options.bias else None
        if spec.options.aggregation == "max":
            self.lin_pool = nn.Linear(spec.in_channels, spec.in_channels)

    def forward(self, lowered: Any, h_src: Tensor, h_dst: Tensor) -> Tensor:
        """Features of the destinations, [num_dst, out_channels]."""
        if self.spec.options.aggregation == "max":
            neighbours = self.lin_neigh(self.ops.aggregate(lowered, functional.relu(self.lin_pool(h_src)), "max"))
        else:
            neighbours = self.reduced_product(lowered, h_src, h_dst, self.lin_neigh, "mean")
        out: Tensor = self.lin_self(h_dst) + neighbours
        out = out if self.bias is None else out + self.bias
        return functional.normalize(out, dim=-1) if self.spec.options.normalize else out
