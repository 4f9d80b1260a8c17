"""Conversion from and to networkx.

Rules: arrays become attributes of plain Python values, one per node or edge; an undirected networkx graph becomes both
directions of every edge. A description applies as far as the attributes at hand still fit it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np
import torch
from torch import Tensor

from gnnkit.data.build import from_edge_index
from gnnkit.data.convert import (
    DESCRIPTION,
    NODE_ID,
    check_ends,
    describe,
    edge_arrays,
    fitting_categories,
    graph_arrays,
    graph_fields,
    node_arrays,
    number_nodes,
    read_splits,
    require,
    split_names,
)
from gnnkit.data.graph import IGNORED_LABEL, Graph
from gnnkit.data.labels import encode_classes
from gnnkit.data.lists import MANY, join_graphs
from gnnkit.data.notes import Notes, log_warnings, warn_of_links, warn_one_way
from gnnkit.data.records import Records
from gnnkit.data.splits import take_masks
from gnnkit.data.typed_networkx import RELATION, TYPE, is_described, typed_from_networkx, typed_to_networkx
from gnnkit.data.words import MISSING_TEXT
from gnnkit.errors import DataError

_OF_LIST = ("name", "graph_y", "graph_splits", "graph_data", "graph_names")
"""Fields that are about the graphs of a list together."""


def to_networkx(graph: Graph) -> Any:
    """Turn a graph into a ``networkx.DiGraph``, or a ``MultiDiGraph`` if an edge is repeated.

    Nodes are 0 to N - 1 with attributes "x", "y", "split" and the members of ``node_data``; edges have "weight",
    "edge_attr" and the members of ``edge_data``. The graph itself has ``result.graph["y"]``, "split", "name" and the
    members of ``graph_data``. Values are Python numbers and lists. Other names and dtypes are in
    ``result.graph["gnnkit"]``, so that :func:`from_networkx` gives the same graph back.

    A typed graph becomes a ``MultiDiGraph`` with the attribute "type" of every node and "relation" of every edge.

    Args:
        graph: The graph; many graphs in one record become one graph, in which no edge joins them. For a list of graphs
            take the record apart first: ``[to_networkx(each) for each in split_graphs(record)]``.

    Returns:
        The networkx graph.

    Raises:
        NotInstalledError: networkx is not installed.
        DataError: A member of ``node_data`` or ``edge_data`` has a name that is taken.
    """
    if graph.typed is not None:
        return typed_to_networkx(graph)
    warn_of_links(graph, "a networkx graph")
    nx = require("networkx")
    src, dst = graph.indices.tolist(), graph.dst.tolist()
    is_multi = len(set(zip(src, dst))) < len(src)
    result = nx.MultiDiGraph() if is_multi else nx.DiGraph()
    result.graph.update(_of_graph(graph))
    nodes = _rows({name: tensor.tolist() for name, tensor in node_arrays(graph).items()}, graph.num_nodes)
    for node, (record, split) in enumerate(zip(nodes, split_names(graph))):
        result.add_node(node, **record, **({} if split is None else {"split": split}))
    edges = _rows({name: tensor.tolist() for name, tensor in edge_arrays(graph).items()}, graph.num_edges)
    result.add_edges_from(zip(src, dst, edges))
    return result


def _of_graph(graph: Graph) -> Dict[str, Any]:
    """Attributes of the graph as a whole. What is true of one graph stands there, of many in the description."""
    described = describe(graph)
    attributes: Dict[str, Any] = {"name": graph.name, DESCRIPTION: described}
    if graph.graph_ptr is None:
        attributes["name"] = graph.graph_names[0] if graph.graph_names else graph.name
        attributes.update({name: values.tolist()[0] for name, values in graph_arrays(graph).items()})
        if graph.graph_splits:
            attributes["split"] = next(iter(graph.graph_splits))
        for field in ("graph_y", "graph_data", "graph_splits"):
            described["fields"].pop(field, None)
    return attributes


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
    graph_label: str = "y",
    graph_split: str = "split",
    graph_name: str = "name",
    missing: Sequence[Any] = MISSING_TEXT,
    node_type: Optional[str] = None,
    relation: Optional[str] = None,
    **fields: Any,
) -> Graph:
    """Build a graph from any networkx graph, or one record from a list of them.

    Nodes whose ids are the integers 0 to N - 1 keep them; others are numbered in the order of ``graph.nodes``, and
    integer ids are kept as ``node_data["node_id"]``. An undirected edge becomes two.

    Args:
        graph: A networkx graph of any class, or a list of graphs, which become many graphs in one record.
        x: Node attribute with the features: a sequence of numbers of equal length.
        y: Node attribute with the label: a class number, a class name (numbered in sorted order) or a 0/1 sequence.
            A node without it is unlabelled.
        split: Node attribute with "train", "valid" or "test". A node without it is in no split.
        weight: Edge attribute with the weight; an edge without it has weight 1, as in networkx.
        edge_attr: Edge attribute with the features: a sequence of numbers of equal length.
        node_data: Further node attributes to keep. None takes all that are numeric and present on every node.
        edge_data: Further edge attributes to keep. None takes all that are numeric and present on every edge.
        graph_label: Attribute of a graph (``graph.graph["y"]``) with its label: a class number, a class name, a number
            to regress or a sequence. A graph without it is unlabelled.
        graph_split: Attribute of a graph with "train", "valid" or "test".
        graph_name: Attribute of the graphs of a list with their names, such as "smiles". Further attributes of numbers
            that every graph has become ``graph_data``.
        missing: Words that stand for no value in labels, splits and node ids. None and NaN always do.
        node_type: Attribute with the type of every node, which makes the graph a typed one. Nodes of a type are
            numbered in their order; attributes are looked at type by type and relation by relation.
        relation: Attribute with the relation of every edge of a typed graph; an edge without it has its key, if that is
            text. By itself "relation". An undirected edge becomes two, of relations that are declared reverses.
        **fields: What belongs to the whole graph: ``name``, ``metric``, ``class_names``, ``graph_ptr``, ``graph_y``,
            ``graph_splits``, ``graph_names``, ``node_categories``, ``edge_categories``.

    Returns:
        The graph. An attribute that no node or edge has leaves its field None; ``notes`` name the attributes that were
        left out, and what is probably not meant is logged as a warning.

    Raises:
        NotInstalledError: networkx is not installed.
        DataError: An attribute is missing on some nodes or edges, is not numeric, or breaks a rule of ``Graph``; or
            graphs of a list that :func:`to_networkx` made are not alike.

    Example:
        >>> import networkx
        >>> ring, path = networkx.cycle_graph(3, networkx.DiGraph), networkx.path_graph(2, networkx.DiGraph)
        >>> ring.graph["y"], path.graph["y"] = "ring", "path"
        >>> record = from_networkx([ring, path])
        >>> record.graph_ptr.tolist(), record.graph_y.tolist(), record.class_names
        ([0, 3, 5], [1, 0], ('path', 'ring'))
    """
    require("networkx")
    is_list = isinstance(graph, (list, tuple))
    is_typed = node_type is not None or relation is not None or any(map(is_described, graph if is_list else [graph]))
    if is_typed:
        of_nodes = {"x": x, "y": y, "split": split, "node_data": node_data, "missing": missing}
        told = {**of_nodes, "weight": weight, "edge_attr": edge_attr, "edge_data": edge_data}
        ends = (node_type or TYPE, relation or RELATION)
        return log_warnings(_of_types(graph, *ends, told, fields))
    graphs: List[Any] = list(graph) if is_list else [graph]
    if is_list and (not graphs or all(DESCRIPTION in each.graph for each in graphs)):
        names = {"x": x, "y": y, "split": split, "weight": weight, "edge_attr": edge_attr}
        of_graphs = {"graph_label": graph_label, "graph_split": graph_split, "graph_name": graph_name}
        of_list = {name: fields.pop(name) for name in _OF_LIST if name in fields}
        chosen = {**names, **of_graphs, "node_data": node_data, "edge_data": edge_data, "missing": missing, **fields}
        return join_graphs([from_networkx(each, **chosen) for each in graphs], **of_list)
    described = {} if is_list else graph.graph.get(DESCRIPTION, {})
    nodes, numbers, own_ids, note = _number(graphs, missing)
    records = [each.nodes[node] for each, own in zip(graphs, nodes) for node in own]
    node_records = Records(records, "node", described.get("node", {}))
    ends, attributes = _edges(graphs, numbers)
    edge_records = Records(attributes, "edge", described.get("edge", {}))

    kept = {"name": MANY if is_list else str(graph.graph.get("name") or "graph"), **graph_fields(described)}
    if is_list:
        kept["graph_ptr"] = np.cumsum([0, *map(len, nodes)])
    features = node_records.take(x, "x")
    if kept.get("feature_names"):
        widths = {len(row) if hasattr(row, "__len__") else 0 for row in (() if features is None else features)}
        kept["feature_names"] = kept["feature_names"] if widths == {len(kept["feature_names"])} else ()
    class_names = fields.get("class_names", kept.get("class_names", ()))
    labels = node_records.take(y, "y", is_partial=True)
    if isinstance(labels, list):
        labels, kept["class_names"] = encode_classes(labels, class_names, missing)
    edge_features = edge_records.take(edge_attr, "edge_attr")
    kept.update(fitting_categories(kept, features, edge_features))
    all_records = [node_records, edge_records]
    if is_list or "graph_ptr" not in {**kept, **fields}:
        layouts = described.get("graph", {})
        all_records.append(Records([_about(each) for each in graphs], "graph", layouts))
        names_of = graph_name if is_list or kept.get("graph_names") or graph_name != "name" else None
        kept.update(_graph_arrays(all_records[-1], graph_label, graph_split, names_of, missing))
        if isinstance(kept["graph_y"], list):
            known = class_names if labels is None else kept.get("class_names", ())
            kept["graph_y"], kept["class_names"] = _graph_labels(kept["graph_y"], known, labels is not None, missing)
    arrays = {
        "x": features,
        "y": labels,
        "edge_weight": edge_records.take(weight, "weight", default=1.0),
        "edge_attr": edge_features,
        "splits": read_splits(node_records.cells(split), missing),
    }
    more = node_records.rest(node_data)
    if node_data is None and not described:
        arrays["splits"], more = take_masks(arrays["splits"], more)
    if own_ids is not None:
        more.setdefault(NODE_ID, own_ids)
    arrays.update(node_data=more, edge_data=edge_records.rest(edge_data))
    has_labels = labels is not None or kept.get("graph_y") is not None
    notes = _notes(graphs, all_records, note, has_labels)
    built = from_edge_index(ends, sum(map(len, nodes)), **{**arrays, **kept, **fields}, notes=notes)
    return log_warnings(built if described else warn_one_way(built))


def _of_types(graph: Any, node_type: str, relation: str, chosen: Mapping[str, Any], fields: Mapping[str, Any]) -> Graph:
    """A typed graph, or several in one record."""
    if isinstance(graph, (list, tuple)):
        return join_graphs([typed_from_networkx(each, node_type, relation, chosen) for each in graph], **fields)
    one = typed_from_networkx(graph, node_type, relation, chosen)
    unknown = next((name for name in fields if name not in ("name", "metric")), None)
    if unknown is not None:
        raise DataError(unknown, "it is no field of a typed graph as a whole.", fix="Give name and metric alone.")
    return replace(one, **fields)


def _number(
    graphs: Sequence[Any], missing: Sequence[Any]
) -> Tuple[List[List[Any]], List[Dict[Any, int]], Optional[Tensor], str]:
    """The nodes of each graph in the order of their numbers; the numbers by node; ids worth keeping; a note."""
    ordered, numbers, ids, notes = [], [], [], []
    start = 0
    for graph in graphs:
        check_ends(list(graph.nodes), "nodes", missing)
        nodes, own_ids, note = number_nodes(list(graph.nodes))
        ordered.append(nodes)
        numbers.append({node: start + position for position, node in enumerate(nodes)})
        ids.append(torch.arange(len(nodes)) if own_ids is None else own_ids)
        notes.append((own_ids is not None, note))
        start += len(nodes)
    lost = next((note for _, note in notes if "not kept" in note), "")
    kept = torch.cat(ids) if any(has_ids for has_ids, _ in notes) and not lost else None
    return ordered, numbers, kept, lost or next((note for _, note in notes if note), "")


def _edges(graphs: Sequence[Any], numbers: Sequence[Mapping[Any, int]]) -> Tuple[Any, List[Mapping[Any, Any]]]:
    """Sources and destinations, and the attributes of each edge; both directions of undirected ones."""
    ends: List[Tuple[int, int]] = []
    records: List[Mapping[Any, Any]] = []
    for graph, number in zip(graphs, numbers):
        is_directed = graph.is_directed()
        for source, target, attributes in graph.edges(data=True):
            pairs = [(source, target)] if is_directed or source == target else [(source, target), (target, source)]
            ends.extend((number[a], number[b]) for a, b in pairs)
            records.extend([attributes] * len(pairs))
    return np.asarray(ends, dtype=np.int64).reshape(-1, 2).T, records


def _about(graph: Any) -> Dict[str, Any]:
    """Attributes of a graph that say something: readers of files leave empty ones behind."""
    return {
        str(name): value
        for name, value in graph.graph.items()
        if name != DESCRIPTION and not (isinstance(value, (str, dict, list)) and not value)
    }


def _graph_arrays(
    records: Records, label: str, split: str, name: Optional[str], missing: Sequence[Any]
) -> Dict[str, Any]:
    """What is said of graphs, as arguments of ``from_edge_index``; ``name`` is None where the name is the record's."""
    names = records.cells("name" if name is None else name)
    has_names = name is not None and None not in names
    return {
        "graph_names": [str(each) for each in names] if has_names else [],
        "graph_y": records.take(label, "y", is_partial=True),
        "graph_splits": read_splits(records.cells(split), missing),
        "graph_data": records.rest(None),
    }


def _graph_labels(
    labels: List[Any], class_names: Sequence[str], has_others: bool, missing: Sequence[Any]
) -> Tuple[Any, Sequence[str]]:
    """Labels of graphs as numbers, those of classes by their names, and the names of classes."""
    if any(isinstance(label, (list, tuple, np.ndarray)) for label in labels):
        return labels, class_names
    read, names = encode_classes(labels, () if has_others else class_names, missing)
    if any(isinstance(label, str) for label in labels):
        if has_others:
            problem = "labels of graphs are words, but names of classes are those of the nodes' labels."
            raise DataError("graph_y", problem, fix="Number the classes of graphs.")
        return read, names
    known = [label for label in labels if label is not None]
    if known and all(isinstance(label, (bool, int, np.integer)) for label in known):
        return [IGNORED_LABEL if label is None else int(label) for label in labels], class_names
    return read, class_names


def _notes(graphs: Sequence[Any], records: Sequence[Records], note: str, has_labels: bool) -> Notes:
    left_out = tuple(name for each in records for name in each.left_out)
    warnings = [warning for each in records for warning in each.warnings]
    if left_out:
        warnings.append(f"not taken: {', '.join(left_out)}.")
    if records[0].text and not has_labels:
        warnings.append(f"there are no labels; y={records[0].text[0]!r} would take that attribute.")
    if "not kept" in note:
        warnings.append(f"{note}; list(graph.nodes) has them in this order.")
    edge_note = "every edge in both directions" if any(not graph.is_directed() for graph in graphs) else ""
    return Notes(nodes=note, edges=edge_note, left_out=left_out, warnings=tuple(warnings))
