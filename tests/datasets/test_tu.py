"""Files of the TU Dortmund collection."""

from __future__ import annotations

import pytest

from gnnkit.backends import build_model
from gnnkit.data import check_graph, summarize
from gnnkit.datasets import load_dataset
from gnnkit.datasets.files import Finder
from gnnkit.datasets.tu import TuCollection
from gnnkit.errors import ConfigError, DataError, DatasetError

SMALL = {
    "A": "1, 2\n2, 1\n3, 4\n4, 3\n4, 5\n",
    "graph_indicator": "1\n1\n2\n2\n2\n3\n",
    "graph_labels": "1\n-1\n1\n",
    "node_labels": "0\n5\n0\n0\n5\n7\n",
    "edge_labels": "1\n1\n0\n0\n1\n",
    "node_attributes": "0.5,1\n1,2\n1.5,3\n2,4\n2.5,5\n3,6\n",
}


@pytest.fixture
def small(tmp_path):
    folder = tmp_path / "SMALL" / "raw"
    folder.mkdir(parents=True)
    for part, text in SMALL.items():
        (folder / f"SMALL_{part}.txt").write_text(text)
    return folder


def load(root, name="TU-SMALL", **options):
    dataset = TuCollection(requested=name, **options)
    return dataset.read(dataset.locate(Finder(name, root, root / "cache", download=False)))


def test_small_files(small, tmp_path):
    graph = load(tmp_path)
    check_graph(graph)
    assert graph.graph_ptr.tolist() == [0, 2, 5, 6] and graph.graph_y.tolist() == [1, 0, 1]
    assert graph.edge_index.t().tolist() == [[1, 0], [0, 1], [3, 2], [2, 3], [3, 4]]
    assert graph.x[1].tolist() == [0, 1, 0, 1, 2] and graph.x[5].tolist() == [0, 0, 1, 3, 6]
    assert graph.edge_attr.tolist() == [[0, 1], [0, 1], [1, 0], [1, 0], [0, 1]]


def test_labels_and_attributes_may_be_absent(small, tmp_path):
    for part in ("node_labels", "edge_labels", "node_attributes"):
        (small / f"SMALL_{part}.txt").unlink()
    graph = load(tmp_path)
    assert graph.x is None and graph.edge_attr is None and graph.num_graphs == 3


@pytest.mark.parametrize(
    "part, text, message",
    [
        ("graph_indicator", "1\n1\n2\n2\n2\n4\n", "must name graphs 1 to 3 in order"),
        ("graph_indicator", "1\n1\n2\n2\n2\n", "must name graphs 1 to 3"),
        ("graph_labels", "1\n", "must name graphs 1 to 1"),
        ("A", "1, 7\n", "node ids from 1 to 6"),
        ("A", "1, x\n", "SMALL_A.txt cannot be read"),
        ("node_labels", "0\n5\n", "has 2 lines, expected 6"),
    ],
)
def test_damaged_files_are_named(small, tmp_path, part, text, message):
    (small / f"SMALL_{part}.txt").write_text(text)
    with pytest.raises(DatasetError, match=message):
        load(tmp_path)


def test_missing_files_and_names(tmp_path):
    with pytest.raises(DatasetError, match="NONE_A.txt"):
        load(tmp_path, "TU-NONE")
    with pytest.raises(ConfigError, match="TU-MUTAG"):
        load(tmp_path, "TU")


def test_mutag(data_dir):
    graph = load(data_dir, "TU-MUTAG")
    assert (graph.num_graphs, graph.num_nodes, graph.num_edges) == (188, 3371, 7442)
    assert graph.num_features == 7 and graph.edge_attr.shape == (7442, 4)
    assert graph.graph_y.bincount().tolist() == [63, 125]


def test_published_labels_name_classes_and_features(small, tmp_path):
    graph = load(tmp_path)
    assert graph.class_names == ("-1", "1")
    assert graph.feature_names == ("label 0", "label 5", "label 7", "attribute 0", "attribute 1")
    lines = summarize(graph)
    assert lines["graphs"] == "3, 2.0 nodes and 1.7 edges each on average"
    assert lines["labels"] == "2 classes (-1: 1, 1: 2), SMALL_graph_labels.txt"


def test_features_of_edges_stay_with_their_edges(small, tmp_path):
    (small / "SMALL_A.txt").write_text("4, 5\n2, 1\n4, 3\n1, 2\n3, 4\n")
    (small / "SMALL_edge_labels.txt").write_text("9\n2\n4\n2\n7\n")
    (small / "SMALL_edge_attributes.txt").write_text("0.5\n1\n2\n3\n4\n")
    graph = load(tmp_path)
    # Columns are the labels 2, 4, 7, 9, then the attribute.
    expected = {(3, 4): [0, 0, 0, 1, 0.5], (1, 0): [1, 0, 0, 0, 1], (3, 2): [0, 1, 0, 0, 2]}
    expected.update({(0, 1): [1, 0, 0, 0, 3], (2, 3): [0, 0, 1, 0, 4]})
    assert dict(zip(map(tuple, graph.edge_index.t().tolist()), graph.edge_attr.tolist())) == expected


def test_graph_attributes_are_numbers_to_regress(small, tmp_path):
    (small / "SMALL_graph_attributes.txt").write_text("0.5, 1\n-1, nan\n2.5, 3\n")
    both = load(tmp_path)
    assert both.graph_y.tolist() == [1, 0, 1] and both.graph_data["attributes"].shape == (3, 2)
    chosen = load(tmp_path, target="attributes")
    assert chosen.graph_y[:, 0].tolist() == [0.5, -1, 2.5] and chosen.graph_y[1, 1].isnan()
    assert chosen.graph_data["labels"].tolist() == [1, -1, 1] and chosen.class_names == ()
    assert summarize(chosen)["labels"] == "2 numbers to regress, SMALL_graph_attributes.txt"
    (small / "SMALL_graph_labels.txt").unlink()
    (small / "SMALL_graph_attributes.txt").write_text("0.5\n-1\n2.5\n")
    alone = load(tmp_path)
    assert alone.graph_y.tolist() == [0.5, -1, 2.5] and not alone.graph_data
    with pytest.raises(ConfigError, match="target is 'labels', but there is no SMALL_graph_labels.txt"):
        load(tmp_path, target="labels")
    (small / "SMALL_graph_attributes.txt").unlink()
    with pytest.raises(DatasetError, match="lacks SMALL_graph_labels.txt and SMALL_graph_attributes.txt"):
        load(tmp_path)


def test_degrees_are_features_of_nodes_without_any(small, tmp_path, cache):
    with pytest.raises(DatasetError, match="has 5 features already"):
        load_dataset("TU-SMALL", data_dir=tmp_path, make_features="one_hot_degree")
    for part in ("node_labels", "node_attributes"):
        (small / f"SMALL_{part}.txt").unlink()
    with pytest.raises(DataError, match=r"dataset.options.make_features=degree, =one_hot_degree"):
        build_model("gcn", load(tmp_path), out_channels=2)
    graph = load_dataset("TU-SMALL", data_dir=tmp_path, make_features="one_hot_degree")
    assert graph.x.argmax(dim=1).tolist() == graph.in_degrees.tolist() == [1, 1, 1, 1, 1, 0]
    assert graph.feature_names[::50] == ("degree 0", "degree 50", "degree 100 or more")
    with pytest.raises(ConfigError, match="Option 'target' of data set 'TU-SMALL'"):
        load(tmp_path, target="y")


def test_options_make_copies_of_their_own_in_the_cache(small, tmp_path):
    (small / "SMALL_graph_attributes.txt").write_text("0.5\n1\n2\n")
    for _ in range(2):
        assert load_dataset("TU-SMALL", data_dir=tmp_path).graph_y.tolist() == [1, 0, 1]
        chosen = load_dataset("TU-SMALL", data_dir=tmp_path, target="attributes")
        assert chosen.graph_y.tolist() == [0.5, 1, 2] and chosen.graph_data["labels"].tolist() == [1, -1, 1]
