"""Conversion from and to scipy, and what the conversions from and to networkx and pandas share.

Rules: a ``matrix[i, j]`` is the edge i -> j; networkx and pandas are optional and imported only when asked for; what a
``Graph`` holds beyond plain values travels as a description (dtypes, shapes, graph labels) under the key "gnnkit", so
that a round trip loses nothing.
"""

from __future__ import annotations

import importlib
import math
from typing import Any, Dict, Hashable, List, Mapping, Optional, Sequence, Tuple

import numpy as np
import scipy.sparse
import torch
from torch import Tensor

from gnnkit.data.arrays import as_tensor
from gnnkit.data.build import from_csc
from gnnkit.data.graph import Graph
from gnnkit.data.labels import is_missing
from gnnkit.data.notes import log_warnings, warn_one_way
from gnnkit.data.words import MISSING_TEXT
from gnnkit.errors import DataError, NotInstalledError

DESCRIPTION = "gnnkit"
"""Key of the description: in ``networkx.Graph.graph`` and in ``pandas.DataFrame.attrs``."""

NODE_ID = "node_id"
"""Name in ``node_data`` of the caller's own integer node ids, where they are not 0 to N - 1."""

_NAMES = ("class_names", "feature_names", "graph_names", "node_categories", "edge_categories")
_HALF = (torch.float16, torch.bfloat16)
_SCIPY_WEIGHTS = (torch.float32, torch.float64)


def from_scipy(matrix: Any, **fields: Any) -> Graph:
    """Build a graph from an adjacency matrix of scipy, NumPy or torch.

    Args:
        matrix: Square sparse matrix of scipy or torch (COO, CSR or CSC), or dense array. ``matrix[i, j] != 0`` is the
            edge i -> j with that weight; PyTorch Geometric's ``adj_t`` is the other way round, so give ``adj_t.t()``.
            Stored zeros are no edges, repeated entries are added up, in 64 bits if they are whole numbers; if every
            weight is 1, the graph carries no weights.
        **fields: Everything else that :func:`gnnkit.data.from_edge_index` takes; a matrix holds structure and weights
            only. Edge arrays are in column order: by j, then by i, as :func:`to_scipy` stores them.

    Returns:
        The graph.

    Raises:
        DataError: The matrix is not square, or a field breaks a rule of :class:`gnnkit.data.Graph`.

    Example:
        >>> from_scipy([[0, 2], [0, 0]]).edge_weight.tolist()
        [2.0]
    """
    matrix = _from_torch(matrix) if isinstance(matrix, Tensor) else matrix
    if getattr(getattr(matrix, "dtype", None), "kind", "") in ("i", "u"):
        # Before anything is added up: 200 + 100 is 44 in uint8.
        matrix = matrix.astype(np.int64)
    compressed = scipy.sparse.csc_matrix(matrix, copy=True)
    if compressed.shape[0] != compressed.shape[1]:
        problem = f"the matrix has shape {list(compressed.shape)}, expected as many rows as columns."
        raise DataError("matrix", problem, fix="Rows and columns are the same nodes.")
    compressed.sum_duplicates()
    compressed.eliminate_zeros()
    if "edge_weight" not in fields and not bool(np.all(compressed.data == 1)):
        fields["edge_weight"] = compressed.data
    return log_warnings(warn_one_way(from_csc(compressed.indptr, compressed.indices, **fields)))


def _from_torch(matrix: Tensor) -> Any:
    """A matrix of torch, sparse or dense, as one of scipy; entries are not added up yet."""
    matrix = matrix.detach().cpu()
    if matrix.layout == torch.strided:
        return matrix.float().numpy() if matrix.dtype in _HALF else matrix.numpy()
    matrix = matrix if matrix.layout == torch.sparse_coo else matrix.to_sparse_coo()  # type: ignore[no-untyped-call]
    places, values = matrix._indices(), matrix._values()
    if values.ndim != 1 or places.shape[0] != 2:
        problem = f"received a sparse tensor with entries of shape {list(values.shape[1:])}, expected numbers."
        raise DataError("matrix", problem, fix="Pass a matrix of two dimensions; more about edges goes to edge_attr.")
    values = values.float() if values.dtype in _HALF else values
    return scipy.sparse.coo_matrix((values.numpy(), places.numpy()), shape=tuple(matrix.shape))


def to_scipy(graph: Graph) -> scipy.sparse.csc_matrix:
    """The adjacency matrix of a graph.

    Args:
        graph: The graph.

    Returns:
        Matrix of shape [N, N] in CSC form with ``matrix[i, j]`` the weight of the edge i -> j (1 without weights),
        float64 for float64 weights, else float32. Stored entries are in the order of ``graph.indices``; repeated
        edges are stored each, and scipy adds them up where it sums.
    """
    weight = torch.ones(graph.num_edges) if graph.edge_weight is None else graph.edge_weight
    if weight.dtype not in _SCIPY_WEIGHTS:
        weight = weight.to(torch.float32)
    entries = (weight.numpy(), graph.indices.numpy(), graph.indptr.numpy())
    return scipy.sparse.csc_matrix(entries, shape=(graph.num_nodes, graph.num_nodes), copy=True)


def require(module: str) -> Any:
    """Import an optional dependency that is also the name of an extra of gnnkit.

    Raises:
        NotInstalledError: It is not installed; the message says how to install it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise NotInstalledError(module, f"pip install gnnkit[{module}]") from error


def node_arrays(graph: Graph) -> Dict[str, Tensor]:
    """All node arrays by the name that tables give them: "x", "y" and the members of ``node_data``."""
    return _named_arrays({"x": graph.x, "y": graph.y}, graph.node_data, "node_data", taken=("node", "split"))


def edge_arrays(graph: Graph) -> Dict[str, Tensor]:
    """All edge arrays by the name that tables give them: "weight", "edge_attr" and the members of ``edge_data``."""
    own = {"weight": graph.edge_weight, "edge_attr": graph.edge_attr}
    return _named_arrays(own, graph.edge_data, "edge_data", taken=("source", "target"))


def graph_arrays(graph: Graph) -> Dict[str, Tensor]:
    """All arrays of graphs by name: "y" and the members of ``graph_data``."""
    return _named_arrays({"y": graph.graph_y}, graph.graph_data, "graph_data", taken=("name", "split", DESCRIPTION))


def _named_arrays(
    own: Mapping[str, Optional[Tensor]], more: Mapping[str, Tensor], field: str, taken: Tuple[str, ...]
) -> Dict[str, Tensor]:
    for name in more:
        if name in own or name in taken:
            raise DataError(f"{field}[{name!r}]", "the name stands for something else in tables.", fix="Rename it.")
    return {**{name: tensor for name, tensor in own.items() if tensor is not None}, **more}


def split_names(graph: Graph) -> List[Optional[str]]:
    """The split of every node, None outside all splits."""
    names: List[Optional[str]] = [None] * graph.num_nodes
    for split, ids in graph.splits.items():
        for node in ids.tolist():
            names[node] = split
    return names


def read_splits(names: Sequence[Any], marks: Sequence[Any] = MISSING_TEXT) -> Dict[str, List[int]]:
    """The inverse of :func:`split_names`; the names of the splits are checked when the graph is built."""
    splits: Dict[str, List[int]] = {}
    for node, name in enumerate(names):
        if not is_missing(name, marks):
            splits.setdefault(str(name), []).append(node)
    return splits


def describe(graph: Graph) -> Dict[str, Any]:
    """What a table of plain values does not say about a graph, itself in plain values.

    Returns:
        "node", "edge" and "graph": dtype and trailing shape of each array by name. "fields": keyword arguments for
        ``from_edge_index`` that belong to the whole graph, arrays as lists.
    """
    fields: Dict[str, Any] = {
        "name": graph.name,
        "metric": graph.metric,
        **{name: list(getattr(graph, name)) for name in _NAMES},
        "graph_splits": {name: ids.tolist() for name, ids in graph.graph_splits.items()},
        "graph_data": {name: values.tolist() for name, values in graph.graph_data.items()},
    }
    if graph.graph_ptr is not None:
        fields["graph_ptr"] = graph.graph_ptr.tolist()
    if graph.graph_y is not None:
        fields["graph_y"] = graph.graph_y.tolist()
    return {
        "node": {name: _layout(tensor) for name, tensor in node_arrays(graph).items()},
        "edge": {name: _layout(tensor) for name, tensor in edge_arrays(graph).items()},
        "graph": {name: _layout(tensor) for name, tensor in graph_arrays(graph).items()},
        "fields": fields,
    }


def graph_fields(described: Mapping[str, Any]) -> Dict[str, Any]:
    """The keyword arguments for ``from_edge_index`` that :func:`describe` wrote down."""
    fields = dict(described.get("fields", {}))
    layouts = described.get("graph", {})
    if "graph_y" in fields and "y" in layouts:
        fields["graph_y"] = _as_described(fields["graph_y"], layouts["y"])
    for name, values in fields.get("graph_data", {}).items():
        fields["graph_data"] = {**fields["graph_data"], name: _as_described(values, layouts[name])}
    return fields


def fitting_categories(kept: Mapping[str, Any], x: Any, edge_attr: Any) -> Dict[str, Any]:
    """Numbers of categories that a description has, as far as the codes at hand are still such.

    Args:
        kept: Keyword arguments for ``from_edge_index``, with "node_categories" and "edge_categories" or without.
        x: Features as they were read.
        edge_attr: Edge features as they were read.

    Returns:
        Both of them; empty where the arrays are no tensors of int64 with so many columns.
    """
    fitting: Dict[str, Any] = {}
    for field, codes in (("node_categories", x), ("edge_categories", edge_attr)):
        sizes = kept.get(field, ())
        fits = isinstance(codes, Tensor) and codes.dtype == torch.int64 and list(codes.shape[1:]) == [len(sizes)]
        fitting[field] = sizes if fits else ()
    return fitting


def _as_described(values: Any, layout: Mapping[str, Any]) -> Any:
    made = restore(values, layout)
    return values if made is None else made


def _layout(tensor: Tensor) -> Dict[str, Any]:
    return {"dtype": str(tensor.dtype).split(".")[-1], "shape": list(tensor.shape[1:])}


def restore(values: Any, layout: Mapping[str, Any]) -> Optional[Tensor]:
    """Make the tensor that a layout describes from its rows, if the rows still are what it describes.

    Args:
        values: Rows as (nested) lists, or an array whose trailing dimensions may be flattened.
        layout: Dtype and shape, as :func:`describe` wrote them.

    Returns:
        The tensor; None where the values at hand have another shape, or do not fit the dtype exactly.
    """
    try:
        array = np.asarray(values)
    except ValueError:
        return None
    shape = (len(array), *layout["shape"])
    if array.size != math.prod(shape) or (array.size and array.dtype.kind not in "biuf"):
        return None
    held = as_tensor(array if array.size else array.astype(np.float64), "values").reshape(shape)
    made = held.to(getattr(torch, layout["dtype"]))
    back = made.to(held.dtype)
    same = (back == held) | ((back != back) & (held != held))
    return made if bool(same.all()) else None


def number_nodes(ids: Sequence[Hashable]) -> Tuple[List[Hashable], Optional[Tensor], str]:
    """Decide which node gets which number.

    Ids that are the integers 0 to N - 1 in any order are the numbers. Any others are numbered in the order given.

    Args:
        ids: The caller's node ids, each once.

    Returns:
        The ids in the order of their numbers; the ids as int64 [N] if they are other integers, else None; and a note
        on both, empty where ids are rows.
    """
    if not all(isinstance(value, (int, np.integer)) and not isinstance(value, bool) for value in ids):
        return list(ids), None, "ids are not whole numbers and are not kept: nodes are numbered in the order given"
    try:
        numbers = np.asarray(ids, dtype=np.int64)
    except OverflowError:
        return list(ids), None, "ids are beyond 64 bits and are not kept: nodes are numbered in the order given"
    rows = np.arange(len(numbers))
    if np.array_equal(numbers, rows):
        return list(ids), None, ""
    if np.array_equal(np.sort(numbers), rows):
        return list(range(len(numbers))), None, "ids are the numbers of the nodes, which came in another order"
    return list(ids), torch.from_numpy(numbers), f"numbered in the order given, ids kept as node_data[{NODE_ID!r}]"


def check_ends(cells: Sequence[Any], where: str, marks: Sequence[Any], rows: Any = None) -> None:
    """Refuse a node id, or an end of an edge, that is no value.

    Args:
        cells: Ids.
        where: What messages call them.
        marks: Text that stands for no value.
        rows: Where each of the cells stands, if they are not all of them.

    Raises:
        DataError: A cell is missing; None and NaN always are.
    """
    for place, cell in enumerate(cells):
        if is_missing(cell, marks):
            row = place if rows is None else int(rows[place])
            fix = "Fill it in or drop the row; if it is the name of a node, give missing=()."
            raise DataError(where, f"the node id is {cell!r}, which marks a missing value.", row=row, fix=fix)
