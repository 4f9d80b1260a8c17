"""Cutting a graph into parts of about the same size, with few edges between them.

Rules: the same graph and number give the same parts. Edges count in both directions, whatever their weights.
"""

from __future__ import annotations

from heapq import heappop, heappush
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gnnkit.data import Graph
from gnnkit.errors import ConfigError
from gnnkit.jit import kernel

_ROUNDS = 10
_ROOM = 1.1
"""How much larger than the mean a part may be."""


def grown_parts(graph: Graph, num_parts: int) -> Tensor:
    """The part of every node, by growing and then moving nodes.

    Parts are grown one after the other, as in METIS (Karypis and Kumar, 1998) but on the graph itself: the node that
    comes next has the largest share of its edges into the part. Then, a few times over, a node goes to the part that
    most of its neighbours are in, if there is room.

    Args:
        graph: The graph.
        num_parts: From 1 up to the number of nodes.

    Returns:
        Shape [N], int64, from 0.

    Raises:
        ConfigError: More parts than nodes, or none.

    Example:
        >>> from gnnkit.data import from_edge_index
        >>> graph = from_edge_index([[0, 1, 1, 2, 3, 4, 4, 5], [1, 0, 2, 1, 4, 3, 5, 4]], num_nodes=6)
        >>> grown_parts(graph, 2).tolist()
        [0, 0, 0, 1, 1, 1]
    """
    if not 1 <= num_parts <= graph.num_nodes:
        raise ConfigError(f"The graph has {graph.num_nodes} nodes, expected 1 up to so many parts, not {num_parts}.")
    offsets, neighbours = _both_directions(graph)
    parts = np.empty(graph.num_nodes, dtype=np.int64)
    _grow(offsets, neighbours, num_parts, parts)
    most = int(np.ceil(_ROOM * graph.num_nodes / num_parts))
    for _ in range(_ROUNDS):
        if _move(offsets, neighbours, num_parts, most, parts) == 0:
            break
    return torch.from_numpy(parts)


def _both_directions(graph: Graph) -> Any:
    sources = graph.indices.numpy().astype(np.int64)
    destinations = np.repeat(np.arange(graph.num_nodes), np.diff(graph.indptr.numpy()))
    ends = np.concatenate([sources, destinations])
    order = np.argsort(ends, kind="stable")
    offsets = np.concatenate([[0], np.bincount(ends, minlength=graph.num_nodes).cumsum()])
    return offsets, np.concatenate([destinations, sources])[order]


@kernel
def _breadth_first(offsets: Any, neighbours: Any) -> Any:
    """All nodes in breadth-first order."""
    num = len(offsets) - 1
    is_queued = np.zeros(num, dtype=np.bool_)
    queue = np.empty(num, dtype=np.int64)
    tail = 0
    done = 0
    for root in range(num):
        if is_queued[root]:
            continue
        is_queued[root] = True
        queue[tail] = root
        tail += 1
        while done < tail:
            node = queue[done]
            done += 1
            for i in range(offsets[node], offsets[node + 1]):
                if not is_queued[neighbours[i]]:
                    is_queued[neighbours[i]] = True
                    queue[tail] = neighbours[i]
                    tail += 1
    return queue


@kernel
def _grow(offsets: Any, neighbours: Any, num_parts: Any, parts: Any) -> None:
    """Grow parts of equal size, each from the first node in breadth-first order that is left."""
    num = len(parts)
    parts[:] = -1
    order = _breadth_first(offsets, neighbours)
    first = 0
    inside = np.zeros(num, dtype=np.int64)  # Edges into the part that a node was last counted for.
    counted = np.full(num, -1, dtype=np.int64)
    for part in range(num_parts):
        waiting = [(0.0, order[0])]  # Says to Numba of what type it is.
        waiting.pop()
        for _ in range((part + 1) * num // num_parts - part * num // num_parts):
            node = -1
            while node < 0 and len(waiting) > 0:
                best = heappop(waiting)[1]
                if parts[best] < 0:
                    node = best
            if node < 0:
                while parts[order[first]] >= 0:
                    first += 1
                node = order[first]
            parts[node] = part
            for i in range(offsets[node], offsets[node + 1]):
                other = neighbours[i]
                if parts[other] < 0:
                    inside[other] = inside[other] + 1 if counted[other] == part else 1
                    counted[other] = part
                    heappush(waiting, (-inside[other] / (offsets[other + 1] - offsets[other]), other))


@kernel
def _move(offsets: Any, neighbours: Any, num_parts: Any, most: Any, parts: Any) -> Any:
    """Let every node go to the part of most of its neighbours; how many went."""
    sizes = np.zeros(num_parts, dtype=np.int64)
    for node in range(len(parts)):
        sizes[parts[node]] += 1
    counts = np.zeros(num_parts, dtype=np.int64)
    moved = 0
    for node in range(len(parts)):
        own = parts[node]
        if sizes[own] == 1:
            continue
        for i in range(offsets[node], offsets[node + 1]):
            counts[parts[neighbours[i]]] += 1
        best = own
        for i in range(offsets[node], offsets[node + 1]):
            part = parts[neighbours[i]]
            if counts[part] > counts[best] and sizes[part] < most:
                best = part
        for i in range(offsets[node], offsets[node + 1]):
            counts[parts[neighbours[i]]] = 0
        if best != own:
            parts[node] = best
            sizes[own] -= 1
            sizes[best] += 1
            moved += 1
    return moved
