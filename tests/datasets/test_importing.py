"""Lists of edges converted in bounded memory are the graph that they are in memory."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gnnkit.data import check_graph, fingerprint, from_edge_index, to_undirected
from gnnkit.datasets import edge_sorting, import_graph, load_dataset, load_graph
from gnnkit.errors import ConfigError, DatasetError


def write_edges(file: Path, edges: np.ndarray, separator: str = " ", header: str = "") -> Path:
    text = header + "".join(f"{source}{separator}{target}\n" for source, target in edges.T.tolist())
    if file.suffix == ".gz":
        file.write_bytes(gzip.compress(text.encode()))
    else:
        file.write_text(text)
    return file


def expected_graph(edges, num_nodes, undirected, dedup):
    if dedup:
        edges = np.unique(edges, axis=1)
    graph = from_edge_index(edges, num_nodes)
    return to_undirected(graph) if undirected else graph


def assert_same_edges(graph, expected):
    assert graph.indptr.tolist() == expected.indptr.tolist()
    assert graph.indices.tolist() == expected.indices.tolist()


@st.composite
def edge_lists(draw):
    num = draw(st.integers(1, 12))
    node = st.integers(0, num - 1)
    return num, np.array(draw(st.lists(st.tuples(node, node), max_size=60)), dtype=np.int64).reshape(-1, 2).T


@settings(max_examples=60)
@given(edge_lists(), st.booleans(), st.booleans(), st.sampled_from([1, 2, 7, 1000]))
def test_any_list_is_what_from_edge_index_makes(tmp_path_factory, case, undirected, dedup, bucket):
    num, edges = case
    folder = tmp_path_factory.mktemp("import")
    files = [write_edges(folder / "a.txt", edges[:, ::2]), write_edges(folder / "b.csv", edges[:, 1::2], ",")]
    with pytest.MonkeyPatch.context() as patch:
        # So few keys in memory at once that buckets are dealt out again and again.
        patch.setattr(edge_sorting, "_MOST_FILES", 3)
        patch.setattr(edge_sorting, "_bucket_size", lambda memory: bucket)
        graph = import_graph(files, folder / "g", num_nodes=num, undirected=undirected, dedup=dedup)
    check_graph(graph)
    assert_same_edges(graph, expected_graph(edges, num, undirected, dedup))
    assert sorted(file.name for file in (folder / "g").iterdir()) == ["indices.npy", "indptr.npy", "meta.json"]


def test_little_memory_gives_many_buckets(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    hub = rng.random(30_000) < 0.3
    edges = np.where(hub, 5, rng.integers(0, 3000, (2, 30_000)))
    buckets = []
    deal = edge_sorting.Sorter._deal
    monkeypatch.setattr(edge_sorting.Sorter, "_deal", lambda *args: _noted(buckets, deal(*args)))
    graph = import_graph(write_edges(tmp_path / "e.csv", edges, ","), tmp_path / "g", undirected=True, memory=1 << 16)
    assert len(buckets) > 50
    assert_same_edges(graph, expected_graph(edges, 3000, True, False))


def _noted(all_of_them, some):
    all_of_them.extend(some)
    return some


@pytest.mark.parametrize("name", ["e.txt", "e.tsv.gz", "e.csv", "e.npy", "t.npy", "e.parquet"])
def test_every_kind_of_file(name, tmp_path):
    edges = np.random.default_rng(1).integers(0, 50, (2, 400))
    file = tmp_path / name
    if name == "e.npy":
        np.save(file, edges.astype(np.int32))
    elif name == "t.npy":
        np.save(file, np.ascontiguousarray(edges.T))
    elif name == "e.parquet":
        pandas = pytest.importorskip("pandas")
        frame = pandas.DataFrame({"time": edges[0], "target": edges[1], "source": edges[0]})
        frame.to_parquet(file, row_group_size=100)
    elif name == "e.csv":
        write_edges(file, edges[::-1], ",", "\ufeff# made by hand\n\ntarget,source\n")
    else:
        write_edges(file, edges, "\t" if "tsv" in name else "  ")
    assert_same_edges(import_graph(file, tmp_path / "g", num_nodes=50), from_edge_index(edges, 50))


def test_windows_lines_comments_and_no_last_newline(tmp_path):
    (tmp_path / "e.txt").write_bytes(b"% a\r\n0\t1\r\n\r\n# b\r\n2 0")
    graph = import_graph(tmp_path / "e.txt", tmp_path / "g")
    assert graph.edge_index.T.tolist() == [[2, 0], [0, 1]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0 1\n1 x\n", r"e.txt, line 2: received '1 x', expected whole numbers"),
        ("0 1\n\n# c\n1 2.5\n", r"line 4: received '1 2.5', expected whole numbers"),
        ("source target\n0 -1\n", r"line 2: received '0 -1', a negative id"),
        ("0 1\n1 9\n", r"line 2: received '1 9', an id out of range, expected ids from 0 to 4"),
        ("0 1\n1 99999999999999999999\n", r"line 2: .*out of range"),
        ("0 1\n1\n", r"line 2: received '1', expected two columns"),
        ("0 1 0.5\n", r"line 1: .*weights are not read"),
        ("0,1\n1,,2\n", r"line 2: received '1,,2', expected two columns"),
        ("x1 5\n", r"line 1: received 'x1 5', expected whole numbers"),
        ("0 1\n" * 40_000 + "3 four\n" + "0 1\n" * 10, r"line 40001: received '3 four'"),
    ],
)
def test_bad_lines_are_named_and_leave_nothing(text, message, tmp_path):
    (tmp_path / "e.txt").write_text(text)
    with pytest.raises(DatasetError, match=message):
        import_graph(tmp_path / "e.txt", tmp_path / "g", num_nodes=5, memory=1 << 17)
    assert [file.name for file in tmp_path.iterdir()] == ["e.txt"]


def test_bad_rows_of_arrays_and_damaged_files(tmp_path):
    np.save(tmp_path / "e.npy", np.array([[0, 1, 2], [1, 7, 0]]))
    with pytest.raises(DatasetError, match=r"e.npy, row 1: received '1 7', an id out of range"):
        import_graph(tmp_path / "e.npy", tmp_path / "g", num_nodes=5)
    np.save(tmp_path / "e.npy", np.ones((3, 3)))
    with pytest.raises(DatasetError, match=r"shape \[3, 3\] and dtype float64, expected whole numbers"):
        import_graph(tmp_path / "e.npy", tmp_path / "g")
    whole = gzip.compress(b"0 1\n" * 10_000)
    (tmp_path / "e.txt.gz").write_bytes(whole[:-20])
    with pytest.raises(DatasetError, match=r"e.txt.gz cannot be read .*Is it cut short"):
        import_graph(tmp_path / "e.txt.gz", tmp_path / "g")
    (tmp_path / "e.doc").write_text("0 1\n")
    with pytest.raises(DatasetError, match="no known kind of edge list"):
        import_graph(tmp_path / "e.doc", tmp_path / "g")
    (tmp_path / "e.txt").write_text("0 1\n1 123456789012\n")
    with pytest.raises(DatasetError, match="There are 123456789013 nodes"):
        import_graph(tmp_path / "e.txt", tmp_path / "g")
    assert not (tmp_path / "g").exists() and not list(tmp_path.glob(".g*"))


def test_an_interrupted_import_leaves_nothing(tmp_path):
    write_edges(tmp_path / "e.txt", np.random.default_rng(0).integers(0, 9, (2, 20_000)))
    import_graph(tmp_path / "e.txt", tmp_path / "old")
    before = fingerprint(load_dataset(str(tmp_path / "old")))

    def stop(what, share):
        if what == "sorting edges":
            raise KeyboardInterrupt

    for name in ("new", "old"):
        with pytest.raises(KeyboardInterrupt):
            import_graph(tmp_path / "e.txt", tmp_path / name, force=True, undirected=True, report=stop)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["e.txt", "old"]
    assert fingerprint(load_dataset(str(tmp_path / "old"))) == before


def test_what_is_there_is_replaced_by_force_alone(tmp_path):
    write_edges(tmp_path / "e.txt", np.array([[0], [1]]))
    import_graph(tmp_path / "e.txt", tmp_path / "g")
    with pytest.raises(DatasetError, match="holds a graph already.*--force"):
        import_graph(tmp_path / "e.txt", tmp_path / "g")
    assert import_graph(tmp_path / "e.txt", tmp_path / "g", num_nodes=7, force=True).num_nodes == 7
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("x")
    with pytest.raises(DatasetError, match="is no saved graph, nothing was written"):
        import_graph(tmp_path / "e.txt", tmp_path / "mine", force=True)
    assert (tmp_path / "mine" / "thesis.tex").read_text() == "x"


def test_features_labels_and_splits(tmp_path):
    rng = np.random.default_rng(2)
    edges = rng.integers(0, 30, (2, 100))
    np.save(tmp_path / "x.npy", np.asfortranarray(rng.standard_normal((40, 3)).astype(np.float16)))
    (tmp_path / "labels.csv").write_text("id,label\n3,dog\n1,cat\n39,dog\n")
    np.save(tmp_path / "train.npy", np.arange(40) == 3)
    np.save(tmp_path / "test.npy", np.array([39, 1]))
    write_edges(tmp_path / "e.txt", edges)
    graph = import_graph(
        tmp_path / "e.txt",
        tmp_path / "pets",
        features=tmp_path / "x.npy",
        labels=tmp_path / "labels.csv",
        splits={"train": tmp_path / "train.npy", "test": tmp_path / "test.npy"},
        memory=1 << 16,
    )
    assert (graph.num_nodes, graph.x.dtype, graph.class_names) == (40, torch.float16, ("cat", "dog"))
    assert np.array_equal(graph.x.numpy(), np.load(tmp_path / "x.npy"))
    assert (graph.y[[3, 1, 39, 0]].tolist(), graph.splits["test"].tolist()) == ([1, 0, 1, -100], [1, 39])
    check_graph(graph)
    loaded = load_dataset(str(tmp_path / "pets"), cache_dir=tmp_path / "cache")
    assert loaded.name == "pets" and fingerprint(loaded) == fingerprint(graph)
    assert not (tmp_path / "cache").exists(), "nothing is copied to the cache"


def test_bad_node_files(tmp_path):
    write_edges(tmp_path / "e.txt", np.array([[0, 1], [1, 2]]))
    np.save(tmp_path / "x.npy", np.array([[1.0], [2.0], [np.nan]]))
    np.save(tmp_path / "y.npy", np.array([0, 1, -7]))
    np.save(tmp_path / "train.npy", np.array([0, 3]))
    for how, message in (
        ({"features": tmp_path / "x.npy"}, "x.npy: .*row 2: column 0 is nan"),
        ({"features": tmp_path / "x.npy", "num_nodes": 5}, "x.npy has 3 rows, expected 5"),
        ({"labels": tmp_path / "y.npy"}, "y.npy: .*row 2: label -7"),
        ({"splits": {"train": tmp_path / "train.npy"}}, "train.npy: .*row 1: node 3 is out of range"),
        ({"features": tmp_path / "no.npy"}, "Cannot read .*no.npy: No such file"),
        ({"splits": {"train": tmp_path / "no.npy"}}, "There is no file .*no.npy"),
    ):
        with pytest.raises(DatasetError, match=message):
            import_graph(tmp_path / "e.txt", tmp_path / "g", **how)
    for how in ({"memory": 1}, {"num_nodes": 0}, {"splits": {"dev": tmp_path / "train.npy"}}):
        with pytest.raises(ConfigError):
            import_graph(tmp_path / "e.txt", tmp_path / "g", **how)
    assert not (tmp_path / "g").exists()


def test_large_arrays_are_marked_for_random_access(tmp_path, monkeypatch):
    write_edges(tmp_path / "e.txt", np.array([[0, 1], [1, 2]]))
    graph = import_graph(tmp_path / "e.txt", tmp_path / "g")
    monkeypatch.setattr("gnnkit.io.memory.memory_limit", lambda: 0)
    assert fingerprint(load_graph(tmp_path / "g")) == fingerprint(graph)
