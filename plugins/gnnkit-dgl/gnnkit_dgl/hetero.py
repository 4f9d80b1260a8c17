"""Between typed graphs and ``DGLGraph`` with several types.

Rules: the names are those of :mod:`gnnkit_dgl.convert`, by type: ``nodes[type].data["feat"]``, ``"label"`` and masks,
``edges[relation].data["weight"]`` and ``"feat"``. DGL puts types and relations in alphabetical order; the order of the
schema, and what else has no place there, travels in the attribute ``native.gnnkit``.
"""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional, Sequence

import torch
from torch import Tensor

from gnnkit.data import Graph, join_graphs, log_warnings, parse_relation, split_graphs
from gnnkit.data.typed_convert import TypedExtras, put_together, take_apart
from gnnkit.errors import DataError
from gnnkit_dgl.compat import import_dgl

_OF_NODES = {"feat": "x", "label": "y"}
_OF_EDGES = {"weight": "edge_weight", "feat": "edge_attr"}
_MASKS = {"train_mask": "train", "val_mask": "valid", "test_mask": "test"}


def to_typed_dgl(graph: Graph) -> Any:
    """Turn a typed graph into a ``DGLGraph``, many in one record into a batch.

    Args:
        graph: The graph.

    Returns:
        A ``DGLGraph`` whose edge ids are the places of edges among those of their relation.

    Raises:
        DataError: It has no relation, which DGL does not take; or an array has a name that means something else.
    """
    dgl = import_dgl()
    if graph.graph_ptr is not None:
        several = [to_typed_dgl(each) for each in split_graphs(graph)]
        batch = dgl.batch(several)
        batch.gnnkit = [each.gnnkit for each in several]
        return batch
    parts, extras = take_apart(graph)
    if not parts["edges"]:
        raise DataError("edges", "the graph has no relation, and a DGLGraph has one at least.")
    edges = {parse_relation(label): (ends[0], ends[1]) for label, ends in parts["edges"].items()}
    native = dgl.heterograph(edges, num_nodes_dict=parts["num_nodes"])
    for name in parts["num_nodes"]:
        held = _named(parts, name, _OF_NODES, "node_data", _MASKS)
        for mask_name, split in _MASKS.items():
            if split in parts["splits"].get(name, {}):
                held[mask_name] = torch.zeros(parts["num_nodes"][name], dtype=torch.bool)
                held[mask_name][parts["splits"][name][split]] = True
        native.nodes[name].data.update(held)
    for label in parts["edges"]:
        native.edges[parse_relation(label)].data.update(_named(parts, label, _OF_EDGES, "edge_data", {}))
    native.gnnkit = extras
    return native


def from_typed_dgl(
    obj: Any, graph_y: Any = None, node_categories: Optional[Mapping[str, Sequence[int]]] = None
) -> Graph:
    """Turn a ``DGLGraph`` with types, a batch or a list of them into a typed graph.

    Args:
        obj: The graph or the graphs.
        graph_y: Labels of the graphs. None: what :func:`to_typed_dgl` has noted.
        node_categories: By node type, the number of categories of each column of ``feat``, whose whole numbers are then
            codes. None: likewise.

    Raises:
        DataError: Something breaks a rule of :class:`gnnkit.data.Typed`, or the graphs of a list are not alike.

    Example:
        >>> dgl = import_dgl()
        >>> native = dgl.heterograph({("author", "writes", "paper"): ([0, 1], [2, 0])})
        >>> from_typed_dgl(native).typed.num_nodes
        {'author': 2, 'paper': 3}
    """
    dgl = import_dgl()
    if isinstance(obj, dgl.DGLGraph) and obj.batch_size == 1 and not isinstance(_noted(obj), list):
        graph = _from_one(obj, _noted(obj), node_categories)
        return log_warnings(graph if graph_y is None else join_graphs([graph], graph_y=graph_y))
    graphs: List[Graph] = []
    for native in obj if isinstance(obj, (list, tuple)) else [obj]:
        noted = _noted(native)
        several = dgl.unbatch(native) if native.batch_size != 1 or isinstance(noted, list) else [native]
        told: Sequence[Any] = noted if isinstance(noted, list) else [noted] * len(several)
        graphs.extend(_from_one(each, extras, node_categories) for each, extras in zip(several, told))
    return log_warnings(join_graphs(graphs, graph_y=graph_y))


def is_typed(native: Any) -> bool:
    """Whether a ``DGLGraph`` has types, or was a typed graph of one type and one relation."""
    return not native.is_homogeneous or isinstance(_noted(native), (TypedExtras, list))


def _noted(native: Any) -> Any:
    return getattr(native, "gnnkit", None)


def _from_one(native: Any, noted: Any, node_categories: Optional[Mapping[str, Sequence[int]]]) -> Graph:
    parts: Dict[str, Any] = {field: {} for field in ("x", "y", "splits", "node_data")}
    parts.update({field: {} for field in ("edges", "edge_weight", "edge_attr", "edge_data")})
    parts["num_nodes"] = {name: native.num_nodes(name) for name in native.ntypes}
    for name in native.ntypes:
        held = {key: value.cpu() for key, value in native.nodes[name].data.items()}
        masks = {mask: held[mask].bool() for mask in _MASKS if mask in held and held[mask].ndim == 1}
        parts["splits"][name] = {_MASKS[mask]: values for mask, values in masks.items() if bool(values.any())}
        held = {key: value for key, value in held.items() if key not in masks}
        _sort(parts, name, held, _OF_NODES, "node_data")
    for relation in native.canonical_etypes:
        label = ":".join(relation)
        src, dst = native.edges(etype=relation, order="eid")
        parts["edges"][relation] = torch.stack([src, dst]).cpu().long()
        held = {key: value.cpu() for key, value in native.edges[relation].data.items()}
        _sort(parts, label, held, _OF_EDGES, "edge_data")
        weight: Optional[Tensor] = parts["edge_weight"].get(label)
        if weight is not None and weight.ndim == 2 and weight.shape[1] == 1:
            parts["edge_weight"][label] = weight[:, 0]
    parts["node_categories"] = node_categories
    return put_together(parts, noted if isinstance(noted, TypedExtras) else None)


def _sort(parts: Dict[str, Any], owner: str, held: Mapping[str, Tensor], fields: Mapping[str, str], rest: str) -> None:
    """Put the arrays of a type or a relation where they belong."""
    for key, field in fields.items():
        if key in held:
            parts[field][owner] = held[key]
    parts[rest][owner] = {key: value for key, value in held.items() if key not in fields}


def _named(
    parts: Mapping[str, Any], owner: str, fields: Mapping[str, str], rest: str, masks: Mapping[str, str]
) -> Dict[str, Tensor]:
    """The arrays of a type or a relation by DGL's names."""
    others: Mapping[str, Tensor] = parts[rest].get(owner, {})
    for name, value in others.items():
        if name in fields or (name in masks and value.ndim == 1):
            problem = f"the name {name!r} means {({**fields, **masks})[name]!r} in a DGLGraph."
            raise DataError(f"{rest} of {owner!r}", problem, fix="Give the array another name.")
    named = {key: parts[field][owner] for key, field in fields.items() if owner in parts[field]}
    return {**named, **others}
