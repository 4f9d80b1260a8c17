"""Pairs of a folder, and columns of its edges that pairs are split by."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gnnkit.data import check_leaks, split_edges, summarize
from gnnkit.datasets import load_dataset
from gnnkit.errors import ConfigError, DatasetError, UnknownNameError
from tests.datasets.folders import write

EDGES = "source,target\nann,bob\nbob,cat\n"
NODES = "id,age\nann,1\nbob,2\ncat,3\ndan,4\n"
PAIRS = "source,target,split\nann,bob,train\ndan,cat,test\nann,dan,val\nbob,dan,\n"


def test_pairs_stand_beside_the_edges(tmp_path):
    write(tmp_path, edges__csv=EDGES, nodes__csv=NODES, pairs__csv=PAIRS)
    graph = load_dataset(str(tmp_path))
    found = {name: pairs.tolist() for name, pairs in graph.links.pairs.items()}
    assert found == {"train": [[0, 1]], "valid": [[0, 3]], "test": [[3, 2]]}
    assert not graph.links.undirected and not graph.links.y and graph.num_edges == 2 and not graph.splits
    assert summarize(graph)["links"] == "train 1, valid 1, test 1, directed, pairs.csv"
    assert load_dataset(str(tmp_path), undirected=True).links.undirected  # from edges and pairs alike
    assert check_leaks(graph) == 2


def test_pairs_have_labels(tmp_path):
    kinds = "src,dst,part,kind,when\n0,1,train,dog,5\n1,2,train,,6\n2,3,test,cat,7\n"
    write(tmp_path, edges__csv="source,target\n0,1\n", pairs__csv=kinds)
    graph = load_dataset(str(tmp_path), columns={"split": "part", "label": "kind"})
    assert graph.num_nodes == 4  # node 3 is in a pair alone
    assert graph.links.class_names == ("cat", "dog") and graph.links.y["train"].tolist() == [1, -100]
    assert graph.links.y["test"].tolist() == [0]
    assert "column 'when' of 'pairs.csv'" in graph.notes.left_out
    write(tmp_path, pairs__csv="source,target,split,label\n0,1,train,0.5\n2,1,test,\n")
    y = load_dataset(str(tmp_path)).links.y
    assert y["train"].tolist() == [0.5] and y["test"].isnan().all() and y["test"].dtype == torch.float32


def test_columns_of_edges_are_kept_as_they_are_and_split_pairs(tmp_path):
    rows = [(i, (i + 1) % 10, 1_600_000_001 + i, i % 3, i / 4, i % 2 == 0) for i in range(10)]
    text = "".join(",".join(str(cell) for cell in row) + "\n" for row in rows)
    write(tmp_path, edges__csv="source,target,time,kind,score,close\n" + text)
    graph = load_dataset(str(tmp_path))
    assert graph.edge_data["time"].dtype == graph.edge_data["close"].dtype == torch.int64
    assert sorted(graph.edge_data["time"].tolist()) == [row[2] for row in rows]
    assert graph.edge_data["score"].dtype == torch.float64
    by_time = split_edges(graph, valid=0.2, test=0.2, by="time", y="kind").links
    assert by_time.pairs["test"].tolist() == [[9, 0], [8, 9]] and by_time.y["test"].tolist() == [0, 2]
    assert by_time.y["test"].dtype == torch.int64
    assert split_edges(graph, valid=0.2, test=0.2, y="score").links.y["train"].is_floating_point()


def test_nodes_keep_splits_of_their_own(tmp_path):
    nodes = "id,label,split\nann,0,train\nbob,1,valid\ncat,0,test\ndan,1,\n"
    write(tmp_path, edges__csv=EDGES, nodes__csv=nodes, pairs__csv=PAIRS)
    graph = load_dataset(str(tmp_path))
    assert list(graph.splits) == ["train", "valid", "test"] and graph.y.tolist() == [0, 1, 0, 1]
    assert summarize(graph)["splits"] == "train 1, valid 1, test 1, column 'split'"


def test_a_metric_of_pairs_can_be_named(tmp_path):
    write(tmp_path, edges__csv=EDGES, nodes__csv=NODES, pairs__csv=PAIRS, meta__json={"metric": "hits@10"})
    assert load_dataset(str(tmp_path)).metric == "hits@10"
    with pytest.raises(ConfigError, match="metric is 'hits@0', expected one of .*hits@K"):
        load_dataset(str(tmp_path), metric="hits@0")


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ("source,target\nann,bob\n", "pairs.csv has no column 'split'"),
        ("source,target,split\nann,eve,train\n", "column 'target', line 2: there is no node 'eve'"),
        ("source,target,split\nann,bob,training\n", "column 'split', line 2: 'training', expected train"),
        ("source,target,split\nann,bob,\n", "no row has a split"),
        ("source,target,split\nann,bob,train\nann,bob,test\n", r"pairs.csv: .*\(0, 1\) is in 'train' and in 'test'"),
    ],
)
def test_a_mistake_is_named(tmp_path, pairs, message):
    write(tmp_path, edges__csv=EDGES, nodes__csv=NODES, pairs__csv=pairs)
    with pytest.raises(DatasetError, match=message):
        load_dataset(str(tmp_path))


def test_a_nearly_known_name_is_refused_and_other_names_are_given(tmp_path):
    write(tmp_path, edges__csv=EDGES, nodes__csv=NODES, pair__csv=PAIRS)
    with pytest.raises(DatasetError, match=r"Is pairs.csv meant\?"):
        load_dataset(str(tmp_path))
    assert load_dataset(str(tmp_path), file_names={"pairs": "pair.csv"}).links is not None
    with pytest.raises((DatasetError, UnknownNameError), match="file_names names 'link', expected .*pairs"):
        load_dataset(str(tmp_path), file_names={"link": "pair.csv"})


def test_pairs_beside_arrays(tmp_path):
    write(tmp_path, edges__npy=np.array([[0, 1], [1, 0]]), pairs__csv="source,target,split\n0,1,train\n2,1,test\n")
    graph = load_dataset(str(tmp_path))
    assert graph.num_nodes == 3 and graph.links.undirected
