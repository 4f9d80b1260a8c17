"""Between typed graphs and ``torch_geometric.data.HeteroData``.

Rules: each type of nodes has ``x``, ``y``, ``train_mask``, ``val_mask``, ``test_mask`` and further arrays under their
own names, as in a ``Data``; each relation has ``edge_index``, ``edge_weight``, ``edge_attr`` and further arrays. Every
type states ``num_nodes``, so that one without edges and features is one, too. The label of a graph is ``data.y``.
"""

from __future__ import annotations

import copy
import warnings
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

import torch
from torch import Tensor
from torch_geometric.data import Batch, HeteroData
from torch_geometric.data.storage import EdgeStorage, NodeStorage

from gnnkit.data import Graph, join_graphs, log_warnings, parse_relation, split_graphs
from gnnkit.data.typed_convert import TypedExtras, put_together, take_apart
from gnnkit.errors import DataError

_MASKS = {"train_mask": "train", "val_mask": "valid", "test_mask": "test"}
_OF_NODES = ("x", "y", "num_nodes", *_MASKS)
_OF_EDGES = ("edge_index", "edge_weight", "edge_attr", "adj_t")


def to_hetero(graph: Graph) -> Any:
    """Turn a typed graph into a ``HeteroData``, many in one record into a ``Batch`` of them.

    Args:
        graph: The graph.

    Returns:
        The ``HeteroData``, with types and relations in the order of the schema and edges in that of ``graph.indices``.

    Raises:
        DataError: ``node_data`` or ``edge_data`` has a name that means something else there.
    """
    if graph.graph_ptr is not None:
        return Batch.from_data_list([to_hetero(each) for each in split_graphs(graph)])
    parts, extras = take_apart(graph)
    data = HeteroData()
    for name, count in parts["num_nodes"].items():
        store = data[name]
        store.num_nodes = count
        held = {field: parts[field].get(name) for field in ("x", "y")}
        held.update(_checked(parts["node_data"].get(name, {}), "node_data", name, _OF_NODES, NodeStorage))
        for mask_name, split in _MASKS.items():
            if split in parts["splits"].get(name, {}):
                held[mask_name] = torch.zeros(count, dtype=torch.bool)
                held[mask_name][parts["splits"][name][split]] = True
        store.update({key: value for key, value in held.items() if value is not None})
    for label, edges in parts["edges"].items():
        held = {field: parts[field].get(label) for field in ("edge_weight", "edge_attr")}
        held.update(_checked(parts["edge_data"].get(label, {}), "edge_data", label, _OF_EDGES, EdgeStorage))
        store = data[parse_relation(label)]
        store.edge_index = edges
        store.update({key: value for key, value in held.items() if value is not None})
    if graph.graph_y is not None:
        data.y = graph.graph_y
    data.gnnkit = extras
    return data


def from_hetero(obj: Any, node_categories: Optional[Mapping[str, Sequence[int]]] = None) -> Graph:
    """Turn a ``HeteroData``, a ``Batch`` or a list of them into a typed graph, whether we made it or not.

    A type has as many nodes as ``num_nodes`` says, else as an array of it has rows, else as edges name. What is no
    array of a type's nodes or a relation's edges is left out, with a warning.

    Args:
        obj: The object.
        node_categories: By node type, the number of categories of each column of ``x``, whose whole numbers are then
            codes. None: what :func:`to_hetero` has noted.

    Raises:
        DataError: Something breaks a rule of :class:`gnnkit.data.Typed`, or the graphs of a list are not alike.

    Example:
        >>> data = HeteroData()
        >>> data["paper"].num_nodes = 3
        >>> data["author", "writes", "paper"].edge_index = torch.tensor([[0, 1], [2, 0]])
        >>> from_hetero(data).typed.num_nodes
        {'paper': 3, 'author': 2}
    """
    if isinstance(obj, Batch):
        obj = _apart(obj)
    if isinstance(obj, (list, tuple)):
        return log_warnings(join_graphs([_from_one(each, node_categories) for each in obj]))
    return log_warnings(_from_one(obj, node_categories))


def is_hetero(obj: Any) -> bool:
    """Whether this is a ``HeteroData``, a ``Batch`` of them, or a list that begins with one."""
    if isinstance(obj, (list, tuple)):
        return bool(obj) and isinstance(obj[0], HeteroData)
    return isinstance(obj, HeteroData)


def _apart(batch: Any) -> List[Any]:
    """The graphs of a batch, also where a type has no arrays, for which PyTorch Geometric notes nothing."""
    batch = copy.copy(batch)
    names = [*batch.node_types, *batch.edge_types]
    batch._slice_dict = {**{name: {} for name in names}, **batch._slice_dict}
    several: List[Any] = batch.to_data_list()
    return several


def _from_one(data: Any, node_categories: Optional[Mapping[str, Sequence[int]]]) -> Graph:
    if not isinstance(data, HeteroData):
        raise DataError("graph", f"received {type(data).__name__} in a list of HeteroData.")
    if not data.node_types and not data.edge_types:
        raise DataError("graph", "the HeteroData has no types of nodes, expected one at least.")
    parts: Dict[str, Any] = {field: {} for field in ("num_nodes", "x", "y", "splits", "node_data", "edges")}
    parts.update({field: {} for field in ("edge_weight", "edge_attr", "edge_data")})
    left_out: List[str] = []
    for name in data.node_types:
        left_out += _read_nodes(parts, name, dict(data[name].items()))
    for relation in data.edge_types:
        left_out += _read_edges(parts, relation, dict(data[relation].items()))
    parts["node_categories"] = node_categories
    shared = dict(data._global_store.items())
    extras = shared.pop("gnnkit", None)
    graph_y = shared.pop("y", None)
    left_out += list(shared)
    if left_out:
        warnings.warn(f"Left out, being arrays neither of nodes nor of edges: {', '.join(left_out)}.", stacklevel=4)
    graph = put_together(parts, extras if isinstance(extras, TypedExtras) else None)
    return graph if graph_y is None or graph.graph_y is not None else join_graphs([graph], graph_y=_rows(graph_y))


def _rows(graph_y: Any) -> Tensor:
    y = torch.as_tensor(graph_y)
    return y[None] if y.ndim == 0 else y


def _checked(
    arrays: Mapping[str, Tensor], field: str, owner: str, taken: Tuple[str, ...], storage: type
) -> Mapping[str, Tensor]:
    for name in arrays:
        if name in taken or name.startswith("_") or hasattr(storage, name):
            problem = f"the name {name!r} has another meaning in a HeteroData."
            raise DataError(f"{field} of {owner!r}", problem, fix="Give the array another name.")
    return arrays


def _plain(values: Mapping[str, Any]) -> Dict[str, Any]:
    return {
        name: value.detach().cpu().as_subclass(Tensor) if isinstance(value, Tensor) else value
        for name, value in values.items()
        if value is not None
    }


def _read_nodes(parts: Dict[str, Any], name: str, values: Mapping[str, Any]) -> List[str]:
    """Take the arrays of a type; returns what is none."""
    values = _plain(values)
    count = values.pop("num_nodes", None)
    if count is None:
        held = [values[key] for key in ("x", "y", *_MASKS) if isinstance(values.get(key), Tensor)]
        held += [value for value in values.values() if isinstance(value, Tensor) and value.ndim]
        count = None if not held else int(held[0].shape[0])
    parts["num_nodes"][name] = None if count is None else int(count)
    if "val_mask" not in values and "valid_mask" in values:
        values["val_mask"] = values.pop("valid_mask")
    masks = {split: values.get(mask) for mask, split in _MASKS.items()}
    masks = {split: mask for split, mask in masks.items() if isinstance(mask, Tensor) and mask.ndim == 1}
    for mask, split in _MASKS.items():
        if split in masks:
            del values[mask]
    parts["splits"][name] = {split: mask.bool() for split, mask in masks.items() if mask is not None and mask.any()}
    for field in ("x", "y"):
        if field in values:
            parts[field][name] = values.pop(field)
    own = {key: value for key, value in values.items() if _has_rows(value, count)}
    parts["node_data"][name] = own
    return [f"{key} of {name!r}" for key in values if key not in own]


def _read_edges(parts: Dict[str, Any], relation: Tuple[str, str, str], values: Mapping[str, Any]) -> List[str]:
    values = _plain(values)
    label = ":".join(relation)
    matrix = values.pop("adj_t", None)
    if "edge_index" not in values and matrix is not None:
        row, col = matrix.coo()[:2] if hasattr(matrix, "coo") else matrix.to_sparse()._indices()
        values["edge_index"] = torch.stack([col, row]).cpu()
    if "edge_index" not in values:
        values["edge_index"] = torch.empty(2, 0, dtype=torch.int64)
    edges = values.pop("edge_index")
    parts["edges"][relation] = edges
    attr = values.pop("edge_attr", None)
    if attr is not None:
        parts["edge_attr"][label] = attr[:, None] if attr.ndim == 1 else attr
    if "edge_weight" in values:
        parts["edge_weight"][label] = values.pop("edge_weight")
    own = {key: value for key, value in values.items() if _has_rows(value, edges.shape[-1])}
    parts["edge_data"][label] = own
    return [f"{key} of {label!r}" for key in values if key not in own]


def _has_rows(value: Any, count: Optional[int]) -> bool:
    return isinstance(value, Tensor) and value.ndim > 0 and value.shape[0] == count
