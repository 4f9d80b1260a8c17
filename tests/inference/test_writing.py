"""Predictions and embeddings as files: what is in them, and that nothing is lost or overwritten."""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd
import pyarrow.parquet as parquet
import pytest
import torch

from gnnkit.errors import ConfigError, NotInstalledError
from gnnkit.inference import NodeIds, Predictions, write_embeddings, write_predictions, writing

OUTPUTS = torch.randn(23, 3, generator=torch.Generator().manual_seed(0))
NODES = torch.arange(46, 0, -2)
NAMES = ("cat", "dog; big", "cow")
SAID = Predictions(NODES, OUTPUTS, class_names=NAMES)
MANY = Predictions(NODES, OUTPUTS, is_multi_label=True, class_names=NAMES)
EMBEDDINGS = {1: torch.randn(23, 5), 3: torch.randn(23, 2)}


@pytest.fixture(params=[1 << 22, 12], ids=["one piece", "pieces"], autouse=True)
def _size_of_pieces(request, monkeypatch):
    monkeypatch.setattr(writing, "_PIECE_VALUES", request.param)


def frame(file):
    return pd.read_parquet(file) if file.suffix == ".parquet" else pd.read_csv(file)


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_a_table_of_predictions(suffix, tmp_path):
    file = tmp_path / "new" / f"said{suffix}"
    write_predictions(SAID, file)
    table = frame(file)
    assert list(table) == ["node", "class", "class_name", "probability", "p_0", "p_1", "p_2"]
    assert table["node"].tolist() == NODES.tolist()
    assert table["class"].tolist() == OUTPUTS.argmax(1).tolist()
    assert table["class_name"].tolist() == [NAMES[number] for number in OUTPUTS.argmax(1)]
    chances = table[["p_0", "p_1", "p_2"]].to_numpy(np.float32)
    assert (chances == OUTPUTS.softmax(1).numpy()).all()
    assert (table["probability"].to_numpy(np.float32) == chances.max(1)).all()
    write_predictions(SAID, file, top=True, force=True)
    assert list(frame(file)) == ["node", "class", "class_name", "probability"]


def test_an_array_of_predictions(tmp_path):
    write_predictions(SAID, tmp_path / "said.npy", ids=NodeIds(40, [f"name {i}" for i in range(9)]))
    array = np.load(tmp_path / "said.npy")
    assert array.dtype.names == ("node", "class", "class_name", "probability", "p")
    assert array["node"][0] == "name 6" and array["node"][-1] == "2"
    assert array["class_name"][5] == NAMES[int(OUTPUTS[5].argmax())]
    assert (array["p"] == OUTPUTS.softmax(1).numpy()).all()


def test_several_labels_a_node(tmp_path):
    write_predictions(MANY, tmp_path / "many.parquet")
    table = frame(tmp_path / "many.parquet")
    assert list(table) == ["node", "classes", "p_0", "p_1", "p_2"]
    for row, text in enumerate(table["classes"]):
        assert text == "; ".join(NAMES[i] for i in range(3) if OUTPUTS[row, i] >= 0)
    write_predictions(MANY, tmp_path / "many.npy", top=True)
    array = np.load(tmp_path / "many.npy")
    assert array.dtype.names == ("node", "member") and (array["member"] == (OUTPUTS >= 0).numpy()).all()


def test_classes_without_names_have_numbers_alone(tmp_path):
    write_predictions(Predictions(NODES, OUTPUTS), tmp_path / "said.csv", top=True)
    assert list(frame(tmp_path / "said.csv")) == ["node", "class", "probability"]


def test_embeddings(tmp_path):
    ids = NodeIds(0, [f"n{i}" for i in range(50)])
    write_embeddings(EMBEDDINGS, NODES, tmp_path / "e.parquet", ids=ids)
    table = parquet.read_table(tmp_path / "e.parquet")
    assert table.column_names == ["node", "layer_1", "layer_3"]
    assert table["node"].to_pylist()[:2] == ["n46", "n44"]
    assert str(table.schema.field("layer_1").type).startswith("fixed_size_list")
    write_embeddings(EMBEDDINGS, NODES, tmp_path / "e.npy")
    array = np.load(tmp_path / "e.npy")
    for layer, values in EMBEDDINGS.items():
        assert (np.stack(table[f"layer_{layer}"].to_pandas()) == values.numpy()).all()
        assert (array[f"layer_{layer}"] == values.numpy()).all()
    assert array["node"].tolist() == NODES.tolist()


def test_a_file_that_exists_is_kept(tmp_path):
    file = tmp_path / "said.csv"
    file.write_text("mine")
    with pytest.raises(ConfigError, match=r"said\.csv already exists.*--force"):
        write_predictions(SAID, file)
    assert file.read_text() == "mine"
    write_predictions(SAID, file, force=True)
    assert file.read_text().startswith("node,class")


def test_nothing_is_left_of_a_file_that_could_not_be_finished(tmp_path):
    file = tmp_path / "said.csv"
    file.write_text("mine")
    broken = Predictions(NODES, OUTPUTS, class_names=("cat",))
    with pytest.raises(IndexError):
        write_predictions(broken, file, force=True)
    assert [path.name for path in tmp_path.iterdir()] == ["said.csv"] and file.read_text() == "mine"


def test_other_kinds_of_files_are_refused(tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match=r"said\.txt, expected.*\.parquet, \.npy, \.csv"):
        write_predictions(SAID, tmp_path / "said.txt")
    with pytest.raises(ConfigError, match=r"\.parquet, \.npy\."):
        write_embeddings(EMBEDDINGS, NODES, tmp_path / "e.csv")
    (tmp_path / "folder.npy").mkdir()
    with pytest.raises(ConfigError, match="is a folder"):
        write_predictions(SAID, tmp_path / "folder.npy", force=True)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ConfigError, match="where a folder is needed"):
        write_predictions(SAID, tmp_path / "file" / "said.npy")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(NotInstalledError, match=r"gnnkit\[pandas\]"):
        write_predictions(SAID, tmp_path / "said.parquet")
