"""Conversion from and to networkx.

Rules: arrays become attributes of plain Python values, one per node or edge; an undirected networkx graph becomes both
directions of every edge.
"""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from gnnkit.data.build import from_edge_index
from gnnkit.data.convert import (
    DESCRIPTION,
    NODE_ID,
    describe,
    edge_arrays,
    graph_fields,
    node_arrays,
    number_nodes,
    read_splits,
    require,
    restore,
    split_names,
)
from gnnkit.data.graph import Graph
from gnnkit.data.labels import encode_classes
from gnnkit.errors import DataError

Records = Sequence[Mapping[str, Any]]


def to_networkx(graph: Graph) -> Any:
    """Turn a graph into a ``networkx.DiGraph``, or a ``MultiDiGraph`` if an edge is repeated.

    Nodes are 0 to N - 1 with attributes "x", "y", "split" and the members of ``node_data``; edges have "weight",
    "edge_attr" and the members of ``edge_data``. Values are Python numbers and lists. Names, graph labels and dtypes
    are in ``result.graph["gnnkit"]``, so that :func:`from_networkx` gives the same graph back.

    Args:
        graph: The graph.

    Returns:
        The networkx graph.

    Raises:
        NotInstalledError: networkx is not installed.
        DataError: A member of ``node_data`` or ``edge_data`` has a name that is taken.
    """
    nx = require("networkx")
    src, dst = graph.indices.tolist(), graph.dst.tolist()
    is_multi = len(set(zip(src, dst))) < len(src)
    result = nx.MultiDiGraph() if is_multi else nx.DiGraph()
    result.graph.update({"name": graph.name, DESCRIPTION: describe(graph)})
    nodes = _rows({name: tensor.tolist() for name, tensor in node_arrays(graph).items()}, graph.num_nodes)
    for node, (record, split) in enumerate(zip(nodes, split_names(graph))):
        result.add_node(node, **record, **({} if split is None else {"split": split}))
    edges = _rows({name: tensor.tolist() for name, tensor in edge_arrays(graph).items()}, graph.num_edges)
    result.add_edges_from(zip(src, dst, edges))
    return result


def _rows(columns: Mapping[str, List[Any]], count: int) -> List[Dict[str, Any]]:
    return [{name: values[row] for name, values in columns.items()} for row in range(count)]


def from_networkx(
    graph: Any,
    *,
    x: str = "x",
    y: str = "y",
    split: str = "split",
    weight: str = "weight",
    edge_attr: str = "edge_attr",
    node_data: Optional[Sequence[str]] = None,
    edge_data: Optional[Sequence[str]] = None,
    **fields: Any,
) -> Graph:
    """Build a graph from any networkx graph.

    Nodes whose ids are the integers 0 to N - 1 keep them; others are numbered in the order of ``graph.nodes``, and
    integer ids are kept as ``node_data["node_id"]``. An undirected edge becomes two.

    Args:
        graph: A networkx graph of any class.
        x: Node attribute with the features: a sequence of numbers of equal length.
        y: Node attribute with the label: a class number, a class name (numbered in sorted order) or a 0/1 sequence.
            A node without it is unlabelled.
        split: Node attribute with "train", "valid" or "test". A node without it is in no split.
        weight: Edge attribute with the weight; an edge without it has weight 1, as in networkx.
        edge_attr: Edge attribute with the features: a sequence of numbers of equal length.
        node_data: Further node attributes to keep. None takes all that are numeric and present on every node.
        edge_data: Further edge attributes to keep. None takes all that are numeric and present on every edge.
        **fields: What belongs to the whole graph: ``name``, ``metric``, ``class_names``, ``graph_ptr``, ``graph_y``.

    Returns:
        The graph. An attribute that no node or edge has leaves its field None.

    Raises:
        NotInstalledError: networkx is not installed.
        DataError: An attribute is missing on some nodes or edges, is not numeric, or breaks a rule of ``Graph``.
    """
    require("networkx")
    described = graph.graph.get(DESCRIPTION, {})
    nodes, own_ids = number_nodes(list(graph.nodes))
    number = {node: position for position, node in enumerate(nodes)}
    records = [graph.nodes[node] for node in nodes]
    ends: List[Tuple[int, int]] = []
    edges: List[Mapping[str, Any]] = []
    for source, target, attributes in graph.edges(data=True):
        pairs = [(source, target)] if graph.is_directed() or source == target else [(source, target), (target, source)]
        ends.extend((number[a], number[b]) for a, b in pairs)
        edges.extend([attributes] * len(pairs))

    layouts, edge_layouts = described.get("node", {}), described.get("edge", {})
    names = _extra_names(records, (x, y, split), layouts, {"x", "y"}) if node_data is None else node_data
    more = {name: _column(records, name, layouts, "node") for name in names}
    if own_ids is not None:
        more.setdefault(NODE_ID, own_ids)
    edge_names = edge_data
    if edge_names is None:
        edge_names = _extra_names(edges, (weight, edge_attr), edge_layouts, {"weight", "edge_attr"})
    kept = {"name": str(graph.graph.get("name") or "graph"), **graph_fields(described), **fields}
    labels, kept["class_names"] = _labels(records, y, layouts, kept.get("class_names", ()))
    weighted = weight in edge_layouts or any(weight in record for record in edges)
    return from_edge_index(
        np.asarray(ends, dtype=np.int64).reshape(-1, 2).T,
        len(nodes),
        x=_present(records, x, layouts, "node"),
        y=labels,
        edge_weight=_column(edges, weight, edge_layouts, "edge", default=1.0) if weighted else None,
        edge_attr=_present(edges, edge_attr, edge_layouts, "edge"),
        splits=read_splits([record.get(split) for record in records]),
        node_data=more,
        edge_data={name: _column(edges, name, edge_layouts, "edge") for name in edge_names},
        **kept,
    )


def _extra_names(records: Records, used: Sequence[str], layouts: Mapping[str, Any], own: Any) -> List[str]:
    """Names of the further attributes: those described, else those that are numeric and in every record."""
    if layouts or not records:
        return [name for name in layouts if name not in own]
    shared = set(records[0]).intersection(*records[1:])
    return [name for name in records[0] if name in shared and name not in used and _is_numeric(records, name)]


def _is_numeric(records: Records, name: str) -> bool:
    try:
        return np.asarray([record[name] for record in records]).dtype.kind in "biuf"
    except ValueError:
        return False


def _present(records: Records, name: str, layouts: Mapping[str, Any], what: str) -> Any:
    """The column of an attribute, None if no record has it."""
    is_there = name in layouts or any(name in record for record in records)
    return _column(records, name, layouts, what) if is_there else None


def _column(records: Records, name: str, layouts: Mapping[str, Any], what: str, default: Any = None) -> Any:
    values = [record.get(name, default) for record in records]
    for row, value in enumerate(values):
        if value is None:
            fix = f"Set it on every {what} or on none."
            raise DataError(name, f"this {what} has no attribute {name!r}.", row=row, fix=fix)
    return restore(values, layouts[name]) if name in layouts else values


def _labels(
    records: Records, name: str, layouts: Mapping[str, Any], class_names: Sequence[str]
) -> Tuple[Any, Sequence[str]]:
    if name in layouts:
        return _column(records, name, layouts, "node"), class_names
    if not any(name in record for record in records):
        return None, class_names
    return encode_classes([record.get(name) for record in records], class_names)
