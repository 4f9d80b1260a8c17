"""Nodes and edges that a user adds from files, and ids that come in as text."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gnnkit.data import Graph, from_edge_index
from gnnkit.errors import DatasetError
from gnnkit.inference import NodeIds, read_new_nodes, read_nodes

NUMBERED = NodeIds(3)
NAMED = NodeIds(0, ["rex", "tom", "ann"])


def graph() -> Graph:
    return from_edge_index([[0, 1], [1, 0]], x=[[1, 10], [2, 20], [3, 30]])


def write(folder: Path, name: str, text: str) -> Path:
    (folder / name).write_text(text)
    return folder / name


def test_named_nodes_in_another_order_of_columns(tmp_path):
    nodes = write(tmp_path, "nodes.csv", "id,height,age,label\nbob,40,4,dog\neve,50,5,\n")
    edges = write(tmp_path, "edges.csv", "source,target\nrex,bob\neve,bob\nann,tom\n")
    grown, ids = read_new_nodes(graph(), NAMED, nodes, edges, features=["age", "height"])
    assert grown.x[3:].tolist() == [[4, 40], [5, 50]]
    assert ids.names == ["rex", "tom", "ann", "bob", "eve"]
    assert sorted(map(tuple, grown.edge_index.T.tolist())) == [(0, 1), (0, 3), (1, 0), (2, 1), (4, 3)]


def test_numbered_nodes_go_on_counting(tmp_path):
    nodes = write(tmp_path, "nodes.csv", "a,b\n4,40\n5,50\n")
    edges = write(tmp_path, "edges.csv", "source,target,weight\n3,0,0.5\n4,3,0.25\n")
    grown, ids = read_new_nodes(graph(), NUMBERED, nodes, edges, undirected=True)
    assert (ids, grown.num_nodes, grown.num_edges) == (NodeIds(5), 5, 6)
    assert sorted(grown.edge_weight.tolist()) == [0.25, 0.25, 0.5, 0.5, 1, 1]
    same, ids = read_new_nodes(graph(), NUMBERED, write(tmp_path, "again.csv", "id,a,b\n3,4,40\n4,5,50\n"), edges)
    assert (ids, same.num_edges) == (NodeIds(5), 4)


def test_names_after_numbers(tmp_path):
    nodes = write(tmp_path, "nodes.csv", "id,a,b\nbob,4,40\n")
    edges = write(tmp_path, "edges.csv", "source,target\n2,bob\nbob,bob\n")
    grown, ids = read_new_nodes(graph(), NUMBERED, nodes, edges, undirected=True)
    assert sorted(map(tuple, grown.edge_index.T.tolist())) == [(0, 1), (1, 0), (2, 3), (3, 2), (3, 3)]
    assert ids.labels(np.array([0, 3])).tolist() == ["0", "bob"]


def test_arrays_and_other_lists_of_edges(tmp_path):
    np.save(tmp_path / "x.npy", np.array([[4, 40], [5, 50]], dtype=np.float64))
    edges = write(tmp_path, "edges.tsv", "0\t3\n4\t3\n")
    grown, ids = read_new_nodes(graph(), NUMBERED, tmp_path / "x.npy", edges)
    assert (ids, grown.num_edges, grown.x.dtype) == (NodeIds(5), 4, graph().x.dtype)
    joined, ids = read_new_nodes(graph(), NUMBERED, None, write(tmp_path, "old.csv", "source,target\n2,0\n"))
    assert (ids, joined.num_nodes, joined.num_edges) == (NUMBERED, 3, 3)
    alone, _ = read_new_nodes(graph(), NUMBERED, tmp_path / "x.npy")
    assert (alone.num_nodes, alone.num_edges) == (5, 2)


def test_new_edges_have_features_where_those_of_the_data_have_some(tmp_path):
    old = from_edge_index([[0, 1], [1, 0]], x=[[1, 10], [2, 20], [3, 30]], edge_attr=[[1, 2], [3, 4]])
    edges = write(tmp_path, "edges.csv", "km,source,weight,target,age\n5,2,0.5,0,6\n7,1,0.5,1,8\n")
    grown, _ = read_new_nodes(old, NUMBERED, None, edges, undirected=True)
    rows = dict(zip(map(tuple, grown.edge_index.T.tolist()), grown.edge_attr.tolist()))
    assert rows == {(0, 1): [1, 2], (1, 0): [3, 4], (2, 0): [5, 6], (0, 2): [5, 6], (1, 1): [7, 8]}
    with pytest.raises(DatasetError, match="edges.csv has 1 columns of edge features, expected 2"):
        read_new_nodes(old, NUMBERED, None, write(tmp_path, "edges.csv", "source,target,km\n2,0,5\n"))
    with pytest.raises(DatasetError, match="edges.tsv.*the new edges have none"):
        read_new_nodes(old, NUMBERED, None, write(tmp_path, "edges.tsv", "2\t0\n"))


GOOD_NODES, GOOD_EDGES = "id,age,height\nbob,4,40\n", "source,target\nrex,bob\n"
MISTAKES = {
    "a column is missing": ("id,age\nbob,4\n", GOOD_EDGES, r"nodes.csv has other columns.*no 'height'"),
    "a column too many": ("id,age,height,sex\nbob,4,40,1\n", GOOD_EDGES, r"unknown 'sex'.*'age', 'height'"),
    "no number": ("id,age,height\nbob,4,tall\n", GOOD_EDGES, r"nodes.csv, column 'height', line 2.*'tall'"),
    "no ids": ("age,height\n4,40\n", GOOD_EDGES, "no ids.*column 'id'"),
    "an id that is there": ("id,age,height\nrex,4,40\n", GOOD_EDGES, r"line 2: node 'rex' is there already"),
    "an id twice": ("id,age,height\nbob,4,40\nbob,4,40\n", GOOD_EDGES, r"line 3: node 'bob' is there already"),
    "an empty id": ("id,age,height\n,4,40\n", GOOD_EDGES, "id is empty"),
    "no rows": ("id,age,height\n", GOOD_EDGES, "no rows"),
    "an edge to nobody": (
        GOOD_NODES,
        "source,target\nrex,bob\nbob,zoe\n",
        r"edges.csv, column 'target', line 3.*'zoe'",
    ),
    "no target": (GOOD_NODES, "source,weight\nrex,1\n", "no column 'target'"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_name_file_and_place(name, tmp_path):
    nodes, edges, message = MISTAKES[name]
    files = write(tmp_path, "nodes.csv", nodes), write(tmp_path, "edges.csv", edges)
    with pytest.raises(DatasetError, match=message):
        read_new_nodes(graph(), NAMED, *files, features=["age", "height"])


def test_files_that_do_not_fit_or_are_not_there(tmp_path):
    nodes = write(tmp_path, "nodes.csv", "a,b,c\n4,40,1\n")
    with pytest.raises(DatasetError, match="3 columns of features, expected 2"):
        read_new_nodes(graph(), NUMBERED, nodes)
    with pytest.raises(DatasetError, match="no file"):
        read_new_nodes(graph(), NUMBERED, nodes, tmp_path / "none.csv")
    np.save(tmp_path / "x.npy", np.ones((2, 3)))
    with pytest.raises(DatasetError, match=r"\[2, 3\], expected \[M, 2\]"):
        read_new_nodes(graph(), NUMBERED, tmp_path / "x.npy")
    with pytest.raises(DatasetError, match=r"expected \.csv"):
        read_new_nodes(graph(), NUMBERED, write(tmp_path, "nodes.txt", "4"))
    with pytest.raises(DatasetError, match="nodes have names"):
        read_new_nodes(
            graph(), NAMED, write(tmp_path, "n.csv", "id,a,b\nbob,4,40\n"), write(tmp_path, "edges.txt", "0 1\n")
        )


class TestWhichNodes:
    def test_in_every_form(self, tmp_path):
        np.save(tmp_path / "n.npy", np.array([2, 0], dtype=np.int32))
        pd.DataFrame({"node": ["ann", "rex"]}).to_parquet(tmp_path / "n.parquet")
        write(tmp_path, "n.csv", "id,why\nann,x\nrex,y\n")
        write(tmp_path, "n.txt", "ann\n\nrex\n")
        for text in ("ann, rex", *(str(tmp_path / f"n{suffix}") for suffix in (".npy", ".parquet", ".csv", ".txt"))):
            assert read_nodes(text, NAMED).tolist() == [2, 0], text
        assert read_nodes("2,0", NUMBERED).tolist() == [2, 0]

    @pytest.mark.parametrize(
        "text, ids, message",
        [
            ("0,3", NUMBERED, r"no node '3', expected a whole number from 0 to 2"),
            ("-1", NUMBERED, "no node '-1'"),
            ("rex,bob", NAMED, r"no node 'bob', expected one of 3 names such as 'rex'"),
            ("0", NAMED, "no node '0'"),
            (",", NUMBERED, "no nodes"),
            ("none.csv", NUMBERED, "no file none.csv"),
        ],
    )
    def test_unknown_ids(self, text, ids, message):
        with pytest.raises(DatasetError, match=message):
            read_nodes(text, ids)

    def test_mistakes_in_files_are_named_by_their_place(self, tmp_path):
        with pytest.raises(DatasetError, match=r"n.txt, line 3: there is no node 'bob'"):
            read_nodes(str(write(tmp_path, "n.txt", "ann\n\nbob\n")), NAMED)
        with pytest.raises(DatasetError, match=r"column 'id', line 2.*'bob'"):
            read_nodes(str(write(tmp_path, "n.csv", "id\nbob\n")), NAMED)
        with pytest.raises(DatasetError, match="no column 'id'"):
            read_nodes(str(write(tmp_path, "m.csv", "name\nbob\n")), NAMED)
        np.save(tmp_path / "n.npy", np.array([0, 3]))
        with pytest.raises(DatasetError, match="row 1: there is no node 3"):
            read_nodes(str(tmp_path / "n.npy"), NUMBERED)
        np.save(tmp_path / "f.npy", np.array([0.5]))
        with pytest.raises(DatasetError, match="expected node numbers"):
            read_nodes(str(tmp_path / "f.npy"), NUMBERED)
