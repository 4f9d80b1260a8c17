"""Data sets that need no files: digits, karate, synthetic."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings

from gnnkit.data import check_graph, fingerprint, to_undirected
from gnnkit.datasets import datasets, load_dataset
from gnnkit.errors import ConfigError, UnknownNameError


def is_simple_and_undirected(graph) -> bool:
    edges = graph.edge_index
    keys = edges[1] * graph.num_nodes + edges[0]
    return (
        bool((edges[0] != edges[1]).all() and (keys.diff() > 0).all())
        and to_undirected(graph) is not None
        and (to_undirected(graph).num_edges == graph.num_edges)
    )


def test_every_data_set_has_a_name_and_a_summary():
    ours = ["citeseer", "cora", "digits", "facebook_large", "folder", "karate", "ogbn", "pubmed", "synthetic"]
    assert set(ours) <= set(datasets.names())
    for name in ours:
        cls = datasets.load(name)
        assert cls.name == name
        assert 10 < len(cls.summary) < 100


def test_digits_are_linked_to_digits_that_look_alike():
    graph = load_dataset("digits")
    assert (graph.num_nodes, graph.num_features, graph.num_classes) == (1797, 64, 10)
    assert graph.x.min() >= 0 and graph.x.max() == 1
    assert is_simple_and_undirected(graph)
    assert graph.in_degrees.min() >= 8
    assert (graph.y[graph.indices] == graph.y[graph.dst]).float().mean() > 0.9
    assert sum(ids.numel() for ids in graph.splits.values()) == 1797
    assert [ids.numel() for ids in load_dataset("digits", neighbors=3).splits.values()] == [1078, 359, 360]


def test_the_links_of_digits_do_not_depend_on_labels_or_seed_but_the_split_does():
    one, other = load_dataset("digits", seed=1), load_dataset("digits", seed=2)
    assert torch.equal(one.indices, other.indices)
    assert not torch.equal(one.splits["train"], other.splits["train"])
    assert fingerprint(one) == fingerprint(load_dataset("digits", seed=1))


def test_karate_is_the_graph_that_networkx_has():
    networkx = pytest.importorskip("networkx")
    graph = load_dataset("karate")
    expected = {frozenset(edge) for edge in networkx.karate_club_graph().edges}
    assert {frozenset(edge) for edge in graph.edge_index.t().tolist()} == expected
    assert graph.num_edges == 2 * len(expected) == 156
    assert graph.y[graph.splits["train"]].tolist() == [1, 3, 0, 2]
    assert graph.y.bincount().tolist() == [13, 12, 4, 5]
    assert sorted(torch.cat(list(graph.splits.values())).tolist()) == list(range(34))


@settings(max_examples=15)
@given(st.integers(8, 300), st.integers(2, 8), st.integers(1, 20), st.booleans(), st.data())
def test_synthetic_has_the_size_asked_for(num_nodes, num_classes, num_features, multi_label, data):
    num_edges = data.draw(st.integers(0, num_nodes * 2))
    options = dict(num_nodes=num_nodes, num_edges=min(num_edges, num_nodes * (num_nodes - 1) // 8))
    options.update(num_classes=num_classes, num_features=num_features, multi_label=multi_label, homophily=0.5)
    seed = data.draw(st.integers(0, 1000))
    graph = load_dataset("synthetic", seed=seed, **options)
    check_graph(graph)
    assert graph.num_nodes == num_nodes
    assert graph.num_edges == 2 * options["num_edges"]
    assert graph.num_features == num_features
    assert graph.num_classes == num_classes
    assert graph.is_multi_label == multi_label
    assert is_simple_and_undirected(graph)
    assert fingerprint(graph) == fingerprint(load_dataset("synthetic", seed=seed, **options))
    assert fingerprint(graph) != fingerprint(load_dataset("synthetic", seed=seed + 1, **options))


@pytest.mark.parametrize("homophily", [0.0, 0.3, 0.9])
def test_synthetic_edges_stay_in_their_community_as_often_as_asked(homophily):
    graph = load_dataset("synthetic", num_nodes=5000, num_edges=20_000, homophily=homophily)
    share = (graph.y[graph.indices] == graph.y[graph.dst]).float().mean()
    # Repeats, of which there are more inside of a community, are drawn again.
    assert share == pytest.approx(homophily, abs=0.03)


def test_synthetic_degrees_are_heavy_tailed():
    degrees = load_dataset("synthetic", num_nodes=20_000, num_edges=100_000).in_degrees.float()
    assert degrees.mean() == 10
    assert degrees.median() < 8
    assert degrees.max() > 150


def test_synthetic_features_tell_the_classes_without_noise():
    graph = load_dataset("synthetic", feature_noise=0.0)
    assert len(torch.unique(graph.x, dim=0)) == graph.num_classes
    assert graph.y.bincount().tolist() == [250] * 8


def test_synthetic_multi_label_and_train_share():
    graph = load_dataset("synthetic", multi_label=True, train=0.1)
    assert graph.metric == "rocauc"
    assert [ids.numel() for ids in graph.splits.values()] == [200, 900, 900]
    assert 1.5 < graph.y.sum(dim=1).mean() < 1.9


@pytest.mark.parametrize(
    ("name", "options", "error", "message"),
    [
        ("digitz", {}, UnknownNameError, "Did you mean 'digits'"),
        ("cora-x", {}, UnknownNameError, "Unknown data set 'cora-x'"),
        ("digits", {"neighbours": 3}, UnknownNameError, "Did you mean 'neighbors'"),
        ("digits", {"neighbors": "3"}, ConfigError, "'neighbors'.* is '3', expected int"),
        ("digits", {"neighbors": 1797}, ConfigError, "1 to 1796"),
        ("digits", {"seed": -1}, ConfigError, "seed is -1"),
        ("synthetic", {"multi_label": 1}, ConfigError, "expected bool"),
        ("synthetic", {"num_edges": 10**9}, ConfigError, "0 to 1999000"),
        ("synthetic", {"train": 1}, ConfigError, "between 0 and 1"),
        ("synthetic", {"num_nodes": 40, "num_edges": 700, "homophily": 1.0}, ConfigError, "too many"),
    ],
)
def test_bad_names_and_options_are_refused(name, options, error, message):
    with pytest.raises(error, match=message):
        load_dataset(name, **options)
