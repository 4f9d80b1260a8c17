"""Folders that people have, and that are not quite as the documentation says: read rightly, or refused with a word."""

from __future__ import annotations

import numpy as np
import pytest

from gnnkit.datasets import load_dataset, save_graph
from gnnkit.errors import ConfigError, DatasetError, GnnkitError
from tests.datasets.folders import PAIR, write


@pytest.mark.parametrize("turned", [False, True])
def test_an_archive_as_it_is_published(turned, tmp_path):
    rng = np.random.default_rng(0)
    folds = rng.integers(0, 3, (12, 4))
    masks = {f"{name}_masks": folds == number for number, name in enumerate(("train", "val", "test"))}
    features, edges = rng.standard_normal((12, 3)).astype(np.float32), rng.integers(0, 12, (20, 2))
    (tmp_path / "g").mkdir()
    np.savez(
        tmp_path / "g" / "empire.npz",
        edges=edges,
        node_features=features,
        node_labels=np.arange(12) % 2,
        year=np.arange(12),
        **{name: mask.T if turned else mask for name, mask in masks.items()},
    )
    graph = load_dataset(str(tmp_path / "g"), split=2)
    assert sorted(graph.edge_index.t().tolist()) == sorted(edges.tolist())
    assert (graph.x.tolist(), graph.y.tolist()) == (features.tolist(), [0, 1] * 6)
    assert [ids.tolist() for ids in graph.splits.values()] == [
        np.flatnonzero(mask[:, 2]).tolist() for mask in masks.values()
    ]
    assert graph.notes.left_out == ("array 'year' of 'empire.npz'",)
    np.savez(tmp_path / "g" / "other.npz", edges=edges)
    with pytest.raises(DatasetError, match=r"has empire\.npz and other\.npz, expected one"):
        load_dataset(str(tmp_path / "g"))


def test_an_archive_that_is_cut_short(tmp_path):
    folder = write(tmp_path / "g", edges__csv=PAIR)
    np.savez(folder / "features.npz", x=np.ones((2, 3)))
    (folder / "features.npz").write_bytes((folder / "features.npz").read_bytes()[:-40])
    with pytest.raises(DatasetError, match=r"features\.npz is cut short"):
        load_dataset(str(folder))


@pytest.mark.parametrize("name", ["node_number", "userId", "Index", "new id"])
def test_a_column_that_looks_like_the_id_is_not_taken_for_a_feature(name, tmp_path):
    nodes = f"{name},label,age\n2,c,1\n0,a,2\n1,b,3\n"
    folder = write(tmp_path / "g", edges__csv="source,target\n0,1\n", nodes__csv=nodes)
    with pytest.raises(DatasetError, match=rf"no column 'id', but '{name}' looks like one.*columns\.id={name}"):
        load_dataset(str(folder))
    by_id = load_dataset(str(folder), columns={"id": name})
    by_row = load_dataset(str(folder), ignore=[name])
    assert (by_id.edge_index.tolist(), by_row.edge_index.tolist()) == ([[1], [2]], [[0], [1]])
    assert by_id.x.tolist() == by_row.x.tolist() == [[1], [2], [3]]


def test_a_column_with_the_numbers_of_all_nodes_is_said(tmp_path):
    rows = "".join(f"{(7 * n) % 12},{n % 2}\n" for n in range(12))
    graph = load_dataset(str(write(tmp_path / "g", edges__csv=PAIR, nodes__csv="site,label\n" + rows)))
    assert graph.feature_names == ("site",)
    assert "'site' has the numbers of all nodes" in graph.notes.warnings[0]


@pytest.mark.parametrize("mark", ["NA", "nan", "None", "null"])
def test_an_id_that_marks_a_missing_value_is_no_node(mark, tmp_path):
    nodes = f"id,age\nde,1\n{mark},2\n"
    folder = write(tmp_path / "g", edges__csv=f"source,target\nde,{mark}\n", nodes__csv=nodes)
    with pytest.raises(DatasetError, match=rf"nodes\.csv, column 'id', line 3: the id is '{mark}'.*missing="):
        load_dataset(str(folder))
    assert load_dataset(str(folder), missing=[""]).num_edges == 1


@pytest.mark.parametrize("column", ["id", "label", "split"])
def test_a_list_where_one_value_is_meant(column, tmp_path):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    folder = write(tmp_path / "g", edges__csv=PAIR)
    table = {"id": ["0", "1"], "age": [1, 2], column: [["a"], ["b"]]}
    pandas.DataFrame(table).to_parquet(folder / "nodes.parquet")
    with pytest.raises(DatasetError, match=rf"column '{column}', row 0: \['a'\], expected one value"):
        load_dataset(str(folder))


def test_blank_lines_at_the_end_are_nothing(tmp_path):
    folder = write(tmp_path / "g", edges__csv=PAIR + "\n\n", nodes__csv="label\n0\n1\n\n")
    assert load_dataset(str(folder)).y.tolist() == [0, 1]


def test_a_table_of_splits_has_columns_of_other_names(tmp_path):
    folder = write(
        tmp_path / "g",
        edges__csv=PAIR,
        nodes__csv="user,label\n0,a\n1,b\n",
        split__csv="fold,user\ntrain,1\ntest,0\n",
    )
    graph = load_dataset(str(folder), columns={"id": "user", "split": "fold"})
    assert {name: ids.tolist() for name, ids in graph.splits.items()} == {"train": [1], "test": [0]}


@pytest.mark.parametrize("content", ['{"columns": {"label": ', "[]", "", '"x"'])
def test_settings_that_are_none_are_told_and_never_replaced(content, tmp_path):
    folder = write(tmp_path / "g", edges__csv=PAIR, meta__json="")
    (folder / "meta.json").write_text(content)
    with pytest.raises(DatasetError, match=r"meta\.json (is no JSON|holds no object)"):
        load_dataset(str(folder))
    with pytest.raises(DatasetError, match="is no saved graph, nothing was written"):
        save_graph(load_dataset("karate"), folder)
    assert (folder / "edges.csv").read_text() == PAIR


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_features": 8}, "num_features is 8, but there are no lists of words"),
        ({"label_bins": 3}, "label_bins is 3, but there are no labels"),
        ({"columns": {"weight": "w"}}, "no column 'w' for 'weight'"),
        ({"ignore": ["agee"]}, "Unknown column or file to ignore: 'agee'. Did you mean 'age'"),
        ({"array_order": "ids"}, "array_order is 'ids', but the nodes have no ids"),
    ],
)
def test_options_without_effect_are_refused(options, message, tmp_path):
    folder = write(tmp_path / "g", edges__csv=PAIR, nodes__csv="age\n1\n2\n")
    with pytest.raises(GnnkitError, match=message):
        load_dataset(str(folder), **options)


@pytest.mark.parametrize(("role", "stem"), [("label", "nodes"), ("source", "edges")])
def test_names_of_columns_need_a_table(role, stem, tmp_path):
    folder = write(tmp_path / "g", edges__npy=np.array([[0], [1]]))
    with pytest.raises(DatasetError, match=rf"columns\.{role} is 'x', but .* no table of {stem}"):
        load_dataset(str(folder), columns={role: "x"})


@pytest.mark.parametrize("suffix", [".csv", ".npy"])
@pytest.mark.parametrize(
    ("labels", "message"),
    [([10001, 90210, 10001], "asks for 90,211 outputs"), ([3, -2, 3], "row 1: label -2 is outside the classes 0, 1")],
)
def test_codes_of_classes_are_refused_until_they_are_numbered(labels, message, suffix, tmp_path):
    folder = write(tmp_path / "g", edges__csv=PAIR)
    if suffix == ".csv":
        write(folder, nodes__csv="label\n" + "".join(f"{label}\n" for label in labels))
    else:
        write(folder, labels__npy=np.array(labels))
    with pytest.raises(DatasetError, match=rf"{message}.*number_classes=true"):
        load_dataset(str(folder))
    graph = load_dataset(str(folder), number_classes=True)
    codes = sorted(set(labels))
    assert graph.class_names == tuple(map(str, codes))
    assert graph.y.tolist() == [codes.index(label) for label in labels]


def test_many_classes_can_be_numbered_instead_of_regressed(tmp_path):
    values = np.arange(300)[::-1] * 1000
    folder = write(tmp_path / "g", edges__csv=PAIR, labels__npy=values)
    assert load_dataset(str(folder)).y is None
    assert load_dataset(str(folder), number_classes=True).y.tolist() == list(range(300))[::-1]
    with pytest.raises(ConfigError, match="contradict each other"):
        load_dataset(str(folder), number_classes=True, label_bins=5)


def test_a_mark_that_the_user_gives_takes_the_place_of_all_others(tmp_path):
    folder = write(tmp_path / "g", edges__csv=PAIR, nodes__csv="label\nNA\n?\nEU\n")
    graph = load_dataset(str(folder), missing=["?"])
    assert (graph.class_names, graph.y.tolist()) == (("EU", "NA"), [1, -100, 0])
    write(folder, nodes__csv="label\n-1\n1\n9\n")
    graph = load_dataset(str(folder), missing=[9], number_classes=True)
    assert (graph.class_names, graph.y.tolist()) == (("-1", "1"), [0, 1, -100])


def test_a_column_beside_a_file_of_features_may_be_the_label(tmp_path):
    folder = write(tmp_path / "g", edges__csv=PAIR, nodes__csv="id,target\n0,1\n1,0\n", features__json=[["a"], ["b"]])
    with pytest.raises(DatasetError, match=r"If 'target' is the label, say dataset\.options\.columns\.label=target"):
        load_dataset(str(folder))
    assert load_dataset(str(folder), columns={"label": "target"}).y.tolist() == [1, 0]
