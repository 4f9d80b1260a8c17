"""Molecules from SMILES: against ogb's own features, from tables, split by scaffold; and ESOL itself."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import gnnkit
from gnnkit.data import check_graph, fingerprint, summarize
from gnnkit.datasets import from_smiles, load_dataset, ogb_files
from gnnkit.datasets.scaffolds import scaffold_split, scaffolds_of
from gnnkit.errors import ConfigError, DataError, DatasetError, NotInstalledError

pytest.importorskip("rdkit")
pytest.importorskip("ogb")

SMILES = [
    "O1C=C[C@H]([C@H]1O2)c3c2cc(OC)c4c3OC(=O)C5=C4CCC(=O)5",
    "C",
    "[Na+].[Cl-]",
    "Cl[C@H](/C=C/C)Br",
    "c1ccccc1C#N",
    "[2H]O[2H]",
]
TARGET = "measured log solubility in mols per litre"


def write(file: Path, text: str) -> Path:
    file.write_text(text)
    return file


def load(file: Path, **options):
    return load_dataset("molecules", file=str(file), **options)


def test_features_and_edges_are_those_of_ogb():
    theirs = [ogb_files.import_ogb("ogb.utils.mol").smiles2graph(smiles) for smiles in SMILES]
    graph = from_smiles(SMILES)
    check_graph(graph)
    assert graph.x.tolist() == np.concatenate([each["node_feat"] for each in theirs]).tolist()
    assert graph.graph_ptr.diff().tolist() == [each["num_nodes"] for each in theirs]
    starts = graph.graph_ptr.tolist()
    expected = {
        (source + start, target + start): feature
        for start, each in zip(starts, theirs)
        for (source, target), feature in zip(each["edge_index"].T.tolist(), each["edge_feat"].tolist())
    }
    assert dict(zip(map(tuple, graph.edge_index.t().tolist()), graph.edge_attr.tolist())) == expected
    assert graph.graph_names == tuple(SMILES) and graph.x.dtype == graph.edge_attr.dtype == torch.int64
    assert len(graph.node_categories) == 9 and len(graph.edge_categories) == 3


def test_a_molecule_of_one_atom_has_no_edges():
    graph = gnnkit.from_smiles(["C"], y=[1.5])
    assert (graph.num_nodes, graph.num_edges, graph.edge_attr.shape) == (1, 0, (0, 3))
    assert graph.graph_y.tolist() == [1.5] and graph.graph_y.dtype == torch.float32


def test_what_is_known_of_molecules_is_kept():
    graph = from_smiles(["C", "CC"], [1, 0], class_names=["bad", "good"], graph_splits={"train": [0], "test": [1]})
    assert graph.graph_y.tolist() == [1, 0] and graph.class_names == ("bad", "good")
    assert graph.graph_splits["test"].tolist() == [1]


@pytest.mark.parametrize(
    "smiles, message",
    [
        (["C", "C1CC", "x"], "smiles, row 1: 'C1CC' is no SMILES"),
        (["C", ""], "row 1: '' has no atom"),
        (["C", None], "row 1: None is no SMILES"),
        ([], "there is no molecule"),
        ("CCO", r"received the text 'CCO', expected a list. Give \['CCO'\]"),
    ],
)
def test_smiles_that_cannot_be_read_are_named(smiles, message, capfd):
    with pytest.raises(DataError, match=message):
        from_smiles(smiles)
    assert "".join(capfd.readouterr()) == ""


@pytest.mark.parametrize("package", ["rdkit", "ogb"])
def test_a_missing_package_is_told_with_the_command(package, monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(NotInstalledError, match=r"is not installed. Install it with: pip install gnnkit\[molecules\]$"):
        from_smiles(["C"])


def test_whole_numbers_below_zero_are_regressed(tmp_path):
    file = write(tmp_path / "mine.csv", "smiles,y\nC,-3\nCC,-1\nCO,0\nCN,2\n")
    assert load(file, targets=["y"]).graph_y.tolist() == [-3.0, -1.0, 0.0, 2.0]
    assert load(file, targets=["y"]).graph_y.is_floating_point()


def test_a_table_becomes_graphs_and_comes_from_the_cache(tmp_path, cache):
    file = write(tmp_path / "mine.csv", "id,SMILES,logp\na,CCO ,0.5\nb,C,-1\nc,c1ccccc1,\n")
    graph = load(file, targets=["logp"])
    assert graph.graph_y[:2].tolist() == [0.5, -1.0] and graph.graph_y[2].isnan()  # -1 is a number like any other
    assert graph.graph_names == ("CCO", "C", "c1ccccc1") and graph.name == "molecules" and not graph.graph_splits
    lines = summarize(graph)
    assert lines["graphs"] == "3, 3.3 nodes and 5.3 edges each on average"
    assert lines["labels"] == "numbers to regress, 1 graphs without, column 'logp'"
    assert lines["left out"] == "column 'id'"
    assert fingerprint(load(file, targets=["logp"])) == fingerprint(graph)
    assert len(list((cache / "prepared").iterdir())) == 1
    assert fingerprint(load_dataset("molecules", data_dir=tmp_path, file="mine.csv", targets=["logp"])) == fingerprint(
        graph
    )


def test_tsv_and_parquet(tmp_path):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    text = "mol\ty\nC\t0\nCC\t1\nCCC\t1\n"
    tsv = load(write(tmp_path / "mine.tsv", text), smiles="mol", targets=["y"])
    frame = pandas.DataFrame({"smiles": ["C", "CC", "CCC"], "y": [0, 1, 1]})
    frame.to_parquet(tmp_path / "mine.parquet")
    parquet = load(tmp_path / "mine.parquet", targets=["y"])
    assert tsv.graph_y.tolist() == parquet.graph_y.tolist() == [0, 1, 1]
    assert fingerprint(tsv) == fingerprint(parquet)


@pytest.mark.parametrize(
    "cells, options, y, names",
    [
        (["no", "yes", ""], {}, [0, 1, -100], ("no", "yes")),
        (["0", "1", "NA"], {}, [0, 1, -100], ()),
        (["-1", "1", "1"], {"number_classes": True}, [0, 1, 1], ("-1", "1")),
        (["0.5", "-999", "2"], {"missing": ["", -999]}, [0.5, None, 2], ()),
    ],
)
def test_one_target_is_classes_or_numbers(tmp_path, cells, options, y, names):
    rows = "".join(f"{smiles},{cell}\n" for smiles, cell in zip(("C", "CC", "CCC"), cells))
    graph = load(write(tmp_path / "mine.csv", f"smiles,y\n{rows}"), targets=["y"], **options)
    assert [None if value != value else value for value in graph.graph_y.tolist()] == y
    assert graph.class_names == names


def test_several_targets_are_labels_or_numbers(tmp_path):
    file = write(tmp_path / "mine.csv", "smiles,a,b,c\nC,1,0,0.5\nCC,0,,-1\nCCC,,1,2\n")
    labels = load(file, targets=["b", "a"])
    assert labels.graph_y.tolist() == [[0, 1], [-100, 0], [1, -100]] and labels.class_names == ("b", "a")
    numbers = load(file, targets=["a", "c"])
    assert numbers.graph_y[:, 1].tolist() == [0.5, -1, 2] and numbers.graph_y[2, 0].isnan()
    file = write(tmp_path / "mine.csv", "smiles,a,b\nC,1,0\nCC,0,no way\n")
    with pytest.raises(DatasetError, match=r"column 'b', line 3: 'no way', expected a finite number or nothing"):
        load(file, targets=["a", "b"])


def test_columns_of_splits_and_folds(tmp_path):
    file = write(
        tmp_path / "mine.csv",
        "smiles,y,part,k\nC,1,train,3\nCC,0,val,1\nC1C,1,train,2\nCCC,0,,2\nCCCC,1,test,3\n",
    )
    graph = load(file, targets=["y"], split_column="part", fold_column="k", skip_invalid=True)
    assert {name: ids.tolist() for name, ids in graph.graph_splits.items()} == {"train": [0], "valid": [1], "test": [3]}
    assert graph.graph_data["fold"].tolist() == [2, 0, 1, 2] and graph.graph_data["fold"].dtype == torch.int64
    file.write_text("smiles,k\nC,1\nCC,\n")
    with pytest.raises(DatasetError, match="column 'k', line 3: '', expected a whole number, which says the fold"):
        load(file, fold_column="k")


def test_molecules_that_cannot_be_read_are_an_error_or_are_counted(tmp_path, caplog):
    file = write(tmp_path / "mine.csv", "smiles,y\nC,1\nC1C,0\nCC,0\n,1\n")
    words = r"column 'smiles', line 3: 'C1C' is no SMILES.*first of 2 such rows.*skip_invalid=true"
    with pytest.raises(DatasetError, match=words):
        load(file, targets=["y"])
    graph = load(file, targets=["y"], skip_invalid=True)
    assert graph.graph_names == ("C", "CC") and graph.graph_y.tolist() == [1, 0]
    assert "2 of 4 molecules are left out: " in caplog.text and "line 3: 'C1C' is no SMILES" in caplog.text
    assert "2 of 4 molecules, which cannot be read" in summarize(graph)["left out"]


@pytest.mark.parametrize(
    "text, options, error, message",
    [
        ("smiles,a,b\nC,1,2\n", {}, DatasetError, r"columns 'a', 'b' beside the SMILES.*targets=\"\[NAME\]\""),
        ("mol,a\nC,1\n", {"targets": ["a"]}, DatasetError, "no column 'smiles'; its columns are 'mol', 'a'"),
        ("smiles,SMILES\nC,C\n", {}, DatasetError, "the columns 'smiles', 'SMILES'"),
        ("smiles,a\nC,1\n", {"targets": ["c"]}, DatasetError, "no column 'c'"),
        ("smiles,a\nC,1\n", {"targets": ["smiles"]}, ConfigError, "targets names 'smiles'"),
        ("smiles,a\nC,1\n", {"targets": ["a", "a"]}, ConfigError, "expected each column once"),
        ("smiles,a\nC,1\n", {"targets": ["a"], "train": 0.5}, ConfigError, "train is 0.5, which is for a split by"),
        ("smiles,a\nC,1\n", {"targets": ["a"], "split_by": "size"}, ConfigError, "'random' or 'scaffold'"),
        ("smiles,a\nC,1\n", {"split_by": "scaffold", "split_column": "a"}, ConfigError, "Give one of them"),
        ("smiles,a\nC,1\n", {"targets": ["a"], "split_by": "scaffold"}, DatasetError, "leave none for 'train'"),
        ("smiles\nC\n", {"number_classes": True}, ConfigError, "number_classes is for one target, received 0"),
        ("smiles,a\nC,1\nC,-1\n", {"targets": ["a"]}, DatasetError, "label -1 is outside .*number_classes=true"),
    ],
)
def test_what_is_not_clear_is_asked_for(tmp_path, text, options, error, message):
    with pytest.raises(error, match=message):
        load(write(tmp_path / "mine.csv", text), **options)


def test_the_table_is_needed(tmp_path):
    with pytest.raises(ConfigError, match="dataset.options.file=FILE, which is .csv, .tsv or .parquet"):
        load_dataset("molecules")
    with pytest.raises(ConfigError, match="expected a table that ends in .csv"):
        load_dataset("molecules", file="mine.sdf")
    with pytest.raises(DatasetError, match=f"files not found: mine.csv. Looked in: .*{tmp_path}"):
        load_dataset("molecules", data_dir=tmp_path, file="mine.csv")
    assert load(write(tmp_path / "mine.csv", "smiles\nC\nCC\n")).graph_y is None


CORES = ["", "c1ccccc1", "C1CCCCC1", "c1ccncc1", "C1CC1"]


@settings(max_examples=30)
@given(
    st.lists(st.tuples(st.sampled_from(CORES), st.integers(1, 4)), min_size=1, max_size=30),
    st.sampled_from([(0.8, 0.1), (0.5, 0.3), (0.6, 0.2)]),
)
def test_a_scaffold_is_in_one_split_and_the_largest_go_first(parts, shares):
    smiles = ["C" * length + core for core, length in parts]
    try:
        split = scaffold_split(smiles, *shares)
    except DataError:  # A split got none, which another test looks at.
        assume(False)
    assert sorted(np.concatenate(list(split.values())).tolist()) == list(range(len(smiles)))
    homes = {name: {parts[row][0] for row in rows} for name, rows in split.items()}
    assert not homes["train"] & homes["valid"] and not homes["train"] & homes["test"]
    assert not homes["valid"] & homes["test"]
    assert len(split["train"]) <= shares[0] * len(smiles)


def test_scaffolds_are_without_side_chains_and_chirality():
    assert scaffolds_of(["Cc1ccccc1CC2CC2", "C[C@H]1CCCO1", "CCN"]) == ["c1ccc(CC2CC2)cc1", "C1CCOC1", ""]
    with pytest.raises(ConfigError, match="train=0.9 and valid=0.1, expected some for each and for the test"):
        scaffold_split(["C"], 0.9, 0.1)


def test_esol(data_dir):
    file = data_dir / "esol" / "delaney-processed.csv"
    if not file.is_file():
        pytest.skip(f"there is no esol in {data_dir}")
    with pytest.raises(DatasetError, match="'Number of Rings'"):
        load(file)
    graph = load(file, targets=[TARGET], split_by="scaffold")
    assert (graph.num_graphs, graph.num_nodes, graph.num_edges) == (1128, 14_991, 30_856)
    assert graph.graph_y[:2].tolist() == pytest.approx([-0.77, -3.3])
    assert not graph.graph_y.isnan().any() and int((graph.graph_y == -1).sum()) == 2
    assert {name: ids.numel() for name, ids in graph.graph_splits.items()} == {"train": 902, "valid": 113, "test": 113}
    scaffolds = np.array(scaffolds_of(graph.graph_names), dtype=object)
    parts = [set(scaffolds[ids.numpy()]) for ids in graph.graph_splits.values()]
    assert not parts[0] & parts[1] and not parts[0] & parts[2] and not parts[1] & parts[2]
    assert any(size == 0 for size in (graph.in_degrees[graph.graph_ptr[:-1]]).tolist())  # methane
