"""Heuristics: scores of pairs from the neighbours that both nodes have, without anything learnt.

Rules: the neighbours of a node are the sources of its edges, each once and never the node itself. In an undirected
graph, which has both directions of each edge, they are what is usually called so.
"""

from __future__ import annotations

from typing import Any, Callable, Mapping

import numpy as np
import torch
from torch import Tensor

from gnnkit.data import Graph
from gnnkit.errors import UnknownNameError
from gnnkit.jit import kernel

Array = Any
"""A NumPy array; the kernels' own docstrings give dtype and shape."""


def heuristic_scores(name: str, graph: Graph, pairs: Tensor) -> Tensor:
    """Score pairs by the neighbours that both nodes have.

    "common_neighbors" counts them: Liben-Nowell and Kleinberg, "The link-prediction problem for social networks"
    (2007). "adamic_adar" adds up ``1 / log(degree)`` of each, 0 where the degree is 1: Adamic and Adar, "Friends and
    neighbors on the Web" (2003). "resource_allocation" adds up ``1 / degree``: Zhou, Lü and Zhang, "Predicting missing
    links via local information" (2009). A degree is how many nodes a node is a neighbour of.

    Args:
        name: Which one.
        graph: Its edges count; their weights do not.
        pairs: Shape [n, 2], int64 node ids.

    Returns:
        Shape [n], float64, from 0.

    Raises:
        UnknownNameError: There is no such heuristic.

    Example:
        >>> import gnnkit
        >>> graph = gnnkit.load_dataset("karate")
        >>> heuristic_scores("common_neighbors", graph, torch.tensor([[0, 33], [0, 1]])).tolist()
        [4.0, 7.0]
    """
    if name not in HEURISTICS:
        raise UnknownNameError("heuristic", name, HEURISTICS)
    indptr, indices = graph.indptr.numpy(), graph.indices.numpy()
    degrees = np.zeros(graph.num_nodes)
    _count_degrees(indptr, indices, degrees)
    found = np.empty(len(pairs))
    sources, destinations = (np.ascontiguousarray(column) for column in pairs.numpy().T)
    order = np.argsort(sources, kind="stable")
    _sum_common(indptr, indices, HEURISTICS[name](degrees), order, sources, destinations, found)
    return torch.from_numpy(found)


def _inverse(values: Array) -> Array:
    """1 / values; 0 where a value is 0 or below."""
    return np.divide(1.0, values, out=np.zeros_like(values), where=values > 0)


HEURISTICS: Mapping[str, Callable[[Array], Array]] = {
    "common_neighbors": np.ones_like,
    "adamic_adar": lambda degrees: _inverse(np.log(np.maximum(degrees, 1.0))),
    "resource_allocation": _inverse,
}
"""What each neighbour that both nodes have adds, from the degrees of all nodes, [N] float64."""


def is_heuristic(name: object) -> bool:
    """Whether the name of a model is that of a heuristic."""
    return isinstance(name, str) and name in HEURISTICS


@kernel
def _count_degrees(indptr: Array, indices: Array, degrees: Array) -> None:
    """Add to float64 ``degrees`` [N] how many nodes each node is a neighbour of."""
    for node in range(len(indptr) - 1):
        last = node
        for i in range(indptr[node], indptr[node + 1]):
            neighbor = indices[i]
            if neighbor != node and neighbor != last:
                degrees[neighbor] += 1
            last = neighbor


@kernel
def _sum_common(
    indptr: Array, indices: Array, weights: Array, order: Array, sources: Array, destinations: Array, found: Array
) -> None:
    """Fill float64 ``found`` [n] with the sums of ``weights`` [N] over the neighbours that both nodes of a pair have.

    ``order`` [n] goes through the pairs source by source: the neighbours of each are marked once.
    """
    marked = np.zeros(len(weights))
    marked_of = -1
    for pair in order:
        u, v = sources[pair], destinations[pair]
        if u != marked_of:
            if marked_of >= 0:
                for i in range(indptr[marked_of], indptr[marked_of + 1]):
                    marked[indices[i]] = 0.0
            for i in range(indptr[u], indptr[u + 1]):
                marked[indices[i]] = weights[indices[i]]
            marked[u], marked_of = 0.0, u
        total, last = 0.0, v
        for i in range(indptr[v], indptr[v + 1]):
            neighbor = indices[i]
            # A repeat adds nothing, nor does a self-loop.
            total += marked[neighbor] * (neighbor != last and neighbor != v)
            last = neighbor
        found[pair] = total
