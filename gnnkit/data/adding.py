"""Nodes and edges that come after a graph was built.

Rules: old nodes keep their numbers, new ones follow them; nothing that was derived from degrees is kept, because it is
derived again when the graph is prepared.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Optional

import torch
from torch import Tensor

from gnnkit.data.arrays import as_floats, as_integers
from gnnkit.data.build import sort_edges
from gnnkit.data.check import check_edge_range, check_graph, check_rows
from gnnkit.data.graph import IGNORED_LABEL, Graph
from gnnkit.data.labels import as_labels, check_classes
from gnnkit.errors import DataError


def add_nodes(
    graph: Graph,
    x: Any = None,
    edge_index: Any = None,
    *,
    edge_weight: Any = None,
    edge_attr: Any = None,
    y: Any = None,
) -> Graph:
    """Add nodes to a graph, with edges among them and to the nodes that are there.

    Splits, links, class names and name stay; new edges carry messages for every split. What is not known of new nodes
    and edges, arrays in ``node_data`` and ``edge_data``, is left out of the result. The features are copied.

    Args:
        graph: One graph, not prepared: self-loops and normalisation are added afterwards.
        x: Features of the new nodes. Shape [M, F], the graph's F; they take its dtype. The nodes get the numbers
            N to N + M - 1. None adds edges alone.
        edge_index: Sources and destinations of new edges, numbers below N + M. Shape [2, K], integers. None adds none.
            In data that carry both directions, give both.
        edge_weight: Weights of the new edges. Shape [K]. None means 1, if the graph has weights; where it has none
            and these are given, its own edges get 1.
        edge_attr: Features of the new edges, needed if the graph has some. Shape [K, D].
        y: Labels of the new nodes, as the graph has them. None: they have none (-100).

    Returns:
        The graph with N + M nodes, edges sorted by (destination, source).

    Raises:
        DataError: Something does not fit the graph; it names the field and the row.

    Example:
        >>> from gnnkit.data import from_edge_index
        >>> pair = from_edge_index([[0, 1], [1, 0]], x=[[1.0], [2.0]])
        >>> add_nodes(pair, [[3.0]], [[0], [2]]).edge_index.tolist()
        [[1, 0, 0], [0, 1, 2]]
    """
    if graph.graph_ptr is not None:
        raise DataError("graph_ptr", "the record holds several graphs.", fix="Add nodes to one graph.")
    if graph.typed is not None:
        problem = "nodes and edges of a typed graph have types, which are not told here."
        raise DataError("typed", problem, fix="Build it anew: gnnkit.data.from_typed(**gnnkit.data.to_typed(graph)).")
    new_x = _features(graph, x)
    num_new = 0 if new_x is None else new_x.shape[0]
    num_nodes = graph.num_nodes + num_new
    edges = as_integers([[], []] if edge_index is None else edge_index, "edge_index")
    if edges.ndim != 2 or edges.shape[0] != 2:
        raise DataError("edge_index", f"shape is {list(edges.shape)}, expected [2, K].")
    check_edge_range(edges, num_nodes)
    weight, attributes = as_floats(edge_weight, "edge_weight"), as_floats(edge_attr, "edge_attr")
    links = graph.links
    if links is not None and links.test_edges is not None:
        links = replace(links, test_edges=_with_edges(links.test_edges, num_nodes, edges, weight, attributes))
    grown = replace(
        _with_edges(graph, num_nodes, edges, weight, attributes),
        links=links,
        x=graph.x if new_x is None or graph.x is None else torch.cat([graph.x, new_x]),
        y=_joined_labels(graph, y, num_new),
        node_data={},
    )
    check_graph(grown)
    return grown


def _with_edges(
    graph: Graph, num_nodes: int, edges: Tensor, edge_weight: Optional[Tensor], edge_attr: Optional[Tensor]
) -> Graph:
    """The edges of a graph and new ones, with weights and features, among so many nodes."""
    weight = _joined_weights(graph, edge_weight, edges.shape[1])
    attributes = _joined_attributes(graph, edge_attr, edges.shape[1])
    src, dst = torch.cat([graph.indices, edges[0]]), torch.cat([graph.dst, edges[1]])
    indptr, indices, order = sort_edges(src, dst, num_nodes)

    def arranged(tensor: Optional[Tensor]) -> Optional[Tensor]:
        return tensor if tensor is None or order is None else tensor[order]

    return replace(
        graph,
        indptr=indptr,
        indices=indices,
        edge_weight=arranged(weight),
        edge_attr=arranged(attributes),
        edge_data={},
    )


def _features(graph: Graph, x: Any) -> Optional[Tensor]:
    new = as_floats(x, "x")
    if new is None:
        return None
    if graph.x is None:
        raise DataError("x", "the new nodes have features, the graph has none.", fix="Build the graph with x.")
    if new.ndim != 2 or new.shape[1] != graph.num_features:
        raise DataError("x", f"shape is {list(new.shape)}, expected [M, {graph.num_features}] as in the graph.")
    return new.to(graph.x.dtype)


def _joined_weights(graph: Graph, new: Optional[Tensor], num: int) -> Optional[Tensor]:
    old = graph.edge_weight
    if old is None and new is None:
        return None
    if old is None:
        assert new is not None
        old = torch.ones(graph.num_edges, dtype=new.dtype)
    if new is None:
        new = torch.ones(num, dtype=old.dtype)
    check_rows(new, "edge_weight", num, "new edges")
    return torch.cat([old, new.to(old.dtype)])


def _joined_attributes(graph: Graph, new: Optional[Tensor], num: int) -> Optional[Tensor]:
    old = graph.edge_attr
    if old is None and new is None:
        return None
    if old is None or new is None:
        if num == 0:
            return old
        problem = "the graph has none, the new edges have." if old is None else "the new edges have none."
        raise DataError("edge_attr", problem, fix="Give them for all edges or for none.")
    check_rows(new, "edge_attr", num, "new edges")
    if new.shape[1:] != old.shape[1:]:
        raise DataError("edge_attr", f"shape is {list(new.shape)}, expected [{num}, {old.shape[1]}].")
    return torch.cat([old, new.to(old.dtype)])


def _joined_labels(graph: Graph, y: Any, num: int) -> Optional[Tensor]:
    if graph.y is None:
        if y is not None:
            raise DataError("y", "the new nodes have labels, the graph has none.", fix="Leave y out.")
        return None
    missing = float("nan") if graph.has_numbers else IGNORED_LABEL
    new = as_floats(y, "y") if graph.has_numbers else as_labels(y, named=True)  # Judged with the others, below.
    if new is None:
        return torch.cat([graph.y, graph.y.new_full((num, *graph.y.shape[1:]), missing)])
    check_rows(new, "y", num, "new nodes")
    if new.shape[1:] != graph.y.shape[1:]:
        raise DataError("y", f"shape is {list(new.shape)}, expected that of the graph's labels, {list(graph.y.shape)}.")
    joined = torch.cat([graph.y, new.to(graph.y.dtype)])
    if joined.ndim == 1 and not graph.class_names:
        check_classes(joined)
    return joined
