"""One number for each pair of nodes, so that pairs are compared, sorted and looked up as numbers.

Rules: keys are int64 and ascend by (destination, relation, source), which is the order of a graph's edges. Where pairs
are undirected, both directions have the key of the direction from the smaller node to the larger. Of two relations that
are each other's reverse, both have the key of the first.
"""

from __future__ import annotations

from typing import Iterator, Optional, Tuple

import numpy as np
from torch import Tensor

from gnnkit.data.graph import Graph
from gnnkit.data.typed import Schema
from gnnkit.errors import DataError

MOST_NODES = 3_037_000_499
"""Nodes up to which the key of a pair, below the square of their number, fits 63 bits."""

_CHUNK_EDGES = 1 << 22


def check_num_nodes(num_nodes: int, num_relations: int = 1) -> None:
    """Refuse more nodes than pairs of which can be numbered.

    Raises:
        DataError: There are too many.
    """
    most = int((MOST_NODES**2 // num_relations) ** 0.5)
    if num_nodes > most:
        problem = f"the graph has {num_nodes:,} nodes, pairs can be told apart up to {most:,}."
        raise DataError("links", problem, fix="Split a smaller graph.")


def pair_keys(
    src: np.ndarray,
    dst: np.ndarray,
    num_nodes: int,
    undirected: bool,
    relations: Optional[np.ndarray] = None,
    num_relations: int = 1,
) -> np.ndarray:
    """The key of each pair.

    Args:
        src: Sources. Shape [n], int64.
        dst: Destinations. Shape [n], int64.
        num_nodes: Number of nodes N; see :func:`check_num_nodes`. All ids are below it.
        undirected: Whether both directions of a pair have one key.
        relations: Relation of each pair of a typed graph. Shape [n], integers. None: all are of one.
        num_relations: Number of relations R.

    Returns:
        Shape [n], int64, from 0 to N * R * N - 1.

    Example:
        >>> pair_keys(np.array([0, 2]), np.array([2, 0]), 3, undirected=True).tolist()
        [6, 6]
        >>> pair_keys(np.array([1]), np.array([2]), 3, False, np.array([1]), 2).tolist()
        [16]
    """
    if undirected:
        src, dst = np.minimum(src, dst), np.maximum(src, dst)
    runs = dst if relations is None else dst * num_relations + relations
    keys: np.ndarray = runs * num_nodes + src
    return keys


def keys_of(
    pairs: Tensor,
    num_nodes: int,
    undirected: bool,
    relations: Optional[Tensor] = None,
    schema: Optional[Schema] = None,
) -> np.ndarray:
    """The key of each row of [n, 2] pairs, as :func:`pair_keys` has it; with relations, one for both directions.

    Args:
        pairs: The pairs.
        num_nodes: Number of nodes.
        undirected: Whether both directions of a pair have one key.
        relations: Relation of each pair. None: all are of one.
        schema: Says which relation is whose reverse.
    """
    src, dst = pairs.numpy().T
    if relations is None or schema is None:
        return pair_keys(src, dst, num_nodes, undirected)
    kinds = relations.numpy()
    own = np.arange(len(schema.relations))
    back = np.array([i if each.reverse is None else each.reverse for i, each in enumerate(schema.relations)])
    loops = np.array([each.reverse == i for i, each in enumerate(schema.relations)], dtype=bool)
    flips = np.where(loops[kinds], dst < src, (back < own)[kinds])
    ends = np.where(flips, dst, src), np.where(flips, src, dst)
    return pair_keys(*ends, num_nodes, undirected, np.minimum(back, own)[kinds], len(own))


def edge_keys(graph: Graph) -> Iterator[Tuple[int, np.ndarray]]:
    """Keys of a graph's edges in pieces of bounded size, ascending, each with the row at which it begins."""
    indptr = graph.indptr.numpy()
    for start in range(0, graph.num_edges, _CHUNK_EDGES):
        stop = min(start + _CHUNK_EDGES, graph.num_edges)
        first, last = np.searchsorted(indptr, [start, stop - 1], side="right") - 1
        dst = np.repeat(np.arange(first, last + 1), np.diff(np.clip(indptr[first : last + 2], start, stop)))
        sources = graph.indices[start:stop].numpy()
        if graph.typed is None:
            yield start, pair_keys(sources, dst, graph.num_nodes, undirected=False)
            continue
        types = graph.typed.edge_type[start:stop].numpy().astype(np.int64)
        num_relations = len(graph.typed.schema.relations)
        yield start, pair_keys(sources, dst, graph.num_nodes, False, types, num_relations)


def edge_rows(graph: Graph, keys: np.ndarray) -> np.ndarray:
    """Where edges stand in a graph.

    Args:
        graph: The graph.
        keys: Keys of directed pairs, ascending, of the graph's own relations. Shape [n], int64.

    Returns:
        The first row of ``indices`` with that edge, -1 where there is none. Shape [n], int64.

    Example:
        >>> from gnnkit.data import from_edge_index
        >>> edge_rows(from_edge_index([[0, 1, 1], [1, 0, 2]]), np.array([1, 3, 8])).tolist()
        [0, 1, -1]
    """
    rows = np.full(len(keys), -1, dtype=np.int64)
    for start, found in edge_keys(graph):
        here = slice(*np.searchsorted(keys, [found[0], found[-1] + 1]))
        places = np.searchsorted(found, keys[here])  # below len(found): none of these keys is above the last
        is_there = (found[places] == keys[here]) & (rows[here] < 0)
        rows[here][is_there] = start + places[is_there]
    return rows
