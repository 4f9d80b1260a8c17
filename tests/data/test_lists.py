"""Many graphs: from a list of records to one record, and back."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gnnkit.data import check_graph, from_edge_index, given_links, join_graphs, split_graphs
from gnnkit.errors import DataError
from gnnkit.loading import take_graphs
from tests.data.many import assert_same, parts


@given(parts())
@settings(max_examples=100)
def test_a_list_comes_back_as_it_was(graphs):
    record = join_graphs(graphs)
    assert record.num_graphs == len(graphs)
    for ours, theirs in zip(split_graphs(record), graphs):
        check_graph(ours)
        assert ours.graph_ptr is None
        assert_same(ours, theirs)
    assert_same(join_graphs(split_graphs(record)), record)


@given(parts(), st.data())
@settings(max_examples=40)
def test_parts_are_those_that_can_be_taken(graphs, data):
    record = join_graphs(graphs)
    number = data.draw(st.integers(0, len(graphs) - 1))
    taken = take_graphs(record, [number])
    ours = replace(split_graphs(record)[number], splits={}, graph_splits={})
    assert_same(join_graphs([ours]), taken)


@given(parts(), st.data())
@settings(max_examples=40)
def test_records_of_several_graphs_are_joined_too(graphs, data):
    cut = data.draw(st.integers(0, len(graphs)))
    halves = [join_graphs(half) for half in (graphs[:cut], graphs[cut:]) if half]
    assert_same(join_graphs(halves), join_graphs(graphs))


def pair(**fields):
    return from_edge_index([[0], [1]], 2, **fields)


def test_what_is_said_beside_the_list():
    record = join_graphs(
        [pair(graph_y=[0], name="one"), pair(name="two")],
        graph_y=[[0.5, 1.0], [1.5, 2.0]],
        graph_splits={"train": [True, False], "val": [1]},
        graph_data={"fold": [3, 4]},
        graph_names=["CCO", "C"],
    )
    assert record.graph_y.tolist() == [[0.5, 1.0], [1.5, 2.0]] and record.graph_data["fold"].tolist() == [3, 4]
    assert {name: ids.tolist() for name, ids in record.graph_splits.items()} == {"train": [0], "valid": [1]}
    assert record.graph_names == ("CCO", "C") and record.name == "graphs"
    second = split_graphs(record)[1]
    assert second.graph_names == ("C",) and second.graph_splits["valid"].tolist() == [0]
    assert join_graphs([pair(name="one")] * 2).name == "one" and join_graphs([pair()], name="set").name == "set"


def test_a_record_of_one_graph_is_its_own_list():
    graph = pair(x=[[1.0], [2.0]])
    assert split_graphs(graph) == [graph]
    assert join_graphs([graph]).graph_ptr.tolist() == [0, 2]
    assert split_graphs(from_edge_index([[], []], 0, graph_ptr=[0])) == []


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({}, r"in x: graph 2 has none, graph 0 has float32 of shape \[rows, 1\]. All graphs"),
        ({"x": torch.zeros(2, 3)}, r"graph 2 has float32 of shape \[rows, 3\], graph 0 has float32"),
        ({"x": torch.zeros(2, 1).double()}, r"graph 2 has float64 of shape \[rows, 1\], graph 0"),
        ({"x": torch.zeros(2, 1), "node_data": {"age": [1, 2]}}, r"in node_data\['age'\]: graph 2 has int64"),
        ({"x": torch.zeros(2, 1), "class_names": ["a"]}, r"in class_names: graph 2 has \('a',\), graph 0 has none"),
        ({"x": [[0], [1]], "node_categories": [2]}, r"in x: graph 2 has int64"),
        ({"x": torch.zeros(2, 1), "graph_y": [1]}, r"in graph_y: graph 2 has int64 of shape \[rows\], graph 0 has non"),
        ({"x": torch.zeros(2, 1), "graph_names": ["C"]}, r"in graph_names: graph 2 has names, graph 0 has none"),
    ],
)
def test_the_first_graph_that_differs_is_named(other, message):
    usual = pair(x=torch.zeros(2, 1))
    with pytest.raises(DataError, match=message):
        join_graphs([usual, usual, pair(**other), pair()])


def test_what_is_no_list_of_graphs():
    with pytest.raises(DataError, match="empty list"):
        join_graphs([])
    with pytest.raises(DataError, match="received 'cora'"):
        join_graphs([pair(), "cora"])
    with pytest.raises(DataError, match="graph_y has 3 rows but the graph has 1 graphs"):
        join_graphs([pair()], graph_y=[0, 1, 2])
    linked = given_links(pair(), {"test": [[1, 0]]})
    for act in (
        lambda: join_graphs([pair(), linked]),
        lambda: split_graphs(replace(linked, graph_ptr=torch.tensor([0, 2]))),
    ):
        with pytest.raises(DataError, match="no place in a list"):
            act()


def test_many_graphs_take_moments():
    num = 20_000
    record = from_edge_index(
        torch.arange(2 * num).reshape(-1, 2).T,
        2 * num,
        x=torch.zeros(2 * num, 3),
        graph_ptr=torch.arange(0, 2 * num + 1, 2),
    )
    start = time.perf_counter()
    assert_same(join_graphs(split_graphs(record)), record)
    assert time.perf_counter() - start < 30
