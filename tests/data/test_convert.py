"""Conversions: round trips lose nothing, and graphs of other origin are read as one expects."""

from __future__ import annotations

import sys
from dataclasses import replace

import networkx as nx
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gnnkit.data import (
    fingerprint,
    from_edge_index,
    from_networkx,
    from_pandas,
    from_scipy,
    random_split,
    to_networkx,
    to_pandas,
    to_scipy,
)
from gnnkit.errors import DataError, NotInstalledError

FLOATS = [torch.float16, torch.bfloat16, torch.float32, torch.float64]


@st.composite
def graphs(draw):
    """Graphs with any subset of the fields, isolated nodes and repeated edges included."""
    num_nodes = draw(st.integers(0, 8))
    ids = st.integers(0, max(0, num_nodes - 1))
    edges = draw(st.lists(st.tuples(ids, ids), max_size=20)) if num_nodes else []
    generator = torch.Generator().manual_seed(draw(st.integers(0, 1000)))
    dtype = draw(st.sampled_from(FLOATS))

    def rows(count, *shape):
        return torch.randn(count, *shape, generator=generator).to(dtype)

    labels = torch.randint(0, 3, (num_nodes,), generator=generator)
    labels[::3] = -100
    choices = {
        "x": rows(num_nodes, draw(st.integers(0, 3))),
        "y": draw(st.sampled_from([labels, (rows(num_nodes, 3) > 0).float()])),
        "edge_weight": rows(len(edges)),
        "edge_attr": rows(len(edges), 2),
        "node_data": {"cube": torch.arange(num_nodes * 4).reshape(-1, 2, 2), "flag": rows(num_nodes) > 0},
        "edge_data": {"time": torch.arange(len(edges), dtype=torch.int32), "pair": rows(len(edges), 2)},
        "class_names": ("a", "b", "c"),
        "metric": "macro_f1",
        "name": "small",
        "graph_y": draw(st.sampled_from([torch.tensor([1]), torch.tensor([[0.5, 1.5]])])),
    }
    kept = draw(st.sets(st.sampled_from(sorted(choices))))
    graph = from_edge_index(
        np.array(edges, dtype=np.int64).reshape(-1, 2).T, num_nodes, **{name: choices[name] for name in kept}
    )
    splits = {"test": np.arange(0, num_nodes, 3), "train": np.arange(1, num_nodes, 3)}
    splits = {name: torch.from_numpy(ids) for name, ids in splits.items() if len(ids)}
    return graph if draw(st.booleans()) else replace(graph, splits=splits)


def assert_same(result, graph):
    assert fingerprint(result) == fingerprint(graph)
    assert (result.name, result.metric, result.class_names) == (graph.name, graph.metric, graph.class_names)


@given(graphs())
@settings(max_examples=80)
def test_networkx_round_trip(graph):
    assert_same(from_networkx(to_networkx(graph)), graph)


@given(graphs())
@settings(max_examples=80)
def test_pandas_round_trip(graph):
    nodes, edges = to_pandas(graph)
    assert_same(from_pandas(edges, nodes), graph)


@given(graphs(), st.randoms(use_true_random=False))
@settings(max_examples=30)
def test_order_of_pandas_rows_changes_nothing(graph, random):
    nodes, edges = to_pandas(graph)
    edges = edges.drop_duplicates(["source", "target"])
    reference = from_pandas(edges, nodes)
    shuffled = edges.sample(frac=1, random_state=random.randrange(99))
    assert_same(from_pandas(shuffled, nodes.sample(frac=1, random_state=random.randrange(99))), reference)


@given(graphs())
@settings(max_examples=40)
def test_edge_list_round_trip(graph):
    fields = {
        name: getattr(graph, name)
        for name in ("x", "y", "edge_weight", "edge_attr", "splits", "node_data", "edge_data", "graph_y")
    }
    fields.update(class_names=graph.class_names, name=graph.name, metric=graph.metric)
    assert_same(from_edge_index(graph.edge_index, graph.num_nodes, **fields), graph)


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), unique=True), st.sampled_from(FLOATS[2:]))
@settings(max_examples=40)
def test_scipy_round_trip(edges, dtype):
    count = len(edges)
    graph = from_edge_index(
        np.array(edges, dtype=np.int64).reshape(-1, 2).T,
        7,
        edge_weight=torch.arange(2, count + 2).to(dtype) if count else None,
        x=torch.randn(7, 2),
        edge_attr=torch.randn(count, 2),
    )
    matrix = to_scipy(graph)
    for source, target, weight in zip(*graph.edge_index.tolist(), graph.edge_weight if count else ()):
        assert matrix[source, target] == weight
    # A matrix holds structure and weights; edge arrays given beside it are in the matrix's column order.
    assert_same(from_scipy(matrix, x=graph.x, edge_attr=graph.edge_attr), graph)
    assert_same(from_scipy(matrix.tocsr(), x=graph.x, edge_attr=graph.edge_attr), graph)


def test_several_graphs_survive_networkx_and_pandas():
    graph = from_edge_index([[0, 2], [1, 3]], 5, graph_ptr=[0, 2, 4, 5], graph_y=[1.5, 2.0, 0.1], y=[0, 1, 0, 1, 1])
    assert_same(from_networkx(to_networkx(graph)), graph)
    nodes, edges = to_pandas(graph)
    assert_same(from_pandas(edges, nodes), graph)


def test_scipy_reads_structure_weights_and_repeats():
    entries = (np.array([1, 1, 1, 0]), (np.array([0, 0, 2, 1]), np.array([1, 1, 0, 1])))
    matrix = scipy.sparse.coo_matrix(entries, shape=(3, 3))
    graph = from_scipy(matrix)
    assert graph.edge_index.tolist() == [[2, 0], [0, 1]]
    assert graph.edge_weight.tolist() == [1, 2]
    assert matrix.nnz == 4, "the caller's matrix is left alone"
    assert from_scipy(np.eye(3)).edge_weight is None
    with pytest.raises(DataError, match="as many rows as columns"):
        from_scipy(np.ones((2, 3)))


def test_foreign_networkx_graph():
    karate = from_networkx(nx.karate_club_graph(), y="club")
    assert (karate.num_nodes, karate.num_edges) == (34, 156)
    assert karate.class_names == ("Mr. Hi", "Officer")
    assert karate.y[[0, 33]].tolist() == [0, 1]
    adjacency = nx.to_numpy_array(nx.karate_club_graph())
    assert np.array_equal(to_scipy(karate).toarray(), adjacency)


def test_networkx_ids_weights_and_attributes():
    source = nx.Graph()
    source.add_node(30, x=[1.0, 2.0], y=1, split="train", age=4, label="thirty")
    source.add_node(10, x=[3.0, 4.0], age=5, extra=1)
    source.add_edge(30, 10, kind=3)
    source.add_edge(10, 10, weight=2.5, kind=4)
    graph = from_networkx(source)
    assert graph.edge_index.tolist() == [[1, 0, 1], [0, 1, 1]]
    assert graph.edge_weight.tolist() == [1, 1, 2.5]
    assert graph.edge_data["kind"].tolist() == [3, 3, 4]
    assert graph.x.dtype == torch.float32
    assert graph.y.tolist() == [1, -100]
    assert graph.splits["train"].tolist() == [0]
    assert {name: tensor.tolist() for name, tensor in graph.node_data.items()} == {"age": [4, 5], "node_id": [30, 10]}
    with pytest.raises(DataError, match="no attribute 'extra'") as caught:
        from_networkx(source, node_data=["extra"])
    assert caught.value.row == 0
    unordered = nx.DiGraph([(2, 0), (0, 1)])
    assert from_networkx(unordered).edge_index.tolist() == [[2, 0], [0, 1]]


def test_networkx_values_are_plain():
    graph = from_edge_index([[0, 0], [1, 1]], x=[[1.0], [2.0]], edge_weight=[3.0, 4.0], splits={"train": [1]})
    native = to_networkx(graph)
    assert native.is_multigraph()
    assert dict(native.nodes(data=True)) == {0: {"x": [1.0]}, 1: {"x": [2.0], "split": "train"}}
    assert [data for _, _, data in native.edges(data=True)] == [{"weight": 3.0}, {"weight": 4.0}]


def test_foreign_pandas_tables(tmp_path):
    edges = pd.DataFrame(
        {"from": ["ann", "bob", "cy"], "to": ["bob", "cy", "ann"], "weight": [1, 2, 3], "n": [7, 8, 9]}
    )
    nodes = pd.DataFrame(
        {"who": ["dan", "cy", "bob", "ann"], "x_0": [1, 2, 3, 4], "x_1": [5, 6, 7, 8.5], "age": [1, 2, 3, 4]}
    )
    nodes["y"], nodes["split"] = ["red", None, "blue", "red"], ["train", None, "test", "valid"]
    edges.to_csv(tmp_path / "edges.csv", index=False)
    nodes.to_csv(tmp_path / "nodes.csv", index=False)
    for table in (nodes, pd.read_csv(tmp_path / "nodes.csv")):
        graph = from_pandas(pd.read_csv(tmp_path / "edges.csv"), table, source="from", target="to", node="who")
        assert graph.edge_index.tolist() == [[2, 3, 1], [1, 2, 3]]
        assert graph.edge_weight.tolist() == [2, 1, 3]
        assert graph.edge_data["n"].tolist() == [8, 7, 9]
        assert graph.x.tolist() == [[1, 5], [2, 6], [3, 7], [4, 8.5]]
        assert graph.y.tolist() == [1, -100, 0, 1]
        assert graph.class_names == ("blue", "red")
        assert {name: ids.tolist() for name, ids in graph.splits.items()} == {"train": [0], "test": [2], "valid": [3]}
        assert graph.node_data["age"].tolist() == [1, 2, 3, 4]
    chosen = from_pandas(edges, nodes, source="from", target="to", node="who", x=["age"], class_names=("red", "blue"))
    assert chosen.x.tolist() == [[1], [2], [3], [4]]
    assert chosen.y.tolist() == [0, -100, 1, 0]


def test_pandas_without_a_node_table():
    graph = from_pandas(pd.DataFrame({"source": [10, 30], "target": [30, 20]}))
    assert graph.edge_index.tolist() == [[0, 1], [1, 2]]
    assert graph.node_data["node_id"].tolist() == [10, 30, 20]
    pairs = pd.DataFrame({"source": [("a", 1)], "target": [("b", 2)]})
    assert from_pandas(pairs).edge_index.tolist() == [[0], [1]]


@pytest.mark.parametrize(
    "edges, nodes, field, row, message",
    [
        ({"source": [0]}, None, "edges", None, "there is no column 'target', only source"),
        ({"source": [0, 5], "target": [1, 1]}, {"node": [0, 1]}, "source", 1, "node 5 is not in the node table"),
        ({"source": [0], "target": [1]}, {"node": [0, 1, 1]}, "node", 2, "node 1 has two rows"),
        ({"source": [0], "target": [1]}, {"y": ["a", 3]}, "y", 1, "label 3 is not one of the classes a"),
        ({"source": [0], "target": [1]}, {"split": ["train", "dev"]}, "splits", None, "unknown split 'dev'"),
        ({"source": [0], "target": [1]}, {"x_0": [1.0, float("nan")]}, "x", 1, "column 0 is nan"),
    ],
)
def test_bad_pandas_tables(edges, nodes, field, row, message):
    with pytest.raises(DataError) as caught:
        from_pandas(pd.DataFrame(edges), None if nodes is None else pd.DataFrame(nodes))
    assert message in str(caught.value)
    assert (caught.value.field, caught.value.row) == (field, row)


@pytest.mark.parametrize("convert", [to_networkx, to_pandas])
def test_names_that_tables_use_are_refused(convert):
    with pytest.raises(DataError, match="Rename it"):
        convert(from_edge_index([[0], [1]], node_data={"split": [1, 2]}))


@pytest.mark.parametrize("module, convert", [("networkx", to_networkx), ("pandas", to_pandas)])
def test_missing_library_says_how_to_install_it(monkeypatch, module, convert):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(NotInstalledError, match=rf"pip install gnnkit\[{module}\]"):
        convert(random_split(from_edge_index([[], []], 10)))
