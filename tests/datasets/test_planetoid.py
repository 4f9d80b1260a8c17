"""Planetoid files: the real Cora, small made-up ones, and ones that mean harm."""

from __future__ import annotations

import os
import pickle
import shutil
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from gnnkit.data import check_graph
from gnnkit.datasets import load_dataset
from gnnkit.datasets.planetoid import Cora
from gnnkit.errors import DatasetError
from gnnkit.io.pickles import read_pickle


@pytest.fixture
def cora_copy(data_dir: Path, tmp_path: Path) -> Path:
    shutil.copytree(data_dir / "cora" / "raw", tmp_path / "cora")
    for file in (tmp_path / "cora").iterdir():
        file.chmod(0o644)
    return tmp_path / "cora"


def test_cora_is_the_published_graph(data_dir):
    graph = load_dataset("cora", data_dir=data_dir, download=False)
    check_graph(graph)
    assert (graph.num_nodes, graph.num_edges, graph.num_features, graph.num_classes) == (2708, 10556, 1433, 7)
    assert {name: ids.numel() for name, ids in graph.splits.items()} == {"train": 140, "valid": 500, "test": 1000}
    assert graph.y.bincount().tolist() == [351, 217, 418, 818, 426, 298, 180]
    assert graph.y[graph.splits["train"]].bincount().tolist() == [20] * 7
    assert graph.splits["test"].tolist() == list(range(1708, 2708))
    assert graph.class_names[3] == "Neural Networks"
    sums = graph.x.sum(dim=1)
    assert ((sums - 1).abs() < 1e-5).all()
    words = load_dataset("cora", data_dir=data_dir, normalize_features=False).x
    assert set(words.unique().tolist()) == {0.0, 1.0}


def test_cora_is_what_pytorch_geometric_reads(data_dir, tmp_path):
    planetoid = pytest.importorskip("torch_geometric.datasets").Planetoid
    shutil.copytree(data_dir / "cora" / "raw", tmp_path / "Cora" / "raw")
    (tmp_path / "Cora").chmod(0o755)
    theirs = planetoid(str(tmp_path), "Cora")[0]
    ours = load_dataset("cora", data_dir=data_dir, normalize_features=False)
    assert (ours.x == theirs.x).all()
    assert (ours.y == theirs.y).all()
    edges = theirs.edge_index[:, (theirs.edge_index[1] * 2708 + theirs.edge_index[0]).argsort()]
    assert (ours.edge_index == edges).all()
    assert ours.splits["test"].tolist() == theirs.test_mask.nonzero()[:, 0].tolist()


def test_cora_downloads_with_checksums_and_loads_again_offline(data_dir, server, monkeypatch, cache):
    for file in (data_dir / "cora" / "raw").iterdir():
        shutil.copy(file, server.folder)
    monkeypatch.setattr(Cora, "source", server.url)
    assert load_dataset("cora").num_nodes == 2708
    assert len(list((cache / "raw" / "cora").iterdir())) == 8
    monkeypatch.setattr(Cora, "source", "http://127.0.0.1:9/")
    assert load_dataset("cora").num_nodes == 2708


def test_a_changed_download_is_refused(data_dir, server, monkeypatch, cache):
    for file in (data_dir / "cora" / "raw").iterdir():
        shutil.copy(file, server.folder)
    changed = server.folder / "ind.cora.y"
    changed.chmod(0o644)
    changed.write_bytes(changed.read_bytes() + b"\0")
    monkeypatch.setattr(Cora, "source", server.url)
    with pytest.raises(DatasetError, match="ind.cora.y has SHA-256"):
        load_dataset("cora")
    assert not (cache / "prepared").exists()


@pytest.mark.parametrize("part", ["x", "y", "tx", "ty", "allx", "ally", "graph", "test.index"])
@pytest.mark.parametrize("kept", [0.0, 0.5, 0.99])
def test_a_file_cut_short_is_named(part, kept, cora_copy, cache):
    file = cora_copy / f"ind.cora.{part}"
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(DatasetError, match="ind.cora") as caught:
        load_dataset("cora", data_dir=cora_copy, download=False)
    assert "\n" not in str(caught.value)
    assert not (cache / "prepared").exists()


class Harm:
    """Pickles to a call of a function of our choice."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    ("harm", "name"),
    [
        (Harm(os.system, "touch HARM"), "system"),
        (Harm(eval, "open('HARM', 'w')"), "eval"),
        (Harm(np.load, "HARM.npy", None, True), "load"),
        (Harm(np.fromfile, "HARM"), "fromfile"),
        (Harm(getattr, np.ndarray, "tofile"), "getattr"),
        (Harm(pickle.loads, b""), "loads"),
    ],
)
@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_hostile_pickle_runs_nothing(harm, name, protocol, cora_copy, tmp_path, monkeypatch, cache):
    monkeypatch.chdir(tmp_path)
    (cora_copy / "ind.cora.allx").write_bytes(pickle.dumps(harm, protocol))
    with pytest.raises(DatasetError, match=rf"ind\.cora\.allx is refused: it asks for .*\.{name}"):
        load_dataset("cora", data_dir=cora_copy, download=False)
    assert not (tmp_path / "HARM").exists()
    assert not (cache / "prepared").exists()


def test_a_pickle_cannot_change_a_library_class_or_point_outside_of_an_array(tmp_path):
    # BUILD sets attributes of whatever a name gives: it must not be given scipy's class.
    meddling = b"cscipy.sparse.csr\ncsr_matrix\n(N}(S'toarray'\nI0\nutb."
    (tmp_path / "meddling").write_bytes(meddling)
    with pytest.raises(DatasetError, match="meddling is cut short or damaged"):
        read_pickle(tmp_path / "meddling")
    assert callable(csr_matrix.toarray)
    matrix = csr_matrix(np.eye(3, dtype=np.float32))
    matrix.indices[1] = 10**6
    (tmp_path / "outside").write_bytes(pickle.dumps(matrix, 4))
    with pytest.raises(DatasetError, match="outside is cut short or damaged"):
        read_pickle(tmp_path / "outside")


def write_small_citeseer(folder: Path) -> None:
    """510 papers before the tests, of which 501, 503 .. are left out; edges with a loop and a repeat."""
    rng = np.random.default_rng(0)
    features = csr_matrix((rng.random((515, 12)) < 0.3).astype(np.float32))
    labels = np.eye(6, dtype=np.int32)[rng.integers(0, 6, 515)]
    test = np.array([513, 510, 516])
    parts = {
        "x": features[:6],
        "y": labels[:6],
        "allx": features[:510],
        "ally": labels[:510],
        "tx": features[510:513],
        "ty": labels[510:513],
        "graph": defaultdict(list, {0: [1, 0], 1: [0, 2], 516: [2, 2]}),
    }
    folder.mkdir()
    for part, value in parts.items():
        (folder / f"ind.citeseer.{part}").write_bytes(pickle.dumps(value, 2))
    (folder / "ind.citeseer.test.index").write_text("".join(f"{paper}\n" for paper in test))


def test_papers_that_citeseer_leaves_out_have_no_content(tmp_path):
    write_small_citeseer(tmp_path / "citeseer")
    graph = load_dataset("citeseer", data_dir=tmp_path, normalize_features=False, download=False)
    assert graph.num_nodes == 517
    missing = [511, 512, 514, 515]
    assert graph.x[missing].sum() == 0
    assert graph.y[missing].tolist() == [-100] * 4
    assert graph.splits["test"].tolist() == [510, 513, 516]
    tested = read_pickle(tmp_path / "citeseer" / "ind.citeseer.tx").toarray()
    assert graph.x[[513, 510, 516]].tolist() == tested.tolist()
    assert graph.edge_index.t().tolist() == [[1, 0], [0, 1], [2, 1], [1, 2], [516, 2], [2, 516]]


@pytest.mark.parametrize(
    ("part", "value", "message"),
    [
        ("allx", [1, 2], "holds a list, expected a CSR matrix"),
        ("ty", np.zeros((2, 6), dtype=np.int32), "ty has 2 rows"),
        ("graph", {0: [517]}, "names paper 517"),
        ("graph", [1], "no dictionary"),
    ],
)
def test_files_that_do_not_fit_together_are_told(part, value, message, tmp_path):
    write_small_citeseer(tmp_path / "citeseer")
    (tmp_path / "citeseer" / f"ind.citeseer.{part}").write_bytes(pickle.dumps(value, 2))
    with pytest.raises(DatasetError, match=message):
        load_dataset("citeseer", data_dir=tmp_path, download=False)
