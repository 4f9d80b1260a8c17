"""Checks of a record of many graphs: where each begins, and what is said of each."""

from __future__ import annotations

import torch

from gnnkit.data.check import check_class_labels, check_offsets, check_splits
from gnnkit.data.graph import IGNORED_LABEL, Graph
from gnnkit.errors import DataError


def check_graphs(graph: Graph) -> None:
    """Check everything about the graphs of a record.

    Raises:
        DataError: The first rule that is broken, with field and row.
    """
    _check_pointer(graph)
    check_splits(graph.graph_splits, "graph_splits", "graph", graph.num_graphs)
    names = graph.graph_names
    if names and len(names) != graph.num_graphs:
        raise DataError("graph_names", f"there are {len(names)} names but {graph.num_graphs} graphs.")
    y = graph.graph_y
    if y is not None and y.dtype == torch.int64 and y.ndim == 1:
        num_names = 0 if graph.y is not None else len(graph.class_names)
        check_class_labels(y, "graph_y", num_names, f"A graph without a label has {IGNORED_LABEL}.")
    elif y is not None and (y.ndim not in (1, 2) or not y.is_floating_point()):
        received = f"received shape {list(y.shape)} and {y.dtype}"
        raise DataError("graph_y", f"{received}, expected [G] int64, or [G] or [G, C] floating point.")


def _check_pointer(graph: Graph) -> None:
    pointer = graph.graph_ptr
    if pointer is None:
        return
    if pointer.ndim != 1 or pointer.dtype != torch.int64:
        problem = f"received shape {list(pointer.shape)} and {pointer.dtype}, expected [G + 1] int64."
        raise DataError("graph_ptr", problem)
    check_offsets(pointer, "graph_ptr", graph.num_nodes, "nodes")
    home = torch.repeat_interleave(torch.arange(pointer.numel() - 1), pointer.diff())
    crossing = home[graph.indices] != home[graph.dst]
    if bool(crossing.any()):
        row = int(crossing.nonzero()[0])
        source, target = int(graph.indices[row]), int(graph.dst[row])
        problem = f"edge {source} -> {target} runs from graph {int(home[source])} to graph {int(home[target])}."
        raise DataError("graph_ptr", problem, fix="Every edge stays within one graph.")
