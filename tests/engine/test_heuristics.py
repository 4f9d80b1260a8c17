"""Heuristics: sums over the neighbours that two nodes have in common, and their published figures."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import gnnkit
from gnnkit.engine.heuristics import HEURISTICS, heuristic_scores
from gnnkit.errors import UnknownNameError

NODES = 7
node = st.integers(0, NODES - 1)
some_pairs = st.lists(st.tuples(node, node), max_size=25)


def by_hand(name: str, edges: list[tuple[int, int]], u: int, v: int) -> float:
    """The definition, from sets of neighbours."""
    neighbors = {w: {a for a, b in edges if b == w and a != w} for w in range(NODES)}
    # Neither is a neighbour of itself, so neither is in both sets.
    common = neighbors[u] & neighbors[v]
    degrees = {w: sum(w in each for each in neighbors.values()) for w in common}
    share = {
        "common_neighbors": lambda degree: 1.0,
        "adamic_adar": lambda degree: 1 / math.log(degree) if degree > 1 else 0.0,
        "resource_allocation": lambda degree: 1 / degree,
    }[name]
    return sum(share(degrees[w]) for w in common)


@pytest.mark.parametrize("name", HEURISTICS)
@settings(max_examples=60)
@given(some_pairs, st.lists(st.tuples(node, node), max_size=8))
def test_scores_are_sums_over_common_neighbors(
    name: str, edges: list[tuple[int, int]], pairs: list[tuple[int, int]]
) -> None:
    columns = torch.tensor(edges, dtype=torch.int64).reshape(-1, 2).T
    graph = gnnkit.from_edge_index(columns, num_nodes=NODES)
    scores = heuristic_scores(name, graph, torch.tensor(pairs, dtype=torch.int64).reshape(-1, 2))
    assert scores.dtype == torch.float64
    assert scores.tolist() == pytest.approx([by_hand(name, edges, u, v) for u, v in pairs])


def test_repeats_and_self_loops_change_nothing() -> None:
    edges = torch.tensor([[0, 1, 2, 1, 2, 3], [1, 0, 1, 2, 3, 2]])
    more = torch.tensor([[0, 2, 1, 1], [1, 1, 1, 2]])
    pairs = torch.tensor([[0, 2], [1, 3]])
    for name in HEURISTICS:
        plain = heuristic_scores(name, gnnkit.from_edge_index(edges), pairs)
        assert torch.equal(
            heuristic_scores(name, gnnkit.from_edge_index(torch.cat([edges, more], dim=1)), pairs), plain
        )


def test_an_unknown_heuristic_is_told_what_comes_near() -> None:
    with pytest.raises(UnknownNameError, match="'adamic_adar'"):
        heuristic_scores("adamic_adr", gnnkit.load_dataset("karate"), torch.tensor([[0, 1]]))
