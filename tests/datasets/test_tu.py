"""Files of the TU Dortmund collection."""

from __future__ import annotations

import pytest

from gnnkit.data import check_graph
from gnnkit.datasets.files import Finder
from gnnkit.datasets.tu import TuCollection
from gnnkit.errors import ConfigError, DatasetError

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


def load(root, name="TU-SMALL"):
    dataset = TuCollection(requested=name)
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
