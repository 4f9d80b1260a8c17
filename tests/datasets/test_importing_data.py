"""``import_graph`` on data as people have them: names of columns, missing labels, what is noted and refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gnnkit.data import summarize
from gnnkit.datasets import import_graph, load_dataset
from gnnkit.errors import ConfigError, DatasetError


def write_edges(folder: Path, suffix: str, header: str, body: str = "0,1\n2,1\n") -> Path:
    file = folder / "edges.csv"
    file.write_text(f"{header}\n{body}")
    if suffix == ".parquet":
        pandas = pytest.importorskip("pandas")
        pytest.importorskip("pyarrow")
        pandas.read_csv(file).to_parquet(file.with_suffix(suffix))
        file = file.with_suffix(suffix)
    return file


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.parametrize(
    ("header", "columns", "swapped"),
    [
        ("source,target", {}, False),
        ("dst,src", {}, True),
        ("id1,id2", {}, False),
        ("there,here", {"source": "here", "target": "there"}, True),
    ],
)
def test_ends_of_edges_go_by_their_names(header, columns, swapped, suffix, tmp_path):
    graph = import_graph(write_edges(tmp_path, suffix, header), tmp_path / "g", columns=columns)
    expected = {(1, 0), (1, 2)} if swapped else {(0, 1), (2, 1)}
    assert set(map(tuple, graph.edge_index.t().tolist())) == expected


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_unknown_names_are_refused(suffix, tmp_path):
    file = write_edges(tmp_path, suffix, "here,there")
    with pytest.raises(DatasetError, match=r"has the columns 'here', 'there', expected source and target.*--column"):
        import_graph(file, tmp_path / "g")
    with pytest.raises(ConfigError, match="columns names 'sauce', expected source, target"):
        import_graph(file, tmp_path / "g", columns={"sauce": "here"})
    assert not (tmp_path / "g").exists()


def test_columns_that_are_not_read_are_said(tmp_path):
    file = write_edges(tmp_path, ".parquet", "source,target,weight", "0,1,3\n1,0,4\n")
    notes = import_graph(file, tmp_path / "g").notes
    assert notes.left_out == ("column 'weight' of 'edges.parquet'",)
    assert notes.warnings == ("column 'weight' of 'edges.parquet' is not read.",)


@pytest.mark.parametrize("mark", ["", "-1", "-100", "NA", "nan", "None", "null"])
@pytest.mark.parametrize("classes", [("0", "1"), ("cat", "dog")])
def test_marks_of_missing_labels(mark, classes, tmp_path):
    labels = tmp_path / "labels.csv"
    labels.write_text(f"node,class\n2,{classes[1]}\n1,{mark}\n0,{classes[0]}\n")
    graph = import_graph(write_edges(tmp_path, ".csv", "src,dst"), tmp_path / "g", labels=labels)
    assert graph.y.tolist() == [0, -100, 1]
    assert f"({classes[0]}: 1, {classes[1]}: 1), 1 nodes without" in summarize(graph)["labels"]


def test_marks_and_names_that_the_caller_gives(tmp_path):
    labels = tmp_path / "labels.csv"
    labels.write_text("user,kind\n0,NA\n2,?\n1,EU\n")
    edges = write_edges(tmp_path, ".csv", "src,dst")
    columns = {"id": "user", "label": "kind"}
    graph = import_graph(edges, tmp_path / "g", labels=labels, columns=columns, missing=["?"])
    assert (graph.y.tolist(), graph.class_names) == ([1, 0, -100], ("EU", "NA"))


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float32])
def test_missing_labels_of_arrays(dtype, tmp_path):
    missing = {np.uint8: 255, np.int64: -1, np.float32: np.nan}[dtype]
    np.save(tmp_path / "y.npy", np.array([0, missing, 1], dtype=dtype))
    graph = import_graph(write_edges(tmp_path, ".csv", "src,dst"), tmp_path / "g", labels=tmp_path / "y.npy")
    assert graph.y.tolist() == [0, -100, 1]


@pytest.mark.parametrize("suffix", [".csv", ".npy"])
@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 1, 90210], "a label of 90210 asks for 90,211 outputs"),
        ([0.5, 1.5, 2.5], "numbers to regress"),
    ],
)
def test_labels_that_are_no_classes_are_refused(labels, message, suffix, tmp_path):
    if suffix == ".npy":
        np.save(tmp_path / "y.npy", np.array(labels))
    else:
        (tmp_path / "y.csv").write_text("label\n" + "".join(f"{label}\n" for label in labels))
    edges = write_edges(tmp_path, ".csv", "src,dst")
    with pytest.raises(DatasetError, match=rf"{message}.*number_classes"):
        import_graph(edges, tmp_path / "g", labels=tmp_path / f"y{suffix}")
    assert not (tmp_path / "g").exists()
    graph = import_graph(edges, tmp_path / "g", labels=tmp_path / f"y{suffix}", number_classes=True)
    assert (graph.y.tolist(), graph.class_names) == ([0, 1, 2], tuple(map(str, labels)))


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("node_number,label\n2,1\n0,0\n1,1\n", r"'node_number' looks like one.*--column id=node_number"),
        ("id,label\n0.5,1\n", r"column 'id', line 2: there is no node '0.5'"),
        ("id,kind\n0,1\n", r"no column 'label'; it has 'id', 'kind'.*--column label=NAME"),
    ],
)
def test_tables_of_labels_whose_columns_are_not_clear(table, message, tmp_path):
    (tmp_path / "y.csv").write_text(table)
    with pytest.raises(DatasetError, match=message):
        import_graph(write_edges(tmp_path, ".csv", "src,dst"), tmp_path / "g", labels=tmp_path / "y.csv")


def test_an_id_far_beyond_the_edges_is_refused(tmp_path):
    file = write_edges(tmp_path, ".csv", "src,dst", "0,1\n1,5000000\n")
    with pytest.raises(DatasetError, match=r"edges\.csv: .*the id 5000000 asks for 5,000,001 nodes"):
        import_graph(file, tmp_path / "g")
    assert import_graph(file, tmp_path / "g", num_nodes=5_000_001).num_edges == 2


def test_notes_stay_with_the_graph(tmp_path):
    file = write_edges(tmp_path, ".csv", "src,dst")
    (tmp_path / "y.csv").write_text("label,note\na,x\nb,y\na,z\n")
    graph = import_graph(file, tmp_path / "g", labels=tmp_path / "y.csv")
    assert "undirected=True (--undirected)" in graph.notes.warnings[-1]
    assert graph.notes.left_out == ("column 'note' of 'y.csv'",)
    assert graph.notes.labels == "y.csv, column 'label'"
    assert load_dataset(str(tmp_path / "g")).notes.warnings == graph.notes.warnings
    both = import_graph(file, tmp_path / "both", undirected=True)
    assert (both.notes.warnings, both.notes.edges) == ((), "with the reverse of each")
