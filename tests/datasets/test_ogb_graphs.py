"""OGB's data about whole graphs: in its layouts, made small, against ogb's own readers and evaluator."""

from __future__ import annotations

import contextlib
import gzip
import io
from pathlib import Path

import numpy as np
import pytest
import torch

from gnnkit.data import check_graph, fingerprint, summarize
from gnnkit.datasets import load_dataset, ogb_files, ogb_graphs
from gnnkit.datasets.smiles import ATOM_CATEGORIES, BOND_CATEGORIES
from gnnkit.errors import DatasetError

pytest.importorskip("ogb")

SIZES, EDGES = [3, 1, 4, 2, 2], [2, 0, 4, 1, 2]
SPLIT = {"train": [0, 2, 4], "valid": [1], "test": [3]}
SMILES = ["CCO", "[Na+]", "C1CC1C", "NA", "OO"]


def table(file: Path, rows) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(",".join("" if cell != cell else str(cell) for cell in row) + "\n" for row in rows)
    file.write_bytes(gzip.compress(text.encode()))


def content(atoms=True):
    rng = np.random.default_rng(0)
    arrays = {
        "edge": np.concatenate([rng.integers(0, size, (num, 2)) for size, num in zip(SIZES, EDGES)]),
        "num-node-list": np.array(SIZES)[:, None],
        "num-edge-list": np.array(EDGES)[:, None],
    }
    if atoms:
        arrays["node-feat"] = rng.integers(0, list(ATOM_CATEGORIES.values()), (sum(SIZES), 9))
        arrays["edge-feat"] = rng.integers(0, list(BOND_CATEGORIES.values()), (sum(EDGES), 3))
    else:
        arrays["edge-feat"] = rng.random((sum(EDGES), 7)).round(3)
    return arrays


def write(root: Path, name: str, labels, *, kind="scaffold", tasks=("t",), atoms=True, **changes) -> Path:
    """A folder as OGB publishes it."""
    folder = root / name.replace("-", "_")
    for part, rows in {**content(atoms), "graph-label": labels, **changes}.items():
        if rows is not None:
            table(folder / "raw" / f"{part}.csv.gz", rows)
    for part, ids in SPLIT.items():
        table(folder / "split" / kind / f"{part}.csv.gz", [[graph] for graph in ids])
    if atoms:
        rows = [[*("" for _ in tasks), smiles, f"m{row}"] for row, smiles in enumerate(SMILES)]
        table(folder / "mapping" / "mol.csv.gz", [[*tasks, "smiles", "mol_id"], *rows])
    return folder


BINARY = [[0], [1], [0], [0], [1]]


def test_table_sizes_are_those_of_ogb():
    features = ogb_files.import_ogb("ogb.utils.features")
    assert list(ATOM_CATEGORIES.values()) == features.get_atom_feature_dims()
    assert list(BOND_CATEGORIES.values()) == features.get_bond_feature_dims()
    assert list(ATOM_CATEGORIES) == list(features.atom_feature_vector_to_dict([0] * 9))
    assert list(BOND_CATEGORIES) == list(features.bond_feature_vector_to_dict([0] * 3))


@pytest.mark.parametrize("name, atoms", [("ogbg-molhiv", True), ("ogbg-ppa", False)])
def test_graphs_are_those_of_ogbs_own_reader(tmp_path, name, atoms):
    folder = write(tmp_path, name, BINARY, atoms=atoms)
    graph = load_dataset(name, data_dir=tmp_path)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        theirs = ogb_files.import_raw_readers().read_csv_graph_raw(str(folder / "raw"), add_inverse_edge=True)
    assert graph.num_graphs == len(theirs)
    home = torch.searchsorted(graph.graph_ptr, graph.dst, right=True) - 1
    for number, expected in enumerate(theirs):
        first, last = graph.graph_ptr[number : number + 2].tolist()
        assert last - first == expected["num_nodes"]
        if atoms:
            assert graph.x[first:last].tolist() == expected["node_feat"].tolist()
        mine = home == number
        rows = zip((graph.edge_index[:, mine] - first).t().tolist(), graph.edge_attr[mine].tolist())
        listed = zip(expected["edge_index"].T.tolist(), expected["edge_feat"].tolist())
        rounded = [(ends, torch.tensor(feature, dtype=torch.float32).tolist()) for ends, feature in rows]
        assert sorted(rounded) == sorted(
            (ends, torch.tensor(feature, dtype=torch.float32).tolist()) for ends, feature in listed
        )


def test_molecules_have_categories_names_metric_and_split(tmp_path, cache, monkeypatch):
    write(tmp_path, "ogbg-molhiv", BINARY)
    graph = load_dataset("ogbg-molhiv", data_dir=tmp_path)
    check_graph(graph)
    assert graph.x.dtype == graph.edge_attr.dtype == torch.int64
    assert graph.node_categories == tuple(ATOM_CATEGORIES.values()) and graph.node_categories[0] == 119
    assert graph.edge_categories == tuple(BOND_CATEGORIES.values())
    assert graph.feature_names[:2] == ("atomic_num", "chirality")
    assert graph.graph_names == tuple(SMILES)  # "NA" is a name, not a missing value
    assert {name: ids.tolist() for name, ids in graph.graph_splits.items()} == SPLIT
    assert graph.graph_y.tolist() == [0, 1, 0, 0, 1] and graph.graph_y.dtype == torch.int64
    assert (graph.metric, graph.evaluator, graph.class_names) == ("rocauc", "ogbg-molhiv", ())
    lines = summarize(graph)
    assert lines["graphs"] == "5, 2.4 nodes and 3.6 edges each on average"
    assert lines["labels"] == "2 classes (0: 3, 1: 2), binary classification"
    assert lines["splits"] == "train 3 graphs, valid 1 graphs, test 1 graphs, as published: scaffold"
    monkeypatch.setattr(ogb_graphs, "read_csv", None)
    again = load_dataset("ogbg-molhiv", data_dir=tmp_path)  # from the cache
    assert fingerprint(again) == fingerprint(graph) and again.graph_names == graph.graph_names


def test_several_tasks_have_names_and_missing_labels(tmp_path):
    nan = float("nan")
    write(tmp_path, "ogbg-molpcba", [[0, nan], [1, 1], [nan, nan], [0, 1], [1, 0]], tasks=("PCBA-1", "PCBA-2"))
    graph = load_dataset("ogbg-molpcba", data_dir=tmp_path)
    assert graph.graph_y.tolist() == [[0, -100], [1, 1], [-100, -100], [0, 1], [1, 0]]
    assert graph.class_names == ("PCBA-1", "PCBA-2") and graph.metric == "average_precision"
    assert summarize(graph)["labels"] == "2 labels, several a graph, 30.0% missing, binary classification"


def test_numbers_and_many_classes(tmp_path):
    write(tmp_path, "ogbg-molesol", [[0.5], [-1], [2], [3], [-4.25]])
    graph = load_dataset("ogbg-molesol", data_dir=tmp_path)
    assert graph.graph_y.tolist() == [0.5, -1, 2, 3, -4.25] and graph.graph_y.dtype == torch.float32
    assert (graph.metric, graph.evaluator) == ("rmse", "ogbg-molesol")
    write(tmp_path, "ogbg-ppa", [[0], [36], [2], [3], [4]], kind="species", atoms=False)
    graph = load_dataset("ogbg-ppa", data_dir=tmp_path)
    assert graph.graph_y.tolist() == [0, 36, 2, 3, 4] and graph.metric == "accuracy"
    assert graph.x is None and graph.edge_attr.shape == (18, 7) and graph.edge_categories == ()
    assert load_dataset("ogbg-ppa", data_dir=tmp_path, make_features="constant").x.shape == (12, 1)
    write(tmp_path, "ogbg-ppa", [[0], [1], [2], [3], [4]], kind="species", atoms=False)
    assert len(load_dataset("ogbg-ppa", data_dir=tmp_path).class_names) == 37


def test_a_data_set_saved_with_ogbs_saver(tmp_path, monkeypatch):
    ogb_files.import_raw_readers()
    from ogb.io import DatasetSaver

    monkeypatch.chdir(tmp_path)
    saver = DatasetSaver("ogbg-mine", is_hetero=False, version=1, root="submission")
    rng = np.random.default_rng(0)
    graphs = [
        {
            "edge_index": rng.integers(0, size, (2, num)),
            "num_nodes": size,
            "node_feat": rng.random((size, 2)).astype(np.float32),
            "node_kind": rng.integers(0, 5, (size, 1)),
            "edge_feat": None,
        }
        for size, num in zip(SIZES, EDGES)
    ]
    saver.save_graph_list(graphs)
    saver.save_target_labels(np.array(BINARY))
    saver.save_split({name: np.array(ids) for name, ids in SPLIT.items()}, "random")
    (tmp_path / "mapping").mkdir()
    (tmp_path / "mapping" / "README.md").write_text("none")
    saver.copy_mapping_dir(str(tmp_path / "mapping"))
    saver.save_task_info("multiclass classification", "acc", 2)
    saver.get_meta_dict()
    graph = load_dataset("ogbg-mine", data_dir=tmp_path / "submission_ogbg_mine")
    assert graph.x.tolist() == np.concatenate([each["node_feat"] for each in graphs]).tolist()
    assert graph.node_data["kind"].tolist() == [kind for each in graphs for kind in each["node_kind"][:, 0].tolist()]
    assert graph.graph_y.tolist() == [0, 1, 0, 0, 1] and graph.num_edges == sum(EDGES)
    assert (graph.metric, graph.evaluator, graph.graph_names) == ("accuracy", None, ())
    raw = tmp_path / "submission_ogbg_mine" / "mine" / "raw" / "data.npz"
    raw.write_bytes(raw.read_bytes()[:-200])
    with pytest.raises(DatasetError, match="data.npz is cut short"):
        load_dataset("ogbg-mine", data_dir=tmp_path / "submission_ogbg_mine")


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"num-node-list": [[3], [1], [4], [2]]}, "num_nodes has 4 rows, expected 5"),
        ({"num-node-list": [[3], [1], [4], [2], [3]]}, "node_feat has 12 rows, expected 13"),
        ({"num-edge-list": [[2], [0], [4], [1], [1]]}, "edge_index has 9 rows, expected 8"),
        ({"edge": [[0, 1], [0, 1], [0, 1], [0, 4], *[[0, 1]] * 5]}, "edge 3 names a node that graph 2, which has 4"),
        ({"node-feat": [[119] + [0] * 8] * 12}, "column 0 is 119, expected a category from 0 to 118"),
        ({"graph-label": None}, "Cannot read .*graph-label.csv.gz"),
    ],
)
def test_files_that_disagree_are_told(tmp_path, changes, message):
    write(tmp_path, "ogbg-molhiv", BINARY, **changes)
    with pytest.raises(DatasetError, match=message):
        load_dataset("ogbg-molhiv", data_dir=tmp_path)


def test_what_cannot_be_read_is_told(tmp_path):
    folder = write(tmp_path, "ogbg-molhiv", BINARY)
    table(folder / "mapping" / "mol.csv.gz", [["smiles", "mol_id"], ["CC", "a"]])
    with pytest.raises(DatasetError, match="mol.csv.gz has 1 rows, expected 5"):
        load_dataset("ogbg-molhiv", data_dir=tmp_path)
    file = folder / "raw" / "edge-feat.csv.gz"
    file.write_bytes(file.read_bytes()[:-12])
    with pytest.raises(DatasetError, match="edge-feat.csv.gz is cut short or damaged"):
        load_dataset("ogbg-molhiv", data_dir=tmp_path)
    write(tmp_path, "ogbg-code2", BINARY, kind="project")
    with pytest.raises(DatasetError, match="asks for subtoken prediction judged by F1; supported are binary"):
        load_dataset("ogbg-code2", data_dir=tmp_path)
