"""Labels from every reader: missing ones, codes with gaps, numbers to regress, words."""

from __future__ import annotations

import math

import networkx as nx
import numpy as np
import pandas as pd
import pytest
import torch

from gnnkit.data import add_nodes, from_edge_index, from_networkx, from_pandas
from gnnkit.errors import DataError
from tests.data.readers import read_labels, readers

NAN = float("nan")


@pytest.mark.parametrize("reader", readers())
@pytest.mark.parametrize(
    "y, dtype",
    [
        ([0, -1, 2, 1], "int64"),
        ([0, -100, 2, 1], "int32"),
        ([0, 255, 2, 1], "uint8"),
        ([0, NAN, 2, 1], "float64"),
        ([0, -1, 2, 1], "float32"),
    ],
)
def test_every_mark_of_a_missing_label_is_one(reader, y, dtype):
    graph = read_labels(reader, y, dtype)
    assert graph.y.tolist() == [0, -100, 2, 1]
    assert graph.num_classes == 3


@pytest.mark.parametrize("reader", readers())
def test_every_mark_counts_in_multi_label_data(reader):
    if reader == "pandas":
        nodes = pd.DataFrame({"id": range(4), "y_0": [0, 1, -1, 0], "y_1": [1, -1, 0, 0]})
        graph = from_pandas(pd.DataFrame({"source": [0], "target": [1]}), nodes)
    else:
        graph = read_labels(reader, [[0, 1], [1, -1], [-1, 0], [0, 0]], "float32")
    assert graph.y.tolist() == [[0, 1], [1, -100], [-100, 0], [0, 0]]


@pytest.mark.parametrize("mark", [None, NAN, "", "NA", "nan", "None", "null", -1, -100, "-1"])
@pytest.mark.parametrize("reader", ["pandas", "networkx"])
def test_words_for_a_missing_label_are_no_class(reader, mark):
    labels = ["cat", mark, "ant"]
    if reader == "pandas":
        nodes = pd.DataFrame({"id": range(3), "label": pd.Series(labels, dtype=object)})
        graph = from_pandas(pd.DataFrame({"source": [0], "target": [1]}), nodes)
    else:
        native = nx.path_graph(3)
        nx.set_node_attributes(native, dict(enumerate(labels)), "y")
        graph = from_networkx(native)
    assert graph.class_names == ("ant", "cat")
    assert graph.y.tolist() == [1, -100, 0]


def test_marks_can_be_chosen():
    nodes = pd.DataFrame({"id": range(2), "label": ["none", "one"]})
    edges = pd.DataFrame({"source": [0], "target": [1]})
    assert from_pandas(edges, nodes, missing=()).class_names == ("none", "one")
    assert from_pandas(edges, nodes, class_names=("none", "one")).y.tolist() == [0, 1]


@pytest.mark.parametrize("reader", readers())
@pytest.mark.parametrize(
    "y, words",
    [
        ([0, 90210, 1, 0], "90,211 outputs.*renumber_classes"),
        ([0, 2**60, 1, 0], "outputs.*renumber_classes"),
        ([0.5, 1.0, math.inf, 0.9], "infinite"),
        ([1, -1, -1, 1], "-1 and 1 alone"),
    ],
)
def test_what_is_no_class_is_refused_with_the_way_out(reader, y, words):
    with pytest.raises(DataError, match=words):
        read_labels(reader, y)


@pytest.mark.parametrize("reader", readers())
def test_numbers_to_regress_stay_numbers(reader):
    graph = read_labels(reader, [0.5, NAN, 2.0, 1.0])
    assert graph.has_numbers and graph.num_classes == 0 and graph.has_label.tolist() == [True, False, True, True]
    assert graph.y.nan_to_num(9).tolist() == [0.5, 9, 2, 1]


def test_too_many_whole_numbers_are_no_classes_unless_they_have_names():
    y = np.arange(764).repeat(3) * 100
    graph = from_edge_index([[0], [1]], y=y)
    assert graph.has_numbers and graph.y.tolist() == y.tolist()
    names = [str(number) for number in range(76301)]
    assert from_edge_index([[0], [1]], y=y, class_names=names).num_classes == 76301


def test_names_say_that_gaps_are_meant():
    names = [str(number) for number in range(1000)]
    assert from_edge_index([[0], [1]], y=[999, 3], class_names=names).num_classes == 1000
    grown = add_nodes(from_edge_index([[0], [1]], x=[[1], [2]], y=[999, 3], class_names=names), [[1]], y=[500])
    assert grown.y.tolist() == [999, 3, 500]
    with pytest.raises(DataError, match="renumber"):
        add_nodes(from_edge_index([[0], [1]], x=[[1], [2]], y=[0, 3]), [[1]], y=[500])


def test_large_data_with_few_labels_pass():
    y = np.full(100_000, np.nan, dtype=np.float32)
    y[:1720] = np.arange(1720) % 172
    assert from_edge_index([[0], [1]], y=y).num_classes == 172


@pytest.mark.parametrize(
    "labels, classes, names",
    [
        ([90210, 10001, -100, 90210], [1, 0, -100, 1], ("10001", "90210")),
        (torch.tensor([-1, 1, 1]), [0, 1, 1], ("-1", "1")),
        (np.array([2.0, NAN, 5.0]), [0, -100, 1], ("2", "5")),
        (["b", None, "a", "n/a"], [1, -100, 0, -100], ("a", "b")),
    ],
)
def test_renumbering(labels, classes, names):
    from gnnkit.data import renumber_classes

    found = renumber_classes(labels)
    assert (found[0].tolist(), found[1]) == (classes, names)
    graph = from_edge_index([[0], [1]], y=found[0], class_names=found[1])
    assert graph.y.tolist() == classes


def test_renumbering_refuses_a_mixture():
    from gnnkit.data import renumber_classes

    with pytest.raises(DataError, match="mixed"):
        renumber_classes(["a", 1, math.pi])
