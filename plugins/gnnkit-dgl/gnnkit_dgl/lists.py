"""Lists of ``DGLGraph`` as one batch, with what is said of each, after a look at whether they are alike."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

import torch

from gnnkit.data.lists import check_alike, describe_array
from gnnkit.errors import DataError
from gnnkit_dgl.compat import import_dgl
from gnnkit_dgl.extras import Extras, merge_extras

_MASKS = ("train_mask", "val_mask", "test_mask")


def graphs_in(obj: Any) -> Tuple[List[Any], Any, bool]:
    """The graphs in everything that was given.

    Args:
        obj: As :func:`gnnkit_dgl.convert.from_dgl` takes it.

    Returns:
        The graphs, or the one; the labels that came beside them, or None; and whether it was a list.

    Raises:
        DataError: There is no graph, or something is none.
    """
    dgl = import_dgl()
    obj, labels = _apart(dgl, obj)
    is_list = not isinstance(obj, dgl.DGLGraph)
    graphs: List[Any] = list(obj) if is_list else [obj]
    for native in graphs:
        if not isinstance(native, dgl.DGLGraph):
            raise DataError("graph", f"received {type(native).__name__}, expected a DGLGraph.")
        if native.is_block:
            kinds = f"node types {native.ntypes} and edge types {native.canonical_etypes}"
            raise DataError("graph", f"received a block with {kinds}, expected a graph.")
    if not graphs:
        raise DataError("graph", "received an empty list, expected DGLGraphs.")
    return graphs, labels, is_list


def join_natives(graphs: List[Any], labels: Any, is_list: bool) -> Tuple[Any, Optional[Extras], Any]:
    """One ``DGLGraph`` of homogeneous ones.

    Args:
        graphs: What :func:`graphs_in` gave.
        labels: Likewise.
        is_list: Likewise.

    Returns:
        The graph, or a batch; what :func:`gnnkit_dgl.convert.to_dgl` has noted of it, or None; and the labels.

    Raises:
        DataError: Graphs are not alike.
    """
    dgl = import_dgl()
    if not is_list:
        return graphs[0], getattr(graphs[0], "gnnkit", None), labels
    noted = [getattr(native, "gnnkit", None) for native in graphs]
    extras = merge_extras(noted, [native.batch_size for native in graphs])
    masks = [name for name in _MASKS if any(name in native.ndata for native in graphs)]
    graphs = [_completed(native, masks) for native in graphs]
    check_alike([_layout(native) for native in graphs])
    return dgl.batch(graphs), extras, labels


def _apart(dgl: Any, obj: Any) -> Tuple[Any, Any]:
    """A graph or a list of graphs, and the labels beside them."""
    if isinstance(obj, dgl.DGLGraph):
        return obj, None
    if isinstance(obj, tuple) and len(obj) == 2 and _is_beside(dgl, *obj):
        graphs, labels = obj
        if isinstance(labels, Mapping):
            if len(labels) > 1:
                raise DataError("graph_y", f"there are several labels, {', '.join(labels)}.", fix="Pass one tensor.")
            labels = next(iter(labels.values()), None)
        return graphs if isinstance(graphs, dgl.DGLGraph) else list(graphs), labels
    if isinstance(obj, str) or not (hasattr(obj, "__len__") and hasattr(obj, "__getitem__")):
        raise DataError("graph", f"received {type(obj).__name__}, expected a DGLGraph or a list of them.")
    items = [obj[number] for number in range(len(obj))]
    if not any(_is_pair(dgl, item) for item in items):
        return items, None
    for number, item in enumerate(items):
        if not _is_pair(dgl, item):
            problem = (
                f"item {number} is {type(item).__name__}, expected a pair of a graph and its label, as others are."
            )
            raise DataError("graph", problem)
    return [graph for graph, _ in items], _stacked([label for _, label in items])


def _is_beside(dgl: Any, graphs: Any, labels: Any) -> bool:
    """Whether two things are graphs and their labels, not two graphs or two pairs."""
    if isinstance(graphs, dgl.DGLGraph):
        return not isinstance(labels, dgl.DGLGraph)
    return isinstance(graphs, (list, tuple)) and all(isinstance(each, dgl.DGLGraph) for each in graphs)


def _is_pair(dgl: Any, item: Any) -> bool:
    return isinstance(item, tuple) and len(item) == 2 and isinstance(item[0], dgl.DGLGraph)


def _stacked(labels: Sequence[Any]) -> Any:
    """Labels of each graph, as a number, [], [1] or [T], as one array of G rows."""
    read = []
    for number, label in enumerate(labels):
        try:
            read.append(torch.as_tensor(label))
        except (TypeError, ValueError, RuntimeError) as error:
            raise DataError("graph_y", f"the label of graph {number} is no number ({error}).") from error
    check_alike([{"graph_y": f"{str(label.dtype)[6:]} of shape {list(label.shape)}"} for label in read])
    return torch.stack(read)


def _completed(native: Any, masks: Sequence[str]) -> Any:
    """The graph with masks of the splits that others have, none of whose nodes are in it."""
    missing = [name for name in masks if name not in native.ndata]
    if missing:
        native = native.local_var()
        for name in missing:
            native.ndata[name] = torch.zeros(native.num_nodes(), dtype=torch.bool, device=native.device)
    return native


def _layout(native: Any) -> Dict[str, Any]:
    """What the graphs of a list must agree in."""
    layout = {f"ndata[{name!r}]": describe_array(rows) for name, rows in native.ndata.items()}
    layout.update({f"edata[{name!r}]": describe_array(rows) for name, rows in native.edata.items()})
    return {**layout, "idtype": str(native.idtype), "device": str(native.device)}
