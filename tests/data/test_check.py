"""Every rule of the record: bad data end in one message that names field and row."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse
import torch

from gnnkit.data import Graph, check_graph, from_csc, from_edge_index
from gnnkit.errors import DataError

NAN = float("nan")
EDGES = [[2, 0, 1], [1, 1, 0]]  # not in stored order, so that rows in messages must be the caller's
GOOD = {
    "x": [[1.0, 2.0]] * 4,
    "y": [0, 1, 1, -100],
    "edge_weight": [1.0, 2.0, 3.0],
    "edge_attr": [[1.0], [2.0], [3.0]],
    "splits": {"train": [0], "valid": [1], "test": [2]},
    "class_names": ("a", "b"),
}

BAD = [
    ({"x": [[1.0]] * 3, "num_nodes": 4}, "x", None, "x has 3 rows but the graph has 4 nodes"),
    ({"x": [1.0] * 4}, "x", None, "expected 2 dimensions. Use x[:, None]"),
    ({"x": [[1.0, 2.0], [1.0]]}, "x", None, "rows have different lengths"),
    ({"x": [["a"], ["b"]]}, "x", None, "expected a dense array of numbers"),
    ({"x": scipy.sparse.eye(4)}, "x", None, ".toarray()"),
    ({"x": [[1.0, 2.0], [1.0, 2.0], [1.0, NAN], [0.0, 0.0]]}, "x", 2, "column 1 is nan"),
    ({"x": [[1.0, 2.0], [-np.inf, 2.0], [1.0, NAN], [0.0, 0.0]]}, "x", 1, "column 0 is -inf"),
    ({"y": [0, 1]}, "y", None, "y has 2 rows but the graph has 4 nodes"),
    ({"y": [0, 1, 2, 0]}, "y", 2, "label 2 is outside the classes, expected 0 to 1"),
    ({"y": [0, -2, 1, 0]}, "y", 1, "label -2 is outside the classes"),
    ({"y": [0.0, 0.0, np.inf, 0.0]}, "y", 2, "infinite, expected a class 0, 1, ..., or a finite number to regress"),
    ({"y": [[0, 1, 1]] * 4}, "class_names", None, "2 names but y has 3 columns"),
    ({"y": np.zeros((4, 1, 1))}, "y", None, "expected [N] classes or [N, C]"),
    ({"edge_weight": [1.0, 2.0]}, "edge_weight", None, "edge_weight has 2 rows but the graph has 3 edges"),
    ({"edge_weight": [NAN, 2.0, 1.0]}, "edge_weight", 0, "value is nan, expected a finite number"),
    ({"edge_weight": [[1.0], [2.0], [1.0]]}, "edge_weight", None, "expected 1 dimension. Use edge_weight[:, 0]"),
    ({"edge_attr": [1.0, 2.0, 3.0]}, "edge_attr", None, "Use edge_attr[:, None]"),
    ({"edge_attr": [[1.0], [2.0]]}, "edge_attr", None, "edge_attr has 2 rows but the graph has 3 edges"),
    ({"edge_attr": [[1.0], [np.inf], [3.0]]}, "edge_attr", 1, "column 0 is inf"),
    ({"node_data": {"age": [1, 2]}}, "node_data['age']", None, "has 2 rows but the graph has 4 nodes"),
    ({"edge_data": {"time": [1, 2]}}, "edge_data['time']", None, "has 2 rows but the graph has 3 edges"),
    ({"splits": {"train": []}}, "splits['train']", None, "the split is empty"),
    ({"splits": {"train": [False] * 4}}, "splits['train']", None, "the split is empty"),
    ({"splits": {"train": [True] * 5}}, "splits['train']", None, "the mask has 5 entries but the graph has 4 nodes"),
    ({"splits": {"train": [[True]] * 4}}, "splits['train']", None, "expected one dimension"),
    ({"splits": {"train": [0.0, 1.0]}}, "splits['train']", None, "expected integers"),
    ({"splits": {"train": [0, 4]}}, "splits['train']", 1, "node 4 is out of range, expected 0 to 3"),
    ({"splits": {"train": [3, -1]}}, "splits['train']", 1, "node -1 is out of range"),
    ({"splits": {"train": [1, 0, 1]}}, "splits['train']", None, "node 1 is in the split more than once"),
    ({"splits": {"train": [0, 3], "test": [3, 2]}}, "splits", None, "node 3 is in both 'train' and 'test'"),
    ({"splits": {"train": [0], "holdout": [1]}}, "splits", None, "unknown split 'holdout'"),
    ({"splits": {"val": [0], "valid": [1]}}, "splits", None, "given twice"),
    ({"graph_ptr": [0, 2, 4]}, "graph_ptr", None, "edge 2 -> 1 runs from graph 1 to graph 0"),
    ({"graph_ptr": [0, 3]}, "graph_ptr", 1, "ends at 3 but there are 4 nodes"),
    ({"graph_ptr": [0, 4, 3, 4]}, "graph_ptr", 2, "3 follows 4, expected ascending"),
    ({"graph_ptr": [1, 4]}, "graph_ptr", 0, "starts at 1, expected 0"),
    ({"graph_ptr": [], "num_nodes": 4}, "graph_ptr", None, "it is empty"),
    ({"graph_ptr": [0, 3, 4], "graph_y": [1]}, "graph_y", None, "graph_y has 1 rows but the graph has 2 graphs"),
    ({"metric": "f2"}, "metric", None, "expected one of accuracy, macro_f1, rocauc"),
    ({"num_nodes": -1}, "num_nodes", None, "expected at least 0"),
]


def test_good_data_pass():
    check_graph(from_edge_index(EDGES, **GOOD))


@pytest.mark.parametrize("change, field, row, message", BAD, ids=[f"{case[1]}-{case[3][:30]}" for case in BAD])
def test_bad_field(change, field, row, message):
    with pytest.raises(DataError) as caught:
        from_edge_index(EDGES, **{**GOOD, **change})
    assert message in str(caught.value)
    assert (caught.value.field, caught.value.row) == (field, row)


@pytest.mark.parametrize(
    "edges, row, message",
    [
        ([[0, 3, 1], [1, 1, 0]], 1, "source 3 is out of range, expected 0 to 2. Node ids start at 0."),
        ([[0, 1, 1], [1, 1, 7]], 2, "destination 7 is out of range"),
        ([[0, -1, 1], [1, 1, 0]], 1, "source -1 is out of range"),
        ([[0.0, 1.0], [1.0, 0.0]], None, "expected integers"),
        ([[0, 1], [1, 2], [2, 0]], None, "shape is [3, 2], expected [2, E]. Transpose it."),
        ([0, 1, 2], None, "shape is [3], expected [2, E]"),
    ],
)
def test_bad_edges(edges, row, message):
    with pytest.raises(DataError) as caught:
        from_edge_index(edges, 3)
    assert message in str(caught.value)
    assert (caught.value.field, caught.value.row) == ("edge_index", row)


@pytest.mark.parametrize(
    "indptr, indices, field, row, message",
    [
        ([0, 2, 1, 2], [0, 1], "indptr", 2, "1 follows 2"),
        ([0, 1, 1, 3], [0, 1], "indptr", 3, "ends at 3 but there are 2 edges"),
        ([1, 1, 2], [0, 1], "indptr", 0, "starts at 1"),
        ([], [], "indptr", None, "it is empty"),
        ([[0, 1]], [0], "indptr", None, "expected one dimension"),
        ([0, 1, 2], [0, 9], "edge_index", 1, "source 9 is out of range"),
    ],
)
def test_bad_csc(indptr, indices, field, row, message):
    with pytest.raises(DataError) as caught:
        from_csc(indptr, indices)
    assert message in str(caught.value)
    assert (caught.value.field, caught.value.row) == (field, row)


@pytest.mark.parametrize(
    "change, field, message",
    [
        ({"indices": torch.tensor([0, 2, 1])}, "indices", "source 1 follows 2 at one destination"),
        ({"indices": torch.tensor([0, 1, 5])}, "indices", "source 5 is out of range"),
        ({"indptr": torch.tensor([0, 1, 3, 3], dtype=torch.int32)}, "indptr", "expected one dimension and int64"),
        ({"x": torch.ones(3, 2, dtype=torch.int64)}, "x", "dtype is torch.int64, expected floating point"),
        ({"x": np.ones((3, 2))}, "x", "received ndarray, expected a tensor"),
        ({"y": torch.zeros(3, dtype=torch.int32)}, "y", "expected [N] int64, or [N] or [N, C] floating point"),
        ({"splits": {"train": torch.tensor([True, False, False])}}, "splits['train']", "int64"),
        ({"graph_ptr": torch.tensor([0.0, 3.0])}, "graph_ptr", "expected [G + 1] int64"),
    ],
)
def test_bad_record(change, field, message):
    graph = Graph(indptr=torch.tensor([0, 1, 3, 3]), indices=torch.tensor([0, 0, 2]))
    check_graph(graph)
    with pytest.raises(DataError) as caught:
        check_graph(replace(graph, **change))
    assert message in str(caught.value)
    assert caught.value.field == field


def test_bad_value_beyond_the_first_chunk_has_its_own_row():
    features = torch.zeros(700, 8192)
    features[650, 5] = NAN
    with pytest.raises(DataError) as caught:
        from_edge_index([[], []], x=features)
    assert caught.value.row == 650


def test_sparse_tensor_is_refused():
    with pytest.raises(DataError, match="Use to_dense"):
        from_edge_index([[0], [1]], x=torch.eye(2).to_sparse())


def test_large_features_are_looked_at_in_pieces():
    graph = from_edge_index(torch.tensor([[0], [1]]), 5000, x=torch.zeros(5000, 4))
    check_graph(graph, most_values=2000)
    for row in (0, 4999):
        spoilt = graph.x.clone()
        spoilt[row, 2] = float("nan")
        with pytest.raises(DataError, match=f"row {row}: column 2 is nan"):
            check_graph(replace(graph, x=spoilt), most_values=2000)
    spoilt = graph.x.clone()
    spoilt[7::10] = float("inf")
    with pytest.raises(DataError, match="expected a finite number"):
        check_graph(replace(graph, x=spoilt), most_values=5000)
    spoilt = graph.x.clone()
    spoilt[10] = float("nan")
    check_graph(replace(graph, x=spoilt), most_values=1024)
    with pytest.raises(DataError, match="row 10"):
        check_graph(replace(graph, x=spoilt))


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_edges_out_of_order_are_found_whatever_the_pieces(size, monkeypatch):
    monkeypatch.setattr("gnnkit.data.check._CHUNK_VALUES", size)
    indptr = torch.tensor([0, 0, 3, 3, 6, 8])
    check_graph(Graph(indptr, torch.tensor([1, 2, 4, 0, 0, 3, 1, 2])))
    for bad, row in (([1, 4, 2, 0, 0, 3, 1, 2], 2), ([1, 2, 4, 0, 3, 0, 1, 2], 5), ([1, 2, 4, 0, 0, 3, 2, 1], 7)):
        with pytest.raises(DataError, match=f"indices, row {row}"):
            check_graph(Graph(indptr, torch.tensor(bad)))
