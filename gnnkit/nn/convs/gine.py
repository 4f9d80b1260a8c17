"""Hu et al., 2020, "Strategies for pre-training graph neural networks": GIN with edge features."""

from __future__ import annotations

from typing import Any, Dict, FrozenSet, Mapping

from torch import Tensor, nn
from torch.nn import functional

from gnnkit.data import Block
from gnnkit.nn.convs.base import Convolution, ConvSpec, ParameterSpec, ReferenceConv
from gnnkit.nn.convs.dense import edge_features, incidence
from gnnkit.nn.convs.gin import GINOptions
from gnnkit.nn.convs.mlp import dense_mlp, make_mlp, mlp_parameters, with_mlp_channels
from gnnkit.nn.message_passing import MessageOps


class GINE(Convolution):
    """MLP((1 + eps) h_v + sum relu(h_u + W_edge e_uv + b_edge)), the MLP being linear, ReLU, linear."""

    name = "gine"
    options_class = GINOptions
    reads_edges = True
    needs_edges = True

    def layer_options(self, options: GINOptions, hidden_channels: int) -> GINOptions:
        """See :class:`Convolution`."""
        return with_mlp_channels(options, hidden_channels)  # type: ignore[no-any-return]

    def behind_parameters(self, options: Any) -> FrozenSet[str]:
        """See :class:`Convolution`."""
        return frozenset({"mlp.0.weight", "mlp.2.weight"})

    def parameters(self, spec: ConvSpec) -> Dict[str, ParameterSpec]:
        """See :class:`Convolution`."""
        assert spec.edge_channels is not None, "a model without edge features is refused"
        return {
            **mlp_parameters(spec),
            "lin_edge.weight": ParameterSpec((spec.in_channels, spec.edge_channels)),
            "lin_edge.bias": ParameterSpec((spec.in_channels,), "zeros"),
        }

    def dense(self, spec: ConvSpec, p: Mapping[str, Tensor], block: Block, h: Tensor) -> Tensor:
        """See :class:`Convolution`."""
        edges = edge_features(block) @ p["lin_edge.weight"].T + p["lin_edge.bias"]
        messages = functional.relu(h[block.indices] + edges)
        return dense_mlp(p, (1 + spec.options.eps) * h[: block.num_dst] + incidence(block) @ messages)

    def reference(self, spec: ConvSpec, ops: MessageOps) -> ReferenceConv:
        """See :class:`Convolution`."""
        return GINEConv(spec, ops)


class GINEConv(ReferenceConv):
    """See :class:`GINE`."""

    def __init__(self, spec: ConvSpec, ops: MessageOps) -> None:
        super().__init__(spec, ops)
        assert spec.edge_channels is not None, "a model without edge features is refused"
        self.mlp = make_mlp(spec)
        self.lin_edge = nn.Linear(spec.edge_channels, spec.in_channels)

    def forward(self, lowered: Any, h_src: Tensor, h_dst: Tensor) -> Tensor:
        """Features of the destinations, [num_dst, out_channels]."""
        edges = self.lin_edge(self.ops.edge_attr(lowered))
        messages = functional.relu(self.ops.gather_src(lowered, h_src) + edges)
        out: Tensor = self.mlp((1 + self.spec.options.eps) * h_dst + self.ops.scatter(lowered, messages, "sum"))
        return out
