"""Many graphs: from a list of records to one record, and back.

Rules: what is joined must be alike: the same arrays, of the same widths and dtypes, and the same names. Splits and
names of graphs stay with each graph, as those of a record that holds one. Graphs without nodes are graphs like others.
"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

import torch
from torch import Tensor

from gnnkit.data.arrays import as_graph_labels, as_named, as_splits
from gnnkit.data.check import check_graph
from gnnkit.data.expected import expect_graph
from gnnkit.data.graph import SPLITS, Graph, offsets_of
from gnnkit.data.notes import Notes
from gnnkit.data.typed_lists import join_typed, split_typed, typed_layout
from gnnkit.errors import DataError

_ALIKE = ("class_names", "feature_names", "metric", "evaluator", "node_categories", "edge_categories")
"""What belongs to a record as a whole."""

MANY = "graphs"
"""Name of a record whose graphs came with different names."""


def join_graphs(
    graphs: Sequence[Graph],
    *,
    graph_y: Any = None,
    graph_splits: Optional[Mapping[str, Any]] = None,
    graph_data: Optional[Mapping[str, Any]] = None,
    graph_names: Sequence[str] = (),
    name: Optional[str] = None,
) -> Graph:
    """Put graphs side by side into one record.

    Args:
        graphs: Records of one graph each, or of several. G is the number of graphs in all of them.
        graph_y: Labels of the graphs. First dimension G. None: those that the records have.
        graph_splits: Numbers of graphs or boolean masks by name ("train", "valid", "test"). None: those of the records,
            where a record of one graph says its split as ``graph_splits={"train": [0]}``.
        graph_data: Further arrays of graphs by name. Each of first dimension G. They come beside those of the records.
        graph_names: A name for each graph. Empty: those of the records.
        name: Name of the record. None: that of the graphs, if it is the same for all.

    Returns:
        The record. Arrays are copied; nodes and edges keep the order that they have in their graph.

    Raises:
        DataError: There is no graph, or one is not like the first: it has other arrays, widths, dtypes or names; the
            message says which, and how it differs.

    Example:
        >>> from gnnkit.data import from_edge_index
        >>> pair, single = from_edge_index([[0, 1], [1, 0]], 2), from_edge_index([[], []], 1)
        >>> both = join_graphs([pair, single], graph_y=[1, 0], graph_splits={"train": [0], "test": [1]})
        >>> both.graph_ptr.tolist(), both.edge_index.tolist(), both.graph_y.tolist()
        ([0, 2, 3], [[1, 0], [0, 1]], [1, 0])
    """
    records = [_own_labels(expect_graph(graph), graph_y, graph_names) for graph in graphs]
    if not records:
        raise DataError("graphs", "received an empty list, expected at least one graph.")
    check_alike([_layout(graph) for graph in records])
    sizes = torch.tensor([graph.num_nodes for graph in records])
    counts = torch.tensor([graph.num_edges for graph in records])
    num_graphs = sum(graph.num_graphs for graph in records)
    graph_sizes = torch.cat([graph.graph_offsets.diff() for graph in records])
    starts = sizes.cumsum(0) - sizes
    joined: Dict[str, Any] = {
        "indptr": offsets_of(torch.cat([graph.in_degrees for graph in records])),
        "indices": torch.cat([graph.indices for graph in records]) + torch.repeat_interleave(starts, counts),
        "graph_ptr": offsets_of(graph_sizes),
        "splits": _joined_splits([graph.splits for graph in records], starts),
        "graph_names": tuple(each for graph in records for each in graph.graph_names),
        "name": _common_name([graph.name for graph in records]) if name is None else name,
        "notes": records[0].notes if all(graph.notes == records[0].notes for graph in records) else Notes(),
    }
    joined.update(_joined_arrays(records))
    joined["typed"] = join_typed([graph.typed for graph in records])
    numbers = torch.tensor([graph.num_graphs for graph in records])
    joined["graph_splits"] = _joined_splits([graph.graph_splits for graph in records], numbers.cumsum(0) - numbers)
    if graph_y is not None:
        joined["graph_y"] = as_graph_labels(graph_y)
    if graph_splits is not None:
        joined["graph_splits"] = as_splits(graph_splits, num_graphs, "graph_splits")
    if graph_names:
        joined["graph_names"] = tuple(str(each) for each in graph_names)
    joined["graph_data"] = {**joined["graph_data"], **as_named(graph_data, "graph_data")}
    record = replace(records[0], **joined)
    check_graph(record)
    return record


def split_graphs(graph: Graph) -> List[Graph]:
    """Take the graphs of a record apart; :func:`join_graphs` puts them together again.

    Args:
        graph: A record of many graphs, or of one.

    Returns:
        A record for each graph, without ``graph_ptr``. What is said of the graph stays, as ``graph_y``, ``graph_data``,
        ``graph_names`` and ``graph_splits`` of one graph, such as ``{"train": [0]}``. Arrays share memory with the
        record's.

    Raises:
        DataError: The record has links, whose pairs are about all of its nodes.

    Example:
        >>> from gnnkit.data import from_edge_index
        >>> record = from_edge_index([[0, 2], [1, 1]], 3, graph_ptr=[0, 3, 3], graph_y=[1, 0])
        >>> [(each.num_nodes, each.num_edges, each.graph_y.tolist()) for each in split_graphs(record)]
        [(3, 2, [1]), (0, 0, [0])]
    """
    if graph.graph_ptr is None:
        return [graph]
    _refuse_links(graph)
    starts, edges = graph.graph_ptr.tolist(), graph.indptr[graph.graph_ptr].tolist()
    nodes, homes = graph.graph_ptr.diff().tolist(), torch.arange(graph.num_graphs)
    counts = {"node": nodes, "edge": graph.indptr[graph.graph_ptr].diff().tolist(), "graph": [1] * graph.num_graphs}
    parts = {
        each.name: _cut(getattr(graph, each.name), counts[each.metadata["axis"]])
        for each in fields(Graph)
        if each.metadata.get("axis") and getattr(graph, each.name) is not None
    }
    splits = _cut_splits(graph.splits, graph.graph_ptr)
    graph_splits = _cut_splits(graph.graph_splits, torch.cat([homes, homes.new_tensor([graph.num_graphs])]))
    indices = torch.split(graph.indices, counts["edge"])
    typed = [None] * graph.num_graphs if graph.typed is None else split_typed(graph.typed, nodes, counts["edge"])
    return [
        replace(
            graph,
            indptr=graph.indptr[starts[each] : starts[each + 1] + 1] - edges[each],
            indices=indices[each] - starts[each],
            splits=splits[each],
            graph_ptr=None,
            graph_splits=graph_splits[each],
            graph_names=graph.graph_names[each : each + 1],
            typed=typed[each],
            **{field: values[each] for field, values in parts.items()},
        )
        for each in range(graph.num_graphs)
    ]


def check_alike(layouts: Sequence[Mapping[str, Any]]) -> None:
    """Check that graphs of a list are alike, so that they can be one record.

    Args:
        layouts: What each graph has, by name: what is compared, and shown in messages.

    Raises:
        DataError: The first graph that differs from the first of the list, and how.

    Example:
        >>> check_alike([{"x": "3 columns"}, {"x": "2 columns"}])
        Traceback (most recent call last):
        gnnkit.errors.DataError: Bad data in x: graph 1 has 2 columns, graph 0 has 3 columns. All graphs of a list ...
    """
    first = layouts[0]
    for number, layout in enumerate(layouts):
        if layout == first:
            continue
        for field in {**first, **layout}:
            mine, theirs = layout.get(field), first.get(field)
            if mine != theirs:
                received = [f"graph {place} has {value or 'none'}" for place, value in ((number, mine), (0, theirs))]
                fix = "All graphs of a list need the same arrays, widths, dtypes and names."
                raise DataError(field, ", ".join(received) + ".", fix=fix)


def describe_array(tensor: Tensor) -> str:
    """Dtype and width of an array of rows, for :func:`check_alike`.

    Example:
        >>> describe_array(torch.zeros(5, 3)), describe_array(torch.tensor([1, 2]))
        ('float32 of shape [rows, 3]', 'int64 of shape [rows]')
    """
    widths = "".join(f", {width}" for width in tensor.shape[1:])
    return f"{str(tensor.dtype)[6:]} of shape [rows{widths}]"


def _own_labels(graph: Graph, graph_y: Any, graph_names: Sequence[str]) -> Graph:
    """The record without what the caller gives for all of them, so that it need not agree."""
    _refuse_links(graph)
    changed: Dict[str, Any] = {} if graph_y is None else {"graph_y": None}
    changed.update({"graph_names": ()} if graph_names else {})
    return replace(graph, **changed) if changed else graph


def _refuse_links(graph: Graph) -> None:
    if graph.links is not None:
        problem = "pairs to learn are about one graph, and have no place in a list."
        raise DataError("links", problem, fix="Leave them out: dataclasses.replace(graph, links=None).")


def _named_arrays(graph: Graph) -> Iterator[Tuple[str, str, Tensor]]:
    """Every array of nodes, edges and graphs: field, name in a mapping of arrays, values."""
    for each in fields(Graph):
        values = getattr(graph, each.name)
        if each.metadata.get("axis") and values is not None:
            for name, rows in {"": values}.items() if isinstance(values, Tensor) else values.items():
                yield each.name, name, rows


def _layout(graph: Graph) -> Dict[str, Any]:
    """What graphs must agree in."""
    layout: Dict[str, Any] = {
        f"{field}[{name!r}]" if name else field: describe_array(rows) for field, name, rows in _named_arrays(graph)
    }
    layout.update({name: getattr(graph, name) or None for name in _ALIKE})
    layout["graph_names"] = "names" if graph.graph_names else None
    layout.update(typed_layout(graph.typed, describe_array))
    return layout


def _joined_arrays(graphs: Sequence[Graph]) -> Dict[str, Any]:
    joined: Dict[str, Any] = {"node_data": {}, "edge_data": {}, "graph_data": {}}
    columns: Dict[Tuple[str, str], List[Tensor]] = {}
    for graph in graphs:
        for field, name, rows in _named_arrays(graph):
            columns.setdefault((field, name), []).append(rows)
    for (field, name), parts in columns.items():
        if name:
            joined[field][name] = torch.cat(parts)
        else:
            joined[field] = torch.cat(parts)
    return joined


def _joined_splits(splits: Sequence[Mapping[str, Tensor]], starts: Tensor) -> Dict[str, Tensor]:
    parts: Dict[str, List[Tensor]] = {name: [] for name in SPLITS}
    for given, start in zip(splits, starts.tolist()):
        for name, ids in given.items():
            parts.setdefault(name, []).append(ids + start)
    return {name: torch.cat(ids) for name, ids in parts.items() if ids}


def _cut(values: Any, counts: List[int]) -> List[Any]:
    """The rows of each graph, of an array or of arrays by name."""
    if isinstance(values, Tensor):
        return list(torch.split(values, counts))
    parts = {name: torch.split(rows, counts) for name, rows in values.items()}
    return [{name: rows[each] for name, rows in parts.items()} for each in range(len(counts))]


def _cut_splits(splits: Mapping[str, Tensor], pointer: Tensor) -> List[Dict[str, Tensor]]:
    """The splits within each graph, without empty ones; ids in the order that they had."""
    cut: List[Dict[str, Tensor]] = [{} for _ in range(pointer.numel() - 1)]
    for name, ids in splits.items():
        homes = torch.searchsorted(pointer, ids, right=True) - 1
        order = homes.argsort(stable=True)
        held = torch.bincount(homes, minlength=len(cut)).tolist()
        for home, part in enumerate(torch.split((ids - pointer[homes])[order], held)):
            if part.numel():
                cut[home][name] = part
    return cut


def _common_name(names: Sequence[str]) -> str:
    return names[0] if len(set(names)) == 1 else MANY
