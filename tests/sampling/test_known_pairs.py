"""Known pairs: an answer for every pair of nodes, as a set of pairs gives it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import gnnkit
from gnnkit.data import Graph, Links
from gnnkit.sampling.known_pairs import KnownPairs, known_pairs

NODES = 7
node = st.integers(0, NODES - 1)
pairs = st.lists(st.tuples(node, node), max_size=12)


def graph_of(edges: list[tuple[int, int]]) -> Graph:
    """A directed graph; repeats and self-loops stay."""
    columns = torch.tensor(edges, dtype=torch.int64).reshape(-1, 2).T
    return gnnkit.from_edge_index(columns, num_nodes=NODES)


def as_set(known: KnownPairs) -> set[tuple[int, int]]:
    """All pairs that are known, asked one by one in one call."""
    sources, destinations = np.divmod(np.arange(NODES * NODES), NODES)
    found = known.contains(sources, destinations)
    return set(zip(sources[found].tolist(), destinations[found].tolist()))


@settings(max_examples=50)
@given(pairs, pairs, pairs, pairs, st.booleans())
def test_edges_and_pairs_of_splits_are_known(
    edges: list[tuple[int, int]],
    train: list[tuple[int, int]],
    test: list[tuple[int, int]],
    later: list[tuple[int, int]],
    undirected: bool,
) -> None:
    by_split = {"train": train, "test": test}
    held = {split: torch.tensor(listed, dtype=torch.int64).reshape(-1, 2) for split, listed in by_split.items()}
    graph = replace(graph_of(edges), links=Links(held, undirected, test_edges=graph_of(later)))

    def both(listed: list[tuple[int, int]]) -> set[tuple[int, int]]:
        return {*listed, *((v, u) for u, v in listed if undirected)}

    assert as_set(known_pairs(graph)) == {*edges, *later, *both(train), *both(test)}
    assert as_set(known_pairs(graph, ["train"])) == {*edges, *both(train)}
    assert as_set(known_pairs(graph, [])) == set(edges)


@settings(max_examples=30)
@given(pairs)
def test_destinations_ascend_without_repeats(edges: list[tuple[int, int]]) -> None:
    known = known_pairs(graph_of(edges))
    for source in range(NODES):
        listed = known.indices[known.indptr[source] : known.indptr[source + 1]].tolist()
        assert listed == sorted({v for u, v in edges if u == source})


def test_a_graph_without_links_and_edges_knows_nothing() -> None:
    assert as_set(known_pairs(graph_of([]))) == set()
