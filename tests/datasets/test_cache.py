"""Graphs on disk, and the prepared copies of data sets."""

from __future__ import annotations

import json
import os
import shutil
import warnings
from pathlib import Path

import pytest
import torch

from gnnkit.data import Graph, check_graph, fingerprint, from_edge_index
from gnnkit.datasets import load_dataset, load_graph, save_graph
from gnnkit.errors import DatasetError


def rich_graph() -> Graph:
    """A graph that uses every field."""
    return from_edge_index(
        [[0, 1, 3, 2], [1, 0, 2, 3]],
        5,
        x=torch.randn(5, 3).to(torch.bfloat16),
        y=[0, 1, -100, 1, 0],
        edge_weight=[0.5, 1.0, 2.0, 4.0],
        edge_attr=torch.randn(4, 2, dtype=torch.float64),
        splits={"train": [0], "valid": [3], "test": [4, 1]},
        node_data={"year / of: it": torch.arange(5), "flag": torch.tensor([True, False, True, True, False])},
        edge_data={"kind": torch.tensor([3, 2, 1, 0], dtype=torch.int16), "none": torch.empty(4, 0)},
        graph_ptr=[0, 2, 5],
        graph_y=[1, 0],
        class_names=["α", "b c"],
        name="rich",
        metric="macro_f1",
    )


def assert_equal(one: Graph, other: Graph) -> None:
    assert fingerprint(one) == fingerprint(other)
    assert (one.name, one.metric, one.class_names) == (other.name, other.metric, other.class_names)
    assert list(one.node_data) == list(other.node_data)


def test_a_round_trip_loses_nothing(tmp_path):
    graph = rich_graph()
    save_graph(graph, tmp_path / "new" / "rich")
    back = load_graph(tmp_path / "new" / "rich")
    assert_equal(graph, back)
    assert back.x.dtype == torch.bfloat16
    check_graph(back)
    assert os.listdir(tmp_path / "new") == ["rich"]


def test_a_graph_without_edges_and_without_nodes_comes_back(tmp_path):
    for number, graph in enumerate((from_edge_index([[], []], 3), from_edge_index([[], []], 0))):
        save_graph(graph, tmp_path / str(number))
        assert_equal(graph, load_graph(tmp_path / str(number)))


def test_writing_to_a_tensor_warns_of_nothing_and_does_not_reach_the_disk(tmp_path):
    save_graph(rich_graph(), tmp_path / "rich")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_graph(tmp_path / "rich").edge_weight.zero_()
    assert load_graph(tmp_path / "rich").edge_weight.sum() == 7.5


def test_saving_replaces_a_graph_and_nothing_else(tmp_path):
    save_graph(rich_graph(), tmp_path / "g")
    pair = from_edge_index([[0], [1]])
    save_graph(pair, tmp_path / "g")
    assert_equal(pair, load_graph(tmp_path / "g"))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(DatasetError, match="is no saved graph"):
        save_graph(pair, tmp_path / "mine")
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"


def test_a_damaged_folder_is_told(tmp_path):
    save_graph(rich_graph(), tmp_path / "g")
    array = next((tmp_path / "g").glob("*.npy"))
    array.write_bytes(array.read_bytes()[:-3])
    with pytest.raises(DatasetError, match=f"damaged.*{array.name}"):
        load_graph(tmp_path / "g")
    (tmp_path / "g" / "meta.json").write_text('{"format": 1, "arr')
    with pytest.raises(DatasetError, match="is damaged"):
        load_graph(tmp_path / "g")
    with pytest.raises(DatasetError, match="is no saved graph"):
        load_graph(tmp_path / "nothing")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "ring"
    folder.mkdir()
    (folder / "edges.csv").write_text("source,target\n" + "".join(f"{i},{(i + 1) % 10}\n" for i in range(10)))
    (folder / "nodes.csv").write_text("label,height\n" + "".join(f"{i % 2},{i}\n" for i in range(10)))
    return folder


def prepared_folders(cache: Path) -> list[Path]:
    return sorted((cache / "prepared").iterdir())


def test_prepared_data_are_reused_until_a_file_or_an_option_changes(folder, cache):
    first = load_dataset(str(folder))
    (made,) = prepared_folders(cache)
    stamp = (made / "meta.json").stat().st_mtime_ns
    assert_equal(first, load_dataset(str(folder)))
    assert prepared_folders(cache) == [made]
    assert (made / "meta.json").stat().st_mtime_ns == stamp
    load_dataset(str(folder), seed=5)
    assert prepared_folders(cache) == [made]
    assert load_dataset(str(folder), undirected=True).num_edges == 20
    assert len(prepared_folders(cache)) == 2
    (folder / "nodes.csv").write_text((folder / "nodes.csv").read_text().replace("1,9", "1,90"))
    assert load_dataset(str(folder)).x[9, 0] == 90
    assert len(prepared_folders(cache)) == 3


def test_a_cache_that_was_cut_short_or_left_half_written_is_made_again(folder, cache):
    expected = fingerprint(load_dataset(str(folder)))
    (made,) = prepared_folders(cache)
    for array in sorted(made.glob("*.npy")):
        array.write_bytes(array.read_bytes()[:-8])
        assert fingerprint(load_dataset(str(folder))) == expected
    (made / "meta.json").unlink()
    assert fingerprint(load_dataset(str(folder))) == expected
    assert json.loads((made / "meta.json").read_text())["name"] == "graph"


def test_without_a_place_for_the_cache_loading_goes_on(folder, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    assert load_dataset(str(folder), cache_dir=tmp_path / "file").num_nodes == 10


def test_a_failed_read_leaves_no_cache(folder, cache):
    (folder / "edges.csv").write_text("source,target\n0,99\n")
    with pytest.raises(DatasetError):
        load_dataset(str(folder))
    assert not (cache / "prepared").exists()
    shutil.rmtree(cache, ignore_errors=True)
