"""The folder format for a user's own data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gnnkit.data import fingerprint
from gnnkit.datasets import load_dataset
from gnnkit.errors import ConfigError, DatasetError

EDGES = "source,target,weight,since\nann,bob,0.5,1999\nbob,cy,2,2001\ncy,ann,1,2000\ndee,ann,1,2002\n"
NODES = "id,age,label,split,height\nann,30,red,train,1.5\nbob,40,blue,valid,1.6\ncy,50,,,1.7\ndee,60,red,test,1.8\n"


def write(folder: Path, **files: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / f"{name}.csv").write_text(text, encoding="utf-8")
    return folder


@pytest.fixture
def people(tmp_path: Path) -> Path:
    return write(tmp_path / "people", edges=EDGES, nodes=NODES)


def assert_people(graph) -> None:
    assert graph.name == "people"
    assert graph.edge_index.t().tolist() == [[2, 0], [3, 0], [0, 1], [1, 2]]
    assert graph.edge_weight.tolist() == [1, 1, 0.5, 2]
    assert graph.edge_data["since"].tolist() == [2000, 2002, 1999, 2001]
    assert graph.x.tolist() == [[30, 1.5], [40, pytest.approx(1.6)], [50, pytest.approx(1.7)], [60, pytest.approx(1.8)]]
    assert graph.class_names == ("blue", "red")
    assert graph.y.tolist() == [1, 0, -100, 1]
    assert {name: ids.tolist() for name, ids in graph.splits.items()} == {"train": [0], "valid": [1], "test": [3]}


def test_tables_with_names(people, monkeypatch):
    assert_people(load_dataset(str(people)))
    assert load_dataset("folder", path=str(people)).num_nodes == 4
    monkeypatch.chdir(people.parent)
    assert_people(load_dataset("people"))
    assert_people(load_dataset("./people/"))


def test_parquet_is_read_as_csv_is(people, tmp_path):
    pandas = pytest.importorskip("pandas")
    for stem in ("edges", "nodes"):
        pandas.read_csv(people / f"{stem}.csv").to_parquet(people / f"{stem}.parquet")
        (people / f"{stem}.csv").unlink()
    assert_people(load_dataset(str(people)))
    (people / "nodes.parquet").write_bytes((people / "nodes.parquet").read_bytes()[:-20])
    with pytest.raises(DatasetError, match=r"nodes\.parquet is cut short"):
        load_dataset(str(people))


def test_arrays(tmp_path):
    rng = np.random.default_rng(0)
    arrays = {
        "edges": rng.integers(0, 10, (2, 30)),
        "features": rng.standard_normal((10, 3)).astype(np.float32),
        "labels": (rng.random((10, 4)) < 0.5).astype(np.int8),
        "train": np.arange(4),
        "valid": np.arange(10) == 5,
        "test": np.array([9, 8]),
    }
    for name, array in arrays.items():
        np.save(tmp_path / f"{name}.npy", array)
    graph = load_dataset(str(tmp_path), cache_dir=tmp_path / "cache")
    assert (graph.num_nodes, graph.num_edges, graph.num_features, graph.num_classes) == (10, 30, 3, 4)
    assert graph.is_multi_label
    assert {name: ids.tolist() for name, ids in graph.splits.items()} == {
        "train": [0, 1, 2, 3],
        "valid": [5],
        "test": [8, 9],
    }


def test_numbered_nodes_without_splits_are_split_by_the_seed(tmp_path):
    ring = "source,target\n" + "".join(f"{node},{(node + 1) % 20}\n" for node in range(20))
    folder = write(tmp_path / "ring", edges=ring, nodes="label\n" + "0\n1\n" * 10)
    graph = load_dataset(str(folder), seed=1)
    assert [ids.numel() for ids in graph.splits.values()] == [12, 4, 4]
    assert fingerprint(graph) == fingerprint(load_dataset(str(folder), seed=1))
    assert fingerprint(graph) != fingerprint(load_dataset(str(folder), seed=2))
    assert graph.class_names == ()
    assert load_dataset(str(folder), undirected=True).num_edges == 40


def test_edges_alone_make_a_graph(tmp_path):
    graph = load_dataset(str(write(tmp_path / "bare", edges="source,target\n0,1\n1,2\n2,9\n")))
    assert (graph.num_nodes, graph.num_edges, graph.x, graph.y) == (10, 3, None, None)


def test_a_split_file(people):
    write(
        people,
        nodes="id,label\nann,red\nbob,blue\ncy,red\ndee,blue\n",
        split="id,split\ndee,train\nann,val\nbob,test\n",
    )
    splits = load_dataset(str(people)).splits
    assert {name: ids.tolist() for name, ids in splits.items()} == {"train": [3], "valid": [0], "test": [1]}


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"edges": EDGES + "eve,ann,1,2000\n"}, r"edges.csv, column 'source', line 6: there is no node 'eve'"),
        ({"edges": EDGES.replace("target", "until")}, r"edges.csv has no column 'target'; it has 'source', 'until'"),
        ({"edges": EDGES + "dee,bob\n"}, r"edges.csv, line 6: 2 cells, expected 4"),
        ({"edges": EDGES.replace("0.5", "heavy")}, r"edges.csv, column 'weight', line 2: 'heavy', expected a finite"),
        ({"edges": ""}, r"edges.csv is empty"),
        ({"nodes": NODES.replace("cy,50", "ann,50")}, r"nodes.csv, column 'id', line 4: node 'ann' is in an earlier"),
        ({"nodes": NODES.replace("cy,50", ",50")}, r"nodes.csv, column 'id', line 4: the id is empty"),
        ({"nodes": NODES.replace("40", "")}, r"nodes.csv, column 'age', line 3: '', expected a finite number"),
        ({"nodes": NODES.replace("40", "nan")}, r"nodes.csv, column 'age', line 3: 'nan', expected a finite number"),
        ({"nodes": NODES.replace("test", "tests")}, r"nodes.csv, column 'split', line 5: 'tests', expected train"),
        ({"nodes": NODES.replace("height", "age")}, r"nodes.csv names a column twice"),
        ({"nodes": NODES[:-5]}, r"nodes.csv, line 5: 4 cells, expected 5"),
        ({"split": "id,split\nann,train\n"}, r"gives splits in more than one way"),
        ({"nodes": "age\n3\n"}, r"edges.csv, column 'source', line 2: there is no node 'ann', expected a whole number"),
    ],
)
def test_mistakes_are_named_by_file_column_and_row(files, message, people, cache):
    write(people, **files)
    with pytest.raises(DatasetError, match=message) as caught:
        load_dataset(str(people))
    assert "\n" not in str(caught.value)
    assert not (cache / "prepared").exists()


def test_mistakes_in_arrays_name_the_file(tmp_path):
    folder = write(tmp_path / "g", edges="source,target\n0,1\n1,2\n")
    np.save(folder / "features.npy", np.ones((3, 2)))
    np.save(folder / "labels.npy", np.array([0, 1]))
    with pytest.raises(DatasetError, match=r"features.npy has 3 rows.*labels.npy has 2 rows"):
        load_dataset(str(folder))
    np.save(folder / "labels.npy", np.array([0, -7, 1]))
    with pytest.raises(DatasetError, match=r"labels.npy: .*row 1: label -7 is outside"):
        load_dataset(str(folder))
    np.save(folder / "labels.npy", np.array([0, 1, 1]))
    np.save(folder / "features.npy", np.array([[1.0], [np.nan], [2.0]]))
    with pytest.raises(DatasetError, match=r"features.npy: .*row 1: column 0 is nan"):
        load_dataset(str(folder))
    np.save(folder / "features.npy", np.array([{"a": 1}]), allow_pickle=True)
    with pytest.raises(DatasetError, match="features.npy is cut short or no NumPy array of numbers"):
        load_dataset(str(folder))
    np.save(folder / "features.npy", np.ones((3, 2)))
    np.save(folder / "train.npy", np.array([0, 7]))
    with pytest.raises(DatasetError, match=r"train.npy: .*row 1: node 7 is out of range"):
        load_dataset(str(folder))
    np.save(folder / "train.npy", np.arange(2))
    (folder / "train.npy").write_bytes((folder / "train.npy").read_bytes()[:-4])
    with pytest.raises(DatasetError, match="train.npy is cut short"):
        load_dataset(str(folder))


def test_overlapping_and_empty_splits_are_refused(tmp_path):
    folder = write(tmp_path / "g", edges="source,target\n0,1\n1,2\n", nodes="label\n0\n1\n0\n")
    np.save(folder / "train.npy", np.array([0, 1]))
    np.save(folder / "test.npy", np.array([1]))
    with pytest.raises(DatasetError, match="node 1 is in both 'train' and 'test'"):
        load_dataset(str(folder))
    np.save(folder / "test.npy", np.array([], dtype=np.int64))
    with pytest.raises(DatasetError, match="test.npy: .*the split is empty"):
        load_dataset(str(folder))


def test_folders_that_are_none_are_told(tmp_path):
    with pytest.raises(DatasetError, match="There is no folder"):
        load_dataset(str(tmp_path / "typo"))
    with pytest.raises(DatasetError, match="has none of edges.csv"):
        load_dataset(str(tmp_path))
    with pytest.raises(ConfigError, match="path=FOLDER"):
        load_dataset("folder")
    np.save(tmp_path / "edges.npy", np.zeros((2, 1), dtype=np.int64))
    (tmp_path / "edges.csv").write_text("source,target\n")
    with pytest.raises(DatasetError, match="has edges.csv and edges.npy"):
        load_dataset(str(tmp_path))
