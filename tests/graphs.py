"""Small graphs that can be learnt, made in a moment."""

from __future__ import annotations

from dataclasses import replace

import torch

from gnnkit.data import Graph, from_edge_index


def communities(num_nodes: int = 240, num_classes: int = 3, seed: int = 0) -> Graph:
    """Planted communities whose features say little alone and much together with the neighbours'."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.randint(0, num_classes, (num_nodes,), generator=generator)
    edges = torch.randint(0, num_nodes, (2, num_nodes * 10), generator=generator)
    kept = (y[edges[0]] == y[edges[1]]) | (torch.rand(edges.shape[1], generator=generator) < 0.15)
    x = torch.randn(num_nodes, 8, generator=generator) + torch.nn.functional.one_hot(y, 8)
    order = torch.randperm(num_nodes, generator=generator)
    half, three_quarters = num_nodes // 2, 3 * num_nodes // 4
    splits = {"train": order[:half], "valid": order[half:three_quarters], "test": order[three_quarters:]}
    return from_edge_index(edges[:, kept], num_nodes, x=x, y=y, splits=splits, name="communities")


def multi_label(num_nodes: int = 240) -> Graph:
    """The communities, each node a member of its own and perhaps of the next."""
    graph = communities(num_nodes)
    assert graph.y is not None
    own = torch.nn.functional.one_hot(graph.y, 3)
    y = (own + own.roll(1, dims=1) * (graph.x[:, :1] > 0)).clamp(max=1).float()
    return replace(graph, y=y)
