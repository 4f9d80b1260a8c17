"""Parts of a typed graph: the nodes of a type and the edges of a relation, with numbers of their own.

Rules: a node's number within its type is its row, its place among the nodes of that type.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Callable, Dict, Mapping, Optional, Sequence

import torch
from torch import Tensor

from gnnkit.data.graph import Graph
from gnnkit.data.notes import Notes
from gnnkit.data.typed import Typed
from gnnkit.errors import DataError


def expect_typed(graph: Graph) -> Typed:
    """What has a type in a typed graph.

    Raises:
        DataError: The graph has no types.

    Example:
        >>> from gnnkit.data import from_edge_index
        >>> expect_typed(from_edge_index([[0], [1]]))
        Traceback (most recent call last):
        gnnkit.errors.DataError: Bad data in typed: graph 'graph' has no types, ...
    """
    if graph.typed is None:
        problem = f"graph {graph.name!r} has no types, expected a typed graph."
        raise DataError("typed", problem, fix="Build it with gnnkit.data.from_typed.")
    return graph.typed


def relation_edges(graph: Graph, relation: str) -> Tensor:
    """Edges of a relation of a typed graph.

    Args:
        graph: The graph.
        relation: ``src:name:dst``, or the name alone where only one relation has it.

    Returns:
        Rows of sources and of destinations within their types, in the order of ``Graph.indices``. Shape [2, E_r],
        int64.

    Raises:
        DataError: The graph has no types.
        UnknownNameError: There is no such relation.

    Example:
        >>> from gnnkit.data import from_typed
        >>> graph = from_typed({"author:writes:paper": [[0, 0], [1, 0]]}, num_nodes={"paper": 3})
        >>> relation_edges(graph, "writes").tolist()
        [[0, 0], [0, 1]]
    """
    typed = expect_typed(graph)
    kept = typed.edge_type == typed.schema.relation(relation)
    return torch.stack([typed.rows[graph.indices[kept]], typed.rows[graph.dst[kept]]])


def type_nodes(graph: Graph, node_type: str) -> Graph:
    """The nodes of a type as a graph without edges: features, labels, splits and other arrays.

    Args:
        graph: A typed graph.
        node_type: The type.

    Returns:
        A graph of N_t nodes, which has no types itself. What messages say of it names the type.

    Raises:
        DataError: The graph has no types.
        UnknownNameError: There is no such type.

    Example:
        >>> from gnnkit.data import from_typed
        >>> type_nodes(from_typed({}, num_nodes={"paper": 3}, y={"paper": [0, 1, 1]}), "paper").num_classes
        2
    """
    typed = expect_typed(graph)
    number = typed.schema.node_type(node_type)
    count = typed.num_nodes[typed.schema.node_types[number]]
    return Graph(
        indptr=torch.zeros(count + 1, dtype=torch.int64),
        indices=torch.empty(0, dtype=torch.int64),
        x=typed.x.get(node_type),
        y=typed.y.get(node_type),
        splits=typed.splits.get(node_type, {}),
        node_data=typed.node_data.get(node_type, {}),
        class_names=typed.class_names.get(node_type, ()),
        feature_names=typed.feature_names.get(node_type, ()),
        node_categories=typed.node_categories.get(node_type, ()),
        name=f"{graph.name}, type {node_type!r}",
        metric=graph.metric,
        notes=Notes(),
    )


def labelled_type(graph: Graph) -> str:
    """The only type of a typed graph that has labels.

    Raises:
        DataError: The graph has no types, or none or several of them have labels.
    """
    typed = expect_typed(graph)
    if len(typed.y) != 1:
        received = f"types {', '.join(typed.y)} have labels" if typed.y else "no type has labels"
        fix = "Say which one is meant: node_type=NAME." if typed.y else "Give y when building the graph."
        raise DataError("node_type", f"{received}, expected one.", fix=fix)
    return next(iter(typed.y))


def relation_arrays(graph: Graph, relation: str) -> Graph:
    """The edge arrays of a relation, as a graph of one node with a loop for each of its edges.

    Args:
        graph: A typed graph.
        relation: The relation.

    Returns:
        A graph with ``edge_weight``, ``edge_attr`` and ``edge_data`` of the relation, in the order of its edges.

    Raises:
        DataError: The graph has no types.
        UnknownNameError: There is no such relation.
    """
    typed = expect_typed(graph)
    number = typed.schema.relation(relation)
    label = str(typed.schema.relations[number])
    count, weight = typed.num_edges[label], graph.edge_weight
    return Graph(
        indptr=torch.tensor([0, count]),
        indices=torch.zeros(count, dtype=torch.int64),
        edge_weight=None if weight is None else weight[typed.edge_type == number],
        edge_attr=typed.edge_attr.get(label),
        edge_data=typed.edge_data.get(label, {}),
        name=f"{graph.name}, relation {label!r}",
    )


def map_typed(
    typed: Typed,
    *,
    nodes: Optional[Callable[[Tensor], Tensor]] = None,
    edges: Optional[Callable[[Tensor], Tensor]] = None,
) -> Typed:
    """Do to arrays by type and by relation what is done to arrays of all nodes or of all edges.

    Args:
        typed: What has a type.
        nodes: Takes, orders or appends rows of any array of N rows; appended rows are 0, thus of the first type. Splits
            are left as they are. None: nodes stay.
        edges: The same for any array of E rows.
    """
    changed: Dict[str, Any] = {}
    if nodes is not None:
        taken = _Rows(typed.node_type, typed.schema.node_types, nodes)
        changed.update(node_type=taken.types, x=taken.of(typed.x), y=taken.of(typed.y))
        changed["node_data"] = taken.of_all(typed.node_data)
    if edges is not None:
        taken = _Rows(typed.edge_type, [str(relation) for relation in typed.schema.relations], edges)
        changed.update(edge_type=taken.types, edge_attr=taken.of(typed.edge_attr))
        changed["edge_data"] = taken.of_all(typed.edge_data)
    return replace(typed, **changed)


class _Rows:
    """Which rows of the arrays of each type a function takes, when it takes rows of all nodes or edges."""

    def __init__(self, types: Tensor, names: Sequence[str], function: Callable[[Tensor], Tensor]) -> None:
        self.types = function(types)
        # Places from 1: what the function appends is 0.
        self._places = function(torch.arange(1, types.numel() + 1))
        self._old = types
        self._numbers = {name: number for number, name in enumerate(names)}

    def of(self, arrays: Mapping[str, Tensor]) -> Dict[str, Tensor]:
        """The rows of each type's array, by name of the type."""
        return {name: self._rows(name, values) for name, values in arrays.items()}

    def of_all(self, groups: Mapping[str, Mapping[str, Tensor]]) -> Dict[str, Dict[str, Tensor]]:
        """The same of several arrays a type."""
        return {name: {key: self._rows(name, each) for key, each in held.items()} for name, held in groups.items()}

    def _rows(self, name: str, values: Tensor) -> Tensor:
        number = self._numbers[name]
        places = self._places[self.types == number]
        # Row of each old one within its type, from 1; row 0 is what is new.
        ranks = torch.cat([self._old.new_zeros(1, dtype=torch.int64), (self._old == number).cumsum(0)])
        return torch.cat([values.new_zeros(1, *values.shape[1:]), values])[ranks[places]]
