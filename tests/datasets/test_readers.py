"""What all readers of files have in common: broken links, edges listed once, missing labels, made features."""

from __future__ import annotations

from pathlib import Path
from typing import Callable, Dict

import numpy as np
import pytest

from gnnkit.data import Graph
from gnnkit.datasets import import_graph, load_dataset
from gnnkit.errors import DatasetError
from tests.datasets.folders import write

NODES = 40
ONE_WAY = np.array([[node, (node + 1) % NODES] for node in range(NODES)]).T
Loader = Callable[..., Graph]


def folder(root: Path, monkeypatch, edges: np.ndarray, **files: np.ndarray) -> Loader:
    write(root / "mine", edges__npy=edges, **files)
    return lambda **options: load_dataset(root / "mine", **options)


def imported(root: Path, monkeypatch, edges: np.ndarray) -> Loader:
    np.save(root / "edges.npy", edges)
    import_graph(root / "edges.npy", root / "g")
    return lambda **options: load_dataset(root / "g", **options)


def tu(root: Path, monkeypatch, edges: np.ndarray) -> Loader:
    (root / "SMALL").mkdir()
    for part, rows in (("A", edges.T + 1), ("graph_indicator", [[1]] * NODES), ("graph_labels", [[1]])):
        text = "".join(", ".join(map(str, row)) + "\n" for row in rows)
        (root / "SMALL" / f"SMALL_{part}.txt").write_text(text)
    return lambda **options: load_dataset("TU-SMALL", data_dir=root, **options)


def ogb(root: Path, monkeypatch, edges: np.ndarray, labels=None) -> Loader:
    pytest.importorskip("ogb")
    from tests.datasets.test_ogb import save

    graph = {"edge_index": edges, "num_nodes": NODES, "node_feat": None, "edge_feat": None}
    save(root, monkeypatch, graph=graph, labels=labels)
    return lambda **options: load_dataset("ogbn-small", data_dir=root, **options)


READERS: Dict[str, Callable[..., Loader]] = {"folder": folder, "import": imported, "TU": tu, "ogbn": ogb}


@pytest.mark.parametrize("reader", list(READERS))
def test_edges_that_are_listed_once_are_said(reader, tmp_path, monkeypatch):
    load = READERS[reader](tmp_path, monkeypatch, ONE_WAY)
    assert "hardly any edge has its reverse" in " ".join(load().notes.warnings)


@pytest.mark.parametrize("reader", list(READERS))
def test_edges_of_both_directions_are_not(reader, tmp_path, monkeypatch):
    load = READERS[reader](tmp_path, monkeypatch, np.concatenate([ONE_WAY, ONE_WAY[::-1]], axis=1))
    assert load().notes.warnings == ()


@pytest.mark.parametrize("kind", ["degree", "constant"])
@pytest.mark.parametrize("reader", list(READERS))
def test_features_can_be_made_for_all(reader, kind, tmp_path, monkeypatch):
    load = READERS[reader](tmp_path, monkeypatch, ONE_WAY)
    assert load().x is None
    graph = load(make_features=kind)
    expected = np.log(2) if kind == "degree" else 1.0
    assert graph.x.tolist() == [[pytest.approx(expected)]] * NODES
    assert graph.feature_names == (kind,)


@pytest.mark.parametrize(
    ("reader", "name"),
    [
        ("folder", "mine/features.npy"),
        ("TU", "SMALL/SMALL_node_labels.txt"),
        ("ogbn", "submission_ogbn_small/small/raw/node-feat.csv.gz"),
    ],
)
def test_a_link_that_leads_nowhere_is_no_absent_file(reader, name, tmp_path, monkeypatch):
    load = READERS[reader](tmp_path, monkeypatch, ONE_WAY)
    assert load().x is None
    (tmp_path / name).symlink_to(tmp_path / "gone")
    with pytest.raises(DatasetError, match=rf"{Path(name).name} is a link to .*gone, which is not there"):
        load()


@pytest.mark.parametrize("mark", [-1, -100, np.nan])
def test_missing_labels_of_ogb_are_no_classes(mark, tmp_path, monkeypatch):
    labels = (np.arange(NODES) % 3).astype(np.float32)[:, None]
    labels[4] = mark
    graph = ogb(tmp_path, monkeypatch, ONE_WAY, labels)()
    assert graph.y[:6].tolist() == [0, 1, 2, 0, -100, 2]
    assert graph.num_classes == 3


def test_a_split_that_is_drawn_is_said():
    assert load_dataset("digits", seed=3).notes.splits == "drawn by seed 3, because the data have none"
