"""Building a ``Graph`` from edges: reading arrays, sorting edges, checking everything.

Rules: edges are sorted by (destination, source), stably, and every edge array moves with them, so the order in which a
file lists its edges changes nothing. Every builder ends in ``check_graph``: data are checked once, at the border.
"""

from __future__ import annotations

from typing import Any, Mapping, Optional, Sequence, Tuple

import numpy as np
import scipy.sparse
import torch
from torch import Tensor

from gnnkit.data.arrays import (
    as_codes,
    as_floats,
    as_graph_labels,
    as_integers,
    as_named,
    as_splits,
    as_tensor,
)
from gnnkit.data.check import check_edge_range, check_finite, check_graph, check_indptr, check_rows
from gnnkit.data.graph import Graph, expand_indptr
from gnnkit.data.labels import as_labels
from gnnkit.data.notes import Notes
from gnnkit.errors import DataError

_FREE_NODES = 1_000_000
_MOST_PER_END = 100


def from_edge_index(
    edge_index: Any,
    num_nodes: Optional[int] = None,
    *,
    x: Any = None,
    y: Any = None,
    edge_weight: Any = None,
    edge_attr: Any = None,
    splits: Optional[Mapping[str, Any]] = None,
    node_data: Optional[Mapping[str, Any]] = None,
    edge_data: Optional[Mapping[str, Any]] = None,
    graph_ptr: Any = None,
    graph_y: Any = None,
    class_names: Sequence[str] = (),
    name: str = "graph",
    metric: Optional[str] = None,
    feature_names: Sequence[str] = (),
    notes: Optional[Notes] = None,
    graph_splits: Optional[Mapping[str, Any]] = None,
    graph_data: Optional[Mapping[str, Any]] = None,
    graph_names: Sequence[str] = (),
    node_categories: Sequence[int] = (),
    edge_categories: Sequence[int] = (),
) -> Graph:
    """Build a graph from a list of edges.

    All arrays may be lists, NumPy arrays or tensors; memory is shared where the dtype allows it. N is the number of
    nodes, E of edges, G of graphs. Repeated edges and self-loops are kept.

    Args:
        edge_index: Source row and destination row, zero-based node ids. Shape [2, E], integers.
        num_nodes: N. By default the rows of ``x``, else of ``y``, else the last entry of ``graph_ptr``, else the
            largest id plus one; an id far beyond the number of edges is refused then.
        x: Node features. Shape [N, F]. Floating point keeps its dtype; integers and booleans become float32.
        y: Labels. Shape [N] or [N, 1]: classes, stored as int64. Shape [N, C]: multi-label 0/1, stored as float32.
            NaN, -1 and -100 mean that a label is missing, and so does 255 in uint8.
        edge_weight: One weight per edge. Shape [E].
        edge_attr: Edge features. Shape [E, D].
        splits: Node ids or boolean masks by name: "train", "valid" (or "val", "validation"), "test".
        node_data: Further node arrays by name. Each of first dimension N; dtypes are kept.
        edge_data: Further edge arrays by name. Each of first dimension E, in the order of ``edge_index``.
        graph_ptr: Node offsets of the graphs in this record. Shape [G + 1]. None means one graph.
        graph_y: Graph labels. First dimension G.
        class_names: Names of the classes, in label order.
        name: What messages and run folders call this graph.
        metric: "accuracy", "macro_f1" or "rocauc"; None lets the labels decide.
        feature_names: Names of the columns of ``x``, in their order.
        notes: What the reader of the data noted.
        graph_splits: Numbers of graphs or boolean masks by name, as ``splits`` has them.
        graph_data: Further arrays of graphs by name. Each of first dimension G; dtypes are kept.
        graph_names: A name for each graph, such as an id or a SMILES.
        node_categories: Number of categories of each column of ``x``, which then holds codes from 0.
        edge_categories: The same of ``edge_attr``.

    Returns:
        The graph, with edges sorted by (destination, source).

    Raises:
        DataError: Something breaks a rule of :class:`gnnkit.data.Graph`; it names the field and the row.

    Example:
        >>> graph = from_edge_index([[0, 1, 2], [1, 0, 1]], x=[[1.0], [2.0], [3.0]])
        >>> graph.indptr.tolist(), graph.indices.tolist()
        ([0, 1, 3, 3], [1, 0, 2])
    """
    if scipy.sparse.issparse(edge_index) or getattr(edge_index, "layout", torch.strided) != torch.strided:
        problem = "received a sparse matrix, expected sources and destinations of shape [2, E]."
        raise DataError("edge_index", problem, fix="Use gnnkit.data.from_scipy.")
    edges = as_integers(edge_index, "edge_index")
    if edges.ndim != 2 or edges.shape[0] != 2:
        is_transposed = edges.ndim == 2 and edges.shape[1] == 2
        fix = "Transpose it." if is_transposed else "Give one row of sources and one of destinations."
        raise DataError("edge_index", f"shape is {list(edges.shape)}, expected [2, E].", fix=fix)
    nodes = _count_nodes(num_nodes, edges, x, y, graph_ptr)
    check_edge_range(edges, nodes)
    indptr, indices, order = sort_edges(edges[0], edges[1], nodes)
    num_edges = indices.numel()

    def arranged(tensor: Optional[Tensor], field: str) -> Optional[Tensor]:
        if tensor is None:
            return None
        check_rows(tensor, field, num_edges, "edges")
        if order is None:
            return tensor
        if tensor.is_floating_point() and not field.startswith("edge_data"):
            check_finite(tensor, field)  # before sorting, so that the row is the caller's
        return tensor[order]

    more = as_named(edge_data, "edge_data")
    labels = as_labels(y, named=bool(class_names))
    num_graphs = 1 if graph_ptr is None else len(graph_ptr) - 1
    graph = Graph(
        indptr=indptr,
        indices=indices,
        x=as_codes(x, "x") if node_categories else as_floats(x, "x"),
        y=labels,
        edge_weight=arranged(as_floats(edge_weight, "edge_weight"), "edge_weight"),
        edge_attr=arranged(
            as_codes(edge_attr, "edge_attr") if edge_categories else as_floats(edge_attr, "edge_attr"), "edge_attr"
        ),
        splits=as_splits(splits, nodes),
        node_data=as_named(node_data, "node_data"),
        edge_data={key: arranged(more[key], f"edge_data[{key!r}]") for key in more},  # type: ignore[misc]
        graph_ptr=None if graph_ptr is None else as_integers(graph_ptr, "graph_ptr"),
        graph_y=as_graph_labels(graph_y),
        class_names=tuple(str(label) for label in class_names),
        name=name,
        metric=metric,
        feature_names=tuple(str(feature) for feature in feature_names),
        notes=notes or Notes(),
        graph_splits=as_splits(graph_splits, num_graphs, "graph_splits"),
        graph_data=as_named(graph_data, "graph_data"),
        graph_names=tuple(str(each) for each in graph_names),
        node_categories=tuple(int(size) for size in node_categories),
        edge_categories=tuple(int(size) for size in edge_categories),
    )
    check_graph(graph)
    return graph


def from_csc(indptr: Any, indices: Any, **fields: Any) -> Graph:
    """Build a graph from edges already grouped by destination.

    Args:
        indptr: Edge offsets by destination. Shape [N + 1], integers.
        indices: Source node of every edge. Shape [E], integers. Sorted within each destination if it is not yet.
        **fields: Everything else that :func:`from_edge_index` takes.

    Returns:
        The graph, with edges sorted by (destination, source).

    Raises:
        DataError: Something breaks a rule of :class:`gnnkit.data.Graph`.

    Example:
        >>> from_csc([0, 1, 3], [1, 1, 0]).indices.tolist()
        [1, 0, 1]
    """
    offsets = as_integers(indptr, "indptr")
    sources = as_integers(indices, "indices")
    check_indptr(offsets, sources)
    edges = torch.stack([sources, expand_indptr(offsets, sources.numel())])
    return from_edge_index(edges, offsets.numel() - 1, **fields)


def _count_nodes(num_nodes: Optional[int], edges: Tensor, x: Any, y: Any, graph_ptr: Any) -> int:
    """The number of nodes that the caller states, or that the node arrays show, or that the edges need."""
    if num_nodes is not None:
        if num_nodes < 0:
            raise DataError("num_nodes", f"it is {num_nodes}, expected at least 0.")
        return int(num_nodes)
    for field, value in (("x", x), ("y", y)):
        if value is not None:
            tensor = as_tensor(value, field)
            return int(tensor.shape[0]) if tensor.ndim else 0
    if graph_ptr is not None:
        offsets = as_integers(graph_ptr, "graph_ptr")
        return int(offsets[-1]) if offsets.numel() else 0
    count = int(edges.max()) + 1 if edges.numel() else 0
    check_count(count, edges.shape[1])
    return count


def check_count(num_nodes: int, num_edges: int) -> None:
    """Refuse a number of nodes that only a large id says, far beyond what so many edges can name.

    Ids are codes then; each one in between would become a node without edges, with memory of its own.

    Raises:
        DataError: There are more than a million nodes, and more than 100 times as many as ends of edges.
    """
    if num_nodes > max(_FREE_NODES, _MOST_PER_END * 2 * num_edges):
        ends = 2 * num_edges
        problem = f"the id {num_nodes - 1} asks for {num_nodes:,} nodes, but {num_edges:,} edges name {ends:,} at most."
        fix = "Number the ids, for example by numpy.unique(edge_index, return_inverse=True), or give num_nodes."
        raise DataError("edge_index", problem, fix=fix)


def sort_edges(
    src: Tensor, dst: Tensor, num_nodes: int, edge_type: Optional[Tensor] = None
) -> Tuple[Tensor, Tensor, Optional[Tensor]]:
    """Sort edges stably by (destination, source), those of a typed graph by (destination, relation, source).

    Args:
        src: Sources. Shape [E], int64.
        dst: Destinations. Shape [E], int64.
        num_nodes: Number of nodes N; all ids are below it.
        edge_type: Relation of each edge, from 0. Shape [E]. None: the graph has no types.

    Returns:
        ``indptr`` [N + 1], the sorted sources [E], and where each sorted edge stood before [E], or None for the order
        if the edges were sorted already. All int64.
    """
    sources, destinations = src.numpy(), dst.numpy()
    relations = None if edge_type is None else edge_type.numpy()
    indptr = np.zeros(num_nodes + 1, dtype=np.int64)
    np.cumsum(np.bincount(destinations, minlength=num_nodes), out=indptr[1:])
    if _are_sorted(sources, relations, destinations):
        return torch.from_numpy(indptr), src.clone(), None  # a view would keep the destinations alive too
    # Stable counting sorts, by the minor key first: linear time, 32-bit positions, no key that could overflow.
    order = _counting_order(sources, num_nodes)
    if relations is not None:
        order = order[_counting_order(relations[order], int(relations.max()) + 1)]
    order = order[_counting_order(destinations[order], num_nodes)]
    return torch.from_numpy(indptr), torch.from_numpy(sources[order]), torch.from_numpy(order.astype(np.int64))


def _are_sorted(src: np.ndarray, relation: Optional[np.ndarray], dst: np.ndarray) -> bool:
    ahead = src[1:] >= src[:-1]
    for key in (relation, dst):
        if key is not None:
            ahead = (key[1:] > key[:-1]) | ((key[1:] == key[:-1]) & ahead)
    return bool(ahead.all())


def _counting_order(keys: np.ndarray, num_keys: int) -> np.ndarray:
    """Stable order of whole numbers in [0, num_keys): turning a matrix of one entry a row into columns sorts them."""
    count = len(keys)
    dtype = np.int32 if max(count, num_keys) < np.iinfo(np.int32).max else np.int64
    entries: Any = (np.zeros(count, dtype=np.int8), keys.astype(dtype), np.arange(count + 1, dtype=dtype))
    order: np.ndarray = scipy.sparse.csr_matrix(entries, shape=(count, num_keys)).tocsc().indices
    return order
