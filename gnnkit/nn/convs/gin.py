"""Xu et al., 2019, "How powerful are graph neural networks?"."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, FrozenSet, Mapping, Optional

from torch import Tensor

from gnnkit.data import Block
from gnnkit.nn.convs.base import Convolution, ConvSpec, ParameterSpec, ReferenceConv, check_at_least_one
from gnnkit.nn.convs.dense import adjacency
from gnnkit.nn.convs.mlp import dense_mlp, make_mlp, mlp_parameters, with_mlp_channels
from gnnkit.nn.message_passing import MessageOps
from gnnkit.options import check_types


@dataclass(frozen=True)
class GINOptions:
    """Options of "gin" and "gine".

    Attributes:
        eps: How much more than a neighbour's a node's own features count.
        mlp_channels: Width inside the MLP. None: ``hidden_channels`` of the model.
    """

    eps: float = 0.0
    mlp_channels: Optional[int] = None

    def __post_init__(self) -> None:
        check_types(self)
        check_at_least_one(self, "mlp_channels")


class GIN(Convolution):
    """MLP((1 + eps) h_v + sum h_u), the MLP being linear, ReLU, linear."""

    name = "gin"
    options_class = GINOptions

    def layer_options(self, options: GINOptions, hidden_channels: int) -> GINOptions:
        """See :class:`Convolution`."""
        return with_mlp_channels(options, hidden_channels)  # type: ignore[no-any-return]

    def reduces_first(self, options: Any) -> Optional[str]:
        """See :class:`Convolution`."""
        return "sum"

    def behind_parameters(self, options: Any) -> FrozenSet[str]:
        """See :class:`Convolution`."""
        return frozenset({"mlp.2.weight"})

    def parameters(self, spec: ConvSpec) -> Dict[str, ParameterSpec]:
        """See :class:`Convolution`."""
        return mlp_parameters(spec)

    def dense(self, spec: ConvSpec, p: Mapping[str, Tensor], block: Block, h: Tensor) -> Tensor:
        """See :class:`Convolution`."""
        return dense_mlp(p, (1 + spec.options.eps) * h[: block.num_dst] + adjacency(block, weighted=False) @ h)

    def reference(self, spec: ConvSpec, ops: MessageOps) -> ReferenceConv:
        """See :class:`Convolution`."""
        return GINConv(spec, ops)


class GINConv(ReferenceConv):
    """See :class:`GIN`."""

    def __init__(self, spec: ConvSpec, ops: MessageOps) -> None:
        super().__init__(spec, ops)
        self.mlp = make_mlp(spec)

    def forward(self, lowered: Any, h_src: Tensor, h_dst: Tensor) -> Tensor:
        """Features of the destinations, [num_dst, out_channels]."""
        h: Tensor = (1 + self.spec.options.eps) * h_dst + self.ops.aggregate(lowered, h_src, "sum")
        return self.mlp(h)  # type: ignore[no-any-return]
