"""Gasteiger et al., 2019, "Predict then propagate: Graph neural networks meet personalized PageRank".

A model of K layers is an MLP followed by K steps of propagation, so that the model fits sampled blocks, which are one
step each. What a layer hands to the next is h and, beside it, the MLP's output h0, which every step mixes in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, FrozenSet, Mapping, Optional

import torch
from torch import Tensor

from gnnkit.data import Block
from gnnkit.errors import ConfigError
from gnnkit.nn.convs.base import (
    Convolution,
    ConvSpec,
    ParameterSpec,
    ReferenceConv,
    check_at_least_one,
    check_probability,
)
from gnnkit.nn.convs.dense import adjacency
from gnnkit.nn.convs.mlp import dense_mlp, make_mlp, mlp_parameters, with_mlp_channels
from gnnkit.nn.dropout import dropout
from gnnkit.nn.message_passing import MessageOps
from gnnkit.options import check_types


@dataclass(frozen=True)
class APPNPOptions:
    """Options of "appnp".

    Attributes:
        alpha: Share of the MLP's output in every step of the propagation, from 0 to 1.
        mlp_channels: Width inside the MLP. None: ``hidden_channels`` of the model.
        mlp_dropout: Dropout probability inside the MLP while training.
    """

    alpha: float = 0.1
    mlp_channels: Optional[int] = None
    mlp_dropout: float = 0.0

    def __post_init__(self) -> None:
        check_types(self)
        check_at_least_one(self, "mlp_channels")
        check_probability(self, "mlp_dropout")
        if not 0.0 <= self.alpha <= 1.0:
            raise ConfigError(f"alpha is {self.alpha}, expected a share from 0 to 1.")


class APPNP(Convolution):
    """h_v' = (1 - alpha) sum w_uv h_u + alpha h0_v, where h0 is an MLP of the features and h = h0 at first.

    The weights w are GCN's normalisation. Layers before the last give [h', h0], of twice the width.
    """

    name = "appnp"
    options_class = APPNPOptions
    self_loops = True
    gcn_norm = True
    reads_weights = True
    is_propagation = True
    dropouts = ("mlp_dropout",)
    on_sources = frozenset({"mlp.0.weight", "mlp.2.weight"})

    def layer_options(self, options: APPNPOptions, hidden_channels: int) -> APPNPOptions:
        """See :class:`Convolution`."""
        return with_mlp_channels(options, hidden_channels)  # type: ignore[no-any-return]

    def behind_parameters(self, options: Any) -> FrozenSet[str]:
        """See :class:`Convolution`."""
        return frozenset({"mlp.2.weight"})

    def out_width(self, spec: ConvSpec) -> int:
        """See :class:`Convolution`."""
        return spec.out_channels if spec.is_output else 2 * spec.out_channels

    def parameters(self, spec: ConvSpec) -> Dict[str, ParameterSpec]:
        """See :class:`Convolution`."""
        return mlp_parameters(spec) if spec.is_input else {}

    def dense(self, spec: ConvSpec, p: Mapping[str, Tensor], block: Block, h: Tensor) -> Tensor:
        """See :class:`Convolution`."""
        if spec.is_input:
            h = start = dense_mlp(p, h)
        else:
            h, start = h.chunk(2, dim=1)
        alpha, start = spec.options.alpha, start[: block.num_dst]
        out = (1 - alpha) * adjacency(block, weighted=True) @ h + alpha * start
        return out if spec.is_output else torch.cat([out, start], 1)

    def reference(self, spec: ConvSpec, ops: MessageOps) -> ReferenceConv:
        """See :class:`Convolution`."""
        return APPNPConv(spec, ops)


class APPNPConv(ReferenceConv):
    """See :class:`APPNP`."""

    def __init__(self, spec: ConvSpec, ops: MessageOps) -> None:
        super().__init__(spec, ops)
        if spec.is_input:
            self.mlp = make_mlp(spec)

    def forward(self, lowered: Any, h_src: Tensor, h_dst: Tensor) -> Tensor:
        """Features of the destinations, [num_dst, out_width]."""
        if self.spec.is_input:
            first, activation, last = self.mlp
            inner = dropout(activation(first(h_src)), self.spec.options.mlp_dropout, self.training)
            h = start = last(inner)
        else:
            h, start = h_src.chunk(2, dim=-1)
        # Destinations come first among the sources, so what the MLP made of them need not be made again.
        alpha, start = self.spec.options.alpha, start[: len(h_dst)]
        out = (1 - alpha) * self.ops.aggregate(lowered, h, "sum", self.ops.edge_weight(lowered)) + alpha * start
        return out if self.spec.is_output else torch.cat([out, start], dim=-1)
