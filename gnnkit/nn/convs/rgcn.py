"""Schlichtkrull et al., 2018, "Modeling relational data with graph convolutional networks"."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, Mapping, Optional

import torch
from torch import Tensor, nn

from gnnkit.data import Block
from gnnkit.errors import ConfigError
from gnnkit.nn.convs.base import Convolution, ConvSpec, ParameterSpec, ReferenceConv, check_at_least_one
from gnnkit.nn.convs.dense import adjacency, mean, relation_block
from gnnkit.nn.message_passing import MessageOps
from gnnkit.nn.relations import sum_runs
from gnnkit.nn.segments import segment_linear
from gnnkit.options import check_types


@dataclass(frozen=True)
class RGCNOptions:
    """Options of "rgcn".

    Attributes:
        num_bases: Number of matrices of which each relation's is a weighted sum. None: each has one of its own.
        num_blocks: Number of blocks on the diagonal of each relation's matrix, outside of which it is 0; divides both
            widths of every layer. None: it is full.
    """

    num_bases: Optional[int] = None
    num_blocks: Optional[int] = None

    def __post_init__(self) -> None:
        check_types(self)
        check_at_least_one(self, "num_bases", "num_blocks")
        if self.num_bases is not None and self.num_blocks is not None:
            raise ConfigError("num_bases and num_blocks exclude each other: give one of them.")


class RGCN(Convolution):
    """W_self h_v + b, plus for each relation W_r times the mean over the neighbours of v by that relation."""

    name = "rgcn"
    options_class = RGCNOptions
    reads_types = True

    def reduces_first(self, options: Any) -> Optional[str]:
        """See :class:`Convolution`."""
        return "mean"

    def parameters(self, spec: ConvSpec) -> Dict[str, ParameterSpec]:
        """See :class:`Convolution`."""
        out, width, relations = spec.out_channels, spec.in_channels, spec.num_relations
        options = spec.options
        parameters = {"lin_self.weight": ParameterSpec((out, width)), "bias": ParameterSpec((out,), "zeros")}
        if options.num_bases is not None:
            parameters["bases"] = ParameterSpec((options.num_bases, out, width))
            parameters["coefficients"] = ParameterSpec((relations, options.num_bases))
        elif options.num_blocks is not None:
            num = options.num_blocks
            if out % num or width % num:
                raise ConfigError(
                    f"num_blocks is {num}, which does not divide the widths {width} and {out} of a layer. Choose "
                    "another number, or num_bases."
                )
            parameters["blocks"] = ParameterSpec((relations, num, out // num, width // num))
        else:
            parameters["weight"] = ParameterSpec((relations, out, width))
        return parameters

    def dense(self, spec: ConvSpec, p: Mapping[str, Tensor], block: Block, h: Tensor) -> Tensor:
        """See :class:`Convolution`."""
        out = h[: block.num_dst] @ p["lin_self.weight"].T + p["bias"]
        for relation in range(spec.num_relations):
            if spec.options.num_bases is not None:
                weight = (p["coefficients"][relation][:, None, None] * p["bases"]).sum(0)
            elif spec.options.num_blocks is not None:
                weight = torch.block_diag(*p["blocks"][relation])  # type: ignore[no-untyped-call]
            else:
                weight = p["weight"][relation]
            own = relation_block(block, relation)
            out = out + mean(adjacency(own, weighted=False), h) @ weight.T
        return out

    def reference(self, spec: ConvSpec, ops: MessageOps) -> ReferenceConv:
        """See :class:`Convolution`."""
        return RGCNConv(spec, ops)


class RGCNConv(ReferenceConv):
    """See :class:`RGCN`."""

    bases: Tensor
    coefficients: Tensor
    blocks: Tensor
    weight: Tensor
    bias: Tensor

    def __init__(self, spec: ConvSpec, ops: MessageOps) -> None:
        super().__init__(spec, ops)
        self.lin_self = nn.Linear(spec.in_channels, spec.out_channels, bias=False)
        self.make_parameters()

    def prepare(self, lowered: Any) -> None:
        """Make what the block needs besides."""
        relations = self.ops.relations(lowered)
        if not relations.dense:
            relations.runs(self.spec.num_relations)

    def forward(self, lowered: Any, h_src: Tensor, h_dst: Tensor) -> Tensor:
        """Features of the destinations, [num_dst, out_channels]."""
        relations = self.ops.relations(lowered)
        own: Tensor = self.lin_self(h_dst) + self.bias
        if not relations.dense:
            runs = relations.runs(self.spec.num_relations)
            means = self.ops.aggregate(runs.gather, h_src, "mean")
            return own + sum_runs(self.ops, runs, segment_linear(means, runs.ptr, self.weights))
        shares = relations.shares(self.spec.num_relations, h_src.dtype)
        num_bases, num_edges = self.spec.options.num_bases, relations.block.num_edges
        # Both are right; what is held at a time is [E, bases, out] here and [sources, relations, out] below. A size
        # that is traced is no number to choose by.
        is_known = num_bases is not None and isinstance(num_edges, int)
        if is_known and num_bases * num_edges < self.spec.num_relations * h_src.shape[0]:
            by_base = torch.matmul(h_src, self.bases.transpose(1, 2)).transpose(0, 1)
            factors = self.coefficients.index_select(0, relations.edge_type) * shares[:, None]
            return own + self.ops.aggregate(lowered, by_base, "sum", factors).sum(1)
        pairs = relations.pairs(self.spec.num_relations)
        products = relations.of_pairs(h_src, self.weights)
        return own + self.ops.aggregate(pairs.lowered, products, "sum", shares)

    @property
    def weights(self) -> Tensor:
        """The matrix of each relation, [R, out, in], or its blocks, [R, num_blocks, out, in]."""
        if self.spec.options.num_bases is not None:
            return torch.einsum("rb,boi->roi", self.coefficients, self.bases)
        return self.weight if self.spec.options.num_blocks is None else self.blocks
