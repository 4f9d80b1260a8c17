"""Checks of a ``Graph``: every rule that the rest of the toolkit relies on.

Rules: data are checked once, at the border; a message names the field, the first offending row, what was received,
what was expected and what to do. Large arrays are read in chunks, so that memory-mapped data are never copied whole.
"""

from __future__ import annotations

import re
from itertools import combinations
from typing import Iterator, Mapping, Optional, Sequence, Tuple

import torch
from torch import Tensor

from gnnkit.data.expected import expect_graph
from gnnkit.data.graph import IGNORED_LABEL, SPLITS, Graph
from gnnkit.errors import DataError

METRICS = ("accuracy", "macro_f1", "rocauc", "rmse", "mae", "r2")
PAIR_METRICS = ("mrr", "auc", "average_precision", "hits@K")
"""Metrics of pairs."""

MOST_CHECKED = 1 << 28
"""Values of an array up to which what enters from disk is looked at all; those of a larger one are sampled."""

_CHUNK_VALUES = 1 << 22
_FREE_CLASSES = 10_000
_SPREAD_PIECES = 256


def check_graph(graph: Graph, *, most_values: Optional[int] = None) -> None:
    """Check a graph against every rule of the record.

    The builders (``from_edge_index`` and the other conversions) have done this already; call it for a graph made with
    the constructor.

    Args:
        graph: The graph.
        most_values: Look for NaN and infinity in no more than about so many values of an array, evenly spread over it,
            so that features on disk need not be read whole. None looks at all. All else is always checked.

    Raises:
        DataError: The first rule that is broken, with field and row.

    Example:
        >>> check_graph(Graph(torch.tensor([0, 0, 1]), torch.tensor([0])))
    """
    expect_graph(graph)
    _check_edges(graph)
    _check_lengths(graph)
    _check_dtypes(graph)
    for field in ("x", "edge_weight", "edge_attr"):
        tensor: Optional[Tensor] = getattr(graph, field)
        if tensor is not None and tensor.is_floating_point():
            check_finite(tensor, field, most_values=most_values)
    _check_labels(graph)
    if graph.feature_names and len(graph.feature_names) != graph.num_features:
        problem = f"there are {len(graph.feature_names)} names but x has {graph.num_features} columns."
        raise DataError("feature_names", problem)
    check_splits(graph.splits, "splits", "node", graph.num_nodes)
    from gnnkit.data.graph_checks import check_graphs

    check_graphs(graph)
    if graph.metric is not None and not is_metric(graph.metric):
        expected = ", ".join((*METRICS, *PAIR_METRICS))
        raise DataError("metric", f"it is {graph.metric!r}, expected one of {expected}.")
    if graph.typed is not None:
        from gnnkit.data.typed_checks import check_typed

        check_typed(graph, most_values=most_values)
    if graph.links is not None:
        from gnnkit.data.link_checks import check_links

        check_links(graph)


def check_indptr(indptr: Tensor, indices: Tensor) -> None:
    """Check that offsets are one-dimensional, ascend from 0 and end at the number of edges."""
    for field, tensor in (("indptr", indptr), ("indices", indices)):
        if tensor.ndim != 1 or tensor.dtype != torch.int64:
            shape = list(tensor.shape)
            raise DataError(field, f"received shape {shape} and {tensor.dtype}, expected one dimension and int64.")
    check_offsets(indptr, "indptr", indices.numel(), "edges")


def check_offsets(offsets: Tensor, field: str, end: int, what: str) -> None:
    """Check that offsets ascend from 0 to the number of what they divide."""
    if offsets.numel() == 0:
        raise DataError(field, "it is empty, expected at least one offset.", fix="Start with 0.")
    if int(offsets[0]) != 0:
        raise DataError(field, f"it starts at {int(offsets[0])}, expected 0.", row=0)
    falling = offsets.diff() < 0
    if bool(falling.any()):
        row = int(falling.nonzero()[0]) + 1
        raise DataError(field, f"{int(offsets[row])} follows {int(offsets[row - 1])}, expected ascending.", row=row)
    if int(offsets[-1]) != end:
        problem = f"it ends at {int(offsets[-1])} but there are {end} {what}."
        raise DataError(field, problem, row=offsets.numel() - 1)


def check_edge_range(edge_index: Tensor, num_nodes: int) -> None:
    """Check that every id in [2, E] edges names a node; the row in the message is the edge's position."""
    for end, ids in zip(("source", "destination"), edge_index):
        check_ids(ids, "edge_index", end, num_nodes)


def check_ids(ids: Tensor, field: str, what: str, num_nodes: int) -> None:
    """Check that ids name nodes; ``what`` is what one of them is called in the message."""
    if ids.numel() == 0 or (int(ids.min()) >= 0 and int(ids.max()) < num_nodes):
        return
    row = int(((ids < 0) | (ids >= num_nodes)).nonzero()[0])
    value = int(ids[row])
    expected = f"expected 0 to {num_nodes - 1}" if num_nodes else "but the graph has no nodes"
    fix = "Node ids start at 0." if value == num_nodes else ""
    raise DataError(field, f"{what} {value} is out of range, {expected}.", row=row, fix=fix)


def check_rows(tensor: Tensor, field: str, count: int, what: str) -> None:
    """Check the first dimension of an array against the number of nodes, edges or graphs."""
    if tensor.ndim == 0 or tensor.shape[0] != count:
        received = "no dimension" if tensor.ndim == 0 else f"{tensor.shape[0]} rows"
        raise DataError(field, f"{field} has {received} but the graph has {count} {what}.")


def _check_edges(graph: Graph) -> None:
    check_indptr(graph.indptr, graph.indices)
    check_ids(graph.indices, "indices", "source", graph.num_nodes)
    relations = _edge_types(graph)
    # In pieces, each with the edge before it.
    for start in range(1, graph.num_edges, _CHUNK_VALUES):
        stop = min(start + _CHUNK_VALUES, graph.num_edges)
        falling = graph.indices[start:stop] < graph.indices[start - 1 : stop - 1]
        if relations is not None:
            falling &= relations[start:stop] == relations[start - 1 : stop - 1]
            falling |= relations[start:stop] < relations[start - 1 : stop - 1]
        if bool(falling.any()):
            # A lower source may only follow where the next destination begins.
            rows = falling.nonzero()[:, 0] + start
            place = torch.searchsorted(graph.indptr, rows)
            rows = rows[graph.indptr[place] != rows]
            if rows.numel():
                row = int(rows[0])
                problem = f"source {int(graph.indices[row])} follows {int(graph.indices[row - 1])} at one destination."
                builder = "from_csc"
                if relations is not None:
                    named = f"relation {int(relations[row])}, source {int(graph.indices[row])}"
                    before = f"relation {int(relations[row - 1])}, source {int(graph.indices[row - 1])}"
                    problem, builder = f"{named} follows {before} at one destination.", "gnnkit.data.from_typed"
                fix = f"Build the graph with {builder}, which sorts the edges."
                raise DataError("indices", problem, row=row, fix=fix)


def _edge_types(graph: Graph) -> Optional[Tensor]:
    """The relation of each edge of a typed graph, if there is one for each."""
    types = None if graph.typed is None else graph.typed.edge_type
    return types if isinstance(types, Tensor) and types.shape == graph.indices.shape else None


def _check_lengths(graph: Graph) -> None:
    nodes, edges = graph.num_nodes, graph.num_edges
    arrays = [("x", graph.x, nodes, "nodes"), ("y", graph.y, nodes, "nodes")]
    arrays += [("edge_weight", graph.edge_weight, edges, "edges"), ("edge_attr", graph.edge_attr, edges, "edges")]
    arrays += [(f"node_data[{key!r}]", value, nodes, "nodes") for key, value in graph.node_data.items()]
    arrays += [(f"edge_data[{key!r}]", value, edges, "edges") for key, value in graph.edge_data.items()]
    arrays += [("graph_y", graph.graph_y, graph.num_graphs, "graphs")]
    arrays += [(f"graph_data[{key!r}]", value, graph.num_graphs, "graphs") for key, value in graph.graph_data.items()]
    for field, tensor, count, what in arrays:
        if tensor is not None:
            if not isinstance(tensor, Tensor):
                raise DataError(field, f"received {type(tensor).__name__}, expected a tensor.")
            check_rows(tensor, field, count, what)


def _check_dtypes(graph: Graph) -> None:
    for field, dimensions in (("x", 2), ("edge_attr", 2), ("edge_weight", 1)):
        tensor: Optional[Tensor] = getattr(graph, field)
        if tensor is None:
            continue
        if tensor.ndim != dimensions:
            fix = f"Use {field}[:, None] for one column." if tensor.ndim < dimensions else ""
            fix = "Use edge_weight[:, 0]." if field == "edge_weight" and tensor.ndim == 2 else fix
            problem = f"shape is {list(tensor.shape)}, expected {dimensions} dimension{'s' * (dimensions > 1)}."
            raise DataError(field, problem, fix=fix)
        sizes = {"x": graph.node_categories, "edge_attr": graph.edge_categories}.get(field, ())
        if sizes:
            check_categories(tensor, sizes, field)
        elif not tensor.is_floating_point():
            raise DataError(field, f"dtype is {tensor.dtype}, expected floating point.", fix="Use .float().")


def check_categories(codes: Tensor, sizes: Sequence[int], field: str) -> None:
    """Check that codes are categories.

    Args:
        codes: Codes. Shape [n, F].
        sizes: Number of categories of each column.
        field: What messages call the codes.

    Raises:
        DataError: Another number of columns or type, or a code that its column does not have.
    """
    if codes.dtype != torch.int64 or codes.shape[1] != len(sizes):
        problem = f"shape is {list(codes.shape)} and dtype {codes.dtype}, expected {len(sizes)} columns of int64 codes."
        raise DataError(field, problem)
    most = torch.tensor(sizes)
    for start, chunk in row_chunks(codes):
        broken = (chunk < 0) | (chunk >= most)
        if bool(broken.any()):
            row, column = broken.nonzero()[0].tolist()
            problem = (
                f"column {column} is {int(chunk[row, column])}, expected a category from 0 to {sizes[column] - 1}."
            )
            fix = "Give categories that exist, or declare more of them and train anew."
            raise DataError(field, problem, row=start + row, fix=fix)


def row_chunks(tensor: Tensor, most_values: Optional[int] = None) -> Iterator[Tuple[int, Tensor]]:
    """Yield pieces of bounded size along the first dimension, with the row at which each starts.

    Args:
        tensor: The array.
        most_values: Of a larger array, yield evenly spread pieces, the first and the last among them, that have about
            so many values together. None yields all.
    """
    num = tensor.shape[0]
    width = max(1, tensor.numel() // max(1, num))
    rows = max(1, _CHUNK_VALUES // width)
    if most_values is None or tensor.numel() <= most_values:
        for start in range(0, num, rows):
            yield start, tensor[start : start + rows]
        return
    pieces = _SPREAD_PIECES
    rows = max(1, most_values // width // pieces)
    for piece in range(pieces):
        start = piece * (num - rows) // (pieces - 1)
        yield start, tensor[start : start + rows]


def check_finite(tensor: Tensor, field: str, *, first_row: int = 0, most_values: Optional[int] = None) -> None:
    """Check that no value is NaN or infinite.

    Args:
        tensor: The array.
        field: What messages call it.
        first_row: Number of its first row, for messages.
        most_values: Of a larger array, look at about so many values, evenly spread. None looks at all.
    """
    for start, chunk in row_chunks(tensor, most_values):
        broken = ~chunk.isfinite()
        if bool(broken.any()):
            place = broken.nonzero()[0].tolist()
            value = float(chunk[tuple(place)])
            where = f"column {place[1]} is {value}" if len(place) > 1 else f"value is {value}"
            fix = "Replace or remove such values before building the graph."
            raise DataError(field, f"{where}, expected a finite number.", row=first_row + start + place[0], fix=fix)


def _check_labels(graph: Graph) -> None:
    if graph.y is None:
        return
    if graph.y.ndim == 1 and graph.y.dtype == torch.int64:
        check_class_labels(graph.y, "y", len(graph.class_names), f"A node without a label has {IGNORED_LABEL}.")
    elif graph.y.ndim in (1, 2) and graph.y.is_floating_point():
        _check_columns(graph.y, len(graph.class_names))
    else:
        received = f"received shape {list(graph.y.shape)} and {graph.y.dtype}"
        raise DataError("y", f"{received}, expected [N] int64, or [N] or [N, C] floating point.")


def check_class_labels(y: Tensor, field: str, num_names: int, fix: str) -> None:
    """Check that labels are classes, or mark a missing one.

    Args:
        y: Labels. Shape [n], int64.
        field: What messages call them.
        num_names: Number of names that classes have; 0 without.
        fix: What to do about one that is neither.

    Raises:
        DataError: One is neither.
    """
    if not num_names and y.numel() and int(y.max()) >= max(_FREE_CLASSES, 2 * y.numel()):
        row = int(y.argmax())
        problem = f"label {int(y[row])} asks for {int(y[row]) + 1:,} outputs, but there are {y.numel():,} labels."
        raise DataError(field, problem, row=row, fix="Number the classes 0, 1, ..., see gnnkit.data.renumber_classes.")
    broken = (y < 0) & (y != IGNORED_LABEL)
    if num_names:
        broken |= y >= num_names
    if bool(broken.any()):
        row = int(broken.nonzero()[0])
        expected = f"expected 0 to {num_names - 1}" if num_names else "expected 0 or more"
        raise DataError(field, f"label {int(y[row])} is outside the classes, {expected}.", row=row, fix=fix)


def _check_columns(y: Tensor, num_names: int) -> None:
    """Check several labels a node, or numbers to regress: no infinite ones, and a name for each column or none."""
    num_columns = y.shape[1] if y.ndim == 2 else 1
    if num_names and num_names != num_columns:
        raise DataError("class_names", f"there are {num_names} names but y has {num_columns} columns.")
    for start, chunk in row_chunks(y):
        broken = chunk.isinf()
        if bool(broken.any()):
            place = broken.nonzero()[0].tolist()
            problem = f"column {(*place, 0)[1]} is {float(chunk[tuple(place)])}, expected 0, 1 or {IGNORED_LABEL} "
            problem += "(missing), or finite numbers to regress (NaN where one is missing)."
            raise DataError("y", problem, row=start + place[0])


def check_splits(splits: Mapping[str, Tensor], where: str, item: str, num: int) -> None:
    """Check that splits have known names, list items that exist, and none of them twice.

    Args:
        splits: Numbers of items by split.
        where: The field, for messages.
        item: What one of the items is: "node" or "graph".
        num: Number of items.

    Raises:
        DataError: The first rule that is broken.
    """
    for name, ids in splits.items():
        field = f"{where}[{name!r}]"
        if name not in SPLITS:
            raise DataError(where, f"unknown split {name!r}, expected {', '.join(SPLITS)}.")
        if not isinstance(ids, Tensor) or ids.dtype != torch.int64 or ids.ndim != 1:
            raise DataError(field, f"expected a one-dimensional int64 tensor of {item} ids.")
        if ids.numel() == 0:
            fix = "Leave it out or fill it."
            raise DataError(field, f"the split is empty, expected at least one {item}.", fix=fix)
        check_ids(ids, field, item, num)
        ordered = ids.sort().values
        repeated = ordered[1:][ordered[1:] == ordered[:-1]]
        if repeated.numel():
            raise DataError(field, f"{item} {int(repeated[0])} is in the split more than once.")
    for first, second in combinations(splits, 2):
        shared = splits[second][torch.isin(splits[second], splits[first])]
        if shared.numel():
            problem = (
                f"{item} {int(shared[0])} is in both {first!r} and {second!r}; {shared.numel()} {item}s are shared."
            )
            raise DataError(where, problem, fix=f"A {item} belongs to one split at most.")


def is_metric(name: str) -> bool:
    """Whether a name is one of a metric: of ``METRICS`` or ``PAIR_METRICS``, where "hits@K" has any number from 1.

    Example:
        >>> is_metric("hits@20"), is_metric("hits@0")
        (True, False)
    """
    return name in (*METRICS, *PAIR_METRICS[:-1]) or re.fullmatch(r"hits@[1-9]\d*", name) is not None
