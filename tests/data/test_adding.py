"""Nodes and edges that come after a graph was built."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from gnnkit.data import add_nodes, check_graph, from_edge_index
from gnnkit.errors import DataError
from tests.graphs import multi_label


def triangle(**fields):
    return from_edge_index([[0, 1, 2], [1, 2, 0]], x=[[1.0, 0], [2, 0], [3, 0]], **fields)


def test_the_result_is_the_graph_built_at_once():
    grown = add_nodes(triangle(y=[0, 1, 0]), [[4, 5], [6, 7]], [[3, 0, 4, 1], [0, 4, 3, 2]], y=[1, -100])
    at_once = from_edge_index(
        [[0, 1, 2, 3, 0, 4, 1], [1, 2, 0, 0, 4, 3, 2]], x=[[1, 0], [2, 0], [3, 0], [4, 5], [6, 7]], y=[0, 1, 0, 1, -100]
    )
    for name in ("indptr", "indices", "x", "y"):
        assert torch.equal(getattr(grown, name), getattr(at_once, name)), name
    check_graph(grown)


def test_the_old_graph_is_left_alone_and_what_is_not_known_of_new_nodes_is_left_out():
    old = triangle(
        y=[0, 1, 0], splits={"train": [0, 1]}, class_names=["a", "b"], name="three", node_data={"age": [1, 2, 3]}
    )
    grown = add_nodes(old, [[4, 5]])
    assert (old.num_nodes, old.num_edges, dict(old.node_data).keys()) == (3, 3, {"age"})
    assert (grown.num_nodes, grown.num_edges, grown.name, grown.class_names) == (4, 3, "three", ("a", "b"))
    assert grown.splits["train"].tolist() == [0, 1] and grown.y.tolist() == [0, 1, 0, -100]
    assert grown.node_data == {}
    assert grown.in_degrees.tolist() == [1, 1, 1, 0]


def test_edges_alone():
    grown = add_nodes(triangle(), edge_index=[[0], [0]])
    assert (grown.num_nodes, grown.num_edges) == (3, 4)
    assert add_nodes(from_edge_index([[0], [1]]), edge_index=[[1], [0]]).num_edges == 2
    with pytest.raises(DataError, match="the graph has none"):
        add_nodes(from_edge_index([[0], [1]]), [[1.0]])


def test_weights_and_edge_features_move_with_their_edges():
    weighted = triangle(edge_weight=[0.1, 0.2, 0.3], edge_attr=[[1.0], [2.0], [3.0]])
    grown = add_nodes(weighted, [[4, 5]], [[3, 0], [0, 3]], edge_weight=[0.4, 0.5], edge_attr=[[4], [5]])
    found = dict(
        zip(map(tuple, grown.edge_index.T.tolist()), zip(grown.edge_weight.tolist(), grown.edge_attr[:, 0].tolist()))
    )
    expected = {(0, 1): (0.1, 1), (1, 2): (0.2, 2), (2, 0): (0.3, 3), (3, 0): (0.4, 4), (0, 3): (0.5, 5)}
    assert found == {edge: pytest.approx(values) for edge, values in expected.items()}


def test_weights_of_one_side_make_ones_of_the_other():
    ones = add_nodes(triangle(edge_weight=[0.5, 0.5, 0.5]), [[4, 5]], [[3], [0]]).edge_weight
    assert sorted(ones.tolist()) == [0.5, 0.5, 0.5, 1]
    assert sorted(add_nodes(triangle(), [[4, 5]], [[3], [0]], edge_weight=[0.5]).edge_weight.tolist()) == [0.5, 1, 1, 1]
    assert add_nodes(triangle(), [[4, 5]], [[3], [0]]).edge_weight is None


def test_features_take_the_type_of_the_graph_and_labels_its_form():
    graph = triangle()
    assert add_nodes(replace(graph, x=graph.x.half()), [[4, 5]]).x.dtype == torch.float16
    many = multi_label()
    assert add_nodes(many, many.x[:2]).y[-2:].unique().tolist() == [-100]


MISTAKES = {
    "width": (dict(x=[[1.0]]), "x", r"\[1, 1\], expected \[M, 2\]"),
    "edge to nobody": (dict(x=[[4, 5]], edge_index=[[0, 3], [4, 0]]), "edge_index", "row 0.*destination 4"),
    "form of edges": (dict(x=[[4, 5]], edge_index=[[0, 1, 2]]), "edge_index", r"expected \[2, K\]"),
    "weights": (dict(x=[[4, 5]], edge_index=[[3], [0]], edge_weight=[1, 2]), "edge_weight", "1 new edges"),
    "edge features": (dict(x=[[4, 5]], edge_index=[[3], [0]], edge_attr=[[1]]), "edge_attr", "the graph has none"),
    "labels": (dict(x=[[4, 5]], y=[1]), "y", "the graph has none"),
    "nan": (dict(x=[[4, float("nan")]]), "x", "row 3.*nan"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_what_does_not_fit_is_named(name):
    arguments, field, message = MISTAKES[name]
    with pytest.raises(DataError, match=message) as caught:
        add_nodes(triangle(), **arguments)
    assert caught.value.field == field


def test_edge_features_are_needed_where_there_are_some_and_one_graph_alone_can_grow():
    with pytest.raises(DataError, match="new edges have none"):
        add_nodes(triangle(edge_attr=[[1], [2], [3]]), [[4, 5]], [[3], [0]])
    with pytest.raises(DataError, match="several graphs"):
        add_nodes(triangle(graph_ptr=[0, 3]), [[4, 5]])
