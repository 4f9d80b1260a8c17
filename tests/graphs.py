"""Small graphs that can be learnt, made in a moment."""

from __future__ import annotations

from dataclasses import replace

import torch

from gnnkit.data import Graph, add_reverses, from_typed
from gnnkit.testing import communities


def multi_label(num_nodes: int = 240) -> Graph:
    """The communities, each node a member of its own and perhaps of the next."""
    graph = communities(num_nodes)
    assert graph.y is not None
    own = torch.nn.functional.one_hot(graph.y, 3)
    y = (own + own.roll(1, dims=1) * (graph.x[:, :1] > 0)).clamp(max=1).float()
    return replace(graph, y=y)


def featureless(num_nodes: int = 240) -> Graph:
    """The communities, of whose nodes nothing is known but their neighbours."""
    return replace(communities(num_nodes), x=None, edge_attr=None)


__all__ = ["communities", "featureless", "multi_label"]


def knowledge(num: int = 30) -> Graph:
    """A knowledge graph of two types: people follow one another in a ring, are alike both ways, and live in places.

    Every relation but "alike", which is its own reverse, has a declared reverse.
    """
    people, places = torch.arange(num), torch.arange(num) % 5
    far = torch.stack([people, (people + 7) % num])
    edges = {
        ("person", "follows", "person"): torch.stack([people, (people + 1) % num]),
        ("person", "alike", "person"): torch.cat([far, far.flip(0)], dim=1),
        ("person", "lives", "place"): torch.stack([people, places]),
    }
    return add_reverses(from_typed(edges, num_nodes={"person": num, "place": 6}))
