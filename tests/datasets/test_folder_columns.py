"""The folder format on data as people have them: other names, other orders, marks of missing values, lists of words."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from gnnkit.data import SPLITS, fingerprint, summarize
from gnnkit.datasets import load_dataset, load_node_names
from gnnkit.errors import ConfigError, DatasetError, UnknownNameError
from tests.datasets.folders import PAIR, ROWS, write


def as_table(folder: Path, suffix: str) -> None:
    """Turn the CSV files of a folder into another kind of table."""
    if suffix == ".parquet":
        pandas = pytest.importorskip("pandas")
        pytest.importorskip("pyarrow")
        for file in list(folder.glob("*.csv")):
            pandas.read_csv(file, keep_default_na=False, dtype=str).to_parquet(file.with_suffix(suffix))
            file.unlink()


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.parametrize(
    ("header", "source", "target"),
    [("source,target", 0, 1), ("dst,src", 1, 0), ("from,to", 0, 1), ("Target,Source", 1, 0), ("id_1,id_2", 0, 1)],
)
def test_ends_of_edges_go_by_their_names(header, source, target, suffix, tmp_path):
    folder = write(tmp_path / "g", edges__csv=f"{header}\n0,1\n2,1\n")
    as_table(folder, suffix)
    pairs = [[0, 1], [2, 1]]
    expected = sorted((pair[source], pair[target]) for pair in pairs)
    assert sorted(map(tuple, load_dataset(str(folder)).edge_index.t().tolist())) == expected


def test_unknown_headers_are_refused_with_the_columns_that_are_there(tmp_path):
    folder = write(tmp_path / "g", edges__csv="here,there\n0,1\n")
    with pytest.raises(DatasetError, match=r"no column 'source'; it has 'here', 'there'.*columns\.source=NAME"):
        load_dataset(str(folder))
    assert load_dataset(str(folder), columns={"source": "there", "target": "here"}).indices.tolist() == [1]
    with pytest.raises(DatasetError, match=r"no column 'their' for 'source'"):
        load_dataset(str(folder), columns={"source": "their"})
    with pytest.raises(ConfigError, match="columns names 'sauce', expected id, label"):
        load_dataset(str(folder), columns={"sauce": "here"})
    write(folder, edges__csv="0,1\n1,2\n")
    with pytest.raises(DatasetError, match="first line is '0,1', expected names of columns"):
        load_dataset(str(folder))


def test_ids_and_labels_go_by_other_names_too(tmp_path):
    write(tmp_path / "g", edges__csv="src,dst\n10,20\n", nodes__csv="node,class,age\n20,0,5\n10,1,6\n")
    graph = load_dataset(str(tmp_path / "g"))
    assert (graph.indices.tolist(), graph.in_degrees.tolist()) == ([1], [1, 0])
    assert (graph.x.tolist(), graph.y.tolist(), graph.feature_names) == ([[5], [6]], [0, 1], ("age",))
    write(tmp_path / "g", nodes__csv="new_id,mature,age\n20,yes,5\n10,no,6\n")
    graph = load_dataset(str(tmp_path / "g"), columns={"id": "new_id", "label": "mature"})
    assert (graph.class_names, graph.y.tolist(), graph.feature_names) == (("no", "yes"), [1, 0], ("age",))


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.parametrize("mark", ["", "-1", "-100", "NA", "nan", "None", "NULL", "n/a", " <NA> "])
@pytest.mark.parametrize("classes", [("0", "1"), ("cat", "dog")])
def test_missing_labels_are_no_classes(classes, mark, suffix, tmp_path):
    rows = [mark, classes[0], classes[1], mark, classes[0]]
    nodes = "id,label\n" + "".join(f"{row},{label}\n" for row, label in enumerate(rows))
    folder = write(tmp_path / "g", edges__csv=PAIR, nodes__csv=nodes)
    as_table(folder, suffix)
    graph = load_dataset(str(folder))
    assert graph.y.tolist() == [-100, 0, 1, -100, 0]
    assert graph.num_classes == 2
    assert "2 nodes without" in summarize(graph)["labels"]


def test_the_marks_can_be_chosen(tmp_path):
    write(tmp_path / "g", edges__csv=PAIR, nodes__csv="label\nunknown\nnone\nred\n")
    graph = load_dataset(str(tmp_path / "g"), missing=["unknown"])
    assert (graph.class_names, graph.y.tolist()) == (("none", "red"), [-100, 0, 1])


@pytest.mark.parametrize("dtype", [np.int64, np.float32, np.uint8, np.int8])
def test_missing_labels_of_arrays(dtype, tmp_path):
    mark = 255 if dtype == np.uint8 else -1
    labels = np.array([0, 1, mark, 1], dtype=dtype)
    graph = load_dataset(str(write(tmp_path / "g", edges__csv=PAIR, labels__npy=labels)))
    assert (graph.y.tolist(), graph.num_classes) == ([0, 1, -100, 1], 2)


def test_a_missing_end_of_an_edge_is_refused(tmp_path):
    write(tmp_path / "g", edges__csv="source,target\na,b\nb,\n", nodes__csv="id\na\nb\n")
    with pytest.raises(DatasetError, match=r"column 'target', line 3: there is no node ''"):
        load_dataset(str(tmp_path / "g"))


def test_a_label_column_without_a_value_can_be_loaded(tmp_path):
    graph = load_dataset(str(write(tmp_path / "g", edges__csv=PAIR, nodes__csv="label,age\n,1\n,2\n")))
    assert (graph.y.tolist(), graph.splits, graph.x.tolist()) == ([-100, -100], {}, [[1], [2]])
    assert "too few labelled nodes" in graph.notes.splits


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("splits.csv", "split.csv"),
        ("feature.npy", "features.npy"),
        ("label.npy", "labels.npy"),
        ("edges.tsv", "edges.csv"),
        ("features.csv", "features.npy"),
        ("tests.npy", "test.npy"),
        ("train_mask.npy", "train.npy"),
    ],
)
def test_a_file_with_nearly_a_known_name_is_refused(name, meant, tmp_path):
    folder = write(tmp_path / "g", edges__npy=np.array([[0, 1], [1, 0]]))
    (folder / name).write_text("")
    with pytest.raises(DatasetError, match=rf"{name} is none of the files that are read\. Is .*{meant}") as caught:
        load_dataset(str(folder))
    assert f"ignore=[{name}]" in str(caught.value)
    assert load_dataset(str(folder), ignore=[name]).num_edges == 2


def test_a_link_that_leads_nowhere_is_refused(tmp_path):
    folder = write(tmp_path / "g", edges__csv=PAIR, labels__npy=np.array([0, 1]))
    (folder / "train.npy").symlink_to(tmp_path / "gone.npy")
    with pytest.raises(DatasetError, match=r"train\.npy is a link to .*gone\.npy, which is not there"):
        load_dataset(str(folder))


def test_what_is_left_out_and_made_up_is_said(tmp_path, caplog):
    nodes = "id,label,age,city,user_id\n" + "".join(f"{n},{n % 2},{n},c{n},{100 - n}\n" for n in range(20))
    ring = "source,target,kind\n" + "".join(f"{n},{(n + 1) % 20},likes\n" for n in range(20))
    folder = write(tmp_path / "g", edges__csv=ring, nodes__csv=nodes, notes__md="Mine.")
    with caplog.at_level(logging.WARNING):
        graph = load_dataset(str(folder))
    assert graph.feature_names == ("age",)
    assert set(graph.notes.left_out) == {"column 'city'", "column 'user_id'", "column 'kind'", "file 'notes.md'"}
    for words in ("'city' holds text", "'user_id' looks like ids", "'kind' holds text", "undirected=true"):
        assert words in caplog.text
    lines = summarize(graph)
    assert "drawn by seed 0" in lines["splits"]
    assert "ids in column 'id'" in lines["nodes"]
    assert "directed" in lines["edges"]
    assert "(0: 10, 1: 10)" in lines["labels"]
    # All of it comes back from the cache.
    assert load_dataset(str(folder)).notes == graph.notes
    assert load_dataset(str(folder), undirected=True, ignore=["city", "user_id", "kind"]).notes.warnings == ()


def test_numbers_to_regress_are_no_classes(tmp_path):
    values = np.random.default_rng(0).permutation(849_132)[:600]
    nodes = "traffic\n" + "".join(f"{value}\n" for value in values)
    folder = write(tmp_path / "g", edges__csv=PAIR, nodes__csv=nodes)
    graph = load_dataset(str(folder), columns={"label": "traffic"})
    assert (graph.y, graph.num_classes) == (None, 0)
    assert graph.node_data["traffic"].tolist() == values.tolist()
    assert "values to regress" in graph.notes.warnings[0]
    binned = load_dataset(str(folder), columns={"label": "traffic"}, label_bins=3)
    assert (binned.num_classes, np.bincount(binned.y).tolist()) == (3, [200, 200, 200])
    order = np.argsort(values)
    assert binned.y[order].tolist() == sorted(binned.y.tolist())
    write(folder, nodes__csv="label\n0.25\n0.5\n1\n")
    assert load_dataset(str(folder)).y is None
    write(folder, nodes__csv="label\n0\n1\n90210\n")
    with pytest.raises(DatasetError, match="90210"):
        load_dataset(str(folder))


TURNED = {
    "edges__npy": np.array([[0, 1], [1, 2]]),
    "features__npy": np.array([[0.0], [1.0], [2.0]]),
    "features__json": {"0": ["a"], "1": ["b"], "2": ["c"]},
}


@pytest.mark.parametrize("beside", ["edges__npy", "features__npy"])
def test_arrays_beside_ids_in_another_order_need_a_word(beside, tmp_path):
    folder = write(tmp_path / "g", edges__csv="source,target\n0,1\n1,2\n", nodes__csv=ROWS)
    write(folder, **{beside: TURNED[beside]})
    if beside == "edges__npy":
        (folder / "edges.csv").unlink()
    with pytest.raises(DatasetError, match=r"ids 0 to 2 in another order than its rows.*array_order=rows"):
        load_dataset(str(folder))
    by_rows, by_ids = (load_dataset(str(folder), array_order=order) for order in ("rows", "ids"))
    assert by_rows.class_names == by_ids.class_names == ("a", "b", "c")

    def named(graph):
        names = [graph.class_names[label] for label in graph.y.tolist()]
        return sorted((names[a], names[b]) for a, b in graph.edge_index.t().tolist())

    if beside == "edges__npy":
        assert (named(by_rows), named(by_ids)) == ([("a", "b"), ("c", "a")], [("a", "b"), ("b", "c")])
    else:
        assert named(by_rows) == named(by_ids) == [("a", "b"), ("b", "c")]
        assert (by_rows.x.tolist(), by_ids.x.tolist()) == ([[0], [1], [2]], [[2], [0], [1]])


@pytest.mark.parametrize("beside", ["labels", "train"])
def test_labels_and_splits_beside_ids_in_another_order_need_a_word(beside, tmp_path):
    nodes = "id,age\n2,2\n0,0\n1,1\n"
    folder = write(tmp_path / "g", edges__csv="source,target\n0,1\n1,2\n", nodes__csv=nodes)
    values = (
        {"labels__npy": np.array([0, 1, 2])}
        if beside == "labels"
        else {f"{name}__npy": np.array([i]) for i, name in enumerate(SPLITS)}
    )
    write(folder, **values)
    with pytest.raises(DatasetError, match=r"ids 0 to 2 in another order than its rows.*array_order=rows"):
        load_dataset(str(folder))
    by_rows, by_ids = (load_dataset(str(folder), array_order=order) for order in ("rows", "ids"))
    assert by_rows.x.tolist() == by_ids.x.tolist() == [[2], [0], [1]]
    if beside == "labels":
        assert (by_rows.y.tolist(), by_ids.y.tolist()) == ([0, 1, 2], [2, 0, 1])
    else:
        assert [by_rows.splits[name].tolist() for name in SPLITS] == [[0], [1], [2]]
        assert [by_ids.splits[name].tolist() for name in SPLITS] == [[1], [2], [0]]


def test_lists_by_id_are_joined_by_id(tmp_path):
    folder = write(tmp_path / "g", edges__csv="source,target\n0,1\n", nodes__csv=ROWS)
    graph = load_dataset(str(write(folder, features__json=TURNED["features__json"])))
    assert (graph.x.tolist(), graph.feature_names) == ([[0, 0, 1], [1, 0, 0], [0, 1, 0]], ("a", "b", "c"))
    with pytest.raises(DatasetError, match=r"features\.json has words of node '3', but there is no such node"):
        load_dataset(str(write(folder, features__json={"0": [], "1": [], "2": [], "3": []})))
    with pytest.raises(DatasetError, match=r"features\.json has no list for node '1'"):
        load_dataset(str(write(folder, features__json={"0": [], "2": []})))


def test_lists_in_columns_become_words(tmp_path):
    nodes = 'id,tags,size\n0,"[3, 10]",1\n1,[],2\n2,"[10, 10]",3\n'
    folder = write(tmp_path / "g", edges__csv=PAIR, nodes__csv=nodes)
    graph = load_dataset(str(folder))
    assert graph.x.tolist() == [[1, 1, 1], [0, 0, 2], [0, 1, 3]]
    assert graph.feature_names == ("tags:3", "tags:10", "size")
    assert load_node_names(str(folder)).features == list(graph.feature_names)
    write(folder, nodes__csv="id,text\n0,red big\n1,\n2,big\n")
    assert load_dataset(str(folder), columns={"words": "text"}).x.tolist() == [[1, 1], [0, 0], [1, 0]]
    assert load_dataset(str(folder)).x is None


def test_lists_in_parquet(tmp_path):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    folder = write(tmp_path / "g", edges__csv=PAIR)
    pandas.DataFrame({"tags": [["a"], ["b", "a"]], "ok": [True, False]}).to_parquet(folder / "nodes.parquet")
    graph = load_dataset(str(folder))
    assert (graph.x.tolist(), graph.feature_names) == ([[1, 0, 1], [1, 1, 0]], ("tags:a", "tags:b", "ok"))


def test_many_words_can_be_projected(tmp_path):
    rng = np.random.default_rng(0)
    words = {str(node): rng.integers(0, 50, 5 + node % 9).tolist() for node in range(60)}
    folder = write(tmp_path / "g", edges__csv=PAIR, features__json=words)
    graph = load_dataset(str(folder), num_features=8)
    assert (graph.num_features, graph.feature_names, float(graph.x.std())) == (8, (), pytest.approx(1, abs=0.01))


def test_truth_and_sparse_matrices_are_features(tmp_path):
    folder = write(tmp_path / "g", edges__csv=PAIR, nodes__csv="a,b\nTrue,yes\nfalse,no\n")
    assert load_dataset(str(folder)).x.tolist() == [[1, 1], [0, 0]]
    (folder / "nodes.csv").unlink()
    matrix = sparse.csr_matrix(np.array([[0, 2.5], [1, 0]]))
    sparse.save_npz(folder / "features.npz", matrix)
    assert load_dataset(str(folder)).x.tolist() == matrix.toarray().tolist()
    np.savez(folder / "features.npz", x=np.ones((2, 1)))
    assert load_dataset(str(folder)).x.tolist() == [[1], [1]]
    np.savez(folder / "features.npz", x=np.ones((2, 1)), z=np.ones(3))
    graph = load_dataset(str(folder))
    assert (graph.x.tolist(), graph.notes.left_out) == ([[1], [1]], ("array 'z' of 'features.npz'",))
    np.savez(folder / "features.npz", w=np.ones((2, 1)), z=np.ones(3))
    with pytest.raises(DatasetError, match=r"features\.npz has the arrays w, z, expected one.*called features or x"):
        load_dataset(str(folder))


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("packed", [False, True])
def test_one_of_several_splits_is_picked(packed, turned, tmp_path):
    rng = np.random.default_rng(0)
    masks = {name: rng.permutation(6)[:, None] == np.arange(10)[None] % 6 for name in ("train",)}
    masks["test"] = ~masks["train"]
    given = {name: mask.T if turned else mask for name, mask in masks.items()}
    folder = write(tmp_path / "g", edges__csv=PAIR, labels__npy=np.arange(6) % 2)
    if packed:
        np.savez(folder / "split.npz", train_mask=given["train"], test_mask=given["test"])
    else:
        write(folder, train__npy=given["train"], test__npy=given["test"])
    graph = load_dataset(str(folder), split=3)
    assert {name: ids.tolist() for name, ids in graph.splits.items()} == {
        name: np.flatnonzero(mask[:, 3]).tolist() for name, mask in masks.items()
    }
    unpicked = load_dataset(str(folder))
    assert unpicked.splits == {}
    assert "10 splits and none is taken" in unpicked.notes.warnings[-1]
    with pytest.raises(DatasetError, match="there is no split 10"):
        load_dataset(str(folder), split=10)


@pytest.mark.parametrize("shape", [(2, 5), (5, 2)])
def test_edges_of_either_shape(shape, tmp_path):
    edges = np.array([[0, 1, 2, 3, 4], [1, 2, 3, 4, 0]])
    graph = load_dataset(str(write(tmp_path / "g", edges__npy=edges if shape == (2, 5) else edges.T)))
    assert sorted(graph.edge_index.t().tolist()) == sorted(edges.T.tolist())


@pytest.mark.parametrize(("kind", "expected"), [("constant", [1, 1]), ("degree", [np.log(2), 0])])
@pytest.mark.parametrize("saved", [False, True])
def test_features_can_be_made(kind, expected, saved, tmp_path):
    folder = write(tmp_path / "g", edges__csv="source,target\n1,0\n")
    if saved:
        from gnnkit.datasets import save_graph

        save_graph(load_dataset(str(folder)), tmp_path / "saved")
        folder = tmp_path / "saved"
    graph = load_dataset(str(folder), make_features=kind)
    assert graph.x[:, 0].tolist() == pytest.approx(expected)
    with pytest.raises(ConfigError, match="make_features is 'one'"):
        load_dataset(str(folder), make_features="one")
    with pytest.raises(DatasetError, match="64 features already"):
        load_dataset("digits", make_features="degree")


def test_settings_lie_beside_the_data(tmp_path):
    folder = write(
        tmp_path / "g",
        likes__csv="who,whom\nann,bob\n",
        people__csv="name,kind\nann,red\nbob,blue\n",
        meta__json={
            "file_names": {"edges": "likes.csv", "nodes": "people.csv"},
            "columns": {"source": "who", "target": "whom", "id": "name", "label": "kind"},
            "undirected": True,
            "metric": "macro_f1",
        },
    )
    graph = load_dataset(str(folder))
    assert (graph.num_edges, graph.class_names, graph.metric) == (2, ("blue", "red"), "macro_f1")
    assert load_dataset(str(folder), metric="rocauc").metric == "rocauc"
    assert load_node_names(str(folder)).ids == ["ann", "bob"]
    with pytest.raises(UnknownNameError, match=r"meta\.json: 'colums'.*'columns'"):
        load_dataset(str(write(folder, meta__json={"colums": {}})))
    with pytest.raises(ConfigError, match="metric is 'f1'"):
        load_dataset(str(folder), metric="f1")


def test_blank_lines_of_one_column_are_refused(tmp_path):
    folder = write(tmp_path / "g", edges__csv=PAIR, nodes__csv="label\n0\n\n1\n")
    with pytest.raises(DatasetError, match=r"nodes\.csv, line 3: it is blank.*Write NA"):
        load_dataset(str(folder))
    assert load_dataset(str(write(folder, nodes__csv="label\n0\nNA\n1\n"))).y.tolist() == [0, -100, 1]


def test_a_mask_of_numbers_is_not_taken_for_ids(tmp_path):
    folder = write(tmp_path / "g", edges__csv=PAIR, labels__npy=np.array([0, 1, 0]), train__npy=np.array([1, 0, 1]))
    with pytest.raises(DatasetError, match=r"train\.npy: .*which is a mask"):
        load_dataset(str(folder))


def test_a_saved_graph_takes_no_options_that_would_do_nothing(tmp_path):
    from gnnkit.datasets import save_graph

    save_graph(load_dataset("karate"), tmp_path / "saved")
    with pytest.raises(ConfigError, match="'label_bins' has no effect on a saved graph"):
        load_dataset(str(tmp_path / "saved"), label_bins=3)


@settings(max_examples=15)
@given(order=st.permutations(range(5)), columns=st.permutations(["id", "label", "age", "split"]), flip=st.booleans())
def test_the_order_of_columns_and_rows_changes_nothing(order, columns, flip, tmp_path_factory):
    table = {
        "id": ["a", "b", "c", "d", "e"],
        "label": ["x", "y", "x", "NA", "y"],
        "age": ["1", "2.5", "3", "4", "5"],
        "split": ["train", "valid", "test", "", "train"],
    }
    edges = [("a", "b"), ("b", "c"), ("e", "a"), ("c", "d")]
    home = tmp_path_factory.mktemp("any")

    def load(name, rows, names, swapped, listed):
        nodes = ",".join(names) + "\n" + "".join(",".join(table[n][row] for n in names) + "\n" for row in rows)
        head = "target,source\n" if swapped else "source,target\n"
        body = "".join(",".join(pair[::-1] if swapped else pair) + "\n" for pair in listed)
        return load_dataset(str(write(home / name, edges__csv=head + body, nodes__csv=nodes)), cache_dir=home / "cache")

    plain = load("plain", range(5), list(table), False, edges)
    assert fingerprint(load("columns", range(5), columns, flip, edges[::-1])) == fingerprint(plain)
    turned = load("rows", order, columns, flip, edges)
    assert turned.x.tolist() == plain.x[list(order)].tolist()
    assert turned.y.tolist() == plain.y[list(order)].tolist()
    place = {old: new for new, old in enumerate(order)}
    moved = sorted((place[a], place[b]) for a, b in plain.edge_index.t().tolist())
    assert sorted(map(tuple, turned.edge_index.t().tolist())) == moved


@pytest.mark.parametrize(
    ("name", "options", "sizes"),
    [
        ("chameleon", {"columns": {"label": "target"}}, (2277, 62_792, 3132)),
        ("facebook_large", {"columns": {"label": "page_type"}}, (22_470, 341_825, 4714)),
    ],
)
def test_published_data_load_as_they_are(name, options, sizes, data_dir):
    graph = load_dataset(str(data_dir / name), undirected=True, **options)
    assert (graph.num_nodes, graph.num_edges, graph.num_features) == sizes
    assert [ids.numel() for ids in graph.splits.values()] == [
        round(0.6 * sizes[0]),
        round(0.2 * sizes[0]),
        graph.splits["test"].numel(),
    ]
    if name == "chameleon":
        assert graph.y is None
        binned = load_dataset(str(data_dir / name), undirected=True, label_bins=5, **options)
        assert np.bincount(binned.y).tolist() == [456, 440, 469, 432, 480]
    else:
        built_in = load_dataset(name, data_dir=data_dir, num_features=0)
        assert graph.y.equal(built_in.y)
        assert graph.x.equal(built_in.x)
        assert graph.class_names == built_in.class_names
