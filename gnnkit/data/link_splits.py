"""Splits of edges: which pairs are learnt, which are judged, and which edges carry messages for them.

Rules: a pair goes to one split with all its edges, both directions of an undirected pair among them. A self-loop is no
pair and stays a message edge. The order in which edges were given changes nothing; what is random comes from a seed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Dict, Mapping, Optional, Sequence

import numpy as np
import torch
from torch import Tensor

from gnnkit.data.arrays import SPLIT_ALIASES, as_integers, as_tensor
from gnnkit.data.fingerprint import is_undirected
from gnnkit.data.graph import IGNORED_LABEL, SPLITS, Graph
from gnnkit.data.labels import which_missing
from gnnkit.data.link_checks import check_links, check_pair_labels
from gnnkit.data.link_keys import check_num_nodes, pair_keys
from gnnkit.data.link_relations import pairs_of_relations
from gnnkit.data.links import Links
from gnnkit.data.negatives import sample_non_edges, with_negatives
from gnnkit.data.typed_splits import keep_edges, split_relation, split_triples
from gnnkit.errors import ConfigError, DataError

_ENOUGH = "Change the shares, or give the splits yourself with gnnkit.data.given_links."


def split_edges(
    graph: Graph,
    *,
    valid: float = 0.05,
    test: float = 0.1,
    by: Optional[str] = None,
    y: Optional[str] = None,
    undirected: Optional[bool] = None,
    seed: int = 0,
    negatives: bool = True,
    relation: Optional[str] = None,
) -> Graph:
    """Split the edges of a graph into pairs to learn and to judge.

    P is the number of different pairs. A pair that several edges join goes to one split with all of them; its time is
    the earliest of theirs.

    Of a typed graph, the pairs of one relation are split, or the triples of all. Edges of the relation that is declared
    the reverse go along.

    Args:
        graph: One graph with all its edges, and without links.
        valid: Share of the validation pairs, at least 0. A split of share 0 is left out.
        test: Share of the test pairs, likewise. What is left over is the training split.
        by: Name of a column of times in ``edge_data``, numbers of shape [E]. The earliest pairs are for training, then
            validation, then test. Pairs of equal time stay together, in the earlier of the splits that the cut would
            put them into, so that the shares may differ. None splits at random.
        y: Name of a column in ``edge_data`` that says what is true of each pair: whole numbers are classes (-1 and -100
            for a missing one), floating point of shape [E] or [E, T] is numbers to regress (NaN for a missing one). It
            becomes ``links.y`` and leaves ``edge_data``.
        undirected: Whether (u, v) and (v, u) are the same pair, which is then listed as (smaller, larger). None: if
            every edge has its reverse.
        seed: Seed of the random split and of the negatives, at least 0.
        negatives: Whether validation and test get as many pairs that are no edge of ``graph``, all different, uniformly
            drawn (see :func:`gnnkit.data.sample_non_edges`). With ``y`` there are none, and none of triples.
        relation: Of a typed graph, the relation whose pairs are split. Its columns may be ``by`` and ``y``. None: the
            pairs of all relations, which have no ``y``.

    Returns:
        The graph with ``links``, and with the edges of training pairs and self-loops as its own edges.

    Raises:
        ConfigError: The shares or the seed are out of range.
        DataError: There are links already, no edges, too few to fill the splits, no such column, a missing time, a pair
            with different labels, or too few pairs that are no edges.
        UnknownNameError: There is no such relation.

    Example:
        >>> from gnnkit.data import from_edge_index
        >>> path = from_edge_index([[0, 1, 1, 2, 2, 3, 3, 4], [1, 0, 2, 1, 3, 2, 4, 3]])
        >>> split_edges(path, valid=0.25, test=0.25)
        Graph('graph', num_nodes=5, num_edges=4, num_features=0, train_pairs=2, valid_pairs=1, test_pairs=1)
    """
    _check_request(graph, valid, test, seed)
    shares = {"train": 1 - valid - test, "valid": valid, "test": test}
    if graph.typed is not None:
        return _split_typed(graph, shares, by, y, undirected, seed, negatives, relation)
    if relation is not None:
        raise DataError("typed", f"the graph has no types, and relation {relation!r} is asked for.")
    both = is_undirected(graph) if undirected is None else undirected
    return _split(graph, shares, by, y, both, seed, negatives)


def _split(
    graph: Graph,
    shares: Mapping[str, float],
    by: Optional[str],
    y: Optional[str],
    both: bool,
    seed: int,
    negatives: bool,
) -> Graph:
    """:func:`split_edges` of a graph without types."""
    found = _find_pairs(graph, both)
    part = _at_random(len(found.keys), shares, seed) if by is None else _by_time(graph, found, by, shares)
    labels = None if y is None else _labels_of(graph, found, y)
    is_message = np.ones(graph.num_edges, dtype=bool)
    is_message[found.edges] = part[found.pair_of_edge] == 0
    pairs, split_labels = {}, {}
    for number, (name, share) in enumerate(shares.items()):
        members = np.flatnonzero(part == number)
        if members.size == 0 and share > 0:
            problem = f"{len(found.keys):,} pairs are too few to give {share:.0%} of them to {name!r}."
            raise DataError("links", problem, fix=_ENOUGH)
        if members.size:
            pairs[name] = torch.from_numpy(found.pairs(members))
            if labels is not None:
                split_labels[name] = labels[torch.from_numpy(members)]
    links = Links(pairs, both, y=split_labels)
    if negatives and y is None:
        links = replace(links, negatives=_negatives(found, pairs, seed))
    columns = {name: rows for name, rows in graph.edge_data.items() if name != y}
    return replace(keep_edges(replace(graph, edge_data=columns), torch.from_numpy(is_message)), links=links)


def _split_typed(
    graph: Graph,
    shares: Mapping[str, float],
    by: Optional[str],
    y: Optional[str],
    undirected: Optional[bool],
    seed: int,
    negatives: bool,
    relation: Optional[str],
) -> Graph:
    """:func:`split_edges` of a typed graph."""
    assert graph.typed is not None
    schema = graph.typed.schema
    if undirected is not None:
        fix = "Leave undirected out, and declare relations as reverses of themselves."
        raise ConfigError(f"undirected is {undirected}, and a typed graph says so itself. {fix}")
    if relation is not None:
        number = schema.relation(relation)
        splits = partial(_split, shares=shares, by=by, y=y, seed=seed, negatives=False)
        graph = split_relation(graph, number, lambda alone, both: splits(alone, both=both))
        return with_negatives(graph, seed) if negatives and y is None else graph
    if y is not None:
        raise ConfigError(f"y is {y!r}, and triples have no labels. Name the relation whose pairs have them.")

    def part(count: int, edges: np.ndarray, starts: np.ndarray) -> np.ndarray:
        if by is None:
            return _at_random(count, shares, seed)
        own = np.repeat(np.arange(count), np.diff(np.append(starts, len(edges))))
        return _by_time(graph, _Pairs(np.arange(count), edges, starts, own, graph.num_nodes, False), by, shares)

    return split_triples(graph, part)


def given_links(
    graph: Graph,
    pairs: Mapping[str, Any],
    *,
    undirected: Optional[bool] = None,
    y: Optional[Mapping[str, Any]] = None,
    negatives: Optional[Mapping[str, Any]] = None,
    negative_destinations: Optional[Mapping[str, Any]] = None,
    test_edges: Optional[Graph] = None,
    class_names: Sequence[str] = (),
    relations: Optional[Mapping[str, Any]] = None,
) -> Graph:
    """Give a graph pairs that were split elsewhere; its own edges are those that carry messages.

    Args:
        graph: The graph, with edges that carry messages while training alone.
        pairs: Node ids by split ("train", "valid", "test"). Each [n, 2], source first. Of a typed graph also, by split,
            pairs by relation, whose ids count within their types.
        undirected: Whether (u, v) and (v, u) are the same pair. None: if every edge of the graph has its reverse, and
            never in a typed graph.
        y: What is true of each pair, by split. Each [n] or [n, T].
        negatives: Pairs that are none, by split. Each [m, 2].
        negative_destinations: Destinations that are negatives of each pair's source, by split. Each [n, K].
        test_edges: See :class:`gnnkit.data.Links`.
        class_names: Names of the classes of ``y``, in the order of labels.
        relations: Relation of each pair in a typed graph, by split, as positions in its schema. Each [n]. None: pairs
            by relation say it, else there are none.

    Returns:
        The graph with ``links``. Whether pairs are among the edges is not looked at: see
        :func:`gnnkit.data.check_leaks`.

    Raises:
        DataError: There are links already, or something breaks a rule of :class:`gnnkit.data.Links`.

    Example:
        >>> from gnnkit.data import from_edge_index
        >>> given_links(from_edge_index([[0, 1], [1, 0]], 3), {"train": [[0, 1]], "test": [[1, 2]]}).links.undirected
        True
    """
    _check_without(graph)

    def read(values: Optional[Mapping[str, Any]], function: Any, what: str) -> Dict[str, Tensor]:
        named = {SPLIT_ALIASES.get(name, name): value for name, value in (values or {}).items()}
        return {name: function(value, f"links.{what}[{name!r}]") for name, value in named.items()}

    if graph.typed is not None and any(isinstance(value, Mapping) for value in pairs.values()):
        pairs, relations = pairs_of_relations(graph, pairs)
    if undirected is None:
        undirected = graph.typed is None and is_undirected(graph)
    links = Links(
        read(pairs, as_integers, "pairs"),
        undirected,
        y=read(y, _as_labels, "y"),
        negatives=read(negatives, as_integers, "negatives"),
        negative_destinations=read(negative_destinations, as_integers, "negative_destinations"),
        test_edges=test_edges,
        class_names=tuple(class_names),
        relations=read(relations, as_integers, "relations"),
    )
    linked = replace(graph, links=links)
    check_links(linked)
    return linked


@dataclass(frozen=True)
class _Pairs:
    """The different pairs of a graph, and which edges join them.

    Attributes:
        keys: Of the P pairs, ascending; see ``gnnkit.data.link_keys``. Shape [P], int64.
        edges: Rows of the edges that are no self-loops, by pair. Shape [M], int64.
        starts: Where the edges of each pair begin in ``edges``. Shape [P], int64.
        pair_of_edge: The number of the pair of each of ``edges``. Shape [M], int64.
        num_nodes: Number of nodes of the graph.
        undirected: Whether both directions are one pair.
    """

    keys: np.ndarray
    edges: np.ndarray
    starts: np.ndarray
    pair_of_edge: np.ndarray
    num_nodes: int
    undirected: bool

    def pairs(self, members: np.ndarray) -> np.ndarray:
        """Sources and destinations of some of the pairs. Shape [n, 2], int64."""
        dst, src = np.divmod(self.keys[members], self.num_nodes)
        return np.stack([src, dst], axis=1)


def _check_request(graph: Graph, valid: float, test: float, seed: int) -> None:
    if not (valid >= 0 and test >= 0 and valid + test < 1):
        raise ConfigError(f"The split shares are {valid} and {test}, expected at least 0 and a sum below 1.")
    if not valid + test > 0:
        raise ConfigError("The split shares are 0 and 0, expected one above 0: nothing would be judged.")
    if seed < 0:
        raise ConfigError(f"The split seed is {seed}, expected at least 0.")
    _check_without(graph)
    if graph.graph_ptr is not None:
        raise DataError("graph_ptr", "the record holds several graphs.", fix="Split the edges of one graph.")
    if graph.num_edges == 0:
        raise DataError("indices", "the graph has no edges, expected some to split.")


def _check_without(graph: Graph) -> None:
    if graph.links is not None:
        counts = ", ".join(f"{name} {len(pairs):,}" for name, pairs in graph.links.pairs.items())
        problem = f"the graph has links already ({counts}), and its other edges are gone."
        raise DataError("links", problem, fix="Take the graph as it was before it was split.")
    check_num_nodes(graph.num_nodes)


def _find_pairs(graph: Graph, undirected: bool) -> _Pairs:
    src, dst = graph.indices.numpy(), graph.dst.numpy()
    edges = np.flatnonzero(src != dst)
    if edges.size == 0:
        raise DataError("indices", "all edges are self-loops, expected some between two nodes to split.")
    keys = pair_keys(src[edges], dst[edges], graph.num_nodes, undirected)
    if undirected:  # Otherwise they are sorted, as edges are.
        order = np.argsort(keys, kind="stable")
        keys, edges = keys[order], edges[order]
    is_first = np.ones(len(keys), dtype=bool)
    is_first[1:] = keys[1:] != keys[:-1]
    starts = np.flatnonzero(is_first)
    return _Pairs(keys[starts], edges, starts, np.cumsum(is_first) - 1, graph.num_nodes, undirected)


def _at_random(count: int, shares: Mapping[str, float], seed: int) -> np.ndarray:
    """The number of the split of each pair. Shape [P], int8."""
    order = np.random.Generator(np.random.Philox(key=seed)).permutation(count)
    part = np.zeros(count, dtype=np.int8)
    num_test = round(shares["test"] * count)
    num_valid = min(round(shares["valid"] * count), count - num_test)
    part[order[:num_valid]] = 1
    part[order[num_valid : num_valid + num_test]] = 2
    return part


def _by_time(graph: Graph, found: _Pairs, by: str, shares: Mapping[str, float]) -> np.ndarray:
    """The number of the split of each pair. Shape [P], int8."""
    column = _column(graph, by, "by")
    if column.ndim != 1 or column.is_complex():
        received = f"shape {list(column.shape)} and {column.dtype}"
        raise DataError(f"edge_data[{by!r}]", f"received {received}, expected one number for each edge.")
    values = (column.float() if column.dtype == torch.bfloat16 else column).numpy()
    missing = np.flatnonzero(~np.isfinite(values[found.edges]))
    if missing.size:
        row = int(found.edges[missing].min())
        problem = (
            f"{_edge(graph, row)} has the time {values[row]}, expected a finite number; {missing.size:,} lack one."
        )
        raise DataError(f"edge_data[{by!r}]", problem, row=row, fix="Fill the column or remove these edges.")
    times = np.minimum.reduceat(values[found.edges], found.starts)
    ordered = np.sort(times)
    part = np.zeros(len(times), dtype=np.int8)
    end = 0.0
    for number, name in enumerate(("train", "valid")):
        end += shares[name]
        place = min(round(end * len(times)), len(times))
        part[times > ordered[place - 1] if place else slice(None)] = number + 1
    empty = [name for number, (name, share) in enumerate(shares.items()) if share > 0 and not (part == number).any()]
    if empty:
        num = len(np.unique(times))
        problem = f"pairs of equal time stay together, and {num:,} different times leave no pair for {empty[0]!r}."
        raise DataError(f"edge_data[{by!r}]", problem, fix=_ENOUGH)
    return part


def _labels_of(graph: Graph, found: _Pairs, name: str) -> Tensor:
    """What a column says of each pair. First dimension P."""
    column = _column(graph, name, "y")
    labels = _as_labels(column, f"edge_data[{name!r}]")
    check_pair_labels(labels, f"edge_data[{name!r}]", graph.num_edges)
    values = labels[torch.from_numpy(found.edges)]
    first = values[torch.from_numpy(found.starts)]
    own = first[torch.from_numpy(found.pair_of_edge)]
    differs = (values != own) & ~((values != values) & (own != own))
    broken = (differs if differs.ndim == 1 else differs.flatten(1).any(dim=1)).nonzero()[:, 0]
    if broken.numel():
        place = int(broken[0])
        row, other = int(found.edges[place]), int(found.edges[found.starts[found.pair_of_edge[place]]])
        told = f"{_edge(graph, other)} has {labels[other].tolist()} and {_edge(graph, row)} has {labels[row].tolist()}"
        fix = "Give both the same, or say undirected=False if the two directions are different pairs."
        raise DataError(f"edge_data[{name!r}]", f"{told}, expected one label a pair.", row=row, fix=fix)
    return first


def _as_labels(value: Any, field: str) -> Tensor:
    """Labels of pairs: whole numbers as classes, int64, -100 for a missing one; floating point as it is."""
    labels = as_tensor(value, field)
    if labels.is_floating_point():
        return labels
    missing = torch.from_numpy(which_missing(labels.numpy()))
    return torch.where(missing, torch.tensor(IGNORED_LABEL), labels.to(torch.int64))


def _column(graph: Graph, name: str, argument: str) -> Tensor:
    if name not in graph.edge_data:
        known = ", ".join(repr(each) for each in graph.edge_data) or "none"
        raise DataError("edge_data", f"there is no column {name!r} for {argument}; the columns are: {known}.")
    return graph.edge_data[name]


def _edge(graph: Graph, row: int) -> str:
    return f"edge {int(graph.indices[row])} -> {int(graph.dst[row])}"


def _negatives(found: _Pairs, pairs: Mapping[str, Tensor], seed: int) -> Dict[str, Tensor]:
    """As many pairs that are no edges as there are to judge, by split."""
    judged = [name for name in SPLITS[1:] if name in pairs]
    known = torch.from_numpy(found.pairs(np.arange(len(found.keys))))
    total = sum(len(pairs[name]) for name in judged)
    drawn = sample_non_edges(known, found.num_nodes, total, undirected=found.undirected, seed=seed)
    parts = torch.split(drawn, [len(pairs[name]) for name in judged])
    return dict(zip(judged, parts))
