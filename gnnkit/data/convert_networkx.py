"""Conversion from and to networkx.

Rules: arrays become attributes of plain Python values, one per node or edge; an undirected networkx graph becomes both
directions of every edge. A description applies as far as the attributes at hand still fit it.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, Dict, List, Mapping, Optional, Sequence, Set, Tuple

import numpy as np

from gnnkit.data.build import from_edge_index
from gnnkit.data.convert import (
    DESCRIPTION,
    NODE_ID,
    check_ends,
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
from gnnkit.data.labels import encode_classes, is_missing
from gnnkit.data.notes import Notes, log_warnings, warn_of_links, warn_one_way
from gnnkit.data.splits import take_masks
from gnnkit.data.words import MISSING_TEXT
from gnnkit.errors import DataError

_OWN = ("x", "y", "weight", "edge_attr")


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
    warn_of_links(graph, "a networkx graph")
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
    missing: Sequence[Any] = MISSING_TEXT,
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
        missing: Words that stand for no value in labels, splits and node ids. None and NaN always do.
        **fields: What belongs to the whole graph: ``name``, ``metric``, ``class_names``, ``graph_ptr``, ``graph_y``.

    Returns:
        The graph. An attribute that no node or edge has leaves its field None; ``notes`` name the attributes that were
        left out, and what is probably not meant is logged as a warning.

    Raises:
        NotInstalledError: networkx is not installed.
        DataError: An attribute is missing on some nodes or edges, is not numeric, or breaks a rule of ``Graph``.
    """
    require("networkx")
    described = graph.graph.get(DESCRIPTION, {})
    check_ends(list(graph.nodes), "nodes", missing)
    nodes, own_ids, note = number_nodes(list(graph.nodes))
    number = {node: position for position, node in enumerate(nodes)}
    node_records = _Records([graph.nodes[node] for node in nodes], "node", described.get("node", {}))
    ends, attributes = _edges(graph, number)
    edge_records = _Records(attributes, "edge", described.get("edge", {}))

    kept = {"name": str(graph.graph.get("name") or "graph"), **graph_fields(described), **fields}
    features = node_records.take(x, "x")
    if kept.get("feature_names") and "feature_names" not in fields:
        widths = {len(row) if hasattr(row, "__len__") else 0 for row in (() if features is None else features)}
        kept["feature_names"] = kept["feature_names"] if widths == {len(kept["feature_names"])} else ()
    labels = node_records.take(y, "y", is_partial=True)
    if isinstance(labels, list):
        labels, kept["class_names"] = encode_classes(labels, kept.get("class_names", ()), missing)
    arrays = {
        "x": features,
        "y": labels,
        "edge_weight": edge_records.take(weight, "weight", default=1.0),
        "edge_attr": edge_records.take(edge_attr, "edge_attr"),
        "splits": read_splits(node_records.cells(split), missing),
    }
    more = node_records.rest(node_data)
    if node_data is None and not described:
        arrays["splits"], more = take_masks(arrays["splits"], more)
    if own_ids is not None:
        more.setdefault(NODE_ID, own_ids)
    edge_more = edge_records.rest(edge_data)
    notes = _notes(graph, node_records, edge_records, note, has_labels=labels is not None)
    built = from_edge_index(ends, len(nodes), **arrays, node_data=more, edge_data=edge_more, **kept, notes=notes)
    return log_warnings(built if described else warn_one_way(built))


def _edges(graph: Any, number: Mapping[Any, int]) -> Tuple[Any, List[Mapping[Any, Any]]]:
    """Sources and destinations, and the attributes of each edge; both directions of undirected ones."""
    ends: List[Tuple[int, int]] = []
    records: List[Mapping[Any, Any]] = []
    for source, target, attributes in graph.edges(data=True):
        pairs = [(source, target)] if graph.is_directed() or source == target else [(source, target), (target, source)]
        ends.extend((number[a], number[b]) for a, b in pairs)
        records.extend([attributes] * len(pairs))
    return np.asarray(ends, dtype=np.int64).reshape(-1, 2).T, records


def _notes(graph: Any, nodes: _Records, edges: _Records, note: str, *, has_labels: bool) -> Notes:
    left_out = (*nodes.left_out, *edges.left_out)
    warnings = [*nodes.warnings, *edges.warnings]
    if left_out:
        warnings.append(f"not taken: {', '.join(left_out)}.")
    if nodes.text and not has_labels:
        warnings.append(f"there are no labels; y={nodes.text[0]!r} would take that attribute.")
    if "not kept" in note:
        warnings.append(f"{note}; list(graph.nodes) has them in this order.")
    edge_note = "" if graph.is_directed() else "every edge in both directions"
    return Notes(nodes=note, edges=edge_note, left_out=left_out, warnings=tuple(warnings))


class _Records:
    """The attributes of all nodes or of all edges, each of which is taken once.

    Args:
        records: Attributes of each; their names become text, as all names of arrays are.
        what: What one of them is called.
        layouts: Dtype and shape of each array by name, as ``describe`` wrote them; empty for a foreign graph.
    """

    def __init__(self, records: Sequence[Mapping[Any, Any]], what: str, layouts: Mapping[str, Any]) -> None:
        self.records = [{str(name): value for name, value in record.items()} for record in records]
        self.what = what
        self.layouts = layouts
        self.used: Set[str] = set()
        self.text: List[str] = []
        self.left_out: List[str] = []
        self.warnings: List[str] = []
        self.count = Counter(name for record in self.records for name in record)

    def cells(self, name: str) -> List[Any]:
        """An attribute of each, None where it is missing."""
        self.used.add(str(name))
        return [record.get(str(name)) for record in self.records]

    def take(self, name: str, field: str, *, default: Any = None, is_partial: bool = False) -> Any:
        """The values of an attribute as a tensor, if they are as described, else as a list; None if there are none.

        Args:
            name: Of the attribute.
            field: Which array its description is of.
            default: Stands where the attribute is missing.
            is_partial: Whether it may be missing on some.
        """
        cells = self.cells(name)
        if not self.count[str(name)] and (self.records or field not in self.layouts):
            if field in self.layouts:
                self.warnings.append(f"attribute {name!r} of every {self.what} is gone.")
            return None
        values = [default if cell is None else cell for cell in cells]
        if not is_partial:
            for row, value in enumerate(values):
                if value is None:
                    fix = f"Set it on every {self.what} or on none."
                    raise DataError(str(name), f"this {self.what} has no attribute {name!r}.", row=row, fix=fix)
        layout = self.layouts.get(field)
        if layout is None:
            return values
        made = None if None in values else restore(values, layout)
        if made is None:
            self.warnings.append(f"attribute {name!r} no longer holds {layout['dtype']} of shape {layout['shape']}.")
        return values if made is None else made

    def rest(self, names: Optional[Sequence[str]]) -> Dict[str, Any]:
        """Further attributes: those named, else every one of numbers on each node or edge; the others are noted."""
        if names is not None:
            return {str(name): self.take(name, str(name)) if self.records else [] for name in names}
        arrays: Dict[str, Any] = {}
        described = [name for name in self.layouts if name not in _OWN]
        for name in dict.fromkeys([*described, *self.count]):
            if name in self.used:
                continue
            if not self.records or (self.count[name] == len(self.records) and self._is_numeric(name)):
                arrays[name] = self.take(name, name)
            elif not self.count[name]:
                self.warnings.append(f"attribute {name!r} of every {self.what} is gone.")
            else:
                self.left_out.append(f"attribute {name!r} of {self.what}s ({self._reason(name)})")
        return arrays

    def _is_numeric(self, name: str) -> bool:
        try:
            return np.asarray([record[name] for record in self.records]).dtype.kind in "biuf"
        except ValueError:
            return False

    def _reason(self, name: str) -> str:
        if any(isinstance(record.get(name), str) for record in self.records):
            self.text.append(name)
            return "text"
        held = sum(not is_missing(record.get(name)) for record in self.records)
        return "no numbers" if held == len(self.records) else f"on {held:,} of {len(self.records):,}"
