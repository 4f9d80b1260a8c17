"""What the dense formulas of convolutions share.

Rules: nothing here goes through a backend; everything is float64.
"""

from __future__ import annotations

from typing import List

import torch
from torch import Tensor

from gnnkit.data import Block


def adjacency(block: Block, weighted: bool) -> Tensor:
    """Dense [num_dst, num_src] float64 matrix of edge weights or multiplicities; parallel edges add up."""
    weight = block.edge_weight if weighted and block.edge_weight is not None else torch.ones(block.num_edges)
    matrix = torch.zeros(block.num_dst, block.num_src, dtype=torch.float64)
    return matrix.index_put((block.dst, block.indices), weight.double(), accumulate=True)


def mean(a: Tensor, h: Tensor) -> Tensor:
    """Rows of ``a @ h`` divided by the in-degrees; 0 without in-edges."""
    return a @ h / a.sum(1, keepdim=True).clamp(min=1)


def apply_each(matrices: Tensor, h: Tensor) -> Tensor:
    """A matrix of its own times each row. [n, out, in] and [n, in] to [n, out]."""
    return torch.einsum("noi,ni->no", matrices, h)


def incidence(block: Block) -> Tensor:
    """Dense [num_dst, E] float64 matrix that says which edges run into a destination."""
    return (torch.arange(block.num_dst)[:, None] == block.dst[None]).double()


def relation_block(block: Block, relation: int) -> Block:
    """The block with the edges of one relation alone; all edges of a block without types are of relation 0."""
    types = torch.zeros_like(block.indices) if block.edge_type is None else block.edge_type
    kept = types == relation
    counts = torch.bincount(block.dst[kept], minlength=block.num_dst)
    indptr = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
    weight = None if block.edge_weight is None else block.edge_weight[kept]
    return Block(indptr, block.indices[kept], block.num_src, weight)


def source_types(block: Block) -> Tensor:
    """Type of every source; all of a block without types are of type 0. Shape [num_src], int64."""
    return torch.zeros(block.num_src, dtype=torch.int64) if block.src_type is None else block.src_type


def edge_features(block: Block) -> Tensor:
    """The block's edge features in float64, which must be there. Shape [E, D]."""
    assert block.edge_attr is not None, "the convolution reads edge features"
    return block.edge_attr.double()


def extreme(into: Tensor, messages: Tensor, largest: bool) -> Tensor:
    """The largest or smallest message of each destination by feature; 0 over no edges. [E, F] to [num_dst, F]."""
    rows: List[Tensor] = []
    for row in into:
        own = messages[row > 0]
        rows.append((own.amax(0) if largest else own.amin(0)) if len(own) else messages.new_zeros(messages.shape[1]))
    return torch.stack(rows)


def softmax_matrix(into: Tensor, scores: Tensor) -> Tensor:
    """Coefficients of attention: [E] scores to a [num_dst, E] matrix whose rows add up to 1, or to 0 without edges."""
    spread = torch.where(into > 0, scores[None], -torch.inf)
    # The largest score is taken out, which changes no quotient, so that large ones do not overflow.
    largest = spread.amax(1, keepdim=True).clamp(min=-1e30).detach() if into.shape[1] else into.sum(1, keepdim=True)
    powers = into * torch.where(into > 0, scores[None] - largest, 0.0).exp()
    return powers / powers.sum(1, keepdim=True).clamp(min=1e-300)


def join_heads(heads: List[Tensor], concat: bool) -> Tensor:
    """The outputs of all heads side by side, or their mean."""
    return torch.cat(heads, 1) if concat else torch.stack(heads).mean(0)
