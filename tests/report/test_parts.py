"""What a report computes, against counting by hand and against other libraries."""

from __future__ import annotations

from dataclasses import replace

import networkx as nx
import numpy as np
import pytest
import torch
from sklearn.datasets import make_blobs
from sklearn.neighbors import NearestNeighbors

import gnnkit
from gnnkit.data import statistics
from gnnkit.data.statistics import describe_graph
from gnnkit.errors import ConfigError
from gnnkit.report.maps import check_method, project, sample_nodes
from gnnkit.report.scores import score_classes
from gnnkit.report.style import class_label, drawable
from gnnkit.tasks import METRICS
from tests.graphs import communities, multi_label


def test_statistics_of_a_small_graph_by_hand() -> None:
    # 0 -> 1, 1 -> 0, 0 -> 2, 2 -> 2 (a loop), 3 -> 2 (3 has no label), 1 -> 2
    graph = gnnkit.from_edge_index(
        [[0, 1, 0, 2, 3, 1], [1, 0, 2, 2, 2, 2]],
        num_nodes=5,
        x=torch.zeros(5, 2),
        y=[0, 0, 1, -100, 1],
        splits={"train": [0], "valid": [1], "test": [2]},
    )
    found = describe_graph(graph)
    assert found.sizes == {
        "nodes": 5,
        "edges": 6,
        "features": 2,
        "classes": 2,
        "self-loops": 1,
        "nodes without an edge to them": 2,
    }
    assert found.degrees.tolist() == [2, 2, 0, 0, 1]
    assert (found.mean_degree, found.median_degree, found.max_degree) == (pytest.approx(1.2), 1, 4)
    assert found.undirected is False
    assert found.classes.tolist() == [[1, 1, 0, 0], [0, 0, 1, 1]]
    assert found.homophily is not None
    # Counted: 0 -> 1, 1 -> 0 within class 0; 0 -> 2 and 1 -> 2 across.
    assert found.homophily.edge == 0.5
    assert found.homophily.by_class.tolist() == [1.0, 0.0]
    assert found.homophily.chance == pytest.approx(4 / 4 * 2 / 4)
    assert found.homophily.adjusted == pytest.approx(0.0)


def test_homophily_agrees_with_networkx_in_one_chunk_and_in_many(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = communities(120)
    theirs = nx.MultiDiGraph()
    theirs.add_nodes_from((i, {"y": int(label)}) for i, label in enumerate(graph.y))
    theirs.add_edges_from((u, v) for u, v in graph.edge_index.T.tolist() if u != v)
    mixing = nx.attribute_mixing_matrix(theirs, "y")
    for chunk in (1 << 22, 7):
        monkeypatch.setattr(statistics, "_CHUNK_EDGES", chunk)
        found = describe_graph(graph).homophily
        assert found is not None
        assert found.edge == pytest.approx(np.trace(mixing))
        # Newman's assortativity is the same quantity.
        assert found.adjusted == pytest.approx(nx.attribute_assortativity_coefficient(theirs, "y"))


def test_data_without_classes_have_no_homophily() -> None:
    assert describe_graph(multi_label()).homophily is None
    assert describe_graph(replace(communities(60), y=None)).homophily is None


def test_class_scores() -> None:
    outputs = torch.eye(3)[[0, 0, 1, 2, 1, 0]]
    found = score_classes(outputs, torch.tensor([0, 1, 1, 2, 2, -100]), "test")
    assert found is not None
    assert found.num_nodes == 5 and found.accuracy == pytest.approx(3 / 5)
    assert found.confusion.tolist() == [[1, 0, 0], [1, 1, 0], [0, 1, 1]]
    assert found.precision.tolist() == [0.5, 0.5, 1.0] and found.recall.tolist() == [1.0, 0.5, 0.5]
    assert found.mistakes(5) == [(1, 0, 1), (2, 1, 1)]
    assert score_classes(outputs, torch.full((6,), -100), "test") is None


def test_macro_f1_is_the_metric_also_where_a_class_is_not_met() -> None:
    outputs, y = torch.eye(4)[[0, 0, 1, 3]], torch.tensor([0, 1, 1, 0])
    found = score_classes(outputs, y, "test")
    assert found is not None and found.macro_f1 == pytest.approx(METRICS["macro_f1"](outputs, y)) != found.f1.mean()


def test_class_scores_of_multi_label_data_leave_out_missing_entries() -> None:
    y = torch.tensor([[1.0, 0.0], [1.0, -100.0], [0.0, 1.0]])
    found = score_classes(torch.tensor([[2.0, 1.0], [-1.0, 5.0], [-1.0, 3.0]]), y, "test")
    assert found is not None and found.confusion is None and found.accuracy is None
    assert found.precision.tolist() == [1.0, 0.5] and found.recall.tolist() == [0.5, 1.0]
    assert found.support.tolist() == [2, 1]


@pytest.mark.parametrize("method", ["umap", "tsne", "pca"])
def test_maps_keep_groups_together_and_repeat(method: str) -> None:
    if method == "umap":
        pytest.importorskip("umap", reason="umap-learn is not installed")
    values, groups = make_blobs(150, n_features=60, centers=3, cluster_std=1.0, random_state=0)
    vectors = torch.from_numpy(values).float()
    points, taken = project(vectors, method)
    assert taken == method and points.shape == (150, 2)
    _, neighbours = NearestNeighbors(n_neighbors=4).fit(points).kneighbors()
    assert (groups[neighbours] == groups[:, None]).mean() > 0.95
    assert np.array_equal(points, project(vectors, method)[0])


@pytest.mark.parametrize(
    "vectors",
    [torch.rand(20, 8), torch.rand(100, 2), torch.rand(100, 1), torch.ones(100, 8), torch.rand(1, 8), torch.rand(3, 5)],
    ids=["few", "two wide", "one wide", "all alike", "one", "three"],
)
def test_what_has_nothing_to_unfold_is_put_down_by_pca(vectors: torch.Tensor) -> None:
    points, taken = project(vectors)
    assert taken == "pca" and points.shape == (len(vectors), 2) and np.isfinite(points).all()


def test_embeddings_that_are_not_finite_have_no_map() -> None:
    with pytest.raises(ConfigError, match="not finite"):
        project(torch.tensor([[1.0, float("nan"), 0.0]] * 60))


def test_an_unknown_method_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"'umpa', expected auto, umap, tsne, pca"):
        check_method("umpa")


def test_the_sample_is_bounded_labelled_and_always_the_same() -> None:
    graph = communities(120)
    y = graph.y.clone()
    y[:60] = -100
    graph = replace(graph, y=y)
    nodes = sample_nodes(graph, 25)
    assert nodes.numel() == 25 and int(nodes.min()) >= 60 and nodes.unique().numel() == 25
    assert torch.equal(nodes, sample_nodes(graph, 25))
    assert sample_nodes(graph, 1000).tolist() == list(range(60, 120))


@pytest.mark.parametrize(
    "name, shown",
    [
        ("Theory", "4 Theory"),
        ("4", "4"),
        ("", "4"),
        ("two\nlines", "4 two lines"),
        ("图神经网络", "4"),  # The font of the figures has no such letters.
        ("Clothing, Shoes & Jewellery", "4 Clothing, Shoe…wellery"),
    ],
)
def test_names_in_figures(name: str, shown: str) -> None:
    assert class_label(4, ["a", "b", "c", "d", name]) == shown
    assert len(drawable(name, "", 22)) <= 22
