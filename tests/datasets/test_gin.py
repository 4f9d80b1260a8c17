"""Graphs in the text layout of Xu et al. (2019): written and read again, damaged, downloaded, and NCI1 itself."""

from __future__ import annotations

import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gnnkit.data import check_graph, fingerprint, is_undirected, summarize
from gnnkit.datasets import gin, load_dataset
from gnnkit.datasets.gin import GinCollection
from gnnkit.errors import ConfigError, DatasetError

SMALL = "3\n2 -1\n0 1 1\n4 1 0\n3 1\n4 2 1 2\n4 1 0\n7 1 0\n1 1\n0 0\n"


def write(root: Path, text: str = SMALL, tests=(), trains=None) -> Path:
    folder = root / "SMALL"
    (folder / "10fold_idx").mkdir(parents=True, exist_ok=True)
    (folder / "SMALL.txt").write_text(text)
    for part, lists in (("test", tests), ("train", trains or ())):
        for number, graphs in enumerate(lists, 1):
            text = "".join(f"{graph}\n" for graph in graphs)
            (folder / "10fold_idx" / f"{part}_idx-{number}.txt").write_text(text)
    return folder


def load(root: Path, **options):
    return load_dataset("GIN-SMALL", data_dir=root, **options)


def test_small_files(tmp_path, cache):
    write(tmp_path, tests=[[2, 0], [1]], trains=[[1], [0, 2]])
    graph = load(tmp_path)
    check_graph(graph)
    assert graph.graph_ptr.tolist() == [0, 2, 5, 6]
    assert graph.graph_y.tolist() == [0, 1, 1] and graph.class_names == ("-1", "1")
    assert graph.feature_names == ("tag 0", "tag 4", "tag 7")
    assert graph.x.argmax(dim=1).tolist() == [0, 1, 1, 1, 2, 0]
    assert sorted(graph.edge_index.t().tolist()) == [[0, 1], [1, 0], [2, 3], [2, 4], [3, 2], [4, 2]]
    assert graph.graph_data["fold"].tolist() == [0, 1, 0] and not graph.graph_splits
    lines = summarize(graph)
    assert lines["splits"] == "2 folds of 1 to 2 graphs, folds as published in 10fold_idx"
    assert lines["labels"] == "2 classes (-1: 1, 1: 2), SMALL.txt"
    again = load(tmp_path)
    assert fingerprint(again) == fingerprint(graph) and again.graph_data["fold"].tolist() == [0, 1, 0]
    assert len(list((cache / "prepared").iterdir())) == 1


def test_folds_may_be_absent(tmp_path):
    write(tmp_path)
    assert not load(tmp_path).graph_data


def test_further_numbers_are_attributes_and_edges_get_their_reverse(tmp_path):
    write(tmp_path, "1\n3 0\n3 1 1 0.5 -2\n5 1 1 1.5 3e1\n5 1 1 2 0\n")
    graph = load(tmp_path)
    assert graph.x.tolist() == [[1, 0, 0.5, -2], [0, 1, 1.5, 30], [0, 1, 2, 0]]
    assert graph.feature_names == ("tag 3", "tag 5", "attribute 0", "attribute 1")
    # Node 1 lists itself; nodes 0 and 2 list node 1, which does not list them.
    assert sorted(graph.edge_index.t().tolist()) == [[0, 1], [1, 0], [1, 2], [2, 1]]
    assert "without 1 self-loops" in summarize(graph)["edges"]


def test_tags_that_are_all_alike_are_no_features(tmp_path):
    write(tmp_path, "1\n\n3 0\n5 1 1\n5 1 0\n5 0\n".replace("\n\n", "\n"))
    assert load(tmp_path).x is None
    graph = load(tmp_path, make_features="one_hot_degree")
    assert graph.x.argmax(dim=1).tolist() == [1, 1, 0] and graph.x.shape == (3, 101)


@st.composite
def collections(draw):
    """Graphs as (label, tags, attributes, simple undirected edges)."""
    width = draw(st.integers(0, 2))
    graphs = []
    for number in range(draw(st.integers(1, 4))):
        size = draw(st.integers(0 if number else 1, 5))
        tags = draw(st.lists(st.integers(-3, 40), min_size=size, max_size=size))
        rows = st.lists(st.integers(-8, 8).map(lambda n: n / 4), min_size=width, max_size=width)
        attributes = draw(st.lists(rows, min_size=size, max_size=size))
        pairs = [(low, high) for high in range(size) for low in range(high)]
        edges = draw(st.lists(st.sampled_from(pairs), unique=True)) if pairs else []
        graphs.append((draw(st.integers(-2, 2)), tags, attributes, edges))
    return graphs


@settings(max_examples=60)
@given(collections())
def test_what_is_written_is_read(tmp_path_factory, graphs):
    root = tmp_path_factory.mktemp("gin")
    lines = [str(len(graphs))]
    for label, tags, attributes, edges in graphs:
        lines.append(f"{len(tags)} {label}")
        for node, (tag, numbers) in enumerate(zip(tags, attributes)):
            near = [a + b - node for a, b in edges if node in (a, b)]
            lines.append(" ".join(map(str, [tag, len(near), *near, *numbers])))
    file = root / "SMALL.txt"
    file.write_text("\n".join(lines) + "\n")
    graph = GinCollection(requested="GIN-SMALL").read({"SMALL.txt": file})
    labels = [int(graph.class_names[y]) for y in graph.graph_y]
    tags = [int(name[4:]) for name in graph.feature_names if name.startswith("tag ")]
    assert labels == [label for label, *_ in graphs] and is_undirected(graph)
    features = torch.empty(graph.num_nodes, 0) if graph.x is None else graph.x
    assert len(tags) != 1
    for number, (_, expected, attributes, edges) in enumerate(graphs):
        first, last = graph.graph_ptr[number : number + 2].tolist()
        x = features[first:last]
        if tags:
            assert [tags[place] for place in x[:, : len(tags)].argmax(dim=1).tolist()] == expected
        assert x[:, len(tags) :].tolist() == attributes
        mine = [(a - first, b - first) for a, b in graph.edge_index.t().tolist() if first <= a < last]
        assert sorted(mine) == sorted([*edges, *((b, a) for a, b in edges)])


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "begins with '', expected the number of graphs"),
        ("0.5\n", "begins with '0.5', expected the number of graphs"),
        ("0\n", "announces no graphs"),
        ("2\n1 0\n0 0\n", "ends in graph 1 of 2. It is cut short"),
        ("1\n2 0\n0 0\n", "ends in graph 1 of 1. It is cut short"),
        ("1\n1 0\n0 0\n0 0\n", "line 4: 1 graphs end before it"),
        ("1\n1 0 5\n0 0\n", "line 2: '1 0 5', expected a graph's number of nodes"),
        ("1\n2 0\n0 1 1\n0\n", "line 4: '0', expected a node's tag"),
        ("1\n2 0\n0 1 1\n0 2 0\n", "line 4: '0 2 0', expected a tag, a number m, and m neighbours"),
        ("1\n2 0\n0 1 1 0.5\n0 1 0\n", "line 4: '0 1 0', .*and 1 further numbers as in the first"),
        ("1\n2 0\n0 1 2\n0 1 0\n", "line 3: '0 1 2', expected neighbours from 0 to 1"),
        ("1\n2 0\n0 1 1\n0 1 0.5\n", "line 4: .*expected a whole number instead of 0.5"),
        ("1\n1 0.5\n0 0\n", "line 2: .*expected a whole number instead of 0.5"),
        ("1\n1 0\n1e300 0\n", "line 3: .*expected a whole number instead of 1e"),
        ("1\n1 0\nC 0\n", "something else than numbers .*'C'"),
    ],
)
def test_damaged_files_are_named_by_line(tmp_path, text, message):
    write(tmp_path, text)
    with pytest.raises(DatasetError, match=f"SMALL.txt.*{message}"):
        load(tmp_path)


@pytest.mark.parametrize(
    "tests, trains, message",
    [
        ([[0, 1], [1, 2]], None, "test_idx-2.txt has graph 1, which test_idx-1.txt has too"),
        ([[0, 0], [1, 2]], None, "test_idx-1.txt has graph 0 twice"),
        ([[0], [2]], None, "1 graphs are tested in no fold, the first is 1"),
        ([[0], [1, 3]], None, "test_idx-2.txt has graph 3, expected numbers from 0 to 2"),
        ([[0], [1, "x"]], None, "test_idx-2.txt cannot be read as one whole number a line"),
        ([[0], [1, 2]], [[1, 2], [0, 1]], "train_idx-2.txt has graph 1, expected all graphs but those of test_idx-2"),
        ([[0], [1, 2]], [[1], [0]], "train_idx-1.txt lacks graph 2"),
        ([[0, 1, 2]], [[], [0, 1, 2]], "10fold_idx lacks test_idx-2.txt"),
    ],
)
def test_folds_that_are_none_are_told(tmp_path, tests, trains, message):
    write(tmp_path, tests=tests, trains=trains)
    with pytest.raises(DatasetError, match=message):
        load(tmp_path)


def test_published_data_are_downloaded_once_for_all(server, monkeypatch, tmp_path, cache):
    write(tmp_path / "made" / "dataset", tests=[[0], [1, 2]])
    with zipfile.ZipFile(server.folder / "dataset.zip", "w") as archive:
        for file in sorted((tmp_path / "made").rglob("*.txt")):
            archive.write(file, file.relative_to(tmp_path / "made"))
            archive.writestr(str(file.relative_to(tmp_path / "made")).replace("SMALL", "OTHER"), file.read_bytes())
    monkeypatch.setattr(gin, "_URL", server.url + "dataset.zip")
    monkeypatch.setattr(gin, "_PUBLISHED", ("OTHER", "SMALL"))
    assert load_dataset("GIN-SMALL").graph_data["fold"].tolist() == [0, 1, 1]
    (server.folder / "dataset.zip").unlink()
    assert load_dataset("GIN-OTHER").num_graphs == 3
    assert [path.name for path in (cache / "raw").iterdir()] == ["powerful-gnns"]


def test_what_cannot_be_had_is_told(tmp_path):
    with pytest.raises(ConfigError, match="for example GIN-NCI1"):
        load_dataset("GIN", data_dir=tmp_path)
    with pytest.raises(DatasetError, match=r"NONE.txt.*none of those published, which are COLLAB, .*Put them into"):
        load_dataset("GIN-NONE", data_dir=tmp_path)
    with pytest.raises(DatasetError, match="PTC.txt.*switched off.*weihua916/powerful-gnns"):
        load_dataset("GIN-PTC", data_dir=tmp_path, download=False)


def test_nci1(data_dir, tmp_path):
    if not (data_dir / "NCI1").is_dir():
        pytest.skip(f"there is no NCI1 in {data_dir}")
    start = time.perf_counter()
    graph = load_dataset("GIN-NCI1", data_dir=data_dir)
    assert time.perf_counter() - start < 10  # about half a second
    assert (graph.num_graphs, graph.num_nodes, graph.num_edges, graph.num_features) == (4110, 122_747, 265_506, 37)
    assert graph.graph_y.bincount().tolist() == [2053, 2057]
    assert np.bincount(graph.graph_data["fold"].numpy()).tolist() == [411] * 10
    assert load_dataset("GIN-NCI1", data_dir=data_dir / "NCI1").num_graphs == 4110
