"""Pairs of nodes that no edge joins, to judge a model by: drawn once, uniformly, by a seed."""

from __future__ import annotations

from dataclasses import replace
from typing import List, Optional, Tuple

import numpy as np
import torch
from torch import Tensor

from gnnkit.data.graph import SPLITS, Graph
from gnnkit.data.link_keys import check_num_nodes
from gnnkit.errors import DataError

_STREAM = 1
"""Second word of the key of the random numbers, so that they are not those of a split by the same seed."""


def sample_non_edges(
    known: Tensor,
    num_nodes: int,
    num: int,
    *,
    undirected: bool,
    seed: int = 0,
    ends: Optional[Tuple[Tensor, Tensor]] = None,
) -> Tensor:
    """Draw pairs of different nodes that are not among known ones, uniformly and without repeats.

    Nothing is drawn in vain where nearly all pairs are known: the pairs that are none are counted, numbers below that
    count are drawn, and the known pairs in front of each say which pair it is.

    Args:
        known: Pairs that are none of these. Shape [n, 2], int64 ids; repeats and self-loops do not matter.
        num_nodes: Number of nodes N.
        num: How many to draw.
        undirected: Whether (u, v) and (v, u) are the same pair; pairs are then drawn as (smaller, larger).
        seed: Seed, at least 0.
        ends: Nodes that sources and destinations are, in ascending order, where they are of two types, which share no
            node. Each int64. None: all nodes.

    Returns:
        Shape [num, 2], int64, in random order.

    Raises:
        DataError: There are fewer such pairs, as in a complete graph.

    Example:
        >>> sample_non_edges(torch.tensor([[0, 1], [1, 2]]), 3, 1, undirected=True).tolist()
        [[0, 2]]
    """
    check_num_nodes(num_nodes)
    if ends is None:
        codes = _codes(known.numpy(), num_nodes, undirected)
        total = num_nodes * (num_nodes - 1) // (2 if undirected else 1)
    else:
        rows = [np.searchsorted(nodes.numpy(), known[:, column].numpy()) for column, nodes in enumerate(ends)]
        codes, total = rows[1] * len(ends[0]) + rows[0], len(ends[0]) * len(ends[1])
    codes.sort()
    codes = codes[np.diff(codes, prepend=-1) > 0]
    room = total - len(codes)
    if num > room:
        problem = f"no negatives possible: {num:,} are needed, and {room:,} of {total:,} pairs of nodes are no edges."
        raise DataError("links", problem, fix="Say negatives=False, or give your own.")
    ranks = _distinct(room, num, seed)
    known_before = np.searchsorted(codes - np.arange(len(codes)), ranks, side="right")
    if ends is not None:
        second, first = np.divmod(ranks + known_before, len(ends[0]))
        return torch.stack([ends[0][torch.from_numpy(first)], ends[1][torch.from_numpy(second)]], dim=1)
    return torch.from_numpy(_decoded(ranks + known_before, num_nodes, undirected))


def with_negatives(graph: Graph, seed: int) -> Graph:
    """The graph with as many negatives as pairs, for every split that is judged and has none.

    They are drawn once, uniformly, from all pairs of nodes that no split and no edge joins; where pairs are of one
    relation of a typed graph, of nodes of its types, that no edge of this relation joins.

    Args:
        graph: With links.
        seed: Seed of what is drawn.

    Raises:
        DataError: There are too few such pairs.
    """
    links = graph.links
    assert links is not None, "the caller has looked"
    has_some = {*links.negatives, *links.negative_destinations}
    counts = {split: len(links.pairs[split]) for split in SPLITS[1:] if split in links.pairs and split not in has_some}
    if not counts:
        return graph
    known = [*links.pairs.values(), *links.negatives.values()]
    held, ends, place = [graph, *([] if links.test_edges is None else [links.test_edges])], None, None
    if graph.typed is not None:
        relation = next(iter(links.relations.values()))[0]
        kind = graph.typed.schema.relations[int(relation)]
        known += [edges for each in held for edges in relation_pairs(each, int(relation))]
        mine = [graph.typed.nodes(name) for name in (kind.src, kind.dst)]
        if kind.src != kind.dst:
            ends = mine[0], mine[1]
        else:  # Nodes of one type are numbered from 0, so that pairs are drawn of them alone.
            place = mine[0]
    else:
        known += [each.edge_index.T for each in held]
    total, joined = sum(counts.values()), torch.cat(known)
    if place is not None:
        joined = torch.searchsorted(place, joined)
    num_nodes = graph.num_nodes if place is None else len(place)
    drawn = sample_non_edges(joined, num_nodes, total, undirected=links.undirected, seed=seed, ends=ends)
    drawn = drawn if place is None else place[drawn]
    negatives = {**links.negatives, **dict(zip(counts, torch.split(drawn, list(counts.values()))))}
    return replace(graph, links=replace(links, negatives=negatives))


def relation_pairs(graph: Graph, relation: int) -> List[Tensor]:
    """Source and destination of the edges of a relation, and of its reverse's, turned round. Each [n, 2]."""
    assert graph.typed is not None, "the caller has looked"
    reverse = graph.typed.schema.relations[relation].reverse
    edges, types = torch.stack([graph.indices, graph.dst], dim=1), graph.typed.edge_type
    return [edges[types == relation], *([] if reverse is None else [edges[types == reverse].flip(1)])]


def _codes(pairs: np.ndarray, num_nodes: int, undirected: bool) -> np.ndarray:
    """Pairs of different nodes as numbers from 0 without gaps."""
    src, dst = pairs[pairs[:, 0] != pairs[:, 1]].T
    if undirected:
        low, high = np.minimum(src, dst), np.maximum(src, dst)
        codes = high * (high - 1) // 2 + low
    else:
        codes = dst * (num_nodes - 1) + src - (src > dst)
    return np.asarray(codes)


def _decoded(codes: np.ndarray, num_nodes: int, undirected: bool) -> np.ndarray:
    """The inverse of :func:`_codes`. Shape [n, 2], int64."""
    if not undirected:
        dst, src = np.divmod(codes, num_nodes - 1)
        return np.stack([src + (src >= dst), dst], axis=1)
    high = ((1 + np.sqrt(1.0 + 8.0 * codes)) / 2).astype(np.int64)
    # The square root is rounded: it may be off by one.
    high -= high * (high - 1) // 2 > codes
    high += high * (high + 1) // 2 <= codes
    return np.stack([codes - high * (high - 1) // 2, high], axis=1)


def _distinct(below: int, num: int, seed: int) -> np.ndarray:
    """Different numbers from 0 up, below a bound, in random order."""
    generator = np.random.Generator(np.random.Philox(key=np.array([seed, _STREAM], dtype=np.uint64)))
    if below <= 4 * num:
        every: np.ndarray = generator.permutation(below)
        return every[:num]
    drawn = np.empty(0, dtype=np.int64)
    while len(drawn) < num:
        drawn = _without_repeats(np.concatenate([drawn, generator.integers(below, size=num - len(drawn))]))
    return drawn


def _without_repeats(values: np.ndarray) -> np.ndarray:
    """The values in their order, each where it comes first."""
    order = np.argsort(values, kind="stable")
    is_repeat = np.zeros(len(values), dtype=bool)
    is_repeat[order[1:]] = values[order[1:]] == values[order[:-1]]
    first: np.ndarray = values[~is_repeat]
    return first
