"""What a reader did with data: for people to look at, and for the record of a run.

Rules: numbers of the graph are computed from the graph; a reader notes only what the graph does not show, such as which
columns became features. A warning is for what is probably not meant; it is logged where the data were read.
"""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Dict, List, Mapping, Sequence, Tuple

import numpy as np

if TYPE_CHECKING:
    from gnnkit.data.graph import Graph
    from gnnkit.data.links import Links

_MOST_LOOKED_UP = 100_000
_MOST_LISTED = 10

_LOG = logging.getLogger("gnnkit.data")


@dataclass(frozen=True)
class Notes:
    """What a reader notes about a graph, a phrase or a sentence each; empty where there is nothing to say.

    Attributes:
        nodes: Where rows and ids come from and how they are ordered.
        edges: What was done to edges: reverses added, duplicates summed.
        features: Which columns or files became features, and how.
        labels: Which column or file became labels; which values count as missing.
        splits: Where splits come from.
        left_out: Columns, files and attributes that were not used.
        warnings: What is probably not meant, and what to do about it.
        numbers: Names of arrays of nodes that would be labels, if they were not numbers to regress.
    """

    nodes: str = ""
    edges: str = ""
    features: str = ""
    labels: str = ""
    splits: str = ""
    left_out: Tuple[str, ...] = ()
    warnings: Tuple[str, ...] = ()
    numbers: Tuple[str, ...] = ()

    def to_dict(self) -> Dict[str, Any]:
        """Plain values, of those that say something."""
        values = asdict(self)
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items() if value}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Notes:
        """The inverse of :meth:`to_dict`; names that are not known are left out."""
        known: Dict[str, Any] = {field.name: values[field.name] for field in fields(cls) if field.name in values}
        known.update({name: tuple(value) for name, value in known.items() if isinstance(value, list)})
        return cls(**known)

    def warned(self, *warnings: str) -> Notes:
        """With further warnings."""
        return replace(self, warnings=(*self.warnings, *warnings))


def log_warnings(graph: Graph) -> Graph:
    """Log the warnings of a graph that was just read; returns it as it is."""
    for warning in graph.notes.warnings:
        _LOG.warning("%s: %s", graph.name, warning)
    return graph


def warn_one_way(graph: Graph, fix: str = "use gnnkit.data.to_undirected(graph)") -> Graph:
    """Add a warning if hardly any edge has its reverse, as where undirected data list every edge once.

    Args:
        graph: The graph that was just read.
        fix: What to do if the data are undirected.

    Returns:
        The graph, with a further warning in ``notes`` if fewer than one in a hundred edges has its reverse.

    Example:
        >>> from gnnkit.data import from_edge_index
        >>> len(warn_one_way(from_edge_index([[0, 1], [1, 2]])).notes.warnings)
        1
    """
    from gnnkit.data.fingerprint import MOST_VALUES
    from gnnkit.data.graph import expand_indptr

    if not 0 < graph.num_edges <= MOST_VALUES:
        return graph
    # Not ``graph.dst``, which the graph would keep.
    src, dst = graph.indices.numpy(), expand_indptr(graph.indptr, graph.num_edges).numpy()
    forth = dst * graph.num_nodes + src  # ascending, because the edges are sorted
    # A sample is enough; loops are their own reverse and say nothing.
    sample = slice(None, None, max(1, graph.num_edges // _MOST_LOOKED_UP))
    src, dst = src[sample], dst[sample]
    wanted = (src * graph.num_nodes + dst)[src != dst]
    if not wanted.size:
        return graph
    places = np.minimum(np.searchsorted(forth, wanted), forth.size - 1)
    if np.count_nonzero(forth[places] == wanted) * 100 >= wanted.size:
        return graph
    warning = f"hardly any edge has its reverse, so nothing flows back along it. If the data are undirected, {fix}."
    return replace(graph, notes=graph.notes.warned(warning))


def summarize(graph: Graph) -> Dict[str, str]:
    """Say in words what a graph holds and how it was read.

    Args:
        graph: The graph as it was loaded, not prepared.

    Returns:
        Lines by topic: "nodes", "edges", "features", "labels", "splits", and, where there is something to say,
        "graphs", "links", "left out" and "warnings". Of many graphs, labels and splits are those of graphs.

    Example:
        >>> import gnnkit
        >>> summarize(gnnkit.load_dataset("karate"))["edges"]
        '156, undirected'
    """
    if graph.remote is not None:
        return dict(graph.remote.summary)
    notes = graph.notes
    lines = {} if graph.graph_ptr is None else {"graphs": _graphs(graph)}
    held = {
        "nodes": f"{graph.num_nodes:,}",
        "edges": _joined(f"{graph.num_edges:,}", _direction(graph)),
        "features": str(graph.num_features) if graph.num_features else "none",
        "labels": _labels(graph),
        "splits": ", ".join(_splits(graph)),
    }
    if graph.typed is not None:
        from gnnkit.data.typed_notes import typed_lines

        held.update(_of_types(graph, typed_lines(graph, _labels)))
    lines.update({topic: _joined(said, getattr(notes, topic)) for topic, said in held.items()})
    if graph.links is not None:
        lines["links"] = _links(graph.links)
        if lines["splits"].startswith("none"):  # Then the note is about the pairs.
            lines.update(splits="none", links=_joined(lines["links"], notes.splits))
    if notes.left_out:
        lines["left out"] = ", ".join(notes.left_out)
    if notes.warnings:
        lines["warnings"] = "\n".join(notes.warnings)
    return lines


def _of_types(graph: Graph, told: Dict[str, str]) -> Dict[str, str]:
    """What is said by type: of labels and splits also where a task has spread those of one type over all nodes."""
    whole = {"features": graph.x is not None, "labels": graph.y is not None or graph.graph_y is not None}
    whole["splits"] = bool(graph.splits or graph.graph_splits)
    return {topic: line for topic, line in told.items() if line != "none" or not whole.get(topic)}


def warn_of_links(graph: Graph, what: str) -> None:
    """Log that links stay behind where a graph becomes something that has no place for them.

    Args:
        graph: With or without links.
        what: What it becomes.
    """
    if graph.links is not None:
        _LOG.warning("%s: %s has no place for the links, which stay behind: keep graph.links.", graph.name, what)


def _links(links: Links) -> str:
    """Pairs by split, and what is true of them."""
    parts = [f"{split} {len(pairs):,}" for split, pairs in links.pairs.items()]
    parts.append("undirected" if links.undirected else "directed")
    if links.y:
        parts.append(_pair_labels(links))
    for split, negatives in links.negatives.items():
        parts.append(f"{split} negatives {len(negatives):,}")
    for split, negatives in links.negative_destinations.items():
        parts.append(f"{split} negatives {negatives.shape[1]:,} a pair")
    if links.test_edges is not None:
        parts.append(f"{links.test_edges.num_edges:,} message edges for testing")
    return ", ".join(parts)


def _pair_labels(links: Links) -> str:
    if any(y.is_floating_point() for y in links.y.values()):
        return "numbers to regress"
    return f"{max(len(links.class_names), *(int(y.max()) + 1 for y in links.y.values()))} classes"


def _joined(*parts: str) -> str:
    return ", ".join(part for part in parts if part)


def _direction(graph: Graph) -> str:
    from gnnkit.data.fingerprint import MOST_VALUES, is_undirected

    if not graph.num_edges or graph.num_edges > MOST_VALUES:
        return ""
    return "undirected" if is_undirected(graph) else "directed"


def _graphs(graph: Graph) -> str:
    """How many graphs there are, and how large they are on average."""
    count = max(1, graph.num_graphs)
    sizes = f"{graph.num_nodes / count:.1f} nodes and {graph.num_edges / count:.1f} edges each on average"
    return f"{graph.num_graphs:,}, {sizes}"


def _labels(graph: Graph) -> str:
    """What there is to learn of nodes, or else of graphs; of both, each."""
    of_nodes = "" if graph.y is None else _labels_of(graph, "node")
    if graph.graph_y is None:
        return of_nodes or "none"
    # What a record says of its nodes' labels it can say of its graphs', which have the same form.
    of_graphs = _labels_of(replace(graph, y=graph.graph_y), "graph")
    return f"{of_nodes}; of graphs {of_graphs}" if of_nodes else of_graphs


def _labels_of(graph: Graph, item: str) -> str:
    """The labels ``y`` of items, which are called so."""
    from gnnkit.data.graph import IGNORED_LABEL

    assert graph.y is not None and graph.has_label is not None
    missing = int((~graph.has_label).sum())
    without = f", {missing:,} {item}s without" if missing else ""
    width = graph.y.shape[1] if graph.y.ndim == 2 else 1
    if graph.has_numbers:
        return ("numbers to regress" if width == 1 else f"{width:,} numbers to regress") + without
    labels = graph.y.numpy()
    if graph.is_multi_label:
        gaps = float((labels == IGNORED_LABEL).mean())
        return f"{width:,} labels, several a {item}" + (f", {gaps:.1%} missing" if gaps else "")
    counts = np.bincount(labels[labels != IGNORED_LABEL], minlength=graph.num_classes)
    return f"{graph.num_classes} classes{_counts(graph.class_names, counts, item)}{without}"


def _counts(names: Sequence[Any], counts: np.ndarray, item: str) -> str:
    """How many items have each class; of many classes, how many the smallest and the largest has."""
    if not counts.size:
        return ""
    if counts.size <= _MOST_LISTED:
        listed = zip(names or range(counts.size), counts.tolist())
        return f" ({', '.join(f'{name}: {count:,}' for name, count in listed)})"
    return f" of {int(counts.min()):,} to {int(counts.max()):,} {item}s"


def _splits(graph: Graph) -> List[str]:
    """Sizes of the splits of nodes and of graphs, and of folds."""
    parts = [f"{name} {ids.numel():,}" for name, ids in graph.splits.items()]
    parts += [f"{name} {ids.numel():,} graphs" for name, ids in graph.graph_splits.items()]
    fold = graph.graph_data.get("fold")
    if fold is not None and fold.ndim == 1 and not fold.is_floating_point() and fold.numel():
        sizes = np.unique(fold[fold >= 0].numpy(), return_counts=True)[1]
        least, most = (int(sizes.min()), int(sizes.max())) if sizes.size else (0, 0)
        parts.append(f"{sizes.size} folds of {least:,}" + (f" to {most:,}" if most > least else "") + " graphs")
        outside = int((fold < 0).sum())
        parts += [f"{outside:,} in no fold"] if outside else []
    return parts or ["none"]
