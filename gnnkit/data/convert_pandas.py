"""Conversion from and to pandas: one table of nodes, one of edges.

Rules: an array of shape [N] is the column of its name, one of shape [N, K] the columns ``name_0`` to ``name_{K-1}``,
one of more dimensions the same with its trailing dimensions flattened; features with names are the columns of these
names. Dtypes, shapes and what belongs to the whole graph are in ``nodes.attrs["gnnkit"]``, which applies as far as the
values at hand still fit it. Tables without it are read by the words of ``gnnkit.data.words`` and these column names.
"""

from __future__ import annotations

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
    graph_fields,
    node_arrays,
    number_nodes,
    read_splits,
    require,
    split_names,
)
from gnnkit.data.graph import Graph
from gnnkit.data.labels import encode_classes
from gnnkit.data.notes import Notes, log_warnings, warn_of_links, warn_one_way
from gnnkit.data.splits import take_masks
from gnnkit.data.table import Table, column_names
from gnnkit.data.typed_checks import errors_of
from gnnkit.data.typed_pandas import typed_from_pandas, typed_to_pandas
from gnnkit.data.words import MISSING_TEXT, find_columns
from gnnkit.errors import DataError

_ENDS = ("source", "target")
X_COLUMNS = "x_columns"
"""Key in the description of the node table: the columns of the features."""


def to_pandas(graph: Graph) -> Tuple[Any, Any]:
    """Turn a graph into two data frames.

    Args:
        graph: The graph.

    Returns:
        Of a typed graph, tables of nodes by type and tables of edges by relation (``src:name:dst``), in which ids count
        within their types. Else the nodes, with the columns "node" (0 to N - 1), "split" if there are splits, and one
        or more for every node array; and the edges, with the columns "source", "target", and one or more for every
        edge array ("weight",
        "edge_attr_0", ...). Features have their names, or else "x_0", "x_1", ... bfloat16 is stored as float32.
        :func:`from_pandas` takes both back, in either order.

    Raises:
        NotInstalledError: pandas is not installed.
        DataError: A member of ``node_data`` or ``edge_data`` has a name that is taken.
    """
    if graph.typed is not None:
        return typed_to_pandas(graph)
    warn_of_links(graph, "a pair of data frames")
    pd = require("pandas")
    arrays = node_arrays(graph)
    columns = {name: column_names(name, tensor.shape[1:]) for name, tensor in arrays.items()}
    others = {"node", "split", *(column for name in columns if name != "x" for column in columns[name])}
    if graph.feature_names and len({*graph.feature_names} - others) == graph.num_features:
        columns["x"] = list(graph.feature_names)
    parts = [pd.DataFrame({"node": np.arange(graph.num_nodes)}), *_frames(pd, arrays, columns)]
    if graph.splits:
        parts.insert(1, pd.DataFrame({"split": np.array(split_names(graph), dtype=object)}))
    nodes = pd.concat(parts, axis=1)
    nodes.attrs[DESCRIPTION] = {**describe(graph), X_COLUMNS: columns.get("x", [])}
    more = edge_arrays(graph)
    ends = pd.DataFrame({"source": graph.indices.numpy(), "target": graph.dst.numpy()})
    named = {name: column_names(name, tensor.shape[1:]) for name, tensor in more.items()}
    return nodes, pd.concat([ends, *_frames(pd, more, named)], axis=1)


def _frames(pd: Any, arrays: Mapping[str, Tensor], columns: Mapping[str, List[str]]) -> List[Any]:
    frames = []
    for name, tensor in arrays.items():
        values = (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()
        frames.append(pd.DataFrame(values.reshape(len(values), len(columns[name])), columns=columns[name]))
    return frames


def from_pandas(
    edges: Any,
    nodes: Any = None,
    *,
    source: Optional[str] = None,
    target: Optional[str] = None,
    node: Optional[str] = None,
    x: Optional[Sequence[str]] = None,
    y: Optional[str] = None,
    split: Optional[str] = None,
    weight: Optional[str] = None,
    edge_attr: Optional[Sequence[str]] = None,
    missing: Sequence[Any] = MISSING_TEXT,
    reverses: Optional[Mapping[Any, Any]] = None,
    **fields: Any,
) -> Graph:
    """Build a graph from a table of edges and, if there is one, a table of nodes.

    Columns are found by their names, in any order: source and target are called "source" and "target", "src" and
    "dst", "from" and "to", or another pair of ``gnnkit.data.words.COLUMN_WORDS``, which has words for ids, labels,
    splits and weights, too. What the call names goes first.

    Node ids may be anything hashable, and tables are joined by them. Ids that are the integers 0 to N - 1 in any order
    are the node numbers; others are numbered in the order of the node table (without one: in order of appearance), and
    integer ids are kept as ``node_data["node_id"]``. So the order of rows in the edge table never matters, and that in
    the node table only where it numbers the nodes.

    Args:
        edges: Data frame with one row per directed edge. The two tables may also come in the other order, which is
            that of :func:`to_pandas`. Of a typed graph, data frames by relation, ``src:name:dst`` or a triple.
        nodes: Data frame with one row per node; None takes the nodes that edges name. Of a typed graph, data frames by
            type; a type without one has the nodes that edges name.
        source: Column of ``edges`` with the source's id.
        target: Column of ``edges`` with the destination's id.
        node: Column of ``nodes`` with the id, by itself "node", "id" or "node_id"; without such a column, the frame's
            index.
        x: Columns of ``nodes`` with the features, numbers or lists of numbers of one length; they give the features
            their names. None takes "x_0", "x_1", ...
        y: Column of ``nodes`` with the label, by itself "y", "label" or "class": a class number or a class name
            (numbered in sorted order), missing for an unlabelled node. Multi-label data have the columns "y_0", "y_1",
            ... instead.
        split: Column of ``nodes`` with "train", "valid", "test" or nothing.
        weight: Column of ``edges`` with the weight.
        edge_attr: Columns of ``edges`` with edge features. None takes "edge_attr_0", "edge_attr_1", ...
        missing: Words that stand for no value in labels, splits and ids. None and NaN always do.
        reverses: Of a typed graph, by relation the one that has the same edges in the other direction.
        **fields: What belongs to the whole graph: ``name``, ``metric``, ``class_names``, ``graph_ptr``, ``graph_y``,
            ``graph_splits``, ``graph_data``, ``graph_names``, ``node_categories``, ``edge_categories``.

    Returns:
        The graph. All further numeric columns are kept in ``node_data`` and ``edge_data``; ``notes`` say which columns
        were left out, and what is probably not meant is logged as a warning.

    Raises:
        NotInstalledError: pandas is not installed.
        DataError: A column is missing, an id is missing, unknown or repeated, or a value breaks a rule of ``Graph``.

    Example:
        >>> import pandas
        >>> from_pandas(pandas.DataFrame({"to": ["bob", "ann"], "from": ["ann", "bob"]})).edge_index.tolist()
        [[1, 0], [0, 1]]
    """
    pd = require("pandas")
    if isinstance(edges, Mapping) or isinstance(nodes, Mapping):
        chosen = {"source": source, "target": target, "node": node, "x": x, "y": y, "split": split, "weight": weight}
        chosen.update(edge_attr=edge_attr, missing=missing, **fields)
        return log_warnings(typed_from_pandas(*_in_order(edges, nodes), reverses, chosen))
    named = {"source": source, "target": target, "weight": weight, "id": node, "label": y, "split": split}
    if nodes is not None and not _has_ends(edges, named) and _has_ends(nodes, named):
        edges, nodes = nodes, edges
    described = {} if nodes is None else nodes.attrs.get(DESCRIPTION, {})
    edge_table = Table(_with_words(edges, "edges"), "edges", described.get("edge", {}))
    columns = _roles(edge_table, {"source": "source", "target": "target", "weight": "weight"}, named)
    ends = [_end(edge_table, role, columns, missing) for role in ("source", "target")]
    if nodes is None:
        nodes = pd.DataFrame({"node": pd.unique(pd.concat(ends, ignore_index=True))})
    node_table = Table(_with_words(nodes, "nodes"), "nodes", described.get("node", {}), described.get(X_COLUMNS))
    columns.update(_roles(node_table, {"id": "node", "label": "y", "split": "split"}, named))
    node_table.frame, more, note = _number_rows(pd, node_table, columns.get("id"), missing, fields)
    numbers = [look_up(node_table.frame.index, end, role) for end, role in zip(ends, ("source", "target"))]

    kept = {**graph_fields(described), **fields}
    labels, kept["class_names"] = _labels(node_table, columns.get("label"), kept.get("class_names", ()), missing)
    features, names = node_table.take("x", x)
    if "feature_names" not in fields:
        kept["feature_names"] = _feature_names(node_table, x, names, kept.get("feature_names", ()))
    edge_features = edge_table.take("edge_attr", edge_attr)[0]
    kept = {**kept, **fitting_categories(kept, features, edge_features), **fields}
    arrays = {
        "x": features,
        "y": labels,
        "edge_weight": edge_table.take_one("weight", columns.get("weight")),
        "edge_attr": edge_features,
        "splits": read_splits(node_table.cells(columns.get("split")), missing),
        "node_data": {**more, **node_table.rest()},
        "edge_data": edge_table.rest(),
    }
    if not described:
        arrays["splits"], arrays["node_data"] = take_masks(arrays["splits"], arrays["node_data"])
    notes = _notes(node_table, edge_table, columns, names, note)
    built = from_edge_index(np.stack(numbers), len(node_table.frame), **arrays, **kept, notes=notes)
    return log_warnings(built if described else warn_one_way(built))


def _in_order(edges: Any, nodes: Any) -> Tuple[Mapping[Any, Any], Optional[Mapping[str, Any]]]:
    """Tables by relation and tables by type, which may have come in the other order."""
    for what, tables in (("edges", edges), ("nodes", nodes)):
        if not isinstance(tables, Mapping) and not (tables is None and what == "nodes"):
            raise DataError(what, f"received {type(tables).__name__}, expected data frames by type or relation.")

    def are_relations(tables: Any) -> bool:
        return all(isinstance(key, tuple) or ":" in str(key) for key in tables)

    return (nodes, edges) if nodes is not None and not are_relations(edges) and are_relations(nodes) else (edges, nodes)


def ends_of(frame: Any, what: str, chosen: Mapping[str, Any]) -> Tuple[Any, Any]:
    """The ids of the sources and of the destinations of a table of edges."""
    table = Table(_with_words(frame, f"edges of {what!r}"), f"edges of {what!r}", {})
    columns = _end_roles(table, chosen)
    with errors_of(what):
        first, second = (_end(table, role, columns, chosen["missing"]) for role in _ENDS)
    return first, second


def end_columns(frame: Any, what: str, chosen: Mapping[str, Any]) -> Tuple[str, str]:
    """The columns of the sources and of the destinations."""
    columns = _end_roles(Table(_with_words(frame, f"edges of {what!r}"), f"edges of {what!r}", {}), chosen)
    return columns["source"], columns["target"]


def _end_roles(table: Table, chosen: Mapping[str, Any]) -> Dict[str, str]:
    return _roles(table, {end: end for end in _ENDS}, chosen)


def node_index(frame: Any, what: str, chosen: Mapping[str, Any]) -> Any:
    """The ids of a table of nodes in the order of their numbers."""
    table = Table(_with_words(frame, f"nodes of {what!r}"), f"nodes of {what!r}", {})
    column = _roles(table, {"id": "node"}, {"id": chosen["node"]}).get("id")
    return _number_rows(require("pandas"), table, column, chosen["missing"], {})[0].index


def _with_words(frame: Any, what: str) -> Any:
    """The table with column names that are text, as all names of arrays are."""
    names = [str(column) for column in frame.columns]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise DataError(what, f"there are several columns {twice!r}.", fix="Give every column a name of its own.")
    return frame.set_axis(names, axis=1)


def _has_ends(frame: Any, named: Mapping[str, Optional[str]]) -> bool:
    """Whether a table can be that of the edges."""
    columns = [str(column) for column in frame.columns]
    try:
        return len(find_columns(columns, _ENDS, _stated(columns, {end: end for end in _ENDS}, named), "edges")) == 2
    except DataError:
        return False


def _stated(
    columns: Sequence[str], usual: Mapping[str, str], named: Mapping[str, Optional[str]]
) -> Dict[str, Optional[str]]:
    """Columns by role as the call names them, else the usual ones where they are there."""
    given = {role: name if name in columns else None for role, name in usual.items()}
    return {role: name if named[role] is None else str(named[role]) for role, name in given.items()}


def _roles(table: Table, usual: Mapping[str, str], named: Mapping[str, Optional[str]]) -> Dict[str, str]:
    """The columns with a meaning, by role: those that the call names, the usual one, or one of the known words."""
    columns = list(table.frame.columns)
    given = _stated(columns, usual, named)
    is_multi_label = given.get("label") is None and bool(table.numbered("y"))
    roles = [role for role in usual if not (role == "label" and is_multi_label)]
    known = [column for column in columns if column in given.values() or not table.is_array(column)]
    found = find_columns(known, roles, given, table.what)
    table.used.update(column for role, column in found.items() if role in ("id", "split", *_ENDS))
    return found


def _end(table: Table, role: str, columns: Mapping[str, str], missing: Sequence[Any]) -> Any:
    """The ids of the sources or of the destinations, none of them missing."""
    if role not in columns:
        listed = ", ".join(table.frame.columns) or "none"
        raise DataError("edges", f"there is no column {role!r}, only {listed}.", fix=f"Name it: {role}='...'.")
    ids = table.frame[columns[role]]
    places = np.flatnonzero(~ids.duplicated())
    check_ends(ids.iloc[places].tolist(), columns[role], missing, places)
    return ids


def _number_rows(
    pd: Any, table: Table, column: Optional[str], missing: Sequence[Any], fields: Mapping[str, Any]
) -> Tuple[Any, Dict[str, Tensor], str]:
    """The node table in the order of node numbers, with the callers' ids as index; ids worth keeping; a note."""
    nodes, where = table.frame, column or "index"
    index = pd.Index(nodes[column] if column else nodes.index)
    ids = index.tolist()
    check_ends(ids, where, missing)
    if not index.is_unique:
        row = int(np.flatnonzero(index.duplicated())[0])
        raise DataError(where, f"node {ids[row]!r} has two rows.", row=row, fix="Give every node one row.")
    ordered, own_ids, note = number_nodes(ids)
    if ordered != ids:
        if "graph_ptr" in fields:
            problem = "it goes by rows, but the ids of the node table are in another order."
            raise DataError("graph_ptr", problem, fix=f"Sort the table first: nodes.sort_values({where!r}).")
        rows = index.get_indexer(ordered)
        nodes, index = nodes.iloc[rows], index[rows]
    return nodes.set_axis(index, axis=0), {} if own_ids is None else {NODE_ID: own_ids}, note


def look_up(index: Any, ids: Any, name: str) -> Any:
    """Where ids stand in an index.

    Raises:
        DataError: One is not there.
    """
    numbers = index.get_indexer(ids)
    unknown = np.flatnonzero(numbers < 0)
    if unknown.size:
        row = int(unknown[0])
        problem = f"node {ids.tolist()[row]!r} is not in the node table."
        raise DataError(name, problem, row=row, fix="Add it to the nodes or remove the edge.")
    return numbers.astype(np.int64)


def _labels(
    table: Table, column: Optional[str], class_names: Sequence[str], missing: Sequence[Any]
) -> Tuple[Any, Sequence[str]]:
    if column is None:
        return table.take("y", None)[0], class_names
    labels = table.take_one("y", column)
    if isinstance(labels, Tensor) or labels.dtype.kind in "biuf":
        return labels, class_names
    return encode_classes(table.cells(column), class_names, missing)


def _feature_names(
    table: Table, x: Optional[Sequence[str]], columns: Sequence[str], described: Sequence[str]
) -> Sequence[str]:
    """Names for the columns that became features: those that were named in the call, or that have names already."""
    if x is not None:
        return columns if table.is_flat else ()
    if not described or list(columns) == list(table.x_columns):
        return described
    return columns


def _notes(node_table: Table, edge_table: Table, columns: Mapping[str, str], names: Sequence[str], nodes: str) -> Notes:
    shown = f"columns {names[0]} to {names[-1]}" if len(names) > 3 else "columns " + ", ".join(names)
    warnings = [*node_table.warnings, *edge_table.warnings]
    if node_table.further and not names and not node_table.layouts:
        listed = ", ".join(node_table.further)
        warnings.append(f"no column is a feature; x=[...] says which are. Kept as arrays beside them: {listed}.")
    if "not kept" in nodes:
        warnings.append(f"{nodes}; keep the table to look them up.")
    return Notes(
        nodes=nodes,
        edges=f"columns {columns['source']} -> {columns['target']}",
        features=shown if names else "",
        labels=f"column {columns['label']}" if "label" in columns else "",
        splits=f"column {columns['split']}" if "split" in columns else "",
        left_out=(*node_table.left_out, *edge_table.left_out),
        warnings=tuple(warnings),
    )
