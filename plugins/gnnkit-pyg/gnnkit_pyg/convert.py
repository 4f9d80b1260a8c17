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
``graph_data``  their own names
splits of       ``split``: text, a list of texts in a ``Batch``; empty for a
graphs          graph that is in none
``graph_names`` ``name``: likewise
=============== =========================================================

Many graphs are a ``Batch`` or a list of ``Data``. ``Data`` has no place for the rest (names of classes, metric, which
arrays are of nodes and which of edges when there are as many of both). It travels in the attribute ``gnnkit``, an
:class:`Extras`, which applies as far as the arrays still fit it.
"""

from __future__ import annotations

import warnings
from typing import Any, Dict, FrozenSet, List, Mapping, Optional, Sequence, Tuple

import torch
from torch import Tensor
from torch_geometric.data import Batch, Data

from gnnkit.data import (
    Graph,
    Notes,
    attach_links,
    from_edge_index,
    log_warnings,
    pick_split,
    split_graphs,
    warn_one_way,
)
from gnnkit.data.build import check_count
from gnnkit.data.convert import fitting_categories, read_splits
from gnnkit.data.splits import warn_of_splits
from gnnkit.data.typed_convert import NodeCategories, categories_by_type, categories_of_columns
from gnnkit.errors import DataError
from gnnkit_pyg.extras import Extras, merge_extras
from gnnkit_pyg.hetero import from_hetero, is_hetero, to_hetero
from gnnkit_pyg.lists import check_data, fitting_kinds, graph_ptr_of, join_data

_MASKS = {"train_mask": "train", "val_mask": "valid", "test_mask": "test"}
_FIELDS = ("x", "edge_weight", "edge_attr")
_COMPRESSED = (torch.sparse_csr, torch.sparse_csc, torch.sparse_bsr, torch.sparse_bsc)
_OF_NODES = ("node", "pos", "n_id", *_MASKS)
_TAKEN = {*_FIELDS, "edge_index", "y", "graph_y", "num_nodes", "batch", "ptr", "name", "split", "gnnkit"}


def to_pyg(graph: Graph) -> Any:
    """Turn a graph into a ``Data``, sharing memory, or many graphs in one record into a ``Batch``.

    Args:
        graph: The graph. A record of many graphs is copied. A typed graph becomes a ``HeteroData``, see
            :func:`gnnkit_pyg.hetero.to_hetero`.

    Returns:
        A ``torch_geometric.data.Data`` or ``Batch`` whose edges are in the order of ``graph.indices``. A list of the
        graphs is ``to_pyg(graph).to_data_list()``, or ``[to_pyg(each) for each in split_graphs(graph)]`` without
        copies.

    Raises:
        DataError: ``node_data``, ``edge_data`` or ``graph_data`` has a name that means something else in a ``Data``.

    Example:
        >>> pair = from_edge_index([[0, 1], [1, 0]], 4, graph_ptr=[0, 2, 4], graph_y=[1, 0])
        >>> to_pyg(pair).to_data_list()[1].y
        tensor([0])
    """
    if graph.typed is not None:
        return to_hetero(graph)
    _check_names(graph)
    if graph.graph_ptr is not None and graph.num_graphs and graph.links is None:
        return Batch.from_data_list([_to_data(each, graph) for each in split_graphs(graph)])
    return _to_data(graph, graph)


def _to_data(graph: Graph, record: Graph) -> Any:
    """A graph as one ``Data``, with a mask for every split of the record that it is from: a Batch has what all have."""
    y_of_graphs = graph.y is None and graph.graph_y is not None
    arrays: Dict[str, Any] = {name: getattr(graph, name) for name in _FIELDS}
    arrays["y"] = graph.graph_y if y_of_graphs else graph.y
    arrays["graph_y"] = None if y_of_graphs else graph.graph_y
    arrays.update(graph.node_data)
    arrays.update(graph.edge_data)
    arrays.update(graph.graph_data)
    arrays.update(_texts(graph, bool(record.graph_splits)))
    for mask_name, split in _MASKS.items():
        if split in record.splits:
            arrays[mask_name] = torch.zeros(graph.num_nodes, dtype=torch.bool)
            arrays[mask_name][graph.splits.get(split, [])] = True
    if graph.graph_ptr is not None:
        arrays["ptr"] = graph.graph_ptr
        arrays["batch"] = torch.repeat_interleave(torch.arange(graph.num_graphs), graph.graph_ptr.diff())
    extras = Extras(
        node_data=tuple(graph.node_data),
        edge_data=tuple(graph.edge_data),
        graph_data=tuple(graph.graph_data),
        y_of_graphs=y_of_graphs,
        class_names=tuple(graph.class_names),
        name=graph.name,
        metric=graph.metric,
        feature_names=tuple(graph.feature_names),
        links=graph.links,
        num_nodes=graph.num_nodes,
        node_categories=tuple(graph.node_categories),
        edge_categories=tuple(graph.edge_categories),
    )
    arrays = {name: value for name, value in arrays.items() if value is not None}
    return Data(edge_index=graph.edge_index, num_nodes=graph.num_nodes, gnnkit=extras, **arrays)


def _texts(graph: Graph, has_splits: bool) -> Dict[str, Any]:
    """Names and splits of graphs: of one graph a text, of several a list."""
    texts: Dict[str, List[str]] = {}
    if graph.graph_names:
        texts["name"] = list(graph.graph_names)
    if has_splits:
        texts["split"] = [""] * graph.num_graphs
    for split, ids in graph.graph_splits.items():
        for number in ids.tolist():
            texts["split"][number] = split
    return {name: each if graph.graph_ptr is not None else each[0] for name, each in texts.items()}


def _check_names(graph: Graph) -> None:
    for kind in ("node_data", "edge_data", "graph_data"):
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


def from_pyg(
    obj: Any,
    *,
    split: Optional[int] = None,
    names: Optional[str] = None,
    node_categories: NodeCategories = (),
    edge_categories: Sequence[int] = (),
) -> Graph:
    """Turn what PyTorch Geometric holds into a graph, whether :func:`to_pyg` made it or not.

    An array that says neither by its name nor by its length whether it belongs to nodes, edges or graphs is left out,
    with a warning. Where there are as many nodes as edges, an array with "edge" in its name is one of edges, any other
    one of nodes, with a warning if its name does not show that. -1, with which ``to_homogeneous()`` fills up, marks a
    missing label. An ``edge_attr`` of shape [E] becomes [E, 1]. ``adj_t``, as ``ToSparseTensor`` makes it, is read as
    edges from columns to rows.

    ``y`` is of graphs or of nodes. In a list it is of graphs if it has one row, or is one number, in each ``Data``,
    whatever the number of nodes; else it is of nodes and has a row for each. In a ``Batch`` it is of graphs if it has a
    row for each graph. In a single ``Data`` it is of the nodes if it has a row for each, one node included, and of the
    graph if it has one row.

    Args:
        obj: A ``Data``, a ``Batch``, or a list of ``Data``, which become many graphs in one record. The ``Data`` of a
            list need the same arrays, of the same widths and dtypes. ``split``, a text in each, says splits of graphs.
            A ``HeteroData``, or several, become a typed graph, see :func:`gnnkit_pyg.hetero.from_hetero`.
        split: Which split to take, from 0, of masks with several columns. None leaves such masks in ``node_data``, from
            which :func:`gnnkit.data.pick_split` can take one.
        names: Attribute of text with the name of each graph. None takes "name", else "smiles".
        node_categories: Number of categories of each column of ``x``, whose whole numbers are then codes. Empty: they
            are numbers, and become float32, unless :func:`to_pyg` has noted them as codes. Of a ``HeteroData``, a
            mapping with those of each node type.
        edge_categories: The same of ``edge_attr``.

    Returns:
        The graph, with edges sorted by (destination, source) and edge arrays in that order.

    Raises:
        DataError: The object is something else, has no ``edge_index``, or breaks a rule of :class:`gnnkit.Graph`; or
            the ``Data`` of a list are not alike: the message names the first that differs.

    Example:
        >>> from torch_geometric.data import Data
        >>> from_pyg(Data(edge_index=torch.tensor([[0, 1], [1, 2]]), num_nodes=4)).num_nodes
        4
    """
    if is_hetero(obj):
        return from_hetero(obj, categories_by_type(node_categories))
    joined = join_data(obj) if isinstance(obj, (list, tuple)) else None
    if joined is None:
        check_data(obj)
    data = obj if joined is None else joined.batch
    stored = data.to_dict().items()  # Names with a leading underscore are a Batch's own notes.
    values = {name: _plain(value) for name, value in stored if value is not None and not name.startswith("_")}
    noted = _extras(values) if joined is None else joined.extras
    extras = noted or Extras()
    _read_adjacency(values)
    if "edge_index" not in values:
        raise DataError("edge_index", "the Data has none.", fix="Pass one of shape [2, 0] for no edges.")
    num_nodes = _count_nodes(values, data)
    edge_index = values.pop("edge_index")
    fields: Dict[str, Any] = {name: values.pop(name) for name in _FIELDS if name in values}
    edge_attr = fields.get("edge_attr")
    if edge_attr is not None and edge_attr.ndim == 1:
        fields["edge_attr"] = edge_attr[:, None]
    fields["graph_ptr"] = graph_ptr = graph_ptr_of(values)
    num_graphs = 1 if graph_ptr is None else graph_ptr.numel() - 1
    of_graphs = None if joined is None else joined.y_of_graphs
    fields.update(_labels(values, num_nodes, num_graphs, graph_ptr is None, noted, of_graphs))
    fields["splits"] = _splits(values, num_nodes)
    fields.update(_read_texts(values, names))
    kinds = fitting_kinds(values, num_nodes, edge_index.shape[-1], num_graphs) if joined is None else joined.kinds
    *arrays, notes = _sort_arrays(values, kinds, (num_nodes, edge_index.shape[-1], num_graphs), extras)
    fields["node_data"], fields["edge_data"], fields["graph_data"] = arrays
    if fields.get("x") is not None and fields["x"].shape[-1] == len(extras.feature_names):
        fields["feature_names"] = extras.feature_names
    fields.update(fitting_categories(vars(extras), fields.get("x"), fields.get("edge_attr")))
    sizes = categories_of_columns(node_categories)
    fields.update({"node_categories": sizes} if sizes else {})
    fields.update({"edge_categories": edge_categories} if edge_categories else {})
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
    return log_warnings(graph if noted is not None else warn_one_way(graph))


def _extras(values: Dict[str, Any]) -> Optional[Extras]:
    """What :func:`to_pyg` has noted; of a Batch, whose graphs have one each, the first."""
    extras = values.pop("gnnkit", None)
    if isinstance(extras, list):
        extras = merge_extras(extras)
    return extras if isinstance(extras, Extras) else None


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


def _labels(
    values: Dict[str, Any],
    num_nodes: int,
    num_graphs: int,
    is_single: bool,
    noted: Optional[Extras],
    of_graphs: Optional[bool],
) -> Dict[str, Any]:
    """Labels of nodes and of graphs; ``of_graphs`` is what a list has shown of ``y``."""
    y, graph_y = values.pop("y", None), values.pop("graph_y", None)
    if y is None:
        return {"graph_y": graph_y}
    y = torch.as_tensor(y)
    y = y[None] if y.ndim == 0 else y
    if of_graphs is None:
        rows = y.shape[0]
        nodes_first = is_single if noted is None else not noted.y_of_graphs
        of_graphs = rows == num_graphs and not (nodes_first and rows == num_nodes)
    return {"graph_y": y} if of_graphs and graph_y is None else {"y": y, "graph_y": graph_y}


def _read_texts(values: Dict[str, Any], names: Optional[str]) -> Dict[str, Any]:
    """Names and splits of graphs."""
    known = ("name", "smiles") if names is None else (names,)
    column = next((name for name in known if _is_text(values.get(name))), None)
    if names is not None and column is None:
        raise DataError(names, "there is no text of this name in each Data.")
    read: Dict[str, Any] = {}
    if column is not None:
        text = values.pop(column)
        read["graph_names"] = [text] if isinstance(text, str) else text
    if _is_text(values.get("split")):
        text = values.pop("split")
        read["graph_splits"] = read_splits([text] if isinstance(text, str) else text)
    return read


def _is_text(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, list) and all(isinstance(each, str) for each in value))


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
    values: Mapping[str, Any], kinds: Mapping[str, FrozenSet[str]], sizes: Tuple[int, int, int], extras: Extras
) -> Tuple[Dict[str, Tensor], Dict[str, Tensor], Dict[str, Tensor], Notes]:
    """Divide the further arrays into those of nodes, of edges and of graphs."""
    sorted_arrays: Dict[str, Dict[str, Tensor]] = {"node": {}, "edge": {}, "graph": {}}
    known = {name: kind for kind in sorted_arrays for name in getattr(extras, f"{kind}_data")}
    left_out: List[str] = []
    unclear: List[str] = []
    for name, value in values.items():
        fits = kinds.get(name, frozenset())
        usual = ("edge", "node", "graph") if "edge" in name else ("node", "edge", "graph")
        order = (known[name], *usual) if name in known else usual
        kind = next((each for each in order if each in fits), None)
        if kind is None:
            left_out.append(name)
            continue
        array = value if isinstance(value, Tensor) else torch.tensor(value)
        sorted_arrays[kind][name] = array[None] if array.ndim == 0 else array
        if kind == "node" and "edge" in fits and name not in known and not name.startswith(_OF_NODES):
            unclear.append(name)
    if left_out:
        counted = f"{sizes[0]} nodes nor of {sizes[1]} edges"
        warnings.warn(f"Left out, being neither of {counted}: {', '.join(left_out)}.", stacklevel=3)
    notes = Notes(left_out=tuple(left_out))
    if unclear:
        notes = notes.warned(
            f"there are as many edges as nodes, {sizes[0]}, so these arrays could be of either and went to the nodes: "
            f"{', '.join(unclear)}. Put 'edge' into the name of an array of edges."
        )
    return sorted_arrays["node"], sorted_arrays["edge"], sorted_arrays["graph"], notes
