"""Typed graphs from and to pandas: a table for each type of nodes and for each relation.

Rules: a table is as in :mod:`gnnkit.data.convert_pandas`; ids in a table of edges are those of its two types. What
belongs to the whole graph is in ``attrs["gnnkit"]["typed"]`` of every table.
"""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional, Tuple

from gnnkit.data.convert import DESCRIPTION, describe, number_nodes, require
from gnnkit.data.graph import Graph
from gnnkit.data.notes import Notes, warn_of_links
from gnnkit.data.typed_build import from_typed
from gnnkit.data.typed_convert import extras_of, plain_extras, put_together, take_apart
from gnnkit.data.typed_schema import parse_relation
from gnnkit.data.typed_views import expect_typed, relation_arrays, type_nodes
from gnnkit.errors import DataError

_NODE_FIELDS = ("x", "y", "splits", "node_data", "class_names", "feature_names")
_EDGE_FIELDS = ("edge_weight", "edge_attr", "edge_data")
_OF_NODES = ("node", "x", "y", "split")
_OF_EDGES = ("weight", "edge_attr")


def typed_to_pandas(graph: Graph) -> Tuple[Dict[str, Any], Dict[str, Any]]:
    """Turn a typed graph into data frames by type and by relation; see :func:`gnnkit.data.to_pandas`."""
    from gnnkit.data.convert_pandas import to_pandas

    warn_of_links(graph, "data frames")
    parts, extras = take_apart(graph)
    graph = from_typed(**parts)
    nodes, edges = {}, {}
    for name in expect_typed(graph).schema.node_types:
        nodes[name] = to_pandas(type_nodes(graph, name))[0]
    for label, (src, dst) in parts["edges"].items():
        arrays = relation_arrays(graph, label)
        edges[label] = to_pandas(arrays)[1].assign(source=src.numpy(), target=dst.numpy())
        edges[label].attrs[DESCRIPTION] = describe(arrays)
    for frame in (*nodes.values(), *edges.values()):
        frame.attrs[DESCRIPTION] = {**frame.attrs[DESCRIPTION], "typed": plain_extras(extras)}
    return nodes, edges


def typed_from_pandas(
    edges: Mapping[Any, Any],
    nodes: Optional[Mapping[str, Any]],
    reverses: Optional[Mapping[Any, Any]],
    chosen: Mapping[str, Any],
) -> Graph:
    """Build a typed graph from data frames by relation and by type; see :func:`gnnkit.data.from_pandas`.

    Args:
        edges: Tables of edges by relation.
        nodes: Tables of nodes by type. A type without one has the nodes that edges name.
        reverses: By relation, the one that has the same edges in the other direction.
        chosen: Further arguments of :func:`gnnkit.data.from_pandas`.
    """
    from gnnkit.data.convert_pandas import ends_of, node_index

    pd = require("pandas")
    told: Mapping[str, Any] = nodes or {}
    relations = {parse_relation(key): frame for key, frame in edges.items()}
    ends = {key: ends_of(frame, ":".join(key), chosen) for key, frame in relations.items()}
    frames = {str(name): frame for name, frame in told.items()}
    for name in dict.fromkeys(each for src, _, dst in relations for each in (src, dst)):
        if name not in frames:
            frames[name] = _named_by(pd, name, ends)
    parts: Dict[str, Any] = {field: {} for field in (*_NODE_FIELDS, "num_nodes", *_EDGE_FIELDS)}
    left_out: List[str] = []
    ids = {name: node_index(frame, name, chosen) for name, frame in frames.items()}
    for name, frame in frames.items():
        parts["num_nodes"][name] = len(frame)
        left_out += _take_nodes(parts, name, frame, chosen)
    parts["edges"] = {}
    for key, frame in relations.items():
        parts["edges"][key] = [_rows(ids[home], end, key) for home, end in zip((key[0], key[2]), ends[key])]
        left_out += _take_edges(parts, ":".join(key), frame, chosen)
    notes = Notes(left_out=tuple(left_out))
    noted = next((_typed_note(frame) for frame in (*frames.values(), *relations.values()) if _typed_note(frame)), None)
    parts["notes"] = notes
    fields = {name: chosen[name] for name in ("name", "metric") if name in chosen}
    if noted is None or reverses is not None:
        return from_typed(**parts, reverses=reverses, **fields)
    return put_together({**parts, **fields}, extras_of(noted))


def _named_by(pd: Any, name: str, ends: Mapping[Tuple[str, str, str], Tuple[Any, Any]]) -> Any:
    """A table of the nodes of a type that edges name, in the order of their numbers."""
    held = [end for key, both in ends.items() for home, end in zip((key[0], key[2]), both) if home == name]
    ordered, _, _ = number_nodes(pd.unique(pd.concat(held, ignore_index=True)).tolist())
    return pd.DataFrame({"node": ordered})


def _rows(index: Any, ids: Any, key: Tuple[str, str, str]) -> Any:
    from gnnkit.data.convert_pandas import look_up

    try:
        return look_up(index, ids, "edges")
    except DataError as error:
        raise error.of(":".join(key)) from None


def _take_nodes(parts: Dict[str, Any], name: str, frame: Any, chosen: Mapping[str, Any]) -> List[str]:
    from gnnkit.data.convert_pandas import from_pandas

    none = require("pandas").DataFrame({"source": [], "target": []})
    names = {key: value for key, value in chosen.items() if key in (*_OF_NODES, "missing")}
    read = from_pandas(none, frame, **names, name=f"type {name!r}")
    return _take(parts, name, read, _NODE_FIELDS)


def _take_edges(parts: Dict[str, Any], label: str, frame: Any, chosen: Mapping[str, Any]) -> List[str]:
    from gnnkit.data.convert_pandas import end_columns, from_pandas

    source, target = end_columns(frame, label, chosen)
    one = require("pandas").DataFrame({"node": [0]})
    one.attrs[DESCRIPTION] = frame.attrs.get(DESCRIPTION, {})
    loops = frame.assign(**{source: 0, target: 0})
    names = {key: value for key, value in chosen.items() if key in (*_OF_EDGES, "source", "target")}
    read = from_pandas(loops, one, **names, name=f"relation {label!r}")
    return _take(parts, label, read, _EDGE_FIELDS)


def _take(parts: Dict[str, Any], owner: str, read: Graph, fields: Tuple[str, ...]) -> List[str]:
    for field in fields:
        value = getattr(read, field)
        if value is not None and (not isinstance(value, (dict, tuple)) or value):
            parts[field][owner] = value
    return [f"{each} of {owner!r}" for each in read.notes.left_out]


def _typed_note(frame: Any) -> Optional[Mapping[str, Any]]:
    note: Optional[Mapping[str, Any]] = frame.attrs.get(DESCRIPTION, {}).get("typed")
    return note
