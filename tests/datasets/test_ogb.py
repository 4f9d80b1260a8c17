"""OGB data: made small with ogb's own DatasetSaver, in its csv layout, and downloaded from a server."""

from __future__ import annotations

import gzip
import pickle
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from gnnkit.data import fingerprint
from gnnkit.datasets import load_dataset, ogb, ogb_files
from gnnkit.errors import DatasetError, UnknownNameError

pytest.importorskip("ogb")
NODES, EDGES = 40, 120


def content(seed: int = 0) -> dict:
    rng = np.random.default_rng(seed)
    return {
        "edge_index": rng.integers(0, NODES, (2, EDGES)),
        "num_nodes": NODES,
        "node_feat": rng.standard_normal((NODES, 5)).astype(np.float32),
        "node_year": rng.integers(2000, 2020, (NODES, 1)),
        "edge_feat": None,
    }


def save(root: Path, monkeypatch, name="ogbn-small", labels=None, metric="acc", graph=None, num_classes=3) -> Path:
    """Write a data set with ogb's DatasetSaver; returns its folder."""
    ogb_files.import_raw_readers()
    from ogb.io import DatasetSaver

    monkeypatch.chdir(root)
    saver = DatasetSaver(name, is_hetero=False, version=1, root="submission")
    saver.save_graph_list([graph or content()])
    saver.save_target_labels(np.arange(NODES).reshape(-1, 1) % num_classes if labels is None else labels)
    order = np.random.default_rng(0).permutation(NODES)
    saver.save_split({"train": order[:20], "valid": order[20:30], "test": order[30:]}, "random")
    (root / "mapping").mkdir(exist_ok=True)
    (root / "mapping" / "README.md").write_text("none")
    saver.copy_mapping_dir(str(root / "mapping"))
    saver.save_task_info(
        "multiclass classification" if metric == "acc" else "binary classification", metric, num_classes
    )
    saver.get_meta_dict()
    return Path(root, saver.dataset_dir)


def test_a_saved_data_set_loads_and_loads_again_from_the_cache(tmp_path, monkeypatch, cache):
    save(tmp_path, monkeypatch)
    graph = load_dataset("ogbn-small", data_dir=tmp_path)
    expected = content()
    assert graph.name == "ogbn-small"
    assert graph.metric == "accuracy"
    assert (graph.num_nodes, graph.num_edges, graph.num_features, graph.num_classes) == (NODES, EDGES, 5, 3)
    assert {name: ids.numel() for name, ids in graph.splits.items()} == {"train": 20, "valid": 10, "test": 10}
    assert np.allclose(graph.x.numpy(), expected["node_feat"])
    assert graph.node_data["year"].tolist() == expected["node_year"][:, 0].tolist()
    assert sorted(map(tuple, graph.edge_index.t().tolist())) == sorted(map(tuple, expected["edge_index"].T.tolist()))
    monkeypatch.setattr(ogb, "read_raw", None)
    assert fingerprint(load_dataset("ogbn-small", data_dir=tmp_path)) == fingerprint(graph)


def test_classes_have_the_names_of_the_mapping(tmp_path, monkeypatch, cache):
    folder = save(tmp_path, monkeypatch)
    assert load_dataset("ogbn-small", data_dir=tmp_path).class_names == ()
    with gzip.open(folder / "mapping" / "labelidx2productcategory.csv.gz", "wt") as file:
        file.write('label idx,product category\n0,Books\n2,"Home, Kitchen"\n1,\n')
    assert load_dataset("ogbn-small", data_dir=tmp_path).class_names == ("Books", "1", "Home, Kitchen")


def test_every_usual_place_is_looked_at(tmp_path, monkeypatch):
    folder = save(tmp_path, monkeypatch)
    expected = fingerprint(load_dataset("ogbn-small", data_dir=folder.parent))
    assert fingerprint(load_dataset("ogbn-small", data_dir=folder)) == expected
    for name in ("ogbn_small", "ogbn-small", "small"):
        shutil.copytree(folder, tmp_path / name / name)
        assert fingerprint(load_dataset("ogbn-small", data_dir=tmp_path / name)) == expected


def test_undirected_adds_the_reverse_of_every_edge_and_is_the_rule_for_arxiv_alone(tmp_path, monkeypatch):
    shutil.move(str(save(tmp_path, monkeypatch)), tmp_path / "arxiv")
    graph = load_dataset("ogbn-small", data_dir=tmp_path / "arxiv", undirected=True)
    both = {*map(tuple, graph.edge_index.t().tolist())}
    assert both == {*map(tuple, graph.edge_index.flip(0).t().tolist())}
    arxiv = load_dataset("ogbn-arxiv", data_dir=tmp_path / "arxiv")
    assert torch.equal(arxiv.indices, graph.indices)
    assert arxiv.num_classes == 40
    assert load_dataset("ogbn-arxiv", data_dir=tmp_path / "arxiv", undirected=False).num_edges == EDGES


def test_multi_label_data_without_node_features_get_the_mean_of_their_edges(tmp_path, monkeypatch):
    graph = content()
    graph["node_feat"] = None
    graph["edge_feat"] = np.random.default_rng(1).random((EDGES, 4)).astype(np.float32)
    labels = (np.random.default_rng(2).random((NODES, 6)) < 0.5).astype(np.float32)
    save(tmp_path, monkeypatch, labels=labels, metric="rocauc", graph=graph, num_classes=2)
    loaded = load_dataset("ogbn-small", data_dir=tmp_path)
    assert loaded.metric == "rocauc"
    assert loaded.is_multi_label
    assert loaded.y.tolist() == labels.tolist()
    for node in range(NODES):
        mine = graph["edge_feat"][graph["edge_index"][1] == node]
        expected = mine.mean(axis=0) if len(mine) else np.zeros(4)
        assert np.allclose(loaded.x[node].numpy(), expected, atol=1e-6)
    assert loaded.edge_attr.shape == (EDGES, 4)


def write_csv(folder: Path) -> None:
    """The csv layout of the published data sets."""
    made = content()
    tables = {
        "raw/edge": made["edge_index"].T,
        "raw/num-node-list": [[NODES]],
        "raw/num-edge-list": [[EDGES]],
        "raw/node-feat": made["node_feat"],
        "raw/node_year": made["node_year"],
        "raw/node-label": np.arange(NODES)[:, None] % 7,
        "split/time/train": np.arange(20)[:, None],
        "split/time/valid": np.arange(20, 30)[:, None],
        "split/time/test": np.arange(30, NODES)[:, None],
    }
    for name, rows in tables.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        text = "".join(",".join(str(cell) for cell in row) + "\n" for row in rows)
        (folder / f"{name}.csv.gz").write_bytes(gzip.compress(text.encode()))


def serve_zip(server, monkeypatch, tmp_path, **more: bytes) -> None:
    write_csv(tmp_path / "made" / "arxiv")
    with zipfile.ZipFile(server.folder / "arxiv.zip", "w") as archive:
        for file in sorted((tmp_path / "made").rglob("*.gz")):
            archive.write(file, file.relative_to(tmp_path / "made"))
        for name, data in more.items():
            archive.writestr(name, data)
    published = ogb_files.published("nodeproppred")
    published["ogbn-arxiv"]["url"] = server.url + "arxiv.zip"
    monkeypatch.setattr(ogb_files, "published", lambda table: published)


def test_a_published_data_set_is_downloaded_and_unpacked(server, monkeypatch, tmp_path, cache, capfd):
    serve_zip(server, monkeypatch, tmp_path)
    graph = load_dataset("ogbn-arxiv", undirected=False)
    assert (graph.num_nodes, graph.num_edges, graph.num_classes, graph.metric) == (NODES, EDGES, 40, "accuracy")
    assert graph.node_data["year"].tolist() == content()["node_year"][:, 0].tolist()
    assert graph.splits["valid"].tolist() == list(range(20, 30))
    assert sorted(path.name for path in (cache / "raw").iterdir()) == ["ogbn-arxiv"]
    (server.folder / "arxiv.zip").unlink()
    assert fingerprint(load_dataset("ogbn-arxiv", undirected=False)) == fingerprint(graph)
    assert "".join(capfd.readouterr()) == ""


def test_an_archive_cannot_write_outside_of_its_folder(server, monkeypatch, tmp_path, cache):
    serve_zip(server, monkeypatch, tmp_path, **{"../../harm.txt": b"harm"})
    with pytest.raises(DatasetError, match="outside of its folder"):
        load_dataset("ogbn-arxiv")
    assert not list(tmp_path.rglob("harm.txt"))
    assert not (cache / "raw" / "ogbn-arxiv").exists()


@pytest.mark.parametrize(
    "name", ["raw/data.npz", "raw/node-label.npz", "split/random/split_dict.pt", "../meta_dict.pt"]
)
def test_a_file_cut_short_is_told(name, tmp_path, monkeypatch, cache):
    folder = save(tmp_path, monkeypatch)
    whole = (folder / name).read_bytes()
    (folder / name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DatasetError, match="cut short"):
        load_dataset("ogbn-small", data_dir=tmp_path)
    assert not (cache / "prepared").exists()


@pytest.mark.parametrize("name", ["raw/edge", "raw/node-feat", "raw/node-label", "raw/node_year", "split/time/test"])
def test_a_csv_file_cut_short_is_named(name, tmp_path):
    write_csv(tmp_path / "ogbn_arxiv")
    file = tmp_path / "ogbn_arxiv" / f"{name}.csv.gz"
    file.write_bytes(file.read_bytes()[:-12])
    with pytest.raises(DatasetError, match=f"{file.name} is"):
        load_dataset("ogbn-arxiv", data_dir=tmp_path)


class Harm:
    def __reduce__(self):
        return eval, ("open('HARM', 'w')",)


@pytest.mark.parametrize("name", ["split/random/split_dict.pt", "../meta_dict.pt"])
def test_a_hostile_split_or_meta_file_runs_nothing(name, tmp_path, monkeypatch):
    folder = save(tmp_path, monkeypatch)
    torch.save({"train": Harm()}, folder / name, pickle_module=pickle)
    with pytest.raises(DatasetError, match=r"is refused: it asks for \w+.eval"):
        load_dataset("ogbn-small", data_dir=tmp_path)
    assert not (tmp_path / "HARM").exists()


def test_what_cannot_be_had_is_told(tmp_path, monkeypatch):
    with pytest.raises(DatasetError, match="heterogeneous graphs are not supported"):
        load_dataset("ogbn-mag", data_dir=tmp_path)
    with pytest.raises(UnknownNameError, match="Did you mean .*'ogbn-arxiv'"):
        load_dataset("ogbn-arxivv")
    with pytest.raises(DatasetError, match="'ogbn-none' is not published by OGB"):
        load_dataset("ogbn-none", data_dir=tmp_path)
    with pytest.raises(DatasetError, match="products.zip.*switched off.*snap.stanford.edu"):
        load_dataset("ogbn-products", data_dir=tmp_path, download=False)
    save(tmp_path, monkeypatch, metric="rmse")
    with pytest.raises(DatasetError, match="judged by rmse"):
        load_dataset("ogbn-small", data_dir=tmp_path)


def test_importing_ogb_starts_no_thread():
    code = """
import sys, threading
from gnnkit.datasets import ogb_files
ogb_files.import_raw_readers()
assert threading.active_count() == 1, threading.enumerate()
assert not any(name.startswith(("torch_geometric", "dgl")) for name in sys.modules)
for kind in ("nodeproppred", "linkproppred"):
    ogb_files.import_ogb(f"ogb.{kind}").Evaluator
assert threading.active_count() == 1, threading.enumerate()
import outdated
"""
    subprocess.run([sys.executable, "-c", code], check=True)
