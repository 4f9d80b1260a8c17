"""Between :class:`gnnkit.Graph` and ``torch_geometric.data.Data``.

Rules: arrays go under the names that PyTorch Geometric's own data sets use:

=============== =========================================================
``Graph``       ``Data``
=============== =========================================================
edges           ``edge_index``, and ``num_nodes``
``x``           ``x``
``y``           ``y``
``splits``      ``train_mask``, ``val_mask``, ``test_mask``
``edge_weight`` ``edge_weight``
``edge_attr``   ``edge_attr``
``node_data``   their own names
``edge_data``   their own names
``graph_ptr``   ``ptr`` and ``batch``
``graph_y``     ``y`` if the nodes have no labels, else ``graph_y``
=============== =========================================================

``Data`` has no place for the rest (names, metric, which arrays are of nodes and which of edges when there are as many
of both). It travels in the attribute ``gnnkit``, an :class:`Extras`, which applies as far as the arrays still fit it.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional, Tuple

import torch
from torch import Tensor
from torch.nn import functional
from torch_geometric.data import Batch, Data

from gnnkit.data import Graph, Links, Notes, attach_links, from_edge_index, log_warnings, pick_split, warn_one_way
from gnnkit.data.build import check_count
from gnnkit.data.splits import warn_of_splits
from gnnkit.errors import DataError

_MASKS = {"train_mask": "train", "val_mask": "valid", "test_mask": "test"}
_FIELDS = ("x", "edge_weight", "edge_attr")
_COMPRESSED = (torch.sparse_csr, torch.sparse_csc, torch.sparse_bsr, torch.sparse_bsc)
_OF_NODES = ("node", "pos", "n_id", *_MASKS)
_TAKEN = {*_FIELDS, "edge_index", "y", "graph_y", "num_nodes", "batch", "ptr", "gnnkit"}


@dataclass(frozen=True)
class Extras:
    """What a ``Data`` has no place for; the attribute ``gnnkit`` of one that :func:`to_pyg` made.

    Attributes:
        node_data: Names of the arrays of nodes.
        edge_data: Names of the arrays of edges.
        y_of_graphs: Whether ``y`` labels graphs, not nodes.
        class_names: Names of the classes.
        name: Name of the graph.
        metric: Metric that the data ask for.
        feature_names: Names of the columns of ``x``.
        links: Pairs of nodes to learn and judge, like ``Graph.links``.
        num_nodes: Number of nodes that the links are about.
    """

    node_data: Tuple[str, ...] = ()
    edge_data: Tuple[str, ...] = ()
    y_of_graphs: bool = False
    class_names: Tuple[str, ...] = ()
    name: str = "graph"
    metric: Optional[str] = None
    feature_names: Tuple[str, ...] = ()
    links: Optional[Links] = None
    num_nodes: int = 0


def to_pyg(graph: Graph) -> Any:
    """Turn a graph into a ``Data``, sharing memory.

    Args:
        graph: The graph; of many graphs in one record, the ``Data`` has ``batch`` and ``ptr``.

    Returns:
        A ``torch_geometric.data.Data`` whose edges are in the order of ``graph.indices``.

    Raises:
        DataError: ``node_data`` or ``edge_data`` has a name that means something else in a ``Data``.
    """
    _check_names(graph)
    y_of_graphs = graph.y is None and graph.graph_y is not None
    arrays: Dict[str, Any] = {name: getattr(graph, name) for name in _FIELDS}
    arrays["y"] = graph.graph_y if y_of_graphs else graph.y
    arrays["graph_y"] = None if y_of_graphs else graph.graph_y
    arrays.update(graph.node_data)
    arrays.update(graph.edge_data)
    for mask_name, split in _MASKS.items():
        if split in graph.splits:
            arrays[mask_name] = torch.zeros(graph.num_nodes, dtype=torch.bool)
            arrays[mask_name][graph.splits[split]] = True
    if graph.graph_ptr is not None:
        arrays["ptr"] = graph.graph_ptr
        arrays["batch"] = torch.repeat_interleave(torch.arange(graph.num_graphs), graph.graph_ptr.diff())
    extras = Extras(
        node_data=tuple(graph.node_data),
        edge_data=tuple(graph.edge_data),
        y_of_graphs=y_of_graphs,
        class_names=tuple(graph.class_names),
        name=graph.name,
        metric=graph.metric,
        feature_names=tuple(graph.feature_names),
        links=graph.links,
        num_nodes=graph.num_nodes,
    )
    arrays = {name: value for name, value in arrays.items() if value is not None}
    return Data(edge_index=graph.edge_index, num_nodes=graph.num_nodes, gnnkit=extras, **arrays)


def _check_names(graph: Graph) -> None:
    for kind in ("node_data", "edge_data"):
        for name in getattr(graph, kind):
            if name in _TAKEN or name.startswith("_") or hasattr(Data, name):
                problem = f"the name {name!r} has another meaning in a Data."
            elif name in _MASKS and (kind == "edge_data" or graph.node_data[name].ndim == 1):
                problem = f"the name {name!r} means the split {_MASKS[name]!r} in a Data."
            elif kind == "edge_data" and name in graph.node_data:
                problem = f"{name!r} is also in node_data, and a Data has one place for both."
            else:
                continue
            raise DataError(kind, problem, fix="Give the array another name.")


def from_pyg(obj: Any, *, split: Optional[int] = None) -> Graph:
    """Turn what PyTorch Geometric holds into a graph, whether :func:`to_pyg` made it or not.

    An array that says neither by its name nor by its length whether it belongs to nodes or edges is left out, with a
    warning. Where there are as many nodes as edges, an array with "edge" in its name is one of edges, any other one of
    nodes, with a warning if its name does not show that. Labels are the nodes' if there is one per node, the graphs' if
    there is one per graph; -1, with which ``to_homogeneous()`` fills up, marks a missing one. An ``edge_attr`` of shape
    [E] becomes [E, 1]. ``adj_t``, as ``ToSparseTensor`` makes it, is read as edges from columns to rows.

    Args:
        obj: A ``Data``, a ``Batch``, or a list of ``Data``, which become many graphs in one record.
        split: Which split to take, from 0, of masks with several columns. None leaves such masks in ``node_data``, from
            which :func:`gnnkit.data.pick_split` can take one.

    Returns:
        The graph, with edges sorted by (destination, source) and edge arrays in that order.

    Raises:
        DataError: The object is something else, has no ``edge_index``, or breaks a rule of :class:`gnnkit.Graph`.

    Example:
        >>> from torch_geometric.data import Data
        >>> from_pyg(Data(edge_index=torch.tensor([[0, 1], [1, 2]]), num_nodes=4)).num_nodes
        4
    """
    data = _one_data(obj)
    stored = data.to_dict().items()  # Names with a leading underscore are a Batch's own notes.
    values = {name: _plain(value) for name, value in stored if value is not None and not name.startswith("_")}
    extras = values.pop("gnnkit", None)
    if isinstance(extras, list):  # A Batch of what to_pyg made has one for each graph.
        extras = extras[0] if extras else None
    extras = extras if isinstance(extras, Extras) else Extras()
    _read_adjacency(values)
    if "edge_index" not in values:
        raise DataError("edge_index", "the Data has none.", fix="Pass one of shape [2, 0] for no edges.")
    num_nodes = _count_nodes(values, data)
    edge_index = values.pop("edge_index")
    fields: Dict[str, Any] = {name: values.pop(name) for name in _FIELDS if name in values}
    edge_attr = fields.get("edge_attr")
    if edge_attr is not None and edge_attr.ndim == 1:
        fields["edge_attr"] = edge_attr[:, None]
    fields["graph_ptr"] = _graph_ptr(values)
    fields.update(_labels(values, num_nodes, fields["graph_ptr"], extras))
    fields["splits"] = _splits(values, num_nodes)
    fields["node_data"], fields["edge_data"], notes = _sort_arrays(values, num_nodes, edge_index.shape[-1], extras)
    if fields.get("x") is not None and fields["x"].shape[-1] == len(extras.feature_names):
        fields["feature_names"] = extras.feature_names
    graph = from_edge_index(
        edge_index,
        num_nodes,
        class_names=extras.class_names,
        name=extras.name,
        metric=extras.metric,
        notes=notes,
        **fields,
    )
    graph = attach_links(graph, extras.links, extras.num_nodes)
    graph = warn_of_splits(graph) if split is None else pick_split(graph, split)
    return log_warnings(graph if "gnnkit" in data else warn_one_way(graph))


def _read_adjacency(values: Dict[str, Any]) -> None:
    """Put the edges of ``adj_t``, in which rows are destinations, where they are looked for."""
    matrix = values.pop("adj_t", None)
    if matrix is None or "edge_index" in values:
        return
    if isinstance(matrix, Tensor):
        entries = matrix.to_sparse()
        (row, col), weights = entries._indices(), entries._values()
    elif hasattr(matrix, "coo"):  # A SparseTensor of torch_sparse.
        row, col, weights = matrix.coo()
    else:
        raise DataError("adj_t", f"received {type(matrix).__name__}, expected a sparse matrix.")
    values["edge_index"] = torch.stack([col, row]).cpu()
    values.setdefault(
        "num_nodes", max(matrix.shape[0], matrix.shape[1]) if isinstance(matrix, Tensor) else matrix.size(0)
    )
    if weights is not None and weights.ndim > 1:
        values.setdefault("edge_attr", weights.cpu())
    elif weights is not None and not bool((weights == 1).all()):
        values.setdefault("edge_weight", weights.cpu())


def _one_data(obj: Any) -> Any:
    """The object itself, or the batch of a list."""
    several = list(obj) if isinstance(obj, (list, tuple)) else [obj]
    for data in several:
        if not isinstance(data, Data):
            problem = f"received {type(data).__name__}, expected a Data, a Batch or a list of Data."
            fix = "Use to_homogeneous()." if hasattr(data, "to_homogeneous") else ""
            raise DataError("graph", problem, fix=fix)
    if not isinstance(obj, (list, tuple)):
        return obj
    if not several:
        raise DataError("graph", "received an empty list, expected Data.")
    try:
        return Batch.from_data_list(several)
    except (KeyError, RuntimeError, TypeError, AttributeError) as error:
        raise DataError("graph", f"these Data do not go into one batch: {type(error).__name__}: {error}") from error


def _plain(value: Any) -> Any:
    """Tensors without the subclass that PyG may have given them, in host memory."""
    if not isinstance(value, Tensor):
        return value
    value = value.detach().cpu()
    if value.layout == torch.sparse_coo:
        value = value.to_dense()
    return value if value.layout in _COMPRESSED else value.as_subclass(Tensor)  # Those have no subclasses, nor strides.


def _count_nodes(values: Dict[str, Any], data: Any) -> int:
    """The number of nodes that is stated or that an array shows; at last PyG's guess, of which it warns."""
    stated = values.pop("num_nodes", None)
    if stated is not None:
        return int(stated)
    for name in ("x", "batch", "pos", *_MASKS):
        if isinstance(values.get(name), Tensor) and values[name].ndim:
            return int(values[name].shape[0])
    num_edges = values["edge_index"].shape[-1]
    guess = int(values["edge_index"].max()) + 1 if num_edges else 0
    check_count(guess, num_edges)  # PyG would make rows for all of them.
    y = values.get("y")
    if isinstance(y, Tensor) and y.ndim and y.shape[0] > max(guess, 1):
        problem = f"it has {y.shape[0]} rows, but the edges name {guess} nodes and nothing says that there are more."
        raise DataError("y", problem, fix=f"If it labels nodes, set data.num_nodes = {y.shape[0]}.")
    return int(data.num_nodes)


def _graph_ptr(values: Dict[str, Any]) -> Optional[Tensor]:
    batch: Optional[Tensor] = values.pop("batch", None)
    ptr: Optional[Tensor] = values.pop("ptr", None)
    if ptr is not None or batch is None:
        return ptr
    batch = batch.long()  # Differences of unsigned numbers are never below 0.
    falling = batch.diff() < 0
    if bool(falling.any()):
        row = int(falling.nonzero()[0]) + 1
        problem = "the nodes of a graph do not lie side by side."
        raise DataError("batch", problem, row=row, fix="Sort the nodes by graph.")
    sizes: Tensor = torch.bincount(batch)
    return functional.pad(sizes.cumsum(0), (1, 0))


def _labels(values: Dict[str, Any], num_nodes: int, graph_ptr: Optional[Tensor], extras: Extras) -> Dict[str, Any]:
    """Labels of nodes and of graphs."""
    y, graph_y = values.pop("y", None), values.pop("graph_y", None)
    if y is None:
        return {"graph_y": graph_y}
    y = torch.as_tensor(y)
    y = y[None] if y.ndim == 0 else y
    num_graphs = 1 if graph_ptr is None else graph_ptr.numel() - 1
    of_graphs = y.shape[0] == num_graphs and (extras.y_of_graphs or y.shape[0] != num_nodes)
    return {"graph_y": y} if of_graphs and graph_y is None else {"y": y, "graph_y": graph_y}


def _splits(values: Dict[str, Any], num_nodes: int) -> Dict[str, Tensor]:
    """Take the masks out; one that is empty is no split, and several in one stay, a column each."""
    splits = {}
    if "val_mask" not in values and "valid_mask" in values:
        values["val_mask"] = values.pop("valid_mask")
    for mask_name, split in _MASKS.items():
        mask = values.get(mask_name)
        if not isinstance(mask, Tensor):
            continue
        if mask.ndim == 2 and num_nodes in mask.shape:
            values[mask_name] = mask if mask.shape[0] == num_nodes else mask.T
        elif mask.ndim == 1:
            mask = values.pop(mask_name).bool()
            if bool(mask.any()):
                splits[split] = mask
    return splits


def _sort_arrays(
    values: Mapping[str, Any], num_nodes: int, num_edges: int, extras: Extras
) -> Tuple[Dict[str, Tensor], Dict[str, Tensor], Notes]:
    """Divide the further arrays into those of nodes and those of edges."""
    nodes: Dict[str, Tensor] = {}
    edges: Dict[str, Tensor] = {}
    left_out: List[str] = []
    unclear: List[str] = []
    for name, value in values.items():
        rows = value.shape[0] if isinstance(value, Tensor) and value.ndim else None
        is_known = name in extras.edge_data or name in extras.node_data
        is_edges = name in extras.edge_data or (not is_known and "edge" in name)
        if rows == num_edges and (is_edges or rows != num_nodes):
            edges[name] = value
        elif rows == num_nodes:
            nodes[name] = value
            if rows == num_edges and not is_known and not name.startswith(_OF_NODES):
                unclear.append(name)
        else:
            left_out.append(name)
    if left_out:
        warnings.warn(
            f"Left out, being neither of {num_nodes} nodes nor of {num_edges} edges: {', '.join(left_out)}.",
            stacklevel=3,
        )
    notes = Notes(left_out=tuple(left_out))
    if unclear:
        notes = notes.warned(
            f"there are as many edges as nodes, {num_nodes}, so these arrays could be of either and went to the nodes: "
            f"{', '.join(unclear)}. Put 'edge' into the name of an array of edges."
        )
    return nodes, edges, notes
