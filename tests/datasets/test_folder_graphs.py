"""Many graphs in a folder: tables of graphs, nodes and edges; features of edges."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest
import torch

from gnnkit.data import check_graph, fingerprint, join_graphs, split_graphs, summarize
from gnnkit.datasets import load_dataset, load_node_names
from gnnkit.errors import ConfigError, DatasetError
from tests.datasets.folders import write

GRAPHS = (
    "graph,label,split,fold,smiles,mass\nm1,toxic,train,0,CO,32.5\n"
    "m2,safe,valid,1,C,16\nm3,,,1,,0\nm4,toxic,test,2,N,17\n"
)
NODES = "graph,id,charge,ring\nm1,a,0.5,true\nm2,a,1,false\nm1,b,2,false\nm4,b,3,true\nm4,c,4,true\n"
EDGES = "graph,source,target,order,length\nm4,c,b,2,1.5\nm1,a,b,1,1.4\nm1,b,a,1,1.4\nm4,b,c,2,1.5\n"


@pytest.fixture
def molecules(tmp_path):
    return write(tmp_path / "mols", graphs__csv=GRAPHS, nodes__csv=NODES, edges__csv=EDGES)


def load(folder, **options):
    graph = load_dataset(str(folder), **options)
    check_graph(graph)
    return graph


def test_tables_of_graphs_nodes_and_edges(molecules):
    graph = load(molecules, edge_features=["order", "length"])
    assert graph.graph_ptr.tolist() == [0, 2, 3, 3, 5], "m3 has no node"
    assert graph.x.tolist() == [[0.5, 1], [2, 0], [1, 0], [3, 1], [4, 1]] and graph.feature_names == ("charge", "ring")
    assert graph.edge_index.T.tolist() == [[1, 0], [0, 1], [4, 3], [3, 4]]
    assert graph.edge_attr.tolist() == [[1, pytest.approx(1.4)]] * 2 + [[2, 1.5]] * 2 and not graph.edge_data
    assert graph.graph_y.tolist() == [1, 0, -100, 1] and graph.class_names == ("safe", "toxic")
    assert {name: ids.tolist() for name, ids in graph.graph_splits.items()} == {"train": [0], "valid": [1], "test": [3]}
    assert graph.graph_data["fold"].tolist() == [0, 1, 1, 2] and graph.graph_data["fold"].dtype == torch.int64
    assert graph.graph_data["mass"].tolist() == [32.5, 16, 0, 17] and graph.graph_names == ("CO", "C", "", "N")
    assert not graph.splits and graph.y is None
    assert load_node_names(str(molecules)).ids == ["a", "b", "a", "b", "c"]
    lines = summarize(graph)
    assert "4 graphs in the order of graphs.csv" in lines["nodes"] and "graphs.csv" in lines["labels"]
    assert fingerprint(graph) == fingerprint(join_graphs(split_graphs(graph)))


def test_the_order_of_rows_changes_nothing(molecules):
    expected = load(molecules)
    for name, text in (("nodes", NODES), ("edges", EDGES)):
        header, *rows = text.splitlines()
        # Within a graph the order of nodes is that of the rows.
        rows = [rows[place] for place in (3, 0, 4, 2, 1)] if name == "nodes" else rows[::-1]
        (molecules / f"{name}.csv").write_text("\n".join([header, *rows]))
    assert fingerprint(load(molecules)) == fingerprint(expected)


def test_parquet_is_read_as_csv_is(molecules):
    pandas = pytest.importorskip("pandas")
    expected = load(molecules)
    for stem in ("graphs", "nodes", "edges"):
        pandas.read_csv(molecules / f"{stem}.csv").to_parquet(molecules / f"{stem}.parquet")
        (molecules / f"{stem}.csv").unlink()
    assert fingerprint(load(molecules)) == fingerprint(expected)


def test_edges_need_no_graph_where_ids_say_it(molecules):
    nodes = NODES.replace("m2,a", "m2,x").replace("m4,b", "m4,y")
    write(molecules, nodes__csv=nodes, edges__csv="src,dst\ny,c\na,b\n")
    graph = load(molecules, undirected=True)
    assert graph.edge_index.T.tolist() == [[1, 0], [0, 1], [4, 3], [3, 4]] and graph.num_graphs == 4
    rows = write(
        molecules.parent / "rows",
        graphs__csv="label\n0\n1\n",
        nodes__csv="graph,z\n1,5\n0,6\n1,7\n",
        edges__csv="source,target\n0,2\n",
    )
    graph = load(rows)
    assert graph.edge_index.tolist() == [[1], [2]] and graph.x.tolist() == [[6], [5], [7]]
    assert graph.graph_names == () and graph.graph_y.tolist() == [0, 1]
    (rows / "edges.csv").unlink()
    np.save(rows / "edges.npy", np.array([[0, 2], [2, 0]]))
    assert load(rows).edge_index.tolist() == [[2, 1], [1, 2]]
    np.save(rows / "edges.npy", np.array([[0, 1]]).T)
    with pytest.raises(DatasetError, match=r"edges.npy, edge 0: an edge from graph '1' to graph '0'"):
        load(rows)


def test_names_of_columns(tmp_path):
    folder = write(
        tmp_path / "named",
        graphs__csv="key,activity,part,cv,title\n7,0.5,train,1,one\n9,1.25,test,2,two\n",
        nodes__csv="molecule,atom,kind\n9,1,0\n7,1,1\n",
        edges__csv="molecule,a,b,type\n7,1,1,3\n",
        meta__json={
            "columns": {
                "graph_id": "key", "graph": "molecule", "label": "activity", "split": "part", "fold": "cv",
                "name": "title", "id": "atom", "source": "a", "target": "b",
            },
            "edge_features": ["type"],
        },
    )  # fmt: skip
    graph = load(folder)
    assert graph.graph_y.tolist() == [0.5, 1.25] and graph.graph_names == ("one", "two")
    assert graph.graph_data["fold"].tolist() == [1, 2] and graph.edge_attr.tolist() == [[3]]
    assert graph.x.tolist() == [[1], [0]] and graph.graph_splits["test"].tolist() == [1]
    assert "numbers to regress" in graph.notes.labels and not graph.node_data


@pytest.mark.parametrize(
    ("cells", "read", "names"),
    [
        (["1,0", ",1", "0,0"], [[1, 0], [-100, 1], [0, 0]], ("mu", "gap")),
        (["1.5,0", ",1", "2,NA"], [[1.5, 0], ["nan", 1], [2, "nan"]], ()),
    ],
)
def test_several_targets(tmp_path, cells, read, names):
    rows = "".join(f"{number},{cell}\n" for number, cell in enumerate(cells))
    folder = write(
        tmp_path / "g", graphs__csv="graph,mu,gap\n" + rows, nodes__csv="graph\n0\n1\n2\n", edges__csv="source,target\n"
    )
    graph = load(folder, targets=["mu", "gap"])
    assert graph.graph_y.dtype == torch.float32 and str(graph.graph_y.tolist()) == str(
        [[each if each == "nan" else float(each) for each in row] for row in read]
    ).replace("'", "")
    assert graph.class_names == names and not graph.graph_data
    with pytest.raises(DatasetError, match=r"graphs.csv has no column 'alpha'"):
        load(folder, targets=["alpha"])


def one_column(folder, cells):
    rows = "".join(f"{number},{cell}\n" for number, cell in enumerate(cells))
    nodes = "graph\n" + "".join(f"{number}\n" for number in range(len(cells)))
    return write(folder, graphs__csv="graph,t\n" + rows, nodes__csv=nodes, edges__csv="source,target\n")


@pytest.mark.parametrize("options", [{"targets": ["t"]}, {"columns": {"label": "t"}}], ids=["target", "label"])
@pytest.mark.parametrize(
    ("cells", "read"),
    [
        (["1", "", "0"], [1, -100, 0]),
        (["", "", ""], [-100, -100, -100]),
        (["-1", "1.5", "-100", ""], [-1.0, 1.5, -100.0, None]),
        (["-3", "-1", "2", ""], [-3.0, -1.0, 2.0, None]),
    ],
    ids=["answers", "nothing", "numbers", "whole numbers"],
)
def test_one_target_keeps_its_values(tmp_path, cells, read, options):
    y = load(one_column(tmp_path / "g", cells), **options).graph_y
    assert y.is_floating_point() == any(isinstance(each, float) for each in read)
    assert [None if each != each else each for each in y.reshape(-1).tolist()] == read


def test_a_target_is_given_once(tmp_path):
    with pytest.raises(DatasetError, match="expected each column once"):
        load(one_column(tmp_path / "g", ["1", "0"]), targets=["t", "t"])


def test_graphs_in_no_fold_are_told(tmp_path):
    folder = one_column(tmp_path / "g", ["1", "0", "1", "0", "1"])
    write(folder, graphs__csv="graph,t,fold\n0,1,0\n1,0,1\n2,1,-1\n3,0,0\n4,1,1\n")
    assert summarize(load(folder))["splits"].startswith("2 folds of 2 graphs, 1 in no fold")


def test_labels_and_splits_of_nodes_too(molecules):
    nodes = (
        "graph,id,label,split,x,y\nm1,a,0,train,0,1\nm2,a,1,,0,1\nm1,b,1,valid,0,1\nm4,b,0,test,0,1\nm4,c,0,train,0,1\n"
    )
    write(molecules, nodes__csv=nodes)
    graph = load(molecules)
    assert graph.y.tolist() == [0, 1, 1, 0, 0] and graph.splits["train"].tolist() == [0, 4]
    assert graph.feature_names == ("x", "y") and graph.graph_y.tolist() == [1, 0, -100, 1]
    write(
        molecules,
        nodes__csv=nodes.replace("label,split", "a,b")
        .replace("train", "1")
        .replace("valid", "1")
        .replace("test", "1")
        .replace(",,", ",1,"),
    )
    assert load(molecules).y is None, "a column y beside x is a coordinate"


def test_features_from_an_array_go_by_row(molecules):
    write(molecules, nodes__csv="graph,id\nm1,a\nm2,a\nm1,b\nm4,b\nm4,c\n")
    np.save(molecules / "features.npy", np.arange(5, dtype=np.float32)[:, None])
    assert load(molecules).x.tolist() == [[0], [2], [1], [3], [4]]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"edges": EDGES + "m1,a,c,1,1\n"}, r"line 6: graph 'm1' has no node 'c', which is one of graph 'm4'"),
        ({"edges": EDGES + "m1,a,z,1,1\n"}, r"edges.csv, column 'target', line 6: there is no node 'z'"),
        ({"edges": EDGES + "m9,a,b,1,1\n"}, r"edges.csv, column 'graph', line 6: there is no graph 'm9', expected one"),
        ({"edges": "source,target\na,b\n"}, r"nodes.csv, column 'id', line 3: node 'a' is in graph 'm1' too.*'graph'"),
        (
            {"edges": "source,target\na,d\n", "nodes": "graph,id\nm1,a\nm2,d\n"},
            r"edges.csv, column 'target', line 2: an edge from graph 'm1' to graph 'm2'",
        ),
        ({"nodes": NODES + "m7,q,1,true\n"}, r"nodes.csv, column 'graph', line 7: there is no graph 'm7'"),
        ({"nodes": NODES + "m4,c,1,true\n"}, r"nodes.csv, column 'id', line 7: node 'c' is in an earlier row of"),
        ({"nodes": NODES + "m4,,1,true\n"}, r"nodes.csv, column 'id', line 7: the id is ''"),
        ({"nodes": NODES.replace("graph,id", "home,id")}, r"nodes.csv has 'home', .*expected a column 'graph'"),
        ({"nodes": "graph\nm1\nm1\n"}, r"edges.csv names the graph of each edge, but .*nodes.csv has no column 'id'"),
        ({"graphs": GRAPHS + "m2,safe,,1,C,1\n"}, r"graphs.csv, column 'graph', line 6: graph 'm2' is in an"),
        ({"graphs": GRAPHS + ",safe,,1,C,1\n"}, r"graphs.csv, column 'graph', line 6: the id is empty"),
        ({"graphs": GRAPHS.replace("valid", "dev")}, r"graphs.csv, column 'split', line 3: 'dev', expected train"),
        ({"graphs": GRAPHS.replace(",2,N", ",2.5,N")}, r"graphs.csv, column 'fold', line 5: '2.5', expected the"),
        ({"graphs": "graph,label\n"}, r"graphs.csv has no rows"),
        ({"split": "id,split\na,train\n"}, r"split.csv is not read beside"),
        ({"edges": EDGES.replace("2,1.5", "2,long")}, r"edges.csv, column 'length', line 2: 'long', expected a finite"),
    ],
)  # fmt: skip
def test_mistakes_are_named_by_file_column_and_row(files, message, molecules):
    write(molecules, **{f"{name}__csv": text for name, text in files.items()})
    with pytest.raises(DatasetError, match=message):
        load_dataset(str(molecules))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"columns": {"fold": "charge"}}, r"columns.fold is 'charge', but .*graphs.csv has the columns"),
        ({"columns": {"label": "toxicity"}}, r"columns.label is 'toxicity'"),
        ({"edge_features": ["mass"]}, r"edges.csv has no column 'mass'"),
        ({"edge_features": ["source"]}, "column 'source' is the source, so it is no feature"),
    ],
)
def test_options_that_name_no_column(options, message, molecules):
    with pytest.raises(DatasetError, match=message):
        load_dataset(str(molecules), **options)


def test_options_without_a_table_of_graphs(tmp_path):
    folder = write(tmp_path / "one", edges__csv="source,target,time\n0,1,3\n", nodes__csv="age\n1\n2\n")
    for options in ({"columns": {"fold": "age"}}, {"columns": {"graph": "age"}}, {"targets": ["age"]}):
        with pytest.raises(DatasetError, match="no table of graphs"):
            load_dataset(str(folder), **options)
    with pytest.raises(ConfigError, match="columns names 'molecule'"):
        load_dataset(str(folder), columns={"molecule": "age"})
    (folder / "nodes.csv").unlink()
    write(folder, graphs__csv="label\n0\n")
    with pytest.raises(DatasetError, match="needs a table nodes.csv"):
        load_dataset(str(folder))


def test_features_of_edges_of_one_graph(tmp_path):
    folder = write(tmp_path / "one", edges__csv="source,target,weight,kind,year\n1,0,1,true,3\n0,1,2,false,4\n")
    graph = load_dataset(str(folder), edge_features=["kind", "year"])
    assert graph.edge_attr.tolist() == [[1, 3], [0, 4]] and graph.edge_weight.tolist() == [1, 2] and not graph.edge_data
    assert list(load_dataset(str(folder)).edge_data) == ["kind", "year"]
    (folder / "edges.csv").unlink()
    np.save(folder / "edges.npy", np.array([[0], [1]]))
    with pytest.raises(DatasetError, match="edges.npy is no table"):
        load_dataset(str(folder), edge_features=["kind"])


def test_graphs_without_any_node(tmp_path):
    folder = write(
        tmp_path / "empty",
        graphs__csv="graph,label\na,0\nb,1\n",
        nodes__csv="graph,id,z\n",
        edges__csv="graph,source,target\n",
    )
    graph = load(folder)
    assert graph.num_graphs == 2 and graph.num_nodes == 0 and graph.graph_y.tolist() == [0, 1]


def test_files_with_nearly_the_name(tmp_path):
    folder = write(tmp_path / "near", edges__csv="source,target\n0,1\n", graph__csv="label\n0\n")
    with pytest.raises(DatasetError, match=r"Is graphs\.csv meant"):
        load_dataset(str(folder))
    (folder / "graph.csv").rename(folder / "graph.json")
    assert load_dataset(str(folder)).num_graphs == 1


def test_many_graphs_take_moments(tmp_path):
    num, size = 10_000, 8
    generator = np.random.default_rng(0)
    nodes = [f"{graph},{node},{graph % 7},{node}.5" for graph in range(num) for node in range(size)]
    edges = [f"{graph},{node},{(node + 1) % size},1" for graph in range(num) for node in range(size)]
    generator.shuffle(nodes)
    folder = write(
        tmp_path / "large",
        graphs__csv="graph,label\n" + "\n".join(f"{graph},{graph % 2}" for graph in range(num)),
        nodes__csv="graph,id,a,b\n" + "\n".join(nodes),
        edges__csv="graph,source,target,order\n" + "\n".join(edges),
        meta__json=json.dumps({"edge_features": ["order"], "undirected": True}),
    )
    start = time.perf_counter()
    graph = load(folder)
    print(f"{time.perf_counter() - start:.1f} s for {num:,} graphs")
    assert (graph.num_graphs, graph.num_edges) == (num, 2 * num * size) and time.perf_counter() - start < 60
    assert bool((graph.graph_y == torch.arange(num) % 2).all()) and graph.edge_attr.shape == (graph.num_edges, 1)
