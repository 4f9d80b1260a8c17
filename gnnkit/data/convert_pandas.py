"""Conversion from and to pandas: one table of nodes, one of edges.

Rules: an array of shape [N] is the column of its name, one of shape [N, K] the columns ``name_0`` to ``name_{K-1}``,
one of more dimensions the same with its trailing dimensions flattened. Dtypes, shapes and what belongs to the whole
graph are in ``nodes.attrs["gnnkit"]``; tables without it are read by these column names.
"""

from __future__ import annotations

import math
import re
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np
import torch
from torch import Tensor

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


def to_pandas(graph: Graph) -> Tuple[Any, Any]:
    """Turn a graph into two data frames.

    Args:
        graph: The graph.

    Returns:
        The nodes, with the columns "node" (0 to N - 1), "split" if there are splits, and one or more for every node
        array; and the edges, with the columns "source", "target", and one or more for every edge array ("weight",
        "edge_attr_0", ...). bfloat16 is stored as float32.

    Raises:
        NotInstalledError: pandas is not installed.
        DataError: A member of ``node_data`` or ``edge_data`` has a name that is taken.
    """
    pd = require("pandas")
    head = {"node": np.arange(graph.num_nodes)}
    parts = [pd.DataFrame(head), *_frames(pd, node_arrays(graph))]
    if graph.splits:
        parts.insert(1, pd.DataFrame({"split": np.array(split_names(graph), dtype=object)}))
    ends = pd.DataFrame({"source": graph.indices.numpy(), "target": graph.dst.numpy()})
    nodes, edges = pd.concat(parts, axis=1), pd.concat([ends, *_frames(pd, edge_arrays(graph))], axis=1)
    nodes.attrs[DESCRIPTION] = describe(graph)
    return nodes, edges


def _frames(pd: Any, arrays: Mapping[str, Tensor]) -> List[Any]:
    frames = []
    for name, tensor in arrays.items():
        values = (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()
        width = math.prod(values.shape[1:])
        frames.append(pd.DataFrame(values.reshape(len(values), width), columns=_columns(name, tensor.shape[1:])))
    return frames


def _columns(name: str, shape: Sequence[int]) -> List[str]:
    return [f"{name}_{column}" for column in range(math.prod(shape))] if len(shape) else [name]


def from_pandas(
    edges: Any,
    nodes: Any = None,
    *,
    source: str = "source",
    target: str = "target",
    node: str = "node",
    x: Optional[Sequence[str]] = None,
    y: str = "y",
    split: str = "split",
    weight: str = "weight",
    edge_attr: Optional[Sequence[str]] = None,
    **fields: Any,
) -> Graph:
    """Build a graph from a table of edges and, if there is one, a table of nodes.

    Node ids may be anything hashable. Ids that are the integers 0 to N - 1 in any order are the node numbers; others
    are numbered in the order of the node table (without one: in order of appearance), and integer ids are kept as
    ``node_data["node_id"]``. The order of rows in the edge table does not matter.

    Args:
        edges: Data frame with one row per directed edge.
        nodes: Data frame with one row per node; None takes the nodes that edges name.
        source: Column of ``edges`` with the source's id.
        target: Column of ``edges`` with the destination's id.
        node: Column of ``nodes`` with the id; without such a column, the frame's index.
        x: Columns of ``nodes`` with the features. None takes "x_0", "x_1", ...
        y: Column of ``nodes`` with the label: a class number or a class name (numbered in sorted order), missing for
            an unlabelled node. Multi-label data have the columns "y_0", "y_1", ... instead.
        split: Column of ``nodes`` with "train", "valid", "test" or nothing.
        weight: Column of ``edges`` with the weight.
        edge_attr: Columns of ``edges`` with edge features. None takes "edge_attr_0", "edge_attr_1", ...
        **fields: What belongs to the whole graph: ``name``, ``metric``, ``class_names``, ``graph_ptr``, ``graph_y``.

    Returns:
        The graph. All further numeric columns are kept in ``node_data`` and ``edge_data``.

    Raises:
        NotInstalledError: pandas is not installed.
        DataError: A column is missing, an id is unknown or repeated, or a value breaks a rule of ``Graph``.

    Example:
        >>> import pandas
        >>> from_pandas(pandas.DataFrame({"source": ["ann", "bob"], "target": ["bob", "ann"]})).num_nodes
        2
    """
    pd = require("pandas")
    ids = [_required(edges, name, "edges") for name in (source, target)]
    if nodes is None:
        nodes = pd.DataFrame({node: pd.unique(pd.concat(ids, ignore_index=True))})
    described = nodes.attrs.get(DESCRIPTION, {})
    nodes, more = _number_rows(pd, nodes, node)
    numbers = [_look_up(nodes.index, column, name) for column, name in zip(ids, (source, target))]

    node_columns = _Columns(nodes, described.get("node", {}), used=(node, split))
    edge_columns = _Columns(edges, described.get("edge", {}), used=(source, target))
    kept = {**graph_fields(described), **fields}
    labels, kept["class_names"] = _labels(pd, node_columns, y, kept.get("class_names", ()))
    arrays = {
        "x": node_columns.take("x", x),
        "y": labels,
        "edge_weight": edge_columns.take_one("weight", weight),
        "edge_attr": edge_columns.take("edge_attr", edge_attr),
        "node_data": {**more, **node_columns.rest()},
        "edge_data": edge_columns.rest(),
        "splits": read_splits(_with_none(pd, nodes[split])) if split in nodes else {},
    }
    return from_edge_index(np.stack(numbers), len(nodes), **arrays, **kept)


def _required(frame: Any, name: str, what: str) -> Any:
    if name not in frame:
        columns = ", ".join(map(str, frame.columns)) or "none"
        raise DataError(what, f"there is no column {name!r}, only {columns}.", fix="Name the column in the call.")
    return frame[name]


def _number_rows(pd: Any, nodes: Any, node: str) -> Tuple[Any, Dict[str, Tensor]]:
    """The node table in the order of node numbers, with the callers' ids as index, and ids worth keeping."""
    index = pd.Index(nodes.get(node, nodes.index))
    if not index.is_unique:
        row = int(np.flatnonzero(index.duplicated())[0])
        raise DataError(node, f"node {index.tolist()[row]!r} has two rows.", row=row, fix="Give every node one row.")
    ordered, own_ids = number_nodes(index.tolist())
    if len(ordered):
        rows = index.get_indexer(ordered)
        nodes, index = nodes.iloc[rows], index[rows]
    return nodes.set_axis(index, axis=0), {} if own_ids is None else {NODE_ID: own_ids}


def _look_up(index: Any, ids: Any, name: str) -> Any:
    numbers = index.get_indexer(ids)
    unknown = np.flatnonzero(numbers < 0)
    if unknown.size:
        row = int(unknown[0])
        problem = f"node {ids.tolist()[row]!r} is not in the node table."
        raise DataError(name, problem, row=row, fix="Add it to the nodes or remove the edge.")
    return numbers.astype(np.int64)


def _labels(pd: Any, columns: _Columns, name: str, class_names: Sequence[str]) -> Tuple[Any, Sequence[str]]:
    labels = columns.take_one("y", name)
    if labels is None:
        return columns.take("y", None), class_names
    if isinstance(labels, Tensor) or labels.dtype.kind in "biuf":
        return labels, class_names
    return encode_classes(_with_none(pd, labels), class_names)


def _with_none(pd: Any, values: Any) -> List[Any]:
    """A column as a list, with None for each of pandas' marks of a missing value."""
    return [None if missing else value for value, missing in zip(values.tolist(), pd.isna(values))]


class _Columns:
    """The columns of one table, each of which is taken once.

    Args:
        frame: The table.
        layouts: Dtype and shape of each array by name, as ``describe`` wrote them; empty for a foreign table.
        used: Columns that are no arrays.
    """

    def __init__(self, frame: Any, layouts: Mapping[str, Any], used: Sequence[str]) -> None:
        self.frame = frame
        self.layouts = layouts
        self.used = set(used)

    def take_one(self, name: str, column: str) -> Any:
        """The array in one column, None if there is no such column."""
        if name in self.layouts:
            return self._described(name) if not self.layouts[name]["shape"] else None
        if column not in self.frame:
            return None
        self.used.add(column)
        return self.frame[column].to_numpy()

    def take(self, name: str, columns: Optional[Sequence[str]]) -> Any:
        """The array in the columns given, or in those numbered after its name; None if there are none."""
        if name in self.layouts and columns is None:
            return self._described(name)
        if columns is None:
            numbered = re.compile(re.escape(name) + r"_\d+")
            columns = [column for column in map(str, self.frame.columns) if numbered.fullmatch(column)]
            columns.sort(key=lambda column: int(column.rsplit("_", 1)[1]))
        if not columns:
            return None
        for column in columns:
            _required(self.frame, column, name)
        self.used.update(columns)
        return self.frame[list(columns)].to_numpy()

    def rest(self) -> Dict[str, Any]:
        """Every array that is left: those described, and every other numeric column."""
        own = {"x", "y", "weight", "edge_attr"}
        arrays = {name: self._described(name) for name in self.layouts if name not in own}
        for column in self.frame.columns:
            if column not in self.used and self.frame[column].dtype.kind in "biuf":
                arrays[str(column)] = self.frame[column].to_numpy()
        return arrays

    def _described(self, name: str) -> Any:
        layout = self.layouts[name]
        columns = _columns(name, layout["shape"])
        for column in columns:
            _required(self.frame, column, name)
        self.used.update(columns)
        values = self.frame[columns].to_numpy() if columns else np.empty((len(self.frame), 0))
        return restore(values, layout)
