"""Checks of ``Links``: the rules of the record, and that no pair to be judged carries messages.

Rules: a leak is refused with how many pairs leak, out of how many, and the first of them. Edges are read in pieces, so
that the edges of a large graph on disk are never held as a whole.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from typing import List, Optional

import numpy as np
import torch
from torch import Tensor

from gnnkit.data.check import check_class_labels, check_finite, check_ids, check_indptr
from gnnkit.data.graph import IGNORED_LABEL, SPLITS, Graph
from gnnkit.data.link_keys import check_num_nodes, edge_rows, keys_of, pair_keys
from gnnkit.data.links import BY_SPLIT, Links
from gnnkit.errors import DataError, LeakError

_MOST_NAMED = 3


def check_links(graph: Graph) -> None:
    """Check the pairs of a graph against every rule of :class:`gnnkit.data.Links`; without links nothing is done.

    :func:`gnnkit.data.check_graph` calls it. Negatives that are known pairs are allowed: published ones have some.

    Args:
        graph: The graph.

    Raises:
        DataError: The first rule that is broken, with field and row.
    """
    links = graph.links
    if links is None:
        return
    _check_size(graph)
    _check_names(links)
    for split, pairs in links.pairs.items():
        field = f"links.pairs[{split!r}]"
        _check_integers(pairs, field, "[n, 2]")
        if pairs.ndim != 2 or pairs.shape[1] != 2:
            raise DataError(field, f"shape is {list(pairs.shape)}, expected [n, 2].")
        if len(pairs) == 0:
            raise DataError(field, "the split is empty, expected at least one pair.", fix="Leave it out or fill it.")
        _check_ends(pairs, field, graph.num_nodes)
    _check_relations(graph, links)
    _check_apart(graph, links)
    for split, y in links.y.items():
        check_pair_labels(y, f"links.y[{split!r}]", len(links.pairs[split]), len(links.class_names))
    if len({(y.dtype, tuple(y.shape[1:])) for y in links.y.values()}) > 1:
        received = ", ".join(f"{split} {y.dtype} {list(y.shape)}" for split, y in links.y.items())
        raise DataError("links.y", f"received {received}, expected one dtype and width for all splits.")
    for split, negatives in links.negatives.items():
        _check_negatives(negatives, f"links.negatives[{split!r}]", graph.num_nodes)
    for split, negatives in links.negative_destinations.items():
        field = f"links.negative_destinations[{split!r}]"
        _check_destinations(negatives, field, len(links.pairs[split]), graph.num_nodes)
        if split in links.negatives:
            raise DataError(field, f"there are links.negatives[{split!r}] as well, expected one of them.")
    if links.test_edges is not None:
        _check_test_edges(graph, links.test_edges)


def attach_links(graph: Graph, links: Optional[Links], num_nodes: int) -> Graph:
    """Give a graph the links that another library's object has carried along, if they are still about its nodes.

    Args:
        graph: The graph that was read.
        links: What was carried along; None for nothing.
        num_nodes: Number of nodes when they were.

    Returns:
        The graph with them; without, and with a warning in ``notes``, if it has another number of nodes.
    """
    if links is None:
        return graph
    if num_nodes != graph.num_nodes:
        warning = f"the links are about {num_nodes:,} nodes, not {graph.num_nodes:,}, and are left out."
        return replace(graph, notes=graph.notes.warned(warning))
    linked = replace(graph, links=links)
    check_links(linked)
    return linked


def check_leaks(graph: Graph) -> int:
    """Refuse a graph that shows a model what it is to predict.

    A pair of "valid" or "test" must not be among the edges that carry messages, nor its reverse where pairs are
    undirected. Where pairs have relations, it must not be among the edges of its own, nor its reverse among those of
    the relation that is declared the reverse. No pair of "test" may be among ``links.test_edges``, and no pair may be
    in two splits.

    Args:
        graph: The graph, not prepared. One without links has nothing to leak.

    Returns:
        The number of pairs that were looked up.

    Raises:
        LeakError: It leaks; the message says how many pairs, and names the first few with the row of their edge.

    Example:
        >>> from gnnkit.data import from_edge_index, split_edges
        >>> ring = from_edge_index([[0, 1, 2, 3], [1, 2, 3, 0]])
        >>> check_leaks(split_edges(ring, valid=0.25, test=0.25))
        2
    """
    links = graph.links
    if links is None:
        return 0
    _check_size(graph)
    _check_apart(graph, links)
    judged = [split for split in SPLITS[1:] if split in links.pairs]
    found: List[str] = []
    for split in judged:
        found += _leaks(graph, links, split, "the edges that carry messages while training")
    if links.test_edges is not None and "test" in links.pairs:
        found += _leaks(links.test_edges, links, "test", "links.test_edges")
    if found:
        fix = "Split the whole graph with gnnkit.data.split_edges, or remove these edges."
        raise LeakError("links", " ".join(found), fix=fix)
    return sum(len(links.pairs[split]) for split in judged)


def _leaks(edges: Graph, links: Links, split: str, where: str) -> List[str]:
    """What to say of the pairs of a split that are edges; nothing if none is."""
    pairs, relations = links.pairs[split].numpy(), links.relations.get(split)
    if relations is None or edges.typed is None:
        rows = _rows_of(edges, pairs)
        if links.undirected:
            rows = np.where(rows < 0, _rows_of(edges, pairs[:, ::-1]), rows)
    else:
        rows = _rows_of(edges, pairs, relations.numpy())
        schema = edges.typed.schema
        back = np.array([-1 if each.reverse is None else each.reverse for each in schema.relations])[relations.numpy()]
        has_back = np.flatnonzero((back >= 0) & (rows < 0))
        rows[has_back] = _rows_of(edges, pairs[has_back, ::-1], back[has_back])
    leaking = np.flatnonzero(rows >= 0)
    if not leaking.size:
        return []
    verb = "is" if leaking.size == 1 else "are"
    named = []
    for pair in leaking[:_MOST_NAMED].tolist():
        row = int(rows[pair])
        (low, high), source = pairs[pair].tolist(), int(edges.indices[row])
        of = "" if edges.typed is None else f" of {edges.typed.schema.relations[int(edges.typed.edge_type[row])]}"
        edge = "" if source == low and not of else f", as {source} -> {high if source == low else low}{of}"
        named.append(f"pair {pair} ({low}, {high}), edge row {row}{edge}")
    more = ", ..." if leaking.size > _MOST_NAMED else ""
    return [f"{leaking.size:,} of {len(pairs):,} pairs of {split!r} {verb} among {where}: {'; '.join(named)}{more}."]


def _rows_of(edges: Graph, pairs: np.ndarray, relations: Optional[np.ndarray] = None) -> np.ndarray:
    """The row of the edge of each pair, -1 without. In a typed graph pairs have relations."""
    num_relations = 1 if edges.typed is None else len(edges.typed.schema.relations)
    keys = pair_keys(pairs[:, 0], pairs[:, 1], edges.num_nodes, False, relations, num_relations)
    order = np.argsort(keys, kind="stable")
    rows = np.empty(len(keys), dtype=np.int64)
    rows[order] = edge_rows(edges, keys[order])
    return rows


def _check_size(graph: Graph) -> None:
    check_num_nodes(graph.num_nodes, 1 if graph.typed is None else max(1, len(graph.typed.schema.relations)))


def _check_relations(graph: Graph, links: Links) -> None:
    """Refuse relations that pairs do not have, or that lead elsewhere."""
    if graph.typed is None:
        if links.relations:
            raise DataError("links.relations", "the graph has no types.", fix="Leave them out, or give a typed graph.")
        return
    schema = graph.typed.schema
    sources, targets = (
        torch.tensor([schema.node_types.index(name) for name in names], dtype=torch.int64)
        for names in ([each.src for each in schema.relations], [each.dst for each in schema.relations])
    )
    for split, pairs in links.pairs.items():
        field = f"links.relations[{split!r}]"
        if split not in links.relations:
            fix = "Give a position in Schema.relations for each pair."
            raise DataError(field, "is missing; pairs of a typed graph have relations.", fix=fix)
        relations = links.relations[split]
        _check_integers(relations, field, "[n]")
        if relations.shape != (len(pairs),):
            raise DataError(field, f"shape is {list(relations.shape)}, expected [{len(pairs)}], one for each pair.")
        check_ids(relations, field, "relation", len(schema.relations))
        for end, what, expected in ((0, "source", sources), (1, "destination", targets)):
            wrong = graph.typed.node_type[pairs[:, end]].long() != expected[relations]
            if bool(wrong.any()):
                row = int(wrong.nonzero()[0])
                node, relation = int(pairs[row, end]), schema.relations[int(relations[row])]
                kind = schema.node_types[int(graph.typed.node_type[node])]
                problem = f"{what} {node} is of type {kind!r}, the relation is {relation}."
                raise DataError(f"links.pairs[{split!r}]", problem, row=row)


def _check_names(links: Links) -> None:
    if not links.pairs:
        raise DataError("links.pairs", "there are none, expected pairs for at least one split.")
    for name in links.pairs:
        if name not in SPLITS:
            raise DataError("links.pairs", f"unknown split {name!r}, expected {', '.join(SPLITS)}.")
    for part in BY_SPLIT[1:]:
        for name in getattr(links, part):
            if name not in links.pairs:
                known = ", ".join(repr(split) for split in links.pairs)
                raise DataError(f"links.{part}", f"there are some for {name!r}, but pairs for {known} alone.")
    if links.y and len(links.y) < len(links.pairs):
        lacking = next(name for name in links.pairs if name not in links.y)
        raise DataError("links.y", f"there are none for {lacking!r}.", fix="Give them for all splits or for none.")


def _check_integers(tensor: Tensor, field: str, expected: str) -> None:
    if not isinstance(tensor, Tensor) or tensor.dtype != torch.int64:
        received = str(tensor.dtype) if isinstance(tensor, Tensor) else type(tensor).__name__
        raise DataError(field, f"received {received}, expected an int64 tensor of shape {expected}.")


def _check_ends(pairs: Tensor, field: str, num_nodes: int) -> None:
    for end, what in enumerate(("source", "destination")):
        check_ids(pairs[:, end], field, what, num_nodes)


def _check_apart(graph: Graph, links: Links) -> None:
    """Refuse a pair in two splits."""
    schema = None if graph.typed is None else graph.typed.schema
    keys = {
        split: keys_of(pairs, graph.num_nodes, links.undirected, links.relations.get(split), schema)
        for split, pairs in links.pairs.items()
    }
    ordered = {split: np.sort(values) for split, values in keys.items()}
    for first, second in combinations([split for split in SPLITS if split in keys], 2):
        places = np.searchsorted(ordered[first], ordered[second])
        places[places == len(ordered[first])] = 0
        shared = ordered[second][ordered[first][places] == ordered[second]]
        if shared.size:
            row = int(np.isin(keys[second], shared).argmax())
            source, target = links.pairs[second][row].tolist()
            problem = f"({source}, {target}) is in {first!r} and in {second!r}; {shared.size:,} of "
            problem += f"{len(keys[second]):,} pairs are shared."
            fix = "A pair belongs to one split; so does its reverse, where pairs are undirected or a relation has one."
            raise LeakError(f"links.pairs[{second!r}]", problem, row=row, fix=fix)


def check_pair_labels(y: Tensor, field: str, num_pairs: int, num_names: int = 0) -> None:
    """Check what is said of pairs: classes or numbers, one row for each pair.

    Args:
        y: The labels.
        field: What messages call them.
        num_pairs: Number of rows expected.
        num_names: Number of names that classes have; 0 without.

    Raises:
        DataError: They are something else.
    """
    is_classes = isinstance(y, Tensor) and y.dtype == torch.int64 and y.ndim == 1
    if not is_classes and not (isinstance(y, Tensor) and y.is_floating_point() and y.ndim in (1, 2)):
        received = f"shape {list(y.shape)} and {y.dtype}" if isinstance(y, Tensor) else type(y).__name__
        raise DataError(field, f"received {received}, expected classes [n] int64, or numbers [n] or [n, T].")
    if len(y) != num_pairs:
        raise DataError(field, f"it has {len(y):,} rows, but there are {num_pairs:,} pairs.")
    if not is_classes:
        check_finite(torch.where(y.isnan(), torch.zeros_like(y), y), field)  # NaN is a missing one
        return
    fix = f"A pair without a label has {IGNORED_LABEL}; numbers to regress are floating point."
    check_class_labels(y, field, num_names, fix)


def _check_negatives(negatives: Tensor, field: str, num_nodes: int) -> None:
    _check_integers(negatives, field, "[m, 2]")
    if negatives.ndim != 2 or negatives.shape[1] != 2 or negatives.numel() == 0:
        fix = "Destinations of each pair's own negatives are links.negative_destinations."
        raise DataError(field, f"shape is {list(negatives.shape)}, expected [m, 2].", fix=fix)
    _check_ends(negatives, field, num_nodes)


def _check_destinations(negatives: Tensor, field: str, num_pairs: int, num_nodes: int) -> None:
    _check_integers(negatives, field, f"[{num_pairs}, K]")
    if negatives.ndim != 2 or len(negatives) != num_pairs or negatives.numel() == 0:
        raise DataError(field, f"shape is {list(negatives.shape)}, expected [{num_pairs}, K]: K for each pair.")
    flat = negatives.reshape(-1)
    if int(flat.min()) < 0 or int(flat.max()) >= num_nodes:
        place = int(((flat < 0) | (flat >= num_nodes)).nonzero()[0])
        problem = f"destination {int(flat[place])} is out of range, expected 0 to {num_nodes - 1}."
        raise DataError(field, problem, row=place // negatives.shape[1])


def _check_test_edges(graph: Graph, edges: Graph) -> None:
    if not isinstance(edges, Graph) or edges.num_nodes != graph.num_nodes:
        received = f"{edges.num_nodes:,} nodes" if isinstance(edges, Graph) else type(edges).__name__
        raise DataError("links.test_edges", f"received {received}, expected a graph of {graph.num_nodes:,} nodes.")
    for name in ("edge_weight", "edge_attr"):
        if (getattr(edges, name) is None) != (getattr(graph, name) is None):
            raise DataError(f"links.test_edges.{name}", "the graph and its test_edges both need it, or neither.")
    check_indptr(edges.indptr, edges.indices)
    check_ids(edges.indices, "links.test_edges.indices", "source", graph.num_nodes)
