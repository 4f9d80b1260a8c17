"""The folder format where data could be taken for something else without a word."""

from __future__ import annotations

import numpy as np
import pytest

from gnnkit.datasets import load_dataset
from gnnkit.errors import ConfigError, DatasetError
from tests.datasets.folders import PAIR, ROWS, write


def test_lists_of_values_are_features_as_they_are(tmp_path):
    folder = write(tmp_path / "g", edges__csv=PAIR, features__json={"0": [0.5, 1], "1": [1, 0.5]})
    assert load_dataset(str(folder)).x.tolist() == [[0.5, 1], [1, 0.5]]
    assert load_dataset(str(write(folder, features__json=[[0, 1], [1, 1]]))).x.tolist() == [[0, 1], [1, 1]]
    for lists, problem in (
        ([[0.5], [1, 2]], "lists of 1 to 2 numbers"),
        ([[3, 4], [5, 6]], "may be values or numbers of words"),
        ([[None], ["a"]], "has None in a list"),
        ([[["a"]], []], r"has \['a'\] in a list"),
    ):
        with pytest.raises(DatasetError, match=problem):
            load_dataset(str(write(folder, features__json=lists)))
    (folder / "features.json").unlink()
    write(folder, nodes__csv='emb\n"[0.5, 1]"\n"[2, 3]"\n')
    graph = load_dataset(str(folder))
    assert (graph.x.tolist(), graph.feature_names) == ([[0.5, 1], [2, 3]], ("emb:0", "emb:1"))


def test_masks_in_a_table_are_splits(tmp_path):
    nodes = "age,label,train_mask,val_mask,test_mask\n5,0,True,False,0\n6,1,false,true,0\n7,0,0,0,1\n"
    graph = load_dataset(str(write(tmp_path / "g", edges__csv=PAIR, nodes__csv=nodes)))
    assert {name: ids.tolist() for name, ids in graph.splits.items()} == {"train": [0], "valid": [1], "test": [2]}
    assert (graph.feature_names, graph.node_data) == (("age",), {})
    write(tmp_path / "g", nodes__csv=nodes.replace("True", "3"))
    with pytest.raises(DatasetError, match="'train_mask', line 2: 3, expected true or false"):
        load_dataset(str(tmp_path / "g"))


def test_a_second_label_is_no_feature(tmp_path):
    folder = write(tmp_path / "g", edges__csv=PAIR, nodes__csv="id,label,class,age\n0,cat,0,1\n1,dog,1,2\n")
    graph = load_dataset(str(folder))
    assert (graph.feature_names, graph.class_names) == (("age",), ("cat", "dog"))
    assert "'class' looks like a second label" in graph.notes.warnings[0]
    write(folder, nodes__csv="id,label,x,y\n0,cat,0.5,1\n1,dog,1.5,2\n")
    assert load_dataset(str(folder)).feature_names == ("x", "y")


@pytest.mark.parametrize("name", ["edge_features.npy", "edge_labels.csv", "graph_labels.npy"])
def test_files_about_edges_are_not_taken_for_files_about_nodes(name, tmp_path):
    folder = write(tmp_path / "g", edges__csv=PAIR)
    (folder / name).write_text("label\n1\n0\n")
    with pytest.raises(DatasetError, match=rf"{name} is about (edge|graph), which is read from columns"):
        load_dataset(str(folder))


def test_lists_in_order_beside_ids_in_another_order_need_a_word(tmp_path):
    folder = write(tmp_path / "g", edges__csv="source,target\n0,1\n", nodes__csv=ROWS)
    write(folder, features__json=[["w0"], ["w1"], ["w2"]])
    with pytest.raises(DatasetError, match="in another order than its rows"):
        load_dataset(str(folder))
    by_ids = load_dataset(str(folder), array_order="ids")
    assert (by_ids.x.tolist(), by_ids.feature_names) == ([[0, 0, 1], [1, 0, 0], [0, 1, 0]], ("w0", "w1", "w2"))


@pytest.mark.parametrize("arrays", [{"edges__npy": np.array([[1, 2], [2, 3]])}, {"train__npy": np.array([1, 2])}])
def test_numbers_of_nodes_beside_other_ids_need_a_word(arrays, tmp_path):
    folder = write(tmp_path / "g", nodes__csv="id,label\n1,a\n2,b\n3,a\n4,b\n", **arrays)
    if "edges__npy" not in arrays:
        write(folder, edges__csv="source,target\n1,2\n2,3\n")
    with pytest.raises(DatasetError, match=r"names nodes by numbers, but their ids are other.*array_order=rows"):
        load_dataset(str(folder))
    assert load_dataset(str(folder), array_order="rows").num_nodes == 4


def test_the_index_of_a_parquet_file_is_a_column(tmp_path):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    folder = write(tmp_path / "g", edges__csv="source,target\n1,0\n")
    table = pandas.DataFrame({"age": [1.0, 2.0]}, index=pandas.Index([1, 0], name="id"))
    table.to_parquet(folder / "nodes.parquet")
    graph = load_dataset(str(folder))
    assert (graph.x.tolist(), graph.edge_index.t().tolist()) == ([[1], [2]], [[0, 1]])


def test_what_is_given_wins_over_settings_beside_the_data(tmp_path):
    folder = write(tmp_path / "g", edges__csv="source,target\n0,1\n", meta__json={"undirected": True})
    assert load_dataset(str(folder)).num_edges == 2
    assert load_dataset(str(folder), undirected=False).num_edges == 1
    with pytest.raises(ConfigError, match="Give one of them"):
        load_dataset(str(folder), path="other")


def test_words_that_python_takes_for_numbers_stay_words(tmp_path):
    folder = write(tmp_path / "g", edges__csv=PAIR, nodes__csv="label\n1_0\n10\ninf\n")
    assert load_dataset(str(folder)).class_names == ("10", "1_0", "inf")
    with pytest.raises(DatasetError, match="'1_5', expected a finite number"):
        load_dataset(str(write(folder, nodes__csv="age\n1_5\n2\n")))


def test_splits_are_compared_without_case(tmp_path):
    write(tmp_path / "g", edges__csv=PAIR, nodes__csv="label,split\n0,Train\n1,VAL\n0,test\n")
    assert list(load_dataset(str(tmp_path / "g")).splits) == ["train", "valid", "test"]
