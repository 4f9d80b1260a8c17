"""Heads, softmax, negatives and ranking of triples, against what goes through them one by one."""

from __future__ import annotations

import cmath
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gnnkit.data import Targets, split_edges
from gnnkit.errors import ConfigError
from gnnkit.sampling.known_answers import Questions, known_answers, questions_of
from gnnkit.sampling.negatives import NegativeSampler, shared_nodes
from gnnkit.tasks import TRIPLE_HEADS, shared_softmax
from gnnkit.tasks.shared_softmax import log_shares
from gnnkit.tasks.triple_ranking import answer_types, best_answers, rank_answers
from tests.graphs import knowledge

WIDTH, RELATIONS = 6, 3


def numbers(row, is_complex):
    """A row of embeddings as plain numbers."""
    values = row.tolist()
    half = len(values) // 2
    return [complex(a, b) for a, b in zip(values[:half], values[half:])] if is_complex else values


def plain_score(kind, head, h, relation, t):
    """The published formula of a triple, one number after the other."""
    is_complex = kind in ("complex", "rotate")
    h, t = numbers(h, is_complex), numbers(t, is_complex)
    r = numbers(head.relation[relation], is_complex and kind == "complex")
    if kind == "distmult":
        return sum(a * b * c for a, b, c in zip(h, r, t))
    if kind == "complex":
        return sum(a * b * c.conjugate() for a, b, c in zip(h, r, t)).real
    if kind == "transe":
        return head.margin - sum(abs(a + b - c) ** head.norm for a, b, c in zip(h, r, t)) ** (1 / head.norm)
    return head.margin - sum(abs(a * cmath.exp(1j * b) - c) for a, b, c in zip(h, r, t))


def made(kind, **options):
    torch.manual_seed(3)
    return TRIPLE_HEADS[kind](WIDTH, RELATIONS, **options).double()


@pytest.mark.parametrize(("kind", "norm"), [(kind, 1) for kind in TRIPLE_HEADS] + [("transe", 2)])
def test_heads_are_the_published_formulas_on_both_sides(kind, norm) -> None:
    head, h = made(kind, margin=2.0, norm=norm), torch.randn(5, WIDTH, dtype=torch.float64)
    for relation in range(RELATIONS):
        src, dst = torch.cartesian_prod(torch.arange(5), torch.arange(5)).T
        expected = [plain_score(kind, head, h[i], relation, h[j]) for i, j in zip(src.tolist(), dst.tolist())]
        tails = head(h, Targets(torch.full((25,), relation), {"src": src, "dst": dst}))
        heads = head(h, Targets(torch.full((25,), relation + RELATIONS), {"src": dst, "dst": src}))
        for found in (tails, heads):
            assert found[:, 0].tolist() == pytest.approx(expected, abs=1e-5)
        table = head.table(head.query(h, torch.full((5,), relation)), h)
        assert table.reshape(-1).tolist() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("kind", TRIPLE_HEADS)
def test_reciprocal_relations_have_parameters_of_their_own(kind) -> None:
    head, h = made(kind, reciprocal=True), torch.randn(4, WIDTH, dtype=torch.float64)
    assert len(head.relation) == 2 * RELATIONS
    ends = torch.tensor([0, 1])
    forth = head(h, Targets(torch.tensor([1, 1]), {"src": ends, "dst": ends.flip(0)}))
    back = head(h, Targets(torch.tensor([4, 4]), {"src": ends.flip(0), "dst": ends}))
    assert not torch.allclose(forth, back)


@pytest.mark.parametrize("kind", ["complex", "rotate"])
def test_complex_numbers_need_an_even_width(kind) -> None:
    with pytest.raises(ConfigError, match="7 wide.*model.out_channels=8"):
        TRIPLE_HEADS[kind](7, 2)


@pytest.mark.parametrize("at_once", [1 << 22, 7])
def test_shares_and_their_gradients_are_those_of_a_whole_softmax(at_once, monkeypatch) -> None:
    monkeypatch.setattr(shared_softmax, "_SCORES", at_once)
    draw = torch.Generator().manual_seed(0)
    queries, answers, candidates = (
        torch.randn(n, 4, dtype=torch.float64, generator=draw, requires_grad=True) for n in (5, 5, 7)
    )
    answer_ids, ids = torch.tensor([3, 9, 4, 4, 20]), torch.tensor([4, 8, 3, 11, 12, 9, 0])
    own = (queries * answers).sum(dim=1, keepdim=True)
    others = (queries @ candidates.T).masked_fill(answer_ids[:, None] == ids, -math.inf)
    expected = torch.cat([own, others], dim=1).log_softmax(dim=1)[:, :1]
    found = log_shares(queries, answers, candidates, answer_ids, ids)
    assert torch.allclose(found, expected)
    weights = torch.randn(5, 1, dtype=torch.float64, generator=draw)
    ours = torch.autograd.grad((found * weights).sum(), (queries, answers, candidates))
    theirs = torch.autograd.grad((expected * weights).sum(), (queries, answers, candidates))
    for one, other in zip(ours, theirs):
        assert torch.allclose(one, other)


@pytest.mark.parametrize("kind", TRIPLE_HEADS)
def test_shared_negatives_that_are_the_answer_do_not_count(kind) -> None:
    h = torch.randn(6, WIDTH, dtype=torch.float64)
    rows = {"src": torch.tensor([0, 1]), "dst": torch.tensor([2, 3])}
    relations = torch.tensor([0, 4])
    for is_softmax in (False, True):
        head = made(kind, is_softmax=is_softmax)
        some = head(h, Targets(relations, {**rows, "negatives": torch.tensor([2, 4, 5])}))
        each = head(h, Targets(relations, {**rows, "negatives": torch.tensor([[4, 5], [2, 4]])}))
        if is_softmax:
            assert some.shape == (2, 1)
            assert torch.allclose(some[0, 0], each[0].log_softmax(dim=0)[0])
        else:
            assert some[0, 1] == -math.inf and torch.allclose(some[0, 2:], each[0, 1:])


def test_the_penalty_is_the_cubes_of_moduli() -> None:
    head, h = made("complex", regularization=0.5), torch.randn(3, WIDTH, dtype=torch.float64)
    rows = {"src": torch.tensor([0]), "dst": torch.tensor([2]), "negatives": torch.tensor([1])}
    found = head(h, Targets(torch.tensor([1]), rows)).detach()
    entries = [*numbers(h[0], True), *numbers(h[2], True), *numbers(head.relation[1], True)]
    assert float(found[0, -1]) == pytest.approx(0.5 * sum(abs(value) ** 3 for value in entries))


def plain_ranks(scores, answer, known, allowed):
    """Best and worst rank of an answer by its scores with all nodes, without other known answers."""
    others = [scores[node] for node in allowed if node != answer and node not in known]
    better = sum(other > scores[answer] for other in others)
    return 1 + better, 1 + better + sum(other == scores[answer] for other in others)


@settings(max_examples=30)
@given(st.integers(0, 10_000), st.sampled_from(list(TRIPLE_HEADS)), st.booleans())
def test_ranks_are_those_of_going_through_the_nodes_of_the_answers_type(seed, kind, reciprocal) -> None:
    graph = split_edges(knowledge(12), valid=0.2, test=0.2, seed=seed, negatives=False)
    typed, num = graph.typed, len(graph.typed.schema.relations)
    torch.manual_seed(seed)
    head = TRIPLE_HEADS[kind](4, num, reciprocal=reciprocal).double()
    # Whole numbers, so that many scores are equal.
    h = torch.randint(-1, 2, (graph.num_nodes, 4)).double()
    links = graph.links
    asked = questions_of(links.pairs["test"], links.relations["test"], num)
    found = rank_answers(head, h, asked, known_answers(graph), typed)
    triples = list(zip(graph.indices.tolist(), typed.edge_type.tolist(), graph.dst.tolist()))
    for split, pairs in links.pairs.items():
        triples += zip(pairs[:, 0].tolist(), links.relations[split].tolist(), pairs[:, 1].tolist())
    types = answer_types(asked.relations, typed).tolist()
    with torch.no_grad():
        tables = head.table(head.query(h[asked.nodes], asked.relations), h).tolist()
    for row, (node, relation, answer) in enumerate(
        zip(*(each.tolist() for each in (asked.nodes, asked.relations, asked.answers)))
    ):
        known = {t for s, r, t in triples if (s, r) == (node, relation)}
        known |= {s for s, r, t in triples if (t, r + num) == (node, relation)}
        allowed = (typed.node_type == types[row]).nonzero()[:, 0].tolist()
        assert tuple(found[row, :2].tolist()) == plain_ranks(tables[row], answer, known, allowed)


def test_the_best_answers_are_unknown_nodes_of_the_right_type() -> None:
    graph = split_edges(knowledge(), seed=0, negatives=False)
    head, h = TRIPLE_HEADS["distmult"](4, len(graph.typed.schema.relations)), torch.randn(graph.num_nodes, 4)
    lives = graph.typed.schema.relation("lives")
    ids, scores = best_answers(head, h, torch.tensor([3, 4]), lives, 5, known_answers(graph), graph.typed)
    places = set(graph.typed.nodes("place").tolist())
    home = [int(graph.typed.nodes("place")[node % 5]) for node in (3, 4)]
    for row in range(2):
        assert set(ids[row].tolist()) == places - {home[row]}
        assert scores[row].tolist() == sorted(scores[row].tolist(), reverse=True)


def test_drawn_negatives_are_unknown_and_of_the_answers_type() -> None:
    graph = split_edges(knowledge(), seed=0, negatives=False)
    typed, known = graph.typed, known_answers(graph)
    asked = questions_of(graph.links.pairs["train"], graph.links.relations["train"], known.num_relations)
    nodes, relations = asked.nodes.numpy(), asked.relations.numpy()
    sampler = NegativeSampler(graph, 3, known=known.all_pairs, types=typed.node_type)
    types = answer_types(asked.relations, typed).numpy()
    rows, ids = known.rows(nodes, relations), np.arange(len(nodes))
    drawn = sampler.destinations(nodes, ids, epoch=1, types=types, asked=rows)
    assert (typed.node_type.numpy()[drawn] == types[:, None]).all()
    assert not known.contains(nodes, relations, drawn).any()
    part = sampler.destinations(nodes[5:9], ids[5:9], epoch=1, types=types[5:9], asked=rows[5:9])
    assert np.array_equal(part, drawn[5:9])


@settings(max_examples=50)
@given(st.integers(1, 60), st.integers(0, 40), st.integers(0, 9))
def test_shared_negatives_are_different_nodes_keyed_by_the_batch(num, mine, batch) -> None:
    own = np.arange(mine)
    drawn = shared_nodes(own, 50, num, seed=1, epoch=2, batch=batch)
    assert len(drawn) == len(set(drawn.tolist())) == min(num, 50)
    assert drawn.min() >= 0 and drawn.max() < 50
    assert np.array_equal(drawn, shared_nodes(own, 50, num, seed=1, epoch=2, batch=batch))
    assert num >= 50 or set(own[: num // 2].tolist()) <= set(drawn.tolist())


def test_a_question_has_both_sides() -> None:
    asked = questions_of(torch.tensor([[1, 2], [3, 4]]), torch.tensor([0, 5]), 6)
    assert isinstance(asked, Questions)
    assert list(zip(*(each.tolist() for each in asked))) == [(1, 0, 2), (3, 5, 4), (2, 6, 1), (4, 11, 3)]
