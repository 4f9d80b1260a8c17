"""Between :class:`gnnkit.Graph` and ``DGLGraph``.

Rules: arrays go under the names that DGL's own data sets use:

=============== =====================================================
``Graph``       ``DGLGraph``
=============== =====================================================
``x``           ``ndata["feat"]``
``y``           ``ndata["label"]``
``splits``      ``ndata["train_mask"]``, ``"val_mask"``, ``"test_mask"``
``edge_weight`` ``edata["weight"]``
``edge_attr``   ``edata["feat"]``
``node_data``   ``ndata`` under their own names
``edge_data``   ``edata`` under their own names
``graph_ptr``   ``batch_num_nodes()``, ``batch_num_edges()``
=============== =====================================================

A ``DGLGraph`` has no place for the rest (what is said of graphs, class names, name, metric, the order of the ids in a
split). It travels in a Python attribute, ``native.gnnkit``, which DGL drops when it copies, unbatches or saves a graph,
and which applies as far as the arrays still fit it.
"""

from __future__ import annotations

from typing import Any, Dict, Mapping, Optional, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from gnnkit.data import Graph, attach_links, from_edge_index, log_warnings, pick_split, warn_one_way
from gnnkit.data.convert import fitting_categories
from gnnkit.data.splits import warn_of_splits
from gnnkit.data.typed_convert import NodeCategories, categories_by_type, categories_of_columns
from gnnkit.errors import DataError
from gnnkit_dgl.compat import import_dgl
from gnnkit_dgl.extras import SHARED, Extras
from gnnkit_dgl.hetero import from_typed_dgl, is_typed, to_typed_dgl
from gnnkit_dgl.lists import graphs_in, join_natives

_NODE_FIELDS = {"feat": "x", "label": "y"}
_EDGE_FIELDS = {"weight": "edge_weight", "feat": "edge_attr"}
_MASKS = {"train_mask": "train", "val_mask": "valid", "test_mask": "test"}


def to_dgl(graph: Graph) -> Any:
    """Turn a graph into a ``DGLGraph``, sharing memory.

    Args:
        graph: The graph; of many graphs in one record, DGL sees a batch. For a list of graphs take the record apart
            first: ``[to_dgl(each) for each in split_graphs(record)]``. For typed graphs see
            :func:`gnnkit_dgl.hetero.to_typed_dgl`.

    Returns:
        A ``DGLGraph``, homogeneous unless the graph has types, whose edge ids are positions in ``graph.indices``.

    Raises:
        DataError: ``node_data`` or ``edge_data`` has a name that the table above gives to something else.
    """
    if graph.typed is not None:
        return to_typed_dgl(graph)
    dgl = import_dgl()
    # Edge ids are written out for the reason given in DglBackend.lower.
    edge_ids = torch.arange(graph.num_edges)
    native = dgl.graph(("csc", (graph.indptr, graph.indices, edge_ids)), num_nodes=graph.num_nodes)
    native.ndata.update(_named(graph, "node_data", _NODE_FIELDS))
    native.edata.update(_named(graph, "edge_data", _EDGE_FIELDS))
    for mask_name, split in _MASKS.items():
        if split in graph.splits:
            mask = torch.zeros(graph.num_nodes, dtype=torch.bool)
            mask[graph.splits[split]] = True
            native.ndata[mask_name] = mask
    if graph.graph_ptr is not None:
        native.set_batch_num_nodes(graph.graph_ptr.diff())
        native.set_batch_num_edges(graph.indptr[graph.graph_ptr].diff())
    shared = {name: getattr(graph, name) for name in SHARED}
    is_batch = graph.graph_ptr is not None
    native.gnnkit = Extras(splits=dict(graph.splits), is_batch=is_batch, num_nodes=graph.num_nodes, **shared)
    return native


def from_dgl(
    obj: Any,
    *,
    split: Optional[int] = None,
    node_categories: NodeCategories = (),
    edge_categories: Sequence[int] = (),
) -> Graph:
    """Turn a ``DGLGraph`` into a graph, or many into one record, whether :func:`to_dgl` made them or not.

    Args:
        obj: A ``DGLGraph``, which becomes a typed graph if it has several types; a list of them; a pair of either and
            the graphs' labels, a tensor [G, ...] or a mapping with one, as ``dgl.load_graphs`` returns; or a list, or a
            data set of DGL, whose items are pairs of a graph and its label. The graphs of a list need the same arrays,
            of the same widths and dtypes.
        split: Which split to take, from 0, of masks with several columns. None leaves such masks in ``node_data``, from
            which :func:`gnnkit.data.pick_split` can take one.
        node_categories: Number of categories of each column of ``ndata["feat"]``, whose whole numbers are then codes.
            Empty: they are numbers, and become float32, unless :func:`to_dgl` has noted them as codes. Of a typed
            graph, a mapping with those of each node type.
        edge_categories: The same of ``edata["feat"]``.

    Returns:
        The graph, with edges sorted by (destination, source) and edge arrays in that order.

    Raises:
        DataError: The object is something else, its arrays break a rule of :class:`gnnkit.Graph`, or graphs of a list
            are not alike: the message names the first that differs.

    Example:
        >>> from gnnkit_dgl import import_dgl
        >>> dgl = import_dgl()
        >>> from_dgl(dgl.rand_graph(5, 7)).num_edges
        7
    """
    graphs, labels, is_list = graphs_in(obj)
    if any(is_typed(native) for native in graphs):
        return from_typed_dgl(graphs if is_list else graphs[0], labels, categories_by_type(node_categories))
    native, noted, graph_y = join_natives(graphs, labels, is_list)
    extras = noted or Extras()
    graph_y = extras.graph_y if graph_y is None else graph_y
    nodes = {name: value.cpu() for name, value in native.ndata.items()}
    edges = {name: value.cpu() for name, value in native.edata.items()}
    splits = _splits(nodes, extras.splits)
    fields = {field: nodes.pop(name) for name, field in _NODE_FIELDS.items() if name in nodes}
    fields.update({field: edges.pop(name) for name, field in _EDGE_FIELDS.items() if name in edges})
    weight = fields.get("edge_weight")
    if weight is not None and weight.ndim == 2 and weight.shape[1] == 1:
        fields["edge_weight"] = weight[:, 0]
    graph_ptr = None
    if is_list or native.batch_size != 1 or extras.is_batch:
        graph_ptr = functional.pad(native.batch_num_nodes().cpu().long().cumsum(0), (1, 0))
    src, dst = native.edges(order="eid")
    feat = fields.get("x")
    if feat is not None and feat.ndim == 2 and feat.shape[1] == len(extras.feature_names):
        fields["feature_names"] = extras.feature_names
    fields.update(fitting_categories(vars(extras), feat, fields.get("edge_attr")))
    sizes = categories_of_columns(node_categories)
    fields.update({"node_categories": sizes} if sizes else {})
    fields.update({"edge_categories": edge_categories} if edge_categories else {})
    graph = from_edge_index(
        torch.stack([src, dst]).cpu().long(),
        native.num_nodes(),
        splits=splits,
        node_data=nodes,
        edge_data=edges,
        graph_ptr=graph_ptr,
        graph_y=graph_y,
        graph_splits=extras.graph_splits,
        graph_data=extras.graph_data,
        graph_names=extras.graph_names,
        class_names=extras.class_names,
        name=extras.name,
        metric=extras.metric,
        **fields,
    )
    graph = attach_links(graph, extras.links, extras.num_nodes)
    graph = warn_of_splits(graph) if split is None else pick_split(graph, split)
    return log_warnings(graph if noted is not None else warn_one_way(graph))


def _named(graph: Graph, kind: str, fields: Mapping[str, str]) -> Dict[str, Tensor]:
    """The arrays of all nodes or all edges by DGL's names."""
    others: Mapping[str, Tensor] = getattr(graph, kind)
    meanings = {**fields, **(_MASKS if kind == "node_data" else {})}
    for name, value in others.items():
        # A mask of several columns is an array like any other, here as in from_dgl.
        if name in meanings and not (name in _MASKS and value.ndim > 1):
            problem = f"the name {name!r} means {meanings[name]!r} in a DGLGraph."
            raise DataError(kind, problem, fix="Give the array another name.")
    named = {name: getattr(graph, field) for name, field in fields.items()}
    return {**{name: value for name, value in named.items() if value is not None}, **others}


def _splits(nodes: Dict[str, Tensor], ordered: Mapping[str, Tensor]) -> Dict[str, Tensor]:
    """Take the masks out of the node arrays; ids keep the order in which they were given, where the masks agree."""
    splits: Dict[str, Tensor] = {}
    for mask_name, split in _MASKS.items():
        mask = nodes.get(mask_name)
        # Some data sets bring several random splits as columns: those stay arrays like any other.
        if mask is None or mask.ndim != 1:
            continue
        ids = nodes.pop(mask_name).bool().nonzero()[:, 0]
        before = ordered.get(split)
        splits[split] = before if before is not None and torch.equal(before.sort().values, ids) else ids
    return {split: ids for split, ids in splits.items() if ids.numel()}
