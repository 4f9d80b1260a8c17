"""The identity of data: which part differs is named, and nothing else counts."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gnnkit.data import (
    add_self_loops,
    check_same_data,
    data_differences,
    describe_data,
    fingerprint,
    from_edge_index,
    is_undirected,
    to_undirected,
)
from gnnkit.errors import OtherDataError
from tests.graphs import communities

CHANGES = {
    "features": lambda g: replace(g, x=g.x.clone().index_fill(0, torch.tensor([3]), 0.5)),
    "labels": lambda g: replace(g, y=g.y.roll(1)),
    "splits": lambda g: replace(g, splits={**g.splits, "valid": g.splits["test"], "test": g.splits["valid"]}),
    "edge weights": lambda g: replace(g, edge_weight=torch.ones(g.num_edges)),
    "other arrays": lambda g: replace(g, node_data={"year": torch.arange(g.num_nodes)}),
}


@pytest.mark.parametrize("part", CHANGES)
def test_the_part_that_differs_is_named(part):
    graph = communities()
    other = CHANGES[part](graph)
    assert data_differences(describe_data(graph), describe_data(other)) == [part]
    assert fingerprint(graph) != fingerprint(other)
    with pytest.raises(OtherDataError, match=f"what differs: {part}. Do this."):
        check_same_data(describe_data(graph), describe_data(other), "Do this.")


def test_names_of_classes_belong_to_the_labels():
    graph = communities()
    named = replace(graph, class_names=("a", "b", "c"))
    assert data_differences(describe_data(graph), describe_data(named)) == ["labels"]


def test_the_name_and_the_memory_count_for_nothing():
    graph = communities()
    other = replace(graph, name="another", x=graph.x.t().contiguous().t())
    assert data_differences(describe_data(graph), describe_data(other)) == []
    assert fingerprint(graph) == fingerprint(other)


def test_edges_come_with_their_sizes():
    graph = to_undirected(replace(communities(), edge_attr=None))
    looped = add_self_loops(graph)
    (phrase,) = data_differences(describe_data(graph), describe_data(looped))
    loops = describe_data(graph)["num_self_loops"]
    assert phrase == (
        f"edges ({graph.num_edges:,} with {loops} self-loops, undirected; "
        f"{looped.num_edges:,} with 240 self-loops, undirected)"
    )


def test_direction_across_chunks(monkeypatch):
    graph = communities()
    monkeypatch.setattr(sys.modules["gnnkit.data.fingerprint"], "_CHUNK_EDGES", 7)
    assert not is_undirected(graph)
    assert is_undirected(to_undirected(graph))


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=12))
def test_direction(pairs):
    graph = from_edge_index(torch.tensor(pairs, dtype=torch.long).reshape(-1, 2).t(), 6)
    assert is_undirected(graph) == (set(pairs) == {(v, u) for u, v in pairs})
    assert is_undirected(to_undirected(graph))
    assert describe_data(graph)["num_self_loops"] == sum(u == v for u, v in pairs)


def test_large_arrays_count_in_pieces(monkeypatch):
    monkeypatch.setattr(sys.modules["gnnkit.data.fingerprint"], "MOST_VALUES", 1000)
    torch.manual_seed(0)
    graph = from_edge_index(torch.randint(0, 3000, (2, 4000)), 3000, x=torch.randn(3000, 8))
    before = describe_data(graph)
    assert before["undirected"] is None and before["num_self_loops"] is None
    seen = set()
    for row in range(0, 3000, 7):
        changed = graph.x.clone()
        changed[row] += 1
        seen.add(bool(data_differences(before, describe_data(replace(graph, x=changed)))))
    assert seen == {True, False}, "some rows count and some do not"
    for row in (0, 2999):
        changed = graph.x.clone()
        changed[row] += 1
        assert data_differences(before, describe_data(replace(graph, x=changed))) == ["features"]
    wider = replace(graph, x=graph.x.repeat(1, 2))
    assert data_differences(before, describe_data(wider)) == ["features"]
    fewer = from_edge_index(graph.edge_index[:, 1:], 3000, x=graph.x)
    assert data_differences(before, describe_data(fewer)) == ["edges (4,000; 3,999)"]
