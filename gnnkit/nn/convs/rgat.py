"""Busbridge et al., 2019, "Relational graph attention networks"."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, Mapping, Optional

import torch
from torch import Tensor, nn
from torch.nn import functional

from gnnkit.data import Block
from gnnkit.nn.convs.attention import AttentionConv, AttentionOptions, HeadConvolution
from gnnkit.nn.convs.base import ConvSpec, ParameterSpec, ReferenceConv, check_at_least_one
from gnnkit.nn.convs.dense import apply_each, incidence, join_heads, softmax_matrix
from gnnkit.nn.message_passing import MessageOps


@dataclass(frozen=True)
class RGATOptions(AttentionOptions):
    """Options of "rgat".

    Attributes:
        num_bases: Number of matrices of which each relation's is a weighted sum. None: each has one of its own.
    """

    num_bases: Optional[int] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_at_least_one(self, "num_bases")


class RGAT(HeadConvolution):
    """W_self h_v + b, plus the sum of W_r h_u by softmax over all in-edges of leaky_relu(k_r.W_r h_u + q_r.W_r h_v).

    This is the paper's additive attention across relations, with a self weight besides.
    """

    name = "rgat"
    options_class = RGATOptions
    reads_types = True

    def parameters(self, spec: ConvSpec) -> Dict[str, ParameterSpec]:
        """See :class:`Convolution`."""
        width, relations, bases = spec.heads * spec.out_channels, spec.num_relations, spec.options.num_bases
        parameters = {
            "lin_self.weight": ParameterSpec((spec.out_width, spec.in_channels)),
            "att_src": ParameterSpec((relations, spec.heads, spec.out_channels)),
            "att_dst": ParameterSpec((relations, spec.heads, spec.out_channels)),
            "bias": ParameterSpec((spec.out_width,), "zeros"),
        }
        if bases is None:
            return {"weight": ParameterSpec((relations, width, spec.in_channels)), **parameters}
        of_bases = ParameterSpec((bases, width, spec.in_channels))
        return {"bases": of_bases, "coefficients": ParameterSpec((relations, bases)), **parameters}

    def dense(self, spec: ConvSpec, p: Mapping[str, Tensor], block: Block, h: Tensor) -> Tensor:
        """See :class:`Convolution`."""
        types = torch.zeros_like(block.indices) if block.edge_type is None else block.edge_type
        weight = p["weight"] if spec.options.num_bases is None else torch.tensordot(p["coefficients"], p["bases"], 1)
        into, heads = incidence(block), []
        src, dst = h[block.indices], h[block.dst]
        for k in range(spec.heads):
            w = weight[types, k * spec.out_channels : (k + 1) * spec.out_channels]
            values = apply_each(w, src)
            rows = (values * p["att_src"][types, k] + apply_each(w, dst) * p["att_dst"][types, k]).sum(1)
            scores = functional.leaky_relu(rows, spec.options.negative_slope)
            heads.append(softmax_matrix(into, scores) @ values)
        return join_heads(heads, spec.concat) + h[: block.num_dst] @ p["lin_self.weight"].T + p["bias"]

    def reference(self, spec: ConvSpec, ops: MessageOps) -> ReferenceConv:
        """See :class:`Convolution`."""
        return RGATConv(spec, ops)


class RGATConv(AttentionConv):
    """See :class:`RGAT`."""

    att_src: Tensor
    att_dst: Tensor
    bases: Tensor
    coefficients: Tensor
    weight: Tensor

    def __init__(self, spec: ConvSpec, ops: MessageOps) -> None:
        super().__init__(spec, ops)
        self.lin_self = nn.Linear(spec.in_channels, spec.out_width, bias=False)
        self.make_parameters()

    def prepare(self, lowered: Any) -> None:
        """Make what the block needs besides."""
        relations = self.ops.relations(lowered)
        if not relations.dense:
            relations.pairs(self.spec.num_relations)

    def forward(self, lowered: Any, h_src: Tensor, h_dst: Tensor) -> Tensor:
        """Features of the destinations, [num_dst, out_width]."""
        spec, relations = self.spec, self.ops.relations(lowered)
        weights = self.weights
        pairs = relations.pairs(spec.num_relations)
        values = self.split_heads(relations.of_pairs(h_src, weights))
        from_src = (values * self.att_src.index_select(0, pairs.relations)).sum(-1)
        # The destinations' part of a score is linear in their features, so no destination is multiplied by a matrix.
        queries = (weights.reshape(*self.att_dst.shape, -1) * self.att_dst[..., None]).sum(2)
        from_dst = torch.matmul(h_dst.to(queries.dtype), queries.transpose(1, 2)).transpose(0, 1).flatten(0, 1)
        place = relations.block.dst * spec.num_relations + relations.edge_type
        scores = self.ops.gather_src(pairs.lowered, from_src) + from_dst.index_select(0, place)
        scores = functional.leaky_relu(scores, spec.options.negative_slope)
        out: Tensor = self.attend(pairs.lowered, values, scores) + self.lin_self(h_dst)
        return out

    @property
    def weights(self) -> Tensor:
        """The matrix of each relation, [R, heads * out, in]."""
        if self.spec.options.num_bases is None:
            return self.weight
        return torch.einsum("rb,boi->roi", self.coefficients, self.bases)
