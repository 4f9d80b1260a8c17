"""Typed graphs there and back: networkx, tables of pandas, saved folders."""

from __future__ import annotations

import tempfile

import networkx as nx
import pandas as pd
import pytest
import torch
from hypothesis import given, settings

from gnnkit.data import from_networkx, from_pandas, join_graphs, split_graphs, to_networkx, to_pandas, to_typed
from gnnkit.data.typed_convert import put_together, take_apart
from gnnkit.datasets import load_dataset, load_graph, save_graph
from gnnkit.errors import DataError, DatasetError
from tests.data.typed_graphs import same, typed_graphs

PEOPLE = pd.DataFrame({"id": ["ann", "bob", "cat"], "label": ["x", None, "y"], "x_0": [1.0, 2.0, 3.0]})
KNOWS = pd.DataFrame({"from": ["bob", "ann"], "to": ["ann", "cat"], "weight": [1.0, 2.0]})


@given(typed_graphs())
@settings(max_examples=40)
def test_networkx(graph):
    native = to_networkx(graph)
    assert isinstance(native, nx.MultiDiGraph)
    assert same(from_networkx(native), graph)


@given(typed_graphs())
@settings(max_examples=25)
def test_tables(graph):
    nodes, edges = to_pandas(graph)
    assert list(nodes) == list(graph.typed.schema.node_types) and list(edges) == list(graph.typed.num_edges)
    assert same(from_pandas(edges, nodes), graph)
    assert same(from_pandas(nodes, edges), graph)


@given(typed_graphs())
@settings(max_examples=20)
def test_saved_folders(graph):
    with tempfile.TemporaryDirectory() as folder:
        save_graph(graph, folder + "/graph")
        loaded = load_graph(folder + "/graph")
        assert same(loaded, graph)
    assert loaded.typed.schema == graph.typed.schema and loaded.typed.feature_names == graph.typed.feature_names


def test_a_folder_of_a_typed_graph_that_was_changed_is_refused(tmp_path):
    save_graph(load_dataset("publications", num_papers=60), tmp_path / "saved")
    meta = tmp_path / "saved" / "meta.json"
    assert '"format": 3' in meta.read_text()
    meta.write_text(meta.read_text().replace('"disputes"', '"cites"'))
    with pytest.raises(DatasetError, match="is damaged"):
        load_graph(tmp_path / "saved")


def test_lists_of_networkx_graphs():
    graphs = [load_dataset("publications", num_papers=60, seed=seed) for seed in (0, 1)]
    record = join_graphs(graphs, graph_names=["first", "second"])
    natives = [to_networkx(each) for each in split_graphs(record)]
    again = from_networkx(natives)
    assert same(again, record) and again.graph_names == record.graph_names
    with pytest.raises(DataError, match="several typed graphs, which become a list"):
        to_networkx(record)


def test_a_networkx_graph_of_someone_else():
    graph = nx.MultiGraph()
    graph.add_node("ann", kind="person", age=3)
    graph.add_node("report", kind="paper", x=[1.0, 2.0])
    graph.add_node("bob", kind="person", age=5)
    graph.add_edge("ann", "bob", key="knows")
    graph.add_edge("ann", "report", relation="wrote", weight=2.0)
    read = from_networkx(graph, node_type="kind")
    parts = to_typed(read)
    assert read.typed.schema.node_types == ("person", "paper")
    assert {label: ends.tolist() for label, ends in parts["edges"].items()} == {
        "person:knows:person": [[1, 0], [0, 1]],
        "person:wrote:paper": [[0], [0]],
        "paper:wrote:person": [[0], [0]],
    }
    assert parts["reverses"]["person:wrote:paper"] == "paper:wrote:person"
    assert parts["reverses"]["person:knows:person"] == "person:knows:person"
    assert parts["node_data"]["person"]["age"].tolist() == [3, 5]
    assert parts["edge_weight"]["person:wrote:paper"].tolist() == [2.0]


@pytest.mark.parametrize(
    "nodes, edges, words",
    [
        ({"a": {}, "b": {"type": "t"}}, [], "in type, row 0: node 'a' has no attribute 'type'"),
        ({"a": {"type": "t"}}, [("a", "a", {})], "in relation, row 0: this edge has no attribute 'relation'"),
        (
            {"a": {"type": "t", "x": [1.0]}, "b": {"type": "t"}},
            [],
            "x of 't', row 1|in x, row 1: this node has no attribute",
        ),
        ({"a": {"type": "t:u"}}, [], "node type 't:u' has a colon"),
    ],
)
def test_networkx_graphs_that_cannot_be_read(nodes, edges, words):
    graph = nx.DiGraph()
    graph.add_nodes_from(nodes.items())
    graph.add_edges_from(edges)
    with pytest.raises(DataError, match=words):
        from_networkx(graph, node_type="type")


def test_tables_of_someone_else():
    wrote = pd.DataFrame({"src": ["cat", "ann"], "dst": ["p1", "p2"]})
    graph = from_pandas(
        {("person", "knows", "person"): KNOWS, "person:wrote:paper": wrote}, {"person": PEOPLE}, name="office"
    )
    parts = to_typed(graph)
    assert graph.name == "office" and graph.typed.num_nodes == {"person": 3, "paper": 2}
    assert parts["edges"]["person:wrote:paper"].tolist() == [[2, 0], [0, 1]]
    assert parts["edges"]["person:knows:person"].tolist() == [[1, 0], [0, 2]]
    assert parts["edge_weight"]["person:knows:person"].tolist() == [1.0, 2.0]
    assert parts["y"]["person"].tolist() == [0, -100, 1] and parts["class_names"] == {"person": ("x", "y")}


@pytest.mark.parametrize(
    "edges, nodes, words",
    [
        ({"person:knows:person": KNOWS.assign(to="dan")}, {"person": PEOPLE}, "node 'dan' is not in the node table"),
        ({"person:knows:person": KNOWS[["to"]]}, {"person": PEOPLE}, "of 'person:knows:person': there is no column"),
        ({"knows": KNOWS}, {"person": PEOPLE}, "the relation is 'knows', expected"),
        ({"person:knows:person": KNOWS}, PEOPLE, "in nodes: received DataFrame, expected data frames by type"),
        ({"person:knows:person": KNOWS}, {"person": pd.concat([PEOPLE, PEOPLE])}, "node 'ann' has two rows"),
    ],
)
def test_tables_that_cannot_be_read(edges, nodes, words):
    with pytest.raises(DataError, match=words):
        from_pandas(edges, nodes)


def test_reverses_of_tables():
    known = pd.DataFrame({"from": ["ann", "cat"], "to": ["bob", "ann"]})
    tables = {"person:knows:person": KNOWS, "person:known_by:person": known}
    graph = from_pandas(tables, {"person": PEOPLE}, reverses={"knows": "known_by"})
    assert [relation.reverse for relation in graph.typed.schema.relations] == [1, 0]
    with pytest.raises(DataError, match="does not occur as often"):
        from_pandas({**tables, "person:known_by:person": KNOWS}, {"person": PEOPLE}, reverses={"knows": "known_by"})


def test_what_was_noted_and_fits_no_longer_is_left_out():
    parts, extras = take_apart(load_dataset("publications", num_papers=60))
    parts["edges"]["author:writes:paper"] = parts["edges"]["author:writes:paper"][:, 1:]
    parts["x"]["paper"] = torch.zeros(60, 3)
    for name in ("reverses", "class_names", "feature_names"):
        del parts[name]
    graph = put_together(parts, extras)
    assert all(relation.reverse is None for relation in graph.typed.schema.relations)
    assert "are so no longer" in graph.notes.warnings[0]
