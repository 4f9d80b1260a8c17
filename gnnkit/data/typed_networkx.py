"""Typed graphs from and to networkx: the type of a node and the relation of an edge are attributes.

Rules: everything else about nodes and edges is as in :mod:`gnnkit.data.convert_networkx`, type by type and relation by
relation.
"""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

import torch

from gnnkit.data.convert import DESCRIPTION, NODE_ID, describe, number_nodes, require
from gnnkit.data.graph import Graph
from gnnkit.data.notes import Notes, warn_of_links
from gnnkit.data.typed_build import from_typed
from gnnkit.data.typed_convert import extras_of, plain_extras, put_together, take_apart
from gnnkit.data.typed_views import expect_typed, relation_arrays, type_nodes
from gnnkit.errors import DataError

TYPE, RELATION = "type", "relation"
"""Attributes of nodes and of edges."""


def typed_to_networkx(graph: Graph) -> Any:
    """Turn a typed graph into a ``networkx.MultiDiGraph``; see :func:`gnnkit.data.to_networkx`."""
    from gnnkit.data.convert_networkx import to_networkx

    nx = require("networkx")
    warn_of_links(graph, "a networkx graph")
    parts, extras = take_apart(graph)
    graph = from_typed(**parts)
    typed = expect_typed(graph)
    result = nx.MultiDiGraph(name=graph.name)
    described: Dict[str, Any] = {"typed": plain_extras(extras), "nodes": {}, "edges": {}}
    number = 0
    for name in typed.schema.node_types:
        part = type_nodes(graph, name)
        described["nodes"][name] = describe(part)
        for _, record in to_networkx(part).nodes(data=True):
            result.add_node(number, **{TYPE: name}, **_without(record, TYPE, f"node_data of {name!r}"))
            number += 1
    starts = _starts(typed.num_nodes)
    for relation in typed.schema.relations:
        label = str(relation)
        arrays = relation_arrays(graph, label)
        described["edges"][label] = describe(arrays)
        records = [record for *_, record in to_networkx(arrays).edges(data=True)]
        src, dst = (parts["edges"][label] + torch.tensor([[starts[relation.src]], [starts[relation.dst]]])).tolist()
        for source, target, record in zip(src, dst, records):
            more = _without(record, RELATION, f"edge_data of {label!r}")
            result.add_edge(source, target, **{RELATION: relation.name}, **more)
    result.graph[DESCRIPTION] = described
    return result


def _starts(counts: Mapping[str, int]) -> Dict[str, int]:
    starts, total = {}, 0
    for name, count in counts.items():
        starts[name] = total
        total += count
    return starts


def _without(record: Mapping[str, Any], taken: str, where: str) -> Mapping[str, Any]:
    if taken in record:
        raise DataError(where, f"the name {taken!r} stands for something else in networkx.", fix="Rename it.")
    return record


def is_described(graph: Any) -> bool:
    """Whether :func:`typed_to_networkx` has made a graph."""
    return "typed" in graph.graph.get(DESCRIPTION, {})


def typed_from_networkx(graph: Any, node_type: str, relation: str, chosen: Mapping[str, Any]) -> Graph:
    """Build a typed graph from a networkx graph; see :func:`gnnkit.data.from_networkx`.

    Args:
        graph: The graph.
        node_type: Attribute with the type of a node.
        relation: Attribute with the relation of an edge.
        chosen: Further arguments of :func:`gnnkit.data.from_networkx` about nodes and edges.
    """
    nx = require("networkx")
    described = graph.graph.get(DESCRIPTION, {}) if is_described(graph) else {}
    noted = described.get("typed")
    nodes, own_ids, note = number_nodes(list(graph.nodes))
    types = _types_of(graph, nodes, node_type)
    members: Dict[str, List[int]] = {name: [] for name in (noted or {}).get("node_types", ())}
    for number, name in enumerate(types):
        members.setdefault(name, []).append(number)
    homes = {node: (name, row) for name, held in members.items() for row, node in enumerate(nodes[i] for i in held)}
    parts: Dict[str, Any] = {field: {} for field in _NODE_FIELDS}
    left_out: List[str] = []
    for name, held in members.items():
        part = nx.DiGraph(name=f"type {name!r}")
        part.graph.update({DESCRIPTION: described["nodes"][name]} if name in described.get("nodes", {}) else {})
        part.add_nodes_from((row, _but(graph.nodes[nodes[i]], node_type)) for row, i in enumerate(held))
        left_out += _take(parts, name, part, _NODE_FIELDS, chosen)
        if own_ids is not None:
            parts["node_data"][name] = {NODE_ID: own_ids[held], **parts["node_data"].get(name, {})}
        parts["num_nodes"][name] = len(held)
    ends, records_of, reverses = _edges(graph, homes, relation, (noted or {}).get("relations", ()))
    parts.update({field: {} for field in _EDGE_FIELDS}, edges=ends)
    for label, records in records_of.items():
        part = nx.MultiDiGraph(name=f"relation {label!r}")
        part.graph.update({DESCRIPTION: described["edges"][label]} if label in described.get("edges", {}) else {})
        part.add_node(0)
        part.add_edges_from((0, 0, record) for record in records)
        left_out += _take(parts, label, part, _EDGE_FIELDS, chosen)
    parts["notes"] = Notes(nodes=note, left_out=tuple(left_out))
    if noted is None:
        parts.update(reverses=reverses, name=str(graph.graph.get("name") or "graph"))
    return put_together(parts, None if noted is None else extras_of(noted))


_NODE_FIELDS = ("num_nodes", "x", "y", "splits", "node_data", "class_names", "feature_names")
_EDGE_FIELDS = ("edge_weight", "edge_attr", "edge_data")


def _take(parts: Dict[str, Any], owner: str, part: Any, fields: Sequence[str], chosen: Mapping[str, Any]) -> List[str]:
    """Read what networkx says of the nodes of a type or the edges of a relation; returns what was left out."""
    from gnnkit.data.convert_networkx import from_networkx

    is_nodes = "x" in fields
    names = {key: value for key, value in chosen.items() if key in (_OF_NODES if is_nodes else _OF_EDGES)}
    read = from_networkx(part, **names)
    for field in fields:
        value = getattr(read, field)
        if value is not None and field != "num_nodes" and (not isinstance(value, (dict, tuple)) or value):
            parts[field][owner] = value
    return [f"{each} of {owner!r}" for each in read.notes.left_out]


_OF_NODES = ("x", "y", "split", "node_data", "missing")
_OF_EDGES = ("weight", "edge_attr", "edge_data")


def _types_of(graph: Any, nodes: Sequence[Any], attribute: str) -> List[str]:
    types = []
    for row, node in enumerate(nodes):
        name = graph.nodes[node].get(attribute)
        if name is None:
            fix = "Set it on every node, or name the attribute: node_type=NAME."
            raise DataError(attribute, f"node {node!r} has no attribute {attribute!r}.", row=row, fix=fix)
        types.append(str(name))
    return types


def _but(record: Mapping[Any, Any], attribute: str) -> Dict[Any, Any]:
    return {name: value for name, value in record.items() if name != attribute}


_Edges = Tuple[Dict[str, Any], Dict[str, List[Mapping[Any, Any]]], Dict[str, str]]


def _edges(graph: Any, homes: Mapping[Any, Tuple[str, int]], attribute: str, known: Sequence[str]) -> _Edges:
    """Ends and attributes of edges by relation, those of undirected edges in both directions; and the reverses."""
    pairs: Dict[str, List[Tuple[int, int]]] = {label: [] for label in known}
    records: Dict[str, List[Mapping[Any, Any]]] = {label: [] for label in known}
    reverses: Dict[str, str] = {}
    is_multi, is_directed = graph.is_multigraph(), graph.is_directed()
    for row, (source, target, *key, record) in enumerate(
        graph.edges(data=True, **({"keys": True} if is_multi else {}))
    ):
        name = _relation_of(record, attribute, key, row)
        both = [(source, target)] if is_directed or source == target else [(source, target), (target, source)]
        for first, second in both:
            (src, start), (dst, end) = homes[first], homes[second]
            label = f"{src}:{name}:{dst}"
            pairs.setdefault(label, []).append((start, end))
            records.setdefault(label, []).append(_but(record, attribute))
            if not is_directed:
                reverses[label] = f"{dst}:{name}:{src}"
    edges = {label: [list(ends) for ends in zip(*held)] or [[], []] for label, held in pairs.items()}
    return edges, records, reverses


def _relation_of(record: Mapping[Any, Any], attribute: str, key: Sequence[Any], row: int) -> str:
    name: Optional[Any] = record.get(attribute)
    if name is None and key and isinstance(key[0], str):
        name = key[0]
    if name is None:
        fix = "Set it on every edge, give edges text as key, or name the attribute: relation=NAME."
        raise DataError(attribute, f"this edge has no attribute {attribute!r}.", row=row, fix=fix)
    return str(name)
