"""What the conversions of typed graphs from and to other libraries share.

Rules: other libraries number the nodes of each type from 0, so a graph is brought into that order first. What they have
no place for travels as :class:`TypedExtras`, which applies as far as the data at hand still fit it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Dict, Mapping, Optional, Sequence, Tuple, Union

import torch
from torch import Tensor

from gnnkit.data.check import check_graph
from gnnkit.data.graph import Graph
from gnnkit.data.link_checks import attach_links
from gnnkit.data.links import Links
from gnnkit.data.typed_build import from_typed, to_typed
from gnnkit.data.typed_schema import parse_relation
from gnnkit.data.typed_views import expect_typed
from gnnkit.errors import DataError

_OF_GRAPH = ("graph_y", "graph_splits", "graph_data", "graph_names")
_WITHOUT_TYPES = ("x", "y", "edge_attr", "splits")


@dataclass(frozen=True, eq=False)
class TypedExtras:
    """What an object of another library has no place for.

    Attributes:
        node_types: The types, in their order.
        relations: ``str(relation)`` of each, in their order.
        reverses: ``str(relation)`` by that of its reverse.
        class_names: Names of the classes by type.
        feature_names: Names of the columns of features by type.
        node_categories: Numbers of categories of the columns of features by type.
        name: Name of the graph.
        metric: Metric that the data ask for.
        links: Pairs of nodes to learn and judge, like ``Graph.links``.
        num_nodes: Number of nodes of each type that the links are about.
        graph_y: Label of the graph, like ``Graph.graph_y``.
        graph_splits: Splits that the graph is in, like ``Graph.graph_splits``.
        graph_data: Further arrays of the graph.
        graph_names: Name of the graph in a list.
    """

    node_types: Tuple[str, ...] = ()
    relations: Tuple[str, ...] = ()
    reverses: Mapping[str, str] = field(default_factory=dict)
    class_names: Mapping[str, Sequence[str]] = field(default_factory=dict)
    feature_names: Mapping[str, Sequence[str]] = field(default_factory=dict)
    node_categories: Mapping[str, Sequence[int]] = field(default_factory=dict)
    name: str = "graph"
    metric: Optional[str] = None
    links: Optional[Links] = None
    num_nodes: Mapping[str, int] = field(default_factory=dict)
    graph_y: Optional[Tensor] = None
    graph_splits: Mapping[str, Tensor] = field(default_factory=dict)
    graph_data: Mapping[str, Tensor] = field(default_factory=dict)
    graph_names: Tuple[str, ...] = ()


NodeCategories = Union[Sequence[int], Mapping[str, Sequence[int]]]
"""Numbers of categories of the columns of features, or these by node type."""


def categories_by_type(given: NodeCategories) -> Optional[Mapping[str, Sequence[int]]]:
    """What was given for a typed graph; None for nothing.

    Raises:
        DataError: It is not by node type.
    """
    if not given:
        return None
    if not isinstance(given, Mapping):
        problem = f"received {list(given)}, expected a mapping from node types, because the graph is typed."
        raise DataError("node_categories", problem)
    return given


def categories_of_columns(given: NodeCategories) -> Sequence[int]:
    """What was given for a graph without types.

    Raises:
        DataError: It is by node type.
    """
    if isinstance(given, Mapping):
        problem = f"received sizes of types {', '.join(map(repr, given))}, and the graph has no types."
        raise DataError("node_categories", problem, fix="Give one number for each column of x.")
    return given


def plain_extras(extras: TypedExtras) -> Dict[str, Any]:
    """What was noted of a typed graph in plain values, without links; :func:`extras_of` reads it."""
    return {
        "node_types": list(extras.node_types),
        "relations": list(extras.relations),
        "reverses": dict(extras.reverses),
        "class_names": {name: list(names) for name, names in extras.class_names.items()},
        "feature_names": {name: list(names) for name, names in extras.feature_names.items()},
        "node_categories": {name: list(sizes) for name, sizes in extras.node_categories.items()},
        "name": extras.name,
        "metric": extras.metric,
        "graph_y": None if extras.graph_y is None else extras.graph_y.tolist(),
        "graph_splits": {name: ids.tolist() for name, ids in extras.graph_splits.items()},
        "graph_data": {name: rows.tolist() for name, rows in extras.graph_data.items()},
        "graph_names": list(extras.graph_names),
    }


def extras_of(values: Mapping[str, Any]) -> TypedExtras:
    """The inverse of :func:`plain_extras`."""
    read = dict(values)
    read["graph_y"] = None if values["graph_y"] is None else torch.tensor(values["graph_y"])
    for name in ("graph_splits", "graph_data"):
        read[name] = {key: torch.tensor(rows) for key, rows in values[name].items()}
    for name in ("node_types", "relations", "graph_names"):
        read[name] = tuple(values[name])
    return TypedExtras(**read)


def take_apart(graph: Graph) -> Tuple[Dict[str, Any], TypedExtras]:
    """A typed graph as arguments of :func:`gnnkit.data.from_typed`, and what other libraries have no place for.

    Args:
        graph: A typed graph, not several in one record.

    Raises:
        DataError: The graph has no types, is several graphs, or has arrays of all its nodes that a task has put there.
    """
    typed = expect_typed(graph)
    if graph.graph_ptr is not None:
        problem = "the record holds several typed graphs, which become a list."
        raise DataError("graph_ptr", problem, fix="Convert each of gnnkit.data.split_graphs(graph).")
    for name in _WITHOUT_TYPES:
        values = getattr(graph, name)
        if bool(values) if isinstance(values, Mapping) else values is not None:
            raise DataError(name, "it is of all nodes or edges, expected it by type in graph.typed.")
    parts = to_typed(graph)
    extras = TypedExtras(
        node_types=typed.schema.node_types,
        relations=tuple(parts["edges"]),
        reverses=parts["reverses"],
        class_names=parts["class_names"],
        feature_names=parts["feature_names"],
        node_categories=parts["node_categories"],
        name=graph.name,
        metric=graph.metric,
        links=_by_type(graph),
        num_nodes=parts["num_nodes"],
        **{name: getattr(graph, name) for name in _OF_GRAPH},
    )
    return parts, extras


def put_together(parts: Mapping[str, Any], extras: Optional[TypedExtras]) -> Graph:
    """The inverse of :func:`take_apart`.

    Args:
        parts: Arguments of :func:`gnnkit.data.from_typed`; those that ``extras`` has may be missing.
        extras: What was noted. None for what comes from elsewhere.

    Returns:
        The graph. What was noted and does not fit any more is left out, with a warning in ``notes`` where it is missed.

    Raises:
        DataError: Something breaks a rule of :class:`gnnkit.data.Typed`.
    """
    if extras is None:
        return from_typed(**parts)
    parts = dict(parts)
    edges = {":".join(parse_relation(key)): value for key, value in parts.pop("edges").items()}
    order = [*(name for name in extras.relations if name in edges), *edges]
    num_nodes = parts.pop("num_nodes", {})
    types = [*(name for name in extras.node_types if name in num_nodes), *num_nodes]
    parts["edges"] = {name: edges[name] for name in dict.fromkeys(order)}
    parts["num_nodes"] = {name: num_nodes[name] for name in dict.fromkeys(types)}
    x = parts.get("x", {})
    named = {name: names for name, names in extras.feature_names.items() if name in x}
    told = {
        "class_names": {name: names for name, names in extras.class_names.items() if name in num_nodes},
        "feature_names": {name: names for name, names in named.items() if x[name].shape[-1] == len(names)},
        "node_categories": {name: sizes for name, sizes in extras.node_categories.items() if _fit(x.get(name), sizes)},
        "name": extras.name,
        "metric": extras.metric,
    }
    told.update({name: value for name, value in parts.items() if value is not None})
    graph = _with_reverses(told, extras)
    graph = replace(graph, **{name: getattr(extras, name) for name in _OF_GRAPH})
    check_graph(graph)
    is_same = dict(expect_typed(graph).num_nodes) == dict(extras.num_nodes)
    is_same = is_same and tuple(map(str, expect_typed(graph).schema.relations)) == extras.relations
    return attach_links(graph, extras.links, graph.num_nodes if is_same else sum(extras.num_nodes.values()))


def _fit(x: Any, sizes: Sequence[int]) -> bool:
    """Whether features are codes of as many columns, each below its number of categories."""
    if x is None or (torch.is_tensor(x) and x.is_floating_point()):
        return False
    codes = torch.as_tensor(x)
    is_wide = codes.ndim == 2 and codes.shape[1] == len(sizes) and not codes.is_floating_point()
    return is_wide and bool(((codes >= 0) & (codes < torch.tensor(list(sizes)))).all())


def _with_reverses(told: Mapping[str, Any], extras: TypedExtras) -> Graph:
    """The graph with the reverses that were declared and still are reverses."""
    reverses = {a: b for a, b in extras.reverses.items() if a in told["edges"] and b in told["edges"]}
    try:
        return from_typed(**told, reverses=reverses)
    except DataError as error:
        if error.field != "reverses":
            raise
    graph = from_typed(**told)
    warning = "relations that were declared reverses of each other have other edges now, and are so no longer."
    return replace(graph, notes=graph.notes.warned(warning))


def _by_type(graph: Graph) -> Optional[Links]:
    """The links with the numbers that nodes have when types follow one another."""
    typed, links = expect_typed(graph), graph.links
    if links is None or bool((typed.node_type.diff() >= 0).all()):
        return links
    counts = torch.tensor(list(typed.num_nodes.values()))
    new = (counts.cumsum(0) - counts)[typed.node_type.long()] + typed.rows
    moved: Dict[str, Any] = {
        name: {split: new[ids] for split, ids in getattr(links, name).items()}
        for name in ("pairs", "negatives", "negative_destinations")
    }
    return replace(links, **moved)
