"""Splits of edges: nothing to be judged stays among the messages, whatever the graph looks like."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gnnkit.data import (
    check_graph,
    check_leaks,
    fingerprint,
    from_edge_index,
    given_links,
    is_undirected,
    sample_non_edges,
    split_edges,
)
from gnnkit.errors import ConfigError, DataError
from tests.data.linked import multigraphs, pair_set

RING = [[0, 1, 2, 3, 4, 5, 6, 7, 8, 9], [1, 2, 3, 4, 5, 6, 7, 8, 9, 0]]


@given(multigraphs(), st.integers(0, 5), st.booleans() | st.none())
@settings(max_examples=150)
def test_every_pair_is_in_one_split_with_all_its_edges(graph, seed, undirected):
    split = split_edges(graph, valid=0.2, test=0.3, undirected=undirected, seed=seed, negatives=False)
    check_graph(split)
    links = split.links
    assert links.undirected == (is_undirected(graph) if undirected is None else undirected)
    sets = {name: pair_set(pairs, links.undirected) for name, pairs in links.pairs.items()}
    assert list(sets) == ["train", "valid", "test"]
    assert all(len(sets[name]) == len(pairs) for name, pairs in links.pairs.items())
    real = graph.edge_index.t()
    pairs = pair_set(real[real[:, 0] != real[:, 1]], links.undirected)
    assert set.union(*sets.values()) == pairs and sum(map(len, sets.values())) == len(pairs)
    kept = pair_set(split.edge_index.t(), links.undirected)
    loops = pair_set(real[real[:, 0] == real[:, 1]], links.undirected)
    assert kept == sets["train"] | loops
    assert check_leaks(split) == len(sets["valid"]) + len(sets["test"])
    if links.undirected:
        assert all(bool((pairs[:, 0] < pairs[:, 1]).all()) for pairs in links.pairs.values())


@given(multigraphs(), st.integers(0, 5))
@settings(max_examples=60)
def test_arrays_of_edges_go_with_their_edges(graph, seed):
    split = split_edges(graph, valid=0.2, test=0.3, seed=seed, negatives=False)
    before = {row: (s, d) for row, s, d in zip(graph.edge_data["row"].tolist(), *graph.edge_index.tolist())}
    after = {row: (s, d) for row, s, d in zip(split.edge_data["row"].tolist(), *split.edge_index.tolist())}
    assert after == {row: before[row] for row in after}
    assert torch.equal(split.edge_weight, split.edge_data["row"] + 1.0)


@given(multigraphs(), st.integers(0, 5), st.randoms(use_true_random=False))
@settings(max_examples=60)
def test_neither_the_order_of_edges_nor_the_day_changes_a_split(graph, seed, random):
    order = list(range(graph.num_edges))
    random.shuffle(order)
    edges, years = graph.edge_index[:, order], graph.edge_data["row"][order] // 4
    again = from_edge_index(edges, graph.num_nodes, edge_data={"year": years})
    here = from_edge_index(graph.edge_index, graph.num_nodes, edge_data={"year": graph.edge_data["row"] // 4})
    for how in ({}, {"by": "year"}):
        options = {"valid": 0.3, "test": 0.3, "seed": seed, "negatives": False, **how}
        try:
            one = split_edges(here, **options)
        except DataError:  # too few different times
            assume("by" not in how)
            raise
        other = split_edges(again, **options)
        for name in one.links.pairs:
            assert torch.equal(one.links.pairs[name], other.links.pairs[name])
        assert torch.equal(one.indices, other.indices) and torch.equal(one.indptr, other.indptr)


def test_another_seed_is_another_split_and_the_same_is_the_same():
    ring = from_edge_index(RING)
    first = split_edges(ring, valid=0.2, test=0.2, seed=3)
    assert fingerprint(first) == fingerprint(split_edges(ring, valid=0.2, test=0.2, seed=3))
    assert fingerprint(first) != fingerprint(split_edges(ring, valid=0.2, test=0.2, seed=4))


def test_a_split_of_share_0_is_left_out():
    ring = from_edge_index(RING)
    assert list(split_edges(ring, valid=0, test=0.3).links.pairs) == ["train", "test"]
    assert list(split_edges(ring, valid=0.3, test=0).links.negatives) == ["valid"]
    years = from_edge_index(RING, edge_data={"year": torch.arange(10)})
    assert {k: len(v) for k, v in split_edges(years, valid=0, test=0.3, by="year").links.pairs.items()} == {
        "train": 7,
        "test": 3,
    }


@given(multigraphs(), st.sampled_from([1, 3, 5]))
@settings(max_examples=80)
def test_by_time_nothing_to_be_learnt_is_later_than_what_is_judged(graph, every):
    times = graph.edge_data["row"] // every
    dated = from_edge_index(graph.edge_index, graph.num_nodes, edge_data={"when": times.double()})
    try:
        links = split_edges(dated, valid=0.2, test=0.2, by="when", negatives=False).links
    except DataError:
        assume(False)
    first = {}
    for source, target, when in zip(*dated.edge_index.tolist(), dated.edge_data["when"].tolist()):
        for pair in {(source, target), (target, source)} if links.undirected else {(source, target)}:
            first[pair] = min(first.get(pair, when), when)
    found = {name: [first[tuple(pair)] for pair in pairs.tolist()] for name, pairs in links.pairs.items()}
    assert max(found["train"]) < min(found["valid"]) and max(found["valid"]) < min(found["test"])


def test_equal_times_stay_together_on_the_earlier_side():
    graph = from_edge_index(RING, edge_data={"year": [1, 1, 2, 2, 2, 2, 3, 3, 3, 4]})
    links = split_edges(graph, valid=0.2, test=0.3, by="year", undirected=False).links  # cuts at 5 and 7
    assert {name: len(pairs) for name, pairs in links.pairs.items()} == {"train": 6, "valid": 3, "test": 1}


def test_labels_go_with_their_pairs_and_leave_the_messages():
    kinds, scores = [0, 1, 2, 0, 1, 2, 0, -1, 2, 0], np.linspace(0.5, 5, 10)
    graph = from_edge_index(RING, edge_data={"kind": kinds, "score": scores})
    split = split_edges(graph, valid=0.2, test=0.2, y="kind")
    assert list(split.edge_data) == ["score"] and not split.links.negatives
    for name, pairs in split.links.pairs.items():
        assert split.links.y[name].dtype == torch.int64
        expected = [-100 if kinds[source] == -1 else kinds[source] for source in pairs[:, 0].tolist()]
        assert split.links.y[name].tolist() == expected
    numbers = split_edges(graph, valid=0.2, test=0.2, y="score").links.y
    assert numbers["train"].is_floating_point() and sorted(torch.cat(list(numbers.values())).tolist()) == sorted(scores)
    check_graph(split)


@given(multigraphs(), st.booleans(), st.data())
@settings(max_examples=100)
def test_negatives_are_no_edges_and_all_different(graph, undirected, data):
    edges = graph.edge_index.t()
    nodes = range(graph.num_nodes)
    every = {(u, v) for u in nodes for v in nodes if (u < v if undirected else u != v)}
    free = every - pair_set(edges, undirected)
    num = data.draw(st.integers(0, len(free)))
    drawn = sample_non_edges(edges, graph.num_nodes, num, undirected=undirected, seed=data.draw(st.integers(0, 3)))
    assert drawn.shape == (num, 2)
    found = {tuple(pair) for pair in drawn.tolist()}
    assert len(found) == num and found <= free
    with pytest.raises(DataError, match="no negatives possible"):
        sample_non_edges(edges, graph.num_nodes, len(free) + 1, undirected=undirected)


@pytest.mark.parametrize("undirected", [True, False])
def test_negatives_are_uniform(undirected):
    edges = torch.tensor([[0, 1], [1, 2], [2, 0], [3, 4]])
    counts: dict = {}
    for seed in range(3000):
        for pair in sample_non_edges(edges, 6, 3, undirected=undirected, seed=seed).tolist():
            counts[tuple(pair)] = counts.get(tuple(pair), 0) + 1
    free = 15 - 4 if undirected else 30 - 4
    expected = 9000 / free
    assert len(counts) == free
    assert sum((count - expected) ** 2 / expected for count in counts.values()) < 3 * free  # chi-squared


def test_evaluation_has_as_many_negatives_as_pairs_that_no_split_holds():
    graph = from_edge_index(np.random.default_rng(0).integers(0, 40, (2, 300)), 40)
    links = split_edges(graph, valid=0.1, test=0.2).links
    assert {name: len(pairs) for name, pairs in links.negatives.items()} == {
        name: len(links.pairs[name]) for name in ("valid", "test")
    }
    real = set.union(*(pair_set(pairs, False) for pairs in links.pairs.values()))
    drawn = [pair_set(pairs, False) for pairs in links.negatives.values()]
    assert not (drawn[0] | drawn[1]) & real and not drawn[0] & drawn[1]


def complete(num_nodes):
    return from_edge_index(np.array([(u, v) for u in range(num_nodes) for v in range(num_nodes) if u != v]).T)


@pytest.mark.parametrize(
    ("graph", "options", "message"),
    [
        (from_edge_index(RING), {"valid": 0.5, "test": 0.6}, "shares are 0.5 and 0.6"),
        (from_edge_index(RING), {"valid": -0.1}, "shares are -0.1"),
        (from_edge_index(RING), {"valid": 0, "test": 0}, "nothing would be judged"),
        (from_edge_index(RING), {"seed": -1}, "seed is -1"),
        (from_edge_index([[], []], 3), {}, "has no edges"),
        (from_edge_index([[0, 1], [0, 1]]), {}, "all edges are self-loops"),
        (from_edge_index([[0, 1], [1, 2]]), {}, "2 pairs are too few to give 5% of them to 'valid'"),
        (from_edge_index(RING, edge_data={"age": torch.ones(10)}), {"by": "year"}, "no column 'year' for by.* 'age'"),
        (from_edge_index(RING), {"y": "kind"}, "no column 'kind' for y; the columns are: none"),
        (from_edge_index(RING, edge_data={"t": torch.ones(10, 2)}), {"by": "t"}, r"shape \[10, 2\]"),
        (from_edge_index(RING, edge_data={"t": torch.ones(10)}), {"by": "t"}, "1 different times leave no pair for"),
        (complete(6), {"valid": 0.2, "test": 0.2}, "no negatives possible: 6 are needed, and 0 of 15"),
        (from_edge_index(RING, graph_ptr=[0, 10]), {}, "several graphs"),
        (from_edge_index(RING, edge_data={"k": torch.arange(10) - 5}), {"y": "k"}, "label -5 is outside the classes"),
    ],
)
def test_what_cannot_be_split_is_refused(graph, options, message):
    with pytest.raises((ConfigError, DataError), match=message):
        split_edges(graph, **options)


def test_a_missing_time_is_refused_with_its_row():
    times = torch.arange(10.0)
    times[7] = float("nan")
    graph = from_edge_index(RING, edge_data={"t": times})
    row = int(graph.edge_data["t"].isnan().nonzero())
    with pytest.raises(DataError, match=f"row {row}: edge 7 -> 8 has the time nan.*; 1 lack one") as caught:
        split_edges(graph, by="t")
    assert caught.value.row == row


def test_two_labels_of_one_pair_are_refused():
    both = from_edge_index([[0, 1, 2], [1, 0, 1]], edge_data={"kind": [1, 2, 0]})
    with pytest.raises(DataError, match="edge 1 -> 0 has 2 and edge 0 -> 1 has 1, expected one label a pair"):
        split_edges(both, valid=0, test=0.5, y="kind", undirected=True)
    assert split_edges(both, valid=0, test=0.5, y="kind", undirected=False).links.y


def test_a_graph_is_split_once():
    split = split_edges(from_edge_index(RING), valid=0.2, test=0.2)
    with pytest.raises(DataError, match=r"has links already \(train 6, valid 2, test 2\)"):
        split_edges(split)
    with pytest.raises(DataError, match="has links already"):
        given_links(split, {"test": [[0, 2]]})


def test_given_pairs_are_taken_as_they_are():
    graph = from_edge_index([[0, 1], [1, 0]], 4)
    linked = given_links(
        graph,
        {"train": [[1, 0]], "val": np.array([[2, 1]])},
        y={"train": [1.5], "val": [2.0]},
        negatives={"val": [[0, 3]]},
    )
    assert linked.links.undirected and linked.links.pairs["train"].tolist() == [[1, 0]]
    assert linked.links.pairs["valid"].tolist() == [[2, 1]] and list(linked.links.negatives) == ["valid"]
    with pytest.raises(DataError, match=r"links.pairs\['train'\], row 1: destination 9 is out of range"):
        given_links(graph, {"train": [[1, 0], [0, 9]]})
