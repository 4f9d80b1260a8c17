"""Hu et al., 2020, "Heterogeneous graph transformer"."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Dict, Mapping, Optional

import torch
from torch import Tensor
from torch.nn import functional

from gnnkit.data import Block
from gnnkit.errors import ConfigError
from gnnkit.nn.convs.base import Convolution, ConvSpec, ParameterSpec, ReferenceConv, check_at_least_one
from gnnkit.nn.convs.dense import apply_each, incidence, softmax_matrix, source_types
from gnnkit.nn.message_passing import MessageOps
from gnnkit.options import check_types


@dataclass(frozen=True)
class HGTOptions:
    """Options of "hgt".

    Attributes:
        heads: Attention heads, which share ``attention_channels`` between them.
        attention_channels: Width of keys, queries and values. None: that between the layers of the model.
    """

    heads: int = 1
    attention_channels: Optional[int] = None

    def __post_init__(self) -> None:
        check_types(self)
        check_at_least_one(self, "heads", "attention_channels")


class HGT(Convolution):
    """Attention over in-edges of all relations, with keys, queries, values and outputs by node type.

    The score of an edge of relation r from u to v is mu_r / sqrt(d) times (A_r K_u) . Q_v, its value M_r V_u; with
    softmax over all in-edges of v. The sum g goes through W gelu(g) + b of v's type; where the layer keeps its width,
    h'_v = s (W gelu(g) + b) + (1 - s) h_v with s the sigmoid of a number for each type, as in PyTorch Geometric.
    """

    name = "hgt"
    options_class = HGTOptions
    reads_types = True

    def layer_options(self, options: HGTOptions, hidden_channels: int) -> HGTOptions:
        """See :class:`Convolution`."""
        if options.attention_channels is None:
            options = replace(options, attention_channels=hidden_channels)
        return options

    def parameters(self, spec: ConvSpec) -> Dict[str, ParameterSpec]:
        """See :class:`Convolution`."""
        types, relations, width, heads = spec.num_types, spec.num_relations, inner_width(spec), spec.options.heads
        depth = width // heads
        parameters: Dict[str, ParameterSpec] = {}
        for name in ("key", "query", "value"):
            parameters[f"{name}_weight"] = ParameterSpec((types, width, spec.in_channels))
            parameters[f"{name}_bias"] = ParameterSpec((types, width), "zeros")
        parameters["att"] = ParameterSpec((relations, heads, depth, depth))
        parameters["message"] = ParameterSpec((relations, heads, depth, depth))
        parameters["prior"] = ParameterSpec((relations, heads), "ones")
        parameters["out_weight"] = ParameterSpec((types, spec.out_channels, width))
        parameters["out_bias"] = ParameterSpec((types, spec.out_channels), "zeros")
        if spec.in_channels == spec.out_channels:
            parameters["skip"] = ParameterSpec((types,), "ones")
        return parameters

    def dense(self, spec: ConvSpec, p: Mapping[str, Tensor], block: Block, h: Tensor) -> Tensor:
        """See :class:`Convolution`."""
        types, heads = source_types(block), spec.options.heads
        relations = torch.zeros_like(block.indices) if block.edge_type is None else block.edge_type
        own = types[: block.num_dst]

        def of_type(name: str, x: Tensor, kinds: Tensor) -> Tensor:
            return apply_each(p[f"{name}_weight"][kinds], x) + p[f"{name}_bias"][kinds]

        key, value = (of_type(name, h, types).reshape(len(h), heads, -1) for name in ("key", "value"))
        query = of_type("query", h[: block.num_dst], own).reshape(block.num_dst, heads, -1)
        into, sums = incidence(block), []
        for k in range(heads):
            keys = apply_each(p["att"][relations, k], key[block.indices, k])
            scores = (keys * query[block.dst, k]).sum(1) * p["prior"][relations, k] / math.sqrt(key.shape[2])
            values = apply_each(p["message"][relations, k], value[block.indices, k])
            sums.append(softmax_matrix(into, scores) @ values)
        out = of_type("out", functional.gelu(torch.cat(sums, 1)), own)
        if "skip" not in p:
            return out
        share = torch.sigmoid(p["skip"])[own][:, None]
        return share * out + (1 - share) * h[: block.num_dst]

    def reference(self, spec: ConvSpec, ops: MessageOps) -> ReferenceConv:
        """See :class:`Convolution`."""
        return HGTConv(spec, ops)


def inner_width(spec: ConvSpec) -> int:
    """Width of keys, queries and values with all heads.

    Raises:
        ConfigError: Heads cannot share it.
    """
    width, heads = spec.options.attention_channels or spec.out_channels, spec.options.heads
    if width % heads:
        raise ConfigError(
            f"heads is {heads}, which does not divide the width {width} of attention. Choose another number, or give "
            "hidden_channels or attention_channels that it divides."
        )
    return int(width)


class HGTConv(ReferenceConv):
    """See :class:`HGT`."""

    key_weight: Tensor
    key_bias: Tensor
    query_weight: Tensor
    query_bias: Tensor
    value_weight: Tensor
    value_bias: Tensor
    att: Tensor
    message: Tensor
    prior: Tensor
    out_weight: Tensor
    out_bias: Tensor
    skip: Tensor

    def __init__(self, spec: ConvSpec, ops: MessageOps) -> None:
        super().__init__(spec, ops)
        self.make_parameters()
        self.depth = inner_width(spec) // spec.options.heads

    def prepare(self, lowered: Any) -> None:
        """Make what the block needs besides."""
        relations = self.ops.relations(lowered)
        if not relations.dense:
            relations.pairs(self.spec.num_relations)

    def forward(self, lowered: Any, h_src: Tensor, h_dst: Tensor) -> Tensor:
        """Features of the destinations, [num_dst, out_channels]."""
        heads = -1, self.spec.options.heads, self.depth
        relations = self.ops.relations(lowered)
        pairs = relations.pairs(self.spec.num_relations)
        keys = relations.by_type(h_src, self.key_weight, self.key_bias)
        values = relations.by_type(h_src, self.value_weight, self.value_bias)
        queries = relations.by_type(h_dst, self.query_weight, self.query_bias).reshape(heads)
        keys = relations.of_pairs(keys, self.att).reshape(heads)
        values = relations.of_pairs(values, self.message).reshape(heads)
        prior = (self.prior / math.sqrt(self.depth)).index_select(0, pairs.relations)
        scores = self.ops.edge_scores(pairs.lowered, keys * prior[:, :, None], queries, "dot")
        attention = self.ops.edge_softmax(pairs.lowered, scores)
        sums = self.ops.aggregate(pairs.lowered, values, "sum", attention).flatten(1)
        out = relations.by_type(functional.gelu(sums), self.out_weight, self.out_bias)
        if "skip" not in self._parameters:
            return out
        share = torch.sigmoid(self.skip).index_select(0, relations.src_type[: h_dst.shape[0]])[:, None]
        return share * out + (1 - share) * h_dst
