"""The standard convolutions as dense-matrix formulas, and graphs that hurt. The truth that backends are held to."""

from __future__ import annotations

from typing import Dict, Tuple

import torch
from torch import Tensor
from torch.nn import functional

from gnnkit.data import Block
from gnnkit.nn import ConvSpec


def adjacency(block: Block, weighted: bool) -> Tensor:
    """Dense [num_dst, num_src] matrix; parallel edges add up."""
    weight = block.edge_weight if weighted and block.edge_weight is not None else torch.ones(block.num_edges)
    matrix = torch.zeros(block.num_dst, block.num_src, dtype=torch.float64)
    for e in range(block.num_edges):
        matrix[block.dst[e], block.indices[e]] += float(weight[e])
    return matrix


def dense_conv(spec: ConvSpec, p: Dict[str, Tensor], block: Block, h: Tensor) -> Tensor:
    """The output of a convolution in float64, by its formula."""
    p = {name: value.double() for name, value in p.items()}
    h = h.double()
    h_dst = h[: block.num_dst]
    a = adjacency(block, weighted=spec.kind == "gcn")
    if spec.kind == "gcn":
        return a @ h @ p["lin.weight"].T + p["bias"]
    if spec.kind == "gin":
        z = (1 + spec.eps) * h_dst + a @ h
        z = functional.relu(z @ p["mlp.0.weight"].T + p["mlp.0.bias"])
        return z @ p["mlp.2.weight"].T + p["mlp.2.bias"]
    if spec.kind == "sage":
        if spec.aggregation == "mean":
            neighbours = a @ h / a.sum(1, keepdim=True).clamp(min=1)
        else:
            pooled = functional.relu(h @ p["lin_pool.weight"].T + p["lin_pool.bias"])
            neighbours = torch.zeros(block.num_dst, h.shape[1], dtype=torch.float64)
            for v in range(block.num_dst):
                if bool((a[v] > 0).any()):
                    neighbours[v] = pooled[a[v] > 0].amax(0)
        return h_dst @ p["lin_self.weight"].T + neighbours @ p["lin_neigh.weight"].T + p["bias"]
    return _attention(spec, p, a, h, h_dst)


def _attention(spec: ConvSpec, p: Dict[str, Tensor], a: Tensor, h: Tensor, h_dst: Tensor) -> Tensor:
    heads = []
    for k in range(spec.heads):
        rows = slice(k * spec.out_channels, (k + 1) * spec.out_channels)
        if spec.kind == "gat":
            src, dst = h @ p["lin.weight"][rows].T, h_dst @ p["lin.weight"][rows].T
            scores = functional.leaky_relu((dst @ p["att_dst"][k])[:, None] + (src @ p["att_src"][k])[None], 0.2)
        else:
            src = h @ p["lin_src.weight"][rows].T + p["lin_src.bias"][rows]
            dst = h_dst @ p["lin_dst.weight"][rows].T + p["lin_dst.bias"][rows]
            scores = functional.leaky_relu(dst[:, None] + src[None], 0.2) @ p["att"][k]
        powers = a * scores.exp()  # Parallel edges each have their own coefficient, so they count by multiplicity.
        heads.append(powers / powers.sum(1, keepdim=True).clamp(min=1e-300) @ src)
    out = torch.cat(heads, 1) if spec.concat else torch.stack(heads).mean(0)
    return out + p["bias"]


def _block(num_dst: int, num_src: int, edges: Tuple[Tuple[int, int], ...], weighted: bool = True) -> Block:
    """A block from (source, destination) pairs."""
    pairs = sorted((dst, src) for src, dst in edges)
    counts = torch.bincount(torch.tensor([dst for dst, _ in pairs], dtype=torch.long), minlength=num_dst)
    indptr = torch.cat([torch.zeros(1, dtype=torch.long), counts.cumsum(0)])
    indices = torch.tensor([src for _, src in pairs], dtype=torch.long)
    weight = torch.rand(len(pairs), generator=torch.Generator().manual_seed(1)) + 0.1 if weighted else None
    return Block(indptr, indices, num_src, weight)


HARD_BLOCKS = {
    "square": _block(4, 4, ((0, 1), (1, 0), (1, 2), (2, 1), (3, 0), (2, 3))),
    "unequal sides": _block(2, 5, ((0, 1), (2, 0), (3, 0), (4, 1), (3, 1))),
    "unweighted": _block(3, 4, ((0, 1), (3, 0), (3, 2), (2, 2)), weighted=False),
    "no edges": _block(3, 4, ()),
    "isolated nodes": _block(4, 4, ((0, 1), (1, 0))),
    "self-loops": _block(3, 3, ((0, 0), (1, 1), (2, 2), (0, 1))),
    "multi-edges": _block(2, 3, ((2, 0), (2, 0), (1, 0), (0, 1), (0, 1), (0, 1))),
    "one node": _block(1, 1, ()),
    "one node, self-loop": _block(1, 1, ((0, 0),)),
    "hub": _block(3, 60, tuple((u, 0) for u in range(1, 60))),
}
"""Blocks that hurt, by name."""

CONV_SPECS = {
    "gcn": ConvSpec("gcn", 6, 4),
    "gcn, widening": ConvSpec("gcn", 3, 8),
    "sage mean": ConvSpec("sage", 6, 4),
    "sage mean, widening": ConvSpec("sage", 3, 8),
    "sage max": ConvSpec("sage", 6, 4, aggregation="max"),
    "gat": ConvSpec("gat", 6, 4, heads=3),
    "gat, averaged": ConvSpec("gat", 6, 4, heads=3, concat=False),
    "gatv2": ConvSpec("gatv2", 6, 4, heads=3),
    "gatv2, averaged": ConvSpec("gatv2", 6, 4, heads=2, concat=False),
    "gin": ConvSpec("gin", 6, 4, eps=0.25),
    "gin, wide inside": ConvSpec("gin", 6, 4, mlp_channels=5),
}
"""Every convolution in every shape that matters, by name."""
