"""Transforms against dense matrices."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gnnkit.data import (
    add_self_loops,
    check_graph,
    fingerprint,
    from_edge_index,
    gcn_norm,
    normalize_features,
    prepare_graph,
    random_split,
    remove_self_loops,
    to_scipy,
    to_undirected,
)
from gnnkit.errors import ConfigError, DataError


@st.composite
def graphs(draw, repeated=False):
    num_nodes = draw(st.integers(1, 8))
    ids = st.integers(0, num_nodes - 1)
    edges = draw(st.lists(st.tuples(ids, ids), max_size=24, unique=not repeated))
    count = len(edges)
    weight = draw(st.none() | st.lists(st.integers(1, 9), min_size=count, max_size=count))
    return from_edge_index(
        np.array(edges, dtype=np.int64).reshape(-1, 2).T,
        num_nodes,
        edge_weight=weight,
        edge_attr=np.arange(1.0, 2 * count + 1).reshape(count, 2),
        edge_data={"place": np.arange(1, count + 1)},
    )


def dense(graph):
    return to_scipy(graph).toarray()


@given(graphs())
@settings(max_examples=60)
def test_add_self_loops(graph):
    looped = add_self_loops(graph)
    check_graph(looped)
    before = dense(graph)
    expected = before + np.diag((np.diag(before) == 0).astype(float))
    assert np.array_equal(dense(looped), expected)
    assert (looped.edge_weight is None) == (graph.edge_weight is None)
    old = looped.edge_data["place"] > 0
    assert torch.equal(looped.edge_index[:, old], graph.edge_index)
    assert torch.equal(looped.edge_attr[old], graph.edge_attr)
    assert not looped.edge_attr[~old].any()
    assert add_self_loops(looped) is looped


@given(graphs(repeated=True))
@settings(max_examples=60)
def test_self_loops_can_have_the_mean_of_the_edges_that_come_in(graph):
    looped = add_self_loops(graph, edge_fill="mean")
    old = looped.edge_data["place"] > 0
    assert torch.equal(looped.edge_attr[old], graph.edge_attr)
    for edge in (~old).nonzero()[:, 0].tolist():
        incoming = graph.edge_attr[graph.dst == looped.dst[edge]]
        expected = incoming.mean(dim=0) if len(incoming) else torch.zeros(2)
        torch.testing.assert_close(looped.edge_attr[edge], expected.to(looped.edge_attr.dtype))
    assert torch.equal(prepare_graph(graph, self_loops=True, gcn_norm=False).edge_attr, add_self_loops(graph).edge_attr)
    with pytest.raises(ConfigError, match="edge_fill is 'most'"):
        add_self_loops(graph, edge_fill="most")


@given(graphs(repeated=True))
@settings(max_examples=60)
def test_remove_self_loops(graph):
    bare = remove_self_loops(graph)
    check_graph(bare)
    before = dense(graph)
    assert np.array_equal(dense(bare), before - np.diag(np.diag(before)))
    keep = graph.indices != graph.dst
    assert torch.equal(bare.edge_data["place"], graph.edge_data["place"][keep])
    assert torch.equal(bare.edge_attr, graph.edge_attr[keep])


@given(graphs())
@settings(max_examples=60)
def test_to_undirected(graph):
    both = to_undirected(graph)
    check_graph(both)
    before = dense(graph)
    assert np.array_equal(dense(both), np.where(before != 0, before, before.T))
    attributes = {tuple(edge): row for edge, row in zip(graph.edge_index.T.tolist(), graph.edge_attr.tolist())}
    for (source, target), row in zip(both.edge_index.T.tolist(), both.edge_attr.tolist()):
        assert row == attributes.get((source, target), attributes.get((target, source)))
    assert fingerprint(to_undirected(both)) == fingerprint(both)


def test_to_undirected_adds_one_reverse_for_repeated_edges():
    both = to_undirected(from_edge_index([[0, 0], [1, 1]], edge_weight=[5.0, 7.0]))
    assert both.edge_index.tolist() == [[1, 0, 0], [0, 1, 1]]
    assert both.edge_weight.tolist() == [5, 5, 7]


@given(graphs(repeated=True))
@settings(max_examples=60)
def test_gcn_norm(graph):
    normed = gcn_norm(graph)
    adjacency = dense(graph)  # [source, destination]
    degrees = adjacency.sum(axis=0)
    scale = np.zeros_like(degrees)
    scale[degrees > 0] = degrees[degrees > 0] ** -0.5
    assert normed.edge_weight.dtype == torch.float32
    np.testing.assert_allclose(dense(normed), scale[:, None] * adjacency * scale[None, :], rtol=1e-5, atol=1e-7)


def test_gcn_norm_of_zero_and_negative_degrees_is_zero():
    graph = from_edge_index([[0, 1, 2], [1, 0, 2]], edge_weight=[1.0, -1.0, 0.0])
    assert gcn_norm(graph).edge_weight.tolist() == [0, 0, 0]


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_normalize_features(dtype):
    graph = from_edge_index([[], []], x=torch.tensor([[1, 3], [0, 0], [40_000, 40_000]], dtype=dtype))
    normed = normalize_features(graph)
    assert normed.x.dtype == dtype
    assert normed.x.tolist() == [[0.25, 0.75], [0, 0], [0.5, 0.5]]
    assert graph.x[0].tolist() == [1, 3]
    with pytest.raises(DataError, match="no features"):
        normalize_features(from_edge_index([[0], [1]]))


@given(st.integers(20, 200), st.floats(0.1, 0.7), st.floats(0.1, 0.25), st.integers(0, 99))
@settings(max_examples=40)
def test_random_split(num_nodes, train, valid, seed):
    y = np.arange(num_nodes) % 5
    y[::7] = -100
    graph = random_split(from_edge_index([[], []], y=y), train, valid, seed=seed)
    check_graph(graph)
    labelled = np.flatnonzero(y != -100)
    assert sorted(torch.cat(list(graph.splits.values())).tolist()) == labelled.tolist()
    assert abs(graph.splits["train"].numel() - train * len(labelled)) <= 0.5
    assert abs(graph.splits["valid"].numel() - valid * len(labelled)) <= 0.5


def test_random_split_depends_on_the_seed_alone():
    graph = from_edge_index([[], []], 50)
    first, again, other = (random_split(graph, seed=seed) for seed in (1, 1, 2))
    assert fingerprint(first) == fingerprint(again) != fingerprint(other)
    assert set(random_split(graph, 0.8, 0.2).splits) == {"train", "valid"}
    multi = from_edge_index([[], []], y=[[-100, 1], [-100, -100], [0, 1]])
    assert random_split(multi, 1.0, 0.0).splits["train"].tolist() == [0, 2]


@pytest.mark.parametrize("train, valid, seed", [(0.0, 0.2, 0), (0.9, 0.2, 0), (0.5, -0.1, 0), (0.6, 0.2, -1)])
def test_random_split_refuses_bad_settings(train, valid, seed):
    with pytest.raises(ConfigError, match="split"):
        random_split(from_edge_index([[], []], 50), train, valid, seed=seed)


def test_random_split_of_too_few_nodes():
    with pytest.raises(DataError, match="too few"):
        random_split(from_edge_index([[], []], 2))


def test_prepare_graph():
    graph = from_edge_index([[0, 1, 2], [1, 0, 1]], edge_weight=[2.0, 2.0, 1.0])
    assert prepare_graph(graph, self_loops=False, gcn_norm=False) is graph
    both = prepare_graph(graph, self_loops=True, gcn_norm=True)
    assert fingerprint(both) == fingerprint(gcn_norm(add_self_loops(graph)))
    check_graph(both)


@pytest.mark.parametrize("dtypes", [("float64", None), ("float32", "float64"), ("float64", "float32")])
def test_gcn_norm_is_as_exact_as_the_data(dtypes):
    x, weight = dtypes
    edges = [[0, 1, 2, 3, 3], [1, 2, 0, 0, 1]]
    graph = from_edge_index(edges, x=torch.ones(4, 1, dtype=getattr(torch, x)))
    if weight is not None:
        values = torch.tensor([0.1, 0.7, 1.3, 2.9, 0.3], dtype=getattr(torch, weight))
        graph = from_edge_index(edges, x=graph.x, edge_weight=values)
    prepared = prepare_graph(graph, self_loops=True, gcn_norm=True)
    adjacency = dense(add_self_loops(graph)).astype(np.float64)
    scale = adjacency.sum(axis=0) ** -0.5
    assert prepared.edge_weight.dtype == torch.float64
    np.testing.assert_allclose(dense(prepared), scale[:, None] * adjacency * scale, rtol=1e-14)
    assert gcn_norm(add_self_loops(graph)).edge_weight.equal(prepared.edge_weight)
    narrow = prepare_graph(graph, self_loops=True, gcn_norm=True, dtype=torch.float32)
    assert narrow.edge_weight.dtype == torch.float32
