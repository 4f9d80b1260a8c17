"""Shi et al., 2021, "Masked label prediction: Unified message passing model for semi-supervised classification"."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Dict, FrozenSet, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from gnnkit.data import Block
from gnnkit.nn.convs.attention import HeadConvolution
from gnnkit.nn.convs.base import ConvSpec, HeadOptions, ParameterSpec, ReferenceConv
from gnnkit.nn.convs.dense import edge_features, incidence, join_heads, softmax_matrix
from gnnkit.nn.message_passing import MessageOps

_LINEARS = ("lin_query", "lin_key", "lin_value")


@dataclass(frozen=True)
class TransformerOptions(HeadOptions):
    """Options of "transformer".

    Attributes:
        beta: Whether a learned gate weighs a node's own part against what comes from its neighbours; else they are
            added.
    """

    beta: bool = False


class Transformer(HeadConvolution):
    """Own part r_v = W_skip h_v + b_skip, plus attention m_v by dot products of queries and keys.

    m_v is the sum of (W_value h_u + b_value + W_edge e_uv) by softmax over q_v . (k_u + W_edge e_uv) / sqrt(width),
    where q and k are linear in h. With ``beta`` the output is b r_v + (1 - b) m_v, where b = sigmoid(w . [m_v, r_v,
    m_v - r_v]).
    """

    name = "transformer"
    options_class = TransformerOptions
    reads_edges = True
    on_sources = frozenset({"lin_key.weight", "lin_value.weight"})

    def behind_parameters(self, options: Any) -> FrozenSet[str]:
        """See :class:`Convolution`."""
        return frozenset({"lin_beta.weight"})

    def parameters(self, spec: ConvSpec) -> Dict[str, ParameterSpec]:
        """See :class:`Convolution`."""
        width, parameters = spec.heads * spec.out_channels, {}
        for name, outer in (*((name, width) for name in _LINEARS), ("lin_skip", spec.out_width)):
            parameters[f"{name}.weight"] = ParameterSpec((outer, spec.in_channels))
            parameters[f"{name}.bias"] = ParameterSpec((outer,), "zeros")
        if spec.edge_channels is not None:
            parameters["lin_edge.weight"] = ParameterSpec((width, spec.edge_channels))
        if spec.options.beta:
            parameters["lin_beta.weight"] = ParameterSpec((1, 3 * spec.out_width))
        return parameters

    def dense(self, spec: ConvSpec, p: Mapping[str, Tensor], block: Block, h: Tensor) -> Tensor:
        """See :class:`Convolution`."""
        into, heads = incidence(block), []
        for k in range(spec.heads):
            rows = slice(k * spec.out_channels, (k + 1) * spec.out_channels)
            query, key, value = (h @ p[f"{name}.weight"][rows].T + p[f"{name}.bias"][rows] for name in _LINEARS)
            key, value = key[block.indices], value[block.indices]
            if spec.edge_channels is not None:
                edges = edge_features(block) @ p["lin_edge.weight"][rows].T
                key, value = key + edges, value + edges
            scores = (query[block.dst] * key).sum(1) / math.sqrt(spec.out_channels)
            heads.append(softmax_matrix(into, scores) @ value)
        out = join_heads(heads, spec.concat)
        own = h[: block.num_dst] @ p["lin_skip.weight"].T + p["lin_skip.bias"]
        if not spec.options.beta:
            return out + own
        gate = torch.sigmoid(torch.cat([out, own, out - own], 1) @ p["lin_beta.weight"].T)
        return gate * own + (1 - gate) * out

    def reference(self, spec: ConvSpec, ops: MessageOps) -> ReferenceConv:
        """See :class:`Convolution`."""
        return TransformerConv(spec, ops)


class TransformerConv(ReferenceConv):
    """See :class:`Transformer`."""

    def __init__(self, spec: ConvSpec, ops: MessageOps) -> None:
        super().__init__(spec, ops)
        width = spec.heads * spec.out_channels
        self.lin_query = nn.Linear(spec.in_channels, width)
        self.lin_key = nn.Linear(spec.in_channels, width)
        self.lin_value = nn.Linear(spec.in_channels, width)
        self.lin_skip = nn.Linear(spec.in_channels, spec.out_width)
        if spec.edge_channels is not None:
            self.lin_edge = nn.Linear(spec.edge_channels, width, bias=False)
        if spec.options.beta:
            self.lin_beta = nn.Linear(3 * spec.out_width, 1, bias=False)

    def forward(self, lowered: Any, h_src: Tensor, h_dst: Tensor) -> Tensor:
        """Features of the destinations, [num_dst, out_width]."""
        query = self.ops.gather_dst(lowered, self._split(self.lin_query(h_dst)))
        key = self.ops.gather_src(lowered, self._split(self.lin_key(h_src)))
        value = self.ops.gather_src(lowered, self._split(self.lin_value(h_src)))
        if self.spec.edge_channels is not None:
            edges = self._split(self.lin_edge(self.ops.edge_attr(lowered)))
            key, value = key + edges, value + edges
        attention = self.ops.edge_softmax(lowered, (query * key).sum(-1) / math.sqrt(self.spec.out_channels))
        attention = functional.dropout(attention, self.spec.options.attention_dropout, self.training)
        out = self.ops.scatter(lowered, value * attention.unsqueeze(-1), "sum")
        out = out.flatten(1) if self.spec.concat else out.mean(dim=1)
        own: Tensor = self.lin_skip(h_dst)
        if not self.spec.options.beta:
            return out + own
        gate = torch.sigmoid(self.lin_beta(torch.cat([out, own, out - own], dim=-1)))
        return gate * own + (1 - gate) * out

    def _split(self, h: Tensor) -> Tensor:
        """[n, heads * out] to [n, heads, out]."""
        return h.reshape(-1, self.spec.heads, self.spec.out_channels)
