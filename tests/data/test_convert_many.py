"""Conversions of many graphs: lists of networkx graphs, and what tables say of graphs."""

from __future__ import annotations

import logging

import networkx as nx
import pandas as pd
import pytest
import torch
from hypothesis import given, settings

from gnnkit.data import from_edge_index, from_networkx, from_pandas, join_graphs, split_graphs, to_networkx, to_pandas
from gnnkit.errors import DataError
from tests.data.many import assert_same, parts


@given(parts())
@settings(max_examples=60)
def test_lists_of_networkx_graphs(graphs):
    record = join_graphs(graphs)
    natives = [to_networkx(each) for each in split_graphs(record)]
    assert [native.number_of_nodes() for native in natives] == [each.num_nodes for each in graphs]
    assert_same(from_networkx(natives), record)


@given(parts())
@settings(max_examples=60)
def test_one_networkx_graph_of_many(graphs):
    record = join_graphs(graphs)
    assert_same(from_networkx(to_networkx(record)), record)
    assert_same(from_networkx(to_networkx(graphs[0])), graphs[0])


@given(parts())
@settings(max_examples=60)
def test_tables(graphs):
    for graph in (join_graphs(graphs), graphs[0]):
        nodes, edges = to_pandas(graph)
        assert_same(from_pandas(edges, nodes), graph)


def test_what_networkx_says_of_a_graph():
    record = from_edge_index(
        [[0, 2], [1, 1]],
        5,
        graph_ptr=[0, 3, 5],
        graph_y=[1, 0],
        graph_data={"fold": [3, 4]},
        graph_names=["CCO", "CC"],
        graph_splits={"train": [0]},
        name="set",
    )
    first, second = ({**to_networkx(each).graph} for each in split_graphs(record))
    assert "graph_y" not in first.pop("gnnkit")["fields"] and second.pop("gnnkit")
    assert first == {"name": "CCO", "y": 1, "fold": 3, "split": "train"}
    assert second == {"name": "CC", "y": 0, "fold": 4}
    assert to_networkx(from_edge_index([[0], [1]], name="pair")).graph["name"] == "pair"


def foreign():
    ring, path, lone = nx.cycle_graph(3), nx.DiGraph([("a", "b")]), nx.Graph()
    ring.graph.update(y="active", fold=0, split="train", smiles="C1CC1", node_default={})
    path.graph.update(y="inactive", fold=1, split="test", smiles="CC")
    lone.graph.update(fold=2, smiles="")
    return [ring, path, lone]


def test_networkx_graphs_of_other_origin(caplog):
    with caplog.at_level(logging.WARNING, "gnnkit.data"):
        graph = from_networkx(foreign())
    assert graph.graph_ptr.tolist() == [0, 3, 5, 5] and graph.num_edges == 7
    assert graph.graph_y.tolist() == [0, 1, -100] and graph.class_names == ("active", "inactive")
    assert graph.graph_data["fold"].tolist() == [0, 1, 2] and not graph.graph_names
    assert {name: ids.tolist() for name, ids in graph.graph_splits.items()} == {"train": [0], "test": [1]}
    assert "'smiles' of graphs (text)" in caplog.text and "node_default" not in caplog.text
    assert "'a'" not in caplog.text and "ids are not whole numbers" in caplog.text
    named = from_networkx(foreign()[:2], graph_name="smiles", graph_label="fold", class_names=["x", "y"], name="set")
    assert named.graph_names == ("C1CC1", "CC") and named.graph_y.tolist() == [0, 1]
    assert (named.class_names, named.name) == (("x", "y"), "set")


def test_ids_features_and_labels_of_nodes_in_a_list():
    first, second = nx.DiGraph(), nx.DiGraph()
    first.add_node(7, x=[1.0], y="red")
    second.add_node(0, x=[2.0], y="blue")
    second.add_node(1, x=[3.0], y="red")
    second.add_edge(1, 0, kind=4, edge_attr=[0, 1])
    first.graph["y"], second.graph["y"] = [0.5, 1], [1.5, 2]
    graph = from_networkx([first, second], node_data=[], edge_categories=[1, 2])
    assert graph.x.tolist() == [[1], [2], [3]] and graph.y.tolist() == [1, 0, 1]
    assert graph.edge_index.tolist() == [[2], [1]] and graph.edge_data["kind"].tolist() == [4]
    assert graph.edge_attr.tolist() == [[0, 1]] and graph.graph_y.tolist() == [[0.5, 1], [1.5, 2]]
    assert graph.node_data["node_id"].tolist() == [7, 0, 1]
    first.graph["y"] = second.graph["y"] = "good"
    with pytest.raises(DataError, match="labels of graphs are words"):
        from_networkx([first, second])


@pytest.mark.parametrize(
    ("labels", "read"), [([1, None], [1, -100]), ([0.5, None], [0.5, "nan"]), ([True, False], [1, 0])]
)
def test_labels_of_graphs(labels, read):
    natives = [nx.path_graph(2, nx.DiGraph) for _ in labels]
    for native, label in zip(natives, labels):
        if label is not None:
            native.graph["y"] = label
    assert str(from_networkx(natives).graph_y.tolist()) == str(read).replace("'", "")


def test_graphs_that_are_not_alike_are_named():
    graphs = [to_networkx(from_edge_index([[0], [1]], x=torch.ones(2, width))) for width in (1, 1, 2)]
    with pytest.raises(DataError, match=r"in x: graph 2 has float32 of shape \[rows, 2\], graph 0 has"):
        from_networkx(graphs)
    with pytest.raises(DataError, match="empty list"):
        from_networkx([])


def test_values_win_over_what_was_written_down_of_categories():
    graph = from_edge_index([[0], [1]], x=[[0], [3]], node_categories=[4], graph_y=[1])
    nodes, edges = to_pandas(graph)
    changed = from_pandas(edges, nodes.assign(x_0=[0.5, 2.0]))
    assert changed.node_categories == () and changed.x.tolist() == [[0.5], [2.0]]
    native = to_networkx(graph)
    native.graph["y"] = 0
    assert from_networkx(native).graph_y.tolist() == [0] and from_networkx(native).node_categories == (4,)
    codes = from_pandas(
        pd.DataFrame({"source": [0], "target": [1]}), pd.DataFrame({"x_0": [2, 0]}), node_categories=[3]
    )
    assert codes.x.dtype == torch.int64 and codes.node_categories == (3,)
