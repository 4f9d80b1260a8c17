"""What crosses the border keeps its value, or is named: columns, descriptions, ids, edges, splits."""

from __future__ import annotations

import logging

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
    pick_masks,
    pick_split,
    to_networkx,
    to_pandas,
)
from gnnkit.errors import DataError

PAIR = pd.DataFrame({"source": [0, 1], "target": [1, 0]})


def described():
    return from_edge_index(
        [[0, 1, 2], [1, 2, 0]],
        x=[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]],
        y=[0, 1, 0],
        edge_weight=[1.0, 2.0, 3.0],
        node_data={"price": [100, 250, 300]},
        edge_data={"kind": [1, 2, 3]},
    )


# Columns by their names


@pytest.mark.parametrize("source, target", [("src", "dst"), ("from", "to"), ("Source", "Target"), ("id_1", "id_2")])
def test_ends_of_edges_are_found_in_any_order(source, target):
    edges = pd.DataFrame({target: [1, 2], "edge_weight": [5.0, 7.0], source: [0, 1]})
    graph = from_pandas(edges)
    # Nodes are numbered as they appear among the sources and then the targets: 0, 1, 2.
    assert graph.edge_index.tolist() == [[0, 1], [1, 2]]
    assert graph.edge_weight.tolist() == [5, 7] and not graph.edge_data


@pytest.mark.parametrize("column", ["id", "node", "node_id", "ID"])
def test_the_id_column_is_joined_by_whatever_it_is_called(column):
    nodes = pd.DataFrame({"class": ["c", "a", "b"], column: [30, 10, 20], "split": ["train", "valid", "NA"]})
    graph = from_pandas(pd.DataFrame({"dst": [20, 30], "src": [10, 20]}), nodes)
    ids = graph.node_data["node_id"].tolist()
    assert ids == [30, 10, 20]
    assert [(ids[a], ids[b]) for a, b in graph.edge_index.T.tolist()] == [(20, 30), (10, 20)]
    assert [graph.class_names[label] for label in graph.y] == ["c", "a", "b"]
    assert {name: part.tolist() for name, part in graph.splits.items()} == {"train": [0], "valid": [1]}


def test_columns_that_cannot_be_told_are_refused_with_those_found():
    with pytest.raises(DataError, match="only left, right"):
        from_pandas(pd.DataFrame({"left": [0], "right": [1]}))
    with pytest.raises(DataError, match="'src' and 'from' both look like 'source'"):
        from_pandas(pd.DataFrame({"src": [0], "from": [1], "dst": [1]}))
    with pytest.raises(DataError, match="no column 'yy'"):
        from_pandas(PAIR, pd.DataFrame({"y": [0, 1]}), y="yy")
    with pytest.raises(DataError, match="several columns '1'"):
        from_pandas(PAIR, pd.DataFrame([[0, 1]] * 2, columns=[1, "1"]))


def test_numbers_as_names():
    nodes = pd.DataFrame({0: [0, 1], 1: [4.0, 5.0], 2: [7, 8]})
    graph = from_pandas(pd.DataFrame({0: [0], 1: [1]}), nodes, source=0, target=1, node=0, x=[1])
    assert graph.x.tolist() == [[4], [5]] and graph.node_data["2"].tolist() == [7, 8]
    native = nx.path_graph(2)
    nx.set_node_attributes(native, {0: [1.0], 1: [2.0]}, 7)
    nx.set_node_attributes(native, {0: 3, 1: 4}, 8)
    graph = from_networkx(native, x=7)
    assert graph.x.tolist() == [[1], [2]] and graph.node_data["8"].tolist() == [3, 4]


def test_lists_in_a_column_are_features():
    nodes = pd.DataFrame({"id": [1, 0], "emb": [[1, 2], [3, 4]], "age": [5, 6]})
    assert from_pandas(PAIR, nodes, x=["emb", "age"]).x.tolist() == [[3, 4, 6], [1, 2, 5]]


# Nothing vanishes, and nothing comes from nowhere


@pytest.mark.parametrize("end", [None, float("nan"), "", "NA", "nan"])
@pytest.mark.parametrize("reader", ["source", "target", "nodes", "networkx"])
def test_a_missing_id_is_no_node(reader, end):
    def read():
        names = pd.Series(["a", end], dtype=object)
        if reader == "networkx":
            native = nx.Graph()
            native.add_nodes_from(["a", float("nan") if end is None else end])
            return from_networkx(native)
        if reader == "nodes":
            return from_pandas(pd.DataFrame({"source": ["a"], "target": ["a"]}), pd.DataFrame({"id": names}))
        other = {"source": "target", "target": "source"}[reader]
        return from_pandas(pd.DataFrame({reader: names, other: ["a", "a"]}))

    with pytest.raises(DataError, match="marks a missing value") as caught:
        read()
    assert caught.value.row == 1


def test_what_pandas_leaves_out_is_named(caplog):
    nodes = pd.DataFrame({"id": ["a", "b"], "bio": ["x", "y"], "day": pd.to_datetime(["2020-01-01"] * 2)})
    nodes["age"] = pd.Series([1, None], dtype="Int64")
    nodes["old"] = pd.Series([1, None], dtype=object)
    with caplog.at_level(logging.WARNING, "gnnkit.data"):
        graph = from_pandas(pd.DataFrame({"source": ["a"], "target": ["b"], "why": ["q"]}), nodes)
    assert np.array_equal(graph.node_data["age"], [1, np.nan], equal_nan=True)
    assert np.array_equal(graph.node_data["old"], [1, np.nan], equal_nan=True)
    for word in (
        "'bio' of nodes (text)",
        "'day'",
        "'why' of edges (text)",
        "ids are not whole numbers",
        "x=[...]",
        "reverse",
    ):
        assert word in caplog.text
    assert len(graph.notes.left_out) == 3 and "age, old" in caplog.text


def test_what_networkx_leaves_out_is_named(caplog):
    native = nx.DiGraph([("a", "b"), ("b", "c")])
    native.nodes["a"].update(age=3, club="x")
    nx.set_edge_attributes(native, "long", "why")
    with caplog.at_level(logging.WARNING, "gnnkit.data"):
        graph = from_networkx(native)
    assert not graph.node_data and not graph.edge_data
    for word in (
        "'age' of nodes (on 1 of 3)",
        "'club' of nodes (text)",
        "'why' of edges",
        "y='club'",
        "not whole",
        "reverse",
    ):
        assert word in caplog.text


def test_an_id_as_a_feature_is_said(caplog):
    nodes = pd.DataFrame({"user_id": [900, 901], "age": [1, 2]})
    with caplog.at_level(logging.WARNING, "gnnkit.data"):
        graph = from_pandas(PAIR, nodes, x=["user_id", "age"])
    assert "'user_id'" in caplog.text and "looks like an id" in caplog.text
    assert graph.feature_names == ("user_id", "age")


@pytest.mark.parametrize("reader", ["pandas", "scipy", "networkx"])
@pytest.mark.parametrize("both", [True, False])
def test_edges_listed_once_are_said(reader, both, caplog):
    ends = np.array([[0, 1, 2], [1, 2, 3]])
    ends = np.concatenate([ends, ends[::-1]], axis=1) if both else ends
    with caplog.at_level(logging.WARNING, "gnnkit.data"):
        if reader == "pandas":
            from_pandas(pd.DataFrame({"source": ends[0], "target": ends[1]}))
        elif reader == "networkx":
            from_networkx(nx.DiGraph(ends.T.tolist()))
        else:
            from_scipy(scipy.sparse.coo_matrix((np.ones(ends.shape[1]), ends), shape=(4, 4)))
    assert ("to_undirected" in caplog.text) != both


# Values win over descriptions


@pytest.mark.parametrize("reader", ["pandas", "networkx"])
def test_changed_values_are_kept(reader):
    def change(name, function, graph):
        if reader == "pandas":
            nodes, edges = to_pandas(graph)
            table = edges if name in edges else nodes
            table[name] = [function(value) for value in table[name]]
            return from_pandas(edges, nodes)
        native = to_networkx(graph)
        records = [native.nodes[n] for n in native] + [data for _, _, data in native.edges(data=True)]
        for record in records:
            if name in record:
                record[name] = function(record[name])
        return from_networkx(native)

    graph = described()
    assert change("price", lambda value: value / 100, graph).node_data["price"].tolist() == [1, 2.5, 3]
    assert change("kind", lambda value: value + 0.5, graph).edge_data["kind"].tolist() == [3.5, 1.5, 2.5]
    assert change("price", lambda value: value * 2, graph).node_data["price"].dtype == torch.int64
    assert change("y", lambda value: value + 0.9, graph).y.tolist() == pytest.approx([0.9, 1.9, 0.9])
    named = change("y", lambda value: "ab"[value], graph)
    assert (named.class_names, named.y.tolist()) == (("a", "b"), [0, 1, 0])


def test_columns_that_came_or_went_since_they_were_described(caplog):
    nodes, edges = to_pandas(described())
    nodes["x_2"], nodes["new"] = [7.0, 8.0, 9.0], [1, 2, 3]
    graph = from_pandas(edges, nodes)
    assert graph.x.tolist() == [[1, 2, 7], [3, 4, 8], [5, 6, 9]] and graph.node_data["new"].tolist() == [1, 2, 3]
    with caplog.at_level(logging.WARNING, "gnnkit.data"):
        fewer = from_pandas(edges, nodes.drop(columns=["x_0", "x_2", "price"]))
    assert fewer.x.tolist() == [[2], [4], [6]] and "x_0" in caplog.text and "price" not in fewer.node_data
    native = to_networkx(described())
    nx.set_node_attributes(native, 5, "new")
    for node in native:
        del native.nodes[node]["x"]
    with caplog.at_level(logging.WARNING, "gnnkit.data"):
        graph = from_networkx(native)
    assert (
        graph.x is None and graph.node_data["new"].tolist() == [5, 5, 5] and "'x' of every node is gone" in caplog.text
    )


@pytest.mark.parametrize("names", [("age", "height"), ("x_1", "x_0"), ("y", "age"), ("age", "age")])
@pytest.mark.parametrize("turned", [False, True])
def test_names_of_features_survive(names, turned, caplog):
    graph = from_edge_index([[0], [1]], x=[[1.0, 2.0], [3.0, 4.0]], y=[0, 1], feature_names=names)
    tables = to_pandas(graph)
    with caplog.at_level(logging.WARNING, "gnnkit.data"):
        results = [from_pandas(*tables[:: -1 if turned else 1]), from_networkx(to_networkx(graph))]
    for result in results:
        assert result.feature_names == names and fingerprint(result) == fingerprint(graph)
    assert not caplog.text
    if names == ("age", "height"):
        assert list(tables[0]["height"]) == [2, 4]
        swapped = from_pandas(tables[0][["height", "y", "node", "age"]], tables[1])
        assert swapped.feature_names == names and swapped.x.tolist() == [[1, 2], [3, 4]]


@given(st.permutations(range(5)), st.permutations(range(7)), st.randoms(use_true_random=False))
@settings(max_examples=30)
def test_order_of_rows_and_columns_changes_nothing(rows, lines, random):
    graph = from_edge_index(
        [[0, 1, 2, 3, 4, 0, 1], [1, 2, 3, 4, 0, 2, 3]],
        x=torch.arange(10.0).reshape(5, 2),
        y=[0, 1, -100, 1, 0],
        edge_weight=torch.arange(7.0),
        splits={"train": [3, 0], "test": [2]},
        class_names=["a", "b"],
        feature_names=["age", "size"],
    )
    nodes, edges = to_pandas(graph)
    attributes = dict(nodes.attrs)
    nodes = nodes.iloc[list(rows)][random.sample(list(nodes.columns), nodes.shape[1])]
    edges = edges.iloc[list(lines)][random.sample(list(edges.columns), edges.shape[1])]
    nodes.attrs.update(attributes)
    for tables in ((nodes, edges), (edges, nodes)):
        assert fingerprint(from_pandas(*tables)) == fingerprint(graph)


def test_graphs_of_a_record_beside_ids_in_another_order_are_refused():
    nodes = pd.DataFrame({"id": [1, 0, 2]})
    edges = pd.DataFrame({"source": [0], "target": [1]})
    with pytest.raises(DataError, match="sort_values"):
        from_pandas(edges, nodes, graph_ptr=[0, 2, 3])
    assert from_pandas(edges, nodes.sort_values("id"), graph_ptr=[0, 2, 3]).num_graphs == 2


# Matrices and ids


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int16, np.int32, np.float32])
@pytest.mark.parametrize("layout", ["coo", "csr", "torch coo", "torch csr", "torch csc"])
def test_repeated_entries_are_added_without_overflow(dtype, layout):
    high = 100 if dtype == np.int8 else 200
    values, places = np.array([high, 100, 7], dtype=dtype), np.array([[0, 0, 1], [1, 1, 0]])
    matrix = scipy.sparse.coo_matrix((values, places), shape=(2, 2))
    if layout == "csr":
        matrix = scipy.sparse.csr_matrix((values, np.array([1, 1, 0]), np.array([0, 2, 3])), shape=(2, 2))
    elif layout == "torch coo":
        matrix = torch.sparse_coo_tensor(
            torch.from_numpy(places), torch.from_numpy(values), (2, 2), check_invariants=True
        )
    elif layout == "torch csr":
        matrix = torch.sparse_csr_tensor(
            [0, 1, 2], [1, 0], torch.tensor([high + 100.0, 7.0]), (2, 2), check_invariants=True
        )
    elif layout == "torch csc":
        matrix = torch.sparse_csc_tensor(
            [0, 1, 2], [1, 0], torch.tensor([7.0, high + 100.0]), (2, 2), check_invariants=True
        )
    graph = from_scipy(matrix)
    assert graph.edge_index.tolist() == [[1, 0], [0, 1]] and graph.edge_weight.tolist() == [7, high + 100]


def test_a_sparse_matrix_is_no_list_of_edges():
    for matrix in (scipy.sparse.eye(3), torch.eye(3).to_sparse()):
        with pytest.raises(DataError, match="from_scipy"):
            from_edge_index(matrix)
    with pytest.raises(DataError, match="expected numbers"):
        from_scipy(torch.sparse_coo_tensor([[0], [1]], torch.ones(1, 3), (2, 2, 3), check_invariants=True))


def test_a_huge_id_does_not_ask_for_memory():
    with pytest.raises(DataError, match="numpy.unique"):
        from_edge_index([[0, 5], [2**40, 0]])
    assert from_edge_index([[0], [1]], 3_000_000).num_nodes == 3_000_000
    assert from_edge_index([[0], [999_999]]).num_nodes == 1_000_000


# Splits


def test_a_mask_of_whole_numbers_is_called_one():
    with pytest.raises(DataError, match="which is a mask"):
        from_edge_index([[0], [1]], 4, splits={"train": [0, 1, 1, 0]})
    assert from_edge_index([[0], [1]], 4, splits={"train": [0, 1]}).splits["train"].tolist() == [0, 1]


@pytest.mark.parametrize("shape, advice", [((4, 3), r"mask\[:, 0\]"), ((3, 4), r"mask\[0\]")])
def test_advice_on_masks_names_the_right_axis(shape, advice):
    with pytest.raises(DataError, match=advice):
        from_edge_index([[0], [1]], 4, splits={"train": np.zeros(shape, dtype=bool)})


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.float32])
@pytest.mark.parametrize("turned", [False, True])
def test_one_of_several_splits(dtype, turned):
    train, test = np.eye(4, 3).astype(dtype), np.eye(4)[:, [3, 0, 1]].astype(dtype)
    masks = {
        "train_mask": train.T if turned else train,
        "test": test.T if turned else test,
        "val": np.array([0, 0, 0, 1]),
    }
    picked = {name: mask.nonzero()[:, 0].tolist() for name, mask in pick_masks(masks, 4, 2).items()}
    assert picked == {"train": [2], "test": [1], "valid": [3]}
    for number in (3, -1):
        with pytest.raises(DataError, match="from 0 to 2"):
            pick_masks(masks, 4, number)


def test_picking_from_a_graph():
    masks = {"train_mask": np.eye(4, 3, dtype=bool), "val_mask": np.eye(4, dtype=bool)[:, [1, 2, 3]]}
    graph = from_edge_index([[0], [1]], 4, splits={"test": [3]}, node_data={**masks, "stopping": [1, 2, 3, 4]})
    picked = pick_split(graph, 1)
    assert {name: ids.tolist() for name, ids in picked.splits.items()} == {"train": [1], "valid": [2], "test": [3]}
    assert list(picked.node_data) == ["stopping"] and picked.notes.splits == "split 1 of 3"
    with pytest.raises(DataError, match="overlap"):
        pick_split(graph, 2)
    with pytest.raises(DataError, match="no masks"):
        pick_split(picked, 1)
    with pytest.raises(DataError, match="neither|has 2"):
        pick_masks({"train_mask": np.full((4, 2), 2)}, 4, 0)


@pytest.mark.parametrize("reader", ["pandas", "networkx"])
def test_masks_of_one_split_are_splits(reader):
    masks = {"train_mask": [True, False, False], "val_mask": [0, 1, 0], "test_mask": [0, 0, 1]}
    if reader == "pandas":
        pandas = pytest.importorskip("pandas")
        edges = pandas.DataFrame({"source": [0, 1], "target": [1, 0]})
        graph = from_pandas(edges, pandas.DataFrame({"node": range(3), "age": [5, 6, 7], **masks}))
    else:
        networkx = pytest.importorskip("networkx")
        source = networkx.Graph([(0, 1)])
        for node in range(3):
            source.add_node(node, age=5 + node, **{name: values[node] for name, values in masks.items()})
        graph = from_networkx(source)
    assert {name: ids.tolist() for name, ids in graph.splits.items()} == {"train": [0], "valid": [1], "test": [2]}
    assert list(graph.node_data) == ["age"]


def test_features_of_another_length_are_told():
    pytest.importorskip("networkx")
    source = to_networkx(from_edge_index([[0], [1]], x=[[1.0, 2.0], [3.0, 4.0]], feature_names=["a", "b"]))
    source.nodes[0]["x"] = [9.0, 9.0, 9.0]
    with pytest.raises(DataError, match="different lengths"):
        from_networkx(source)
