"""Ranking among all nodes: exactly what going through the candidates one by one finds."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import gnnkit
from gnnkit.sampling.known_pairs import KnownPairs, known_pairs
from gnnkit.tasks.pair_heads import HEADS, pair_head
from gnnkit.tasks.ranking import ranks, top_k

NODES = 9
node = st.integers(0, NODES - 1)
some_pairs = st.lists(st.tuples(node, node), min_size=1, max_size=14)
# Whole numbers, so that scores are exact and many are equal.
embeddings = st.lists(st.lists(st.integers(-2, 2), min_size=2, max_size=2), min_size=NODES, max_size=NODES)
MEMORY = st.sampled_from([1, 4 * NODES * 3, 1 << 20])


def dot(sources: Tensor, destinations: Tensor) -> Tensor:
    return sources @ destinations.T


def known_of(pairs: list[tuple[int, int]]) -> KnownPairs:
    """Pairs that may repeat, as known ones."""
    columns = torch.tensor(pairs, dtype=torch.int64).reshape(-1, 2).T
    return known_pairs(gnnkit.from_edge_index(columns, num_nodes=NODES))


def candidates(source: int, known: set[tuple[int, int]]) -> list[int]:
    """Nodes that are no known destination of the source, nor itself."""
    return [v for v in range(NODES) if v != source and (source, v) not in known]


@settings(max_examples=100)
@given(embeddings, some_pairs, some_pairs, MEMORY, st.sampled_from([torch.float32, torch.float64]))
def test_ranks_are_those_among_candidates(
    rows: list[list[int]],
    pairs: list[tuple[int, int]],
    known: list[tuple[int, int]],
    memory: int,
    kind: torch.dtype,
) -> None:
    h = torch.tensor(rows, dtype=kind)
    found = ranks(dot, h, torch.tensor(pairs), known_of(known), memory=memory)
    table = dot(h, h).tolist()
    for (source, destination), (low, high, log_share) in zip(pairs, found.tolist()):
        own = table[source][destination]
        others = [table[source][v] for v in candidates(source, set(known)) if v != destination]
        assert low == 1 + sum(other > own for other in others)
        assert high == low + sum(other == own for other in others)
        total = sum(math.exp(other - own) for other in others) + 1
        assert log_share == pytest.approx(-math.log(total), abs=1e-5)


@settings(max_examples=100)
@given(embeddings, st.lists(node, max_size=6), some_pairs, st.integers(0, NODES + 2), MEMORY)
def test_the_best_destinations_come_in_order(
    rows: list[list[int]], sources: list[int], known: list[tuple[int, int]], k: int, memory: int
) -> None:
    h = torch.tensor(rows, dtype=torch.float32)
    ids, scores = top_k(dot, h, torch.tensor(sources, dtype=torch.int64), k, known_of(known), memory=memory)
    assert ids.shape == scores.shape == (len(sources), k)
    table = dot(h, h).tolist()
    for source, found, values in zip(sources, ids.tolist(), scores.tolist()):
        best = sorted(candidates(source, set(known)), key=lambda v: (-table[source][v], v))[:k]
        missing = k - len(best)
        assert found == best + [-1] * missing
        assert values == [table[source][v] for v in best] + [-math.inf] * missing


def test_equal_embeddings_share_their_rank() -> None:
    # Not whole numbers: each score must have the same bits wherever it is computed.
    h = torch.randn(40, 16, generator=torch.Generator().manual_seed(0)).repeat(5, 1)
    pairs = torch.stack([torch.arange(200), torch.arange(200).flip(0)], dim=1)
    found = ranks(dot, h, pairs, KnownPairs(np.zeros(201, dtype=np.int64), np.empty(0, dtype=np.int64)), memory=20_000)
    assert (found[:, 1] - found[:, 0] >= 3).all()


def test_a_score_that_is_no_number_is_no_success() -> None:
    h = torch.tensor([[1.0], [math.nan], [2.0], [3.0]])
    known = KnownPairs(np.zeros(5, dtype=np.int64), np.empty(0, dtype=np.int64))
    found = ranks(dot, h, torch.tensor([[0, 1], [0, 3]]), known)
    assert found[0, 0] >= 3
    assert found[1, 0] == 2
    assert top_k(dot, h, torch.tensor([0]), 3, known)[0].tolist() == [[3, 2, -1]]


def test_shares_of_large_scores_are_exact() -> None:
    # The largest comes last, and exponentials of all of them are no numbers of single precision.
    h = torch.tensor([[1.0], [-500.0], [-400.0], [300.0], [301.0]])
    known = KnownPairs(np.zeros(6, dtype=np.int64), np.empty(0, dtype=np.int64))
    for memory in (1, 8, 1 << 20):
        found = ranks(dot, h, torch.tensor([[0, 3], [0, 4], [0, 1]]), known, memory=memory)
        expected = h[1:, 0].double().log_softmax(dim=0)[[2, 3, 0]]
        assert torch.allclose(found[:, 2], expected, atol=1e-6)


def test_nothing_is_ranked_without_pairs() -> None:
    known = KnownPairs(np.zeros(3, dtype=np.int64), np.empty(0, dtype=np.int64))
    assert ranks(dot, torch.ones(2, 1), torch.empty(0, 2, dtype=torch.int64), known).shape == (0, 3)


@pytest.mark.parametrize("kind", HEADS)
def test_heads_rank_by_their_own_scores(kind: str) -> None:
    head = pair_head(kind, 8, 1, channels=8, num_layers=2, dropout=0.0, symmetric=True)
    h = torch.randn(30, 8, generator=torch.Generator().manual_seed(1))
    known = KnownPairs(np.zeros(31, dtype=np.int64), np.empty(0, dtype=np.int64))
    ids, scores = top_k(head.table, h, torch.tensor([3, 7]), 5, known, memory=500)
    with torch.no_grad():
        expected = head.score(h[[3, 7]][:, None], h[None])[..., 0]
    expected[[0, 1], [3, 7]] = -math.inf
    assert torch.allclose(scores, expected.topk(5).values, atol=1e-5)
    assert torch.allclose(expected.gather(1, ids), scores, atol=1e-5)
