"""Graphs with links, and what is true of every one."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import strategies as st

from gnnkit.data import Graph, Links, from_edge_index


@st.composite
def multigraphs(draw, reverses=None):
    """Edges with repeats and self-loops, with the reverse of each or without; ``edge_data["row"]`` numbers them."""
    num_nodes = draw(st.integers(4, 12))
    ids = st.integers(0, num_nodes - 1)
    edges = draw(st.lists(st.tuples(ids, ids), min_size=6, max_size=40))
    edges += [(i, (i + 1) % num_nodes) for i in range(num_nodes)]  # so that there are pairs to split
    if draw(st.booleans()) if reverses is None else reverses:
        edges += [(v, u) for u, v in edges]
    array = np.array(edges).T
    return from_edge_index(
        array, num_nodes, edge_weight=np.arange(1.0, array.shape[1] + 1), edge_data={"row": np.arange(array.shape[1])}
    )


def pair_set(pairs: torch.Tensor, undirected: bool) -> set:
    """Pairs of Python numbers, in a form that both directions share where they are one."""
    return {tuple(sorted(pair)) if undirected else tuple(pair) for pair in pairs.tolist()}


def linked_graph(undirected: bool = True) -> Graph:
    """A graph that uses every field of links."""
    graph = from_edge_index([[0, 1, 2, 1], [1, 0, 1, 2]], 6, x=torch.eye(6), edge_weight=[1.0, 1.0, 2.0, 2.0])
    more = from_edge_index(
        [[0, 1, 2, 1, 3, 4], [1, 0, 1, 2, 4, 3]],
        6,
        edge_weight=[1.0, 1.0, 2.0, 2.0, 3.0, 3.0],
        edge_data={"year of": torch.arange(6)},
    )
    links = Links(
        {"train": torch.tensor([[0, 1], [1, 2]]), "valid": torch.tensor([[3, 4]]), "test": torch.tensor([[4, 5]])},
        undirected,
        y={"train": torch.tensor([0, -100]), "valid": torch.tensor([1]), "test": torch.tensor([1])},
        negatives={"valid": torch.tensor([[0, 5], [5, 2]])},
        negative_destinations={"test": torch.tensor([[0, 1, 2]])},
        test_edges=more,
        class_names=("no", "yes"),
    )
    return Graph(graph.indptr, graph.indices, x=graph.x, edge_weight=graph.edge_weight, links=links)
