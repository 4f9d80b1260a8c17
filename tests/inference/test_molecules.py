"""Molecules as SMILES: predicted, left out, refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import gnnkit
from gnnkit.errors import ConfigError, DataError, DatasetError
from gnnkit.inference import graphs, open_run
from gnnkit.inference.molecules import read_smiles
from tests.inference.graph_runs import graph_of, run_of

pytest.importorskip("rdkit")
smiles = pytest.importorskip("gnnkit.datasets.smiles")

SOME = ["CCO", "c1ccccc1", "CC(=O)O", "C", "CCN", "C1CC1", "CO", "CCCl", "OCCO", "C#N", "CCCC", "NCCN"]


@pytest.fixture(scope="module", params=["gin", "gine"])
def run(request, tmp_path_factory) -> Path:
    graph = smiles.from_smiles(SOME, y=[float(len(text)) for text in SOME])
    folder = tmp_path_factory.mktemp("molecules") / request.param
    edges = None if request.param == "gin" else sum(graph.edge_categories)
    model = gnnkit.build_model(
        request.param, graph, out_channels=1, pooling="mean", encoder_channels=8, hidden_channels=8, edge_channels=edges
    )
    gnnkit.Trainer(
        device="cpu",
        task="graph_regression",
        task_options={"valid_share": 0.2, "test_share": 0.2},
        epochs=2,
        run_dir=folder,
        progress=False,
    ).fit(model, graph)
    return folder


def opened(run: Path):
    return open_run(run, graph=smiles.from_smiles(SOME), device="cpu")


def test_molecules_are_predicted_as_their_graphs(run, monkeypatch) -> None:
    expected = opened(run).predict(graph=smiles.from_smiles(SOME[:5]))
    found = opened(run).predict(smiles=SOME[:5])
    torch.testing.assert_close(found.outputs, expected.outputs)
    assert found.names == tuple(SOME[:5]) and found.true is None
    monkeypatch.setattr(graphs, "_AT_A_TIME", 2)  # Read in pieces.
    parts = opened(run).predict(smiles=[*SOME[:2], "C1C", "C1C", SOME[2]], skip_invalid=True)
    assert parts.graphs.tolist() == [0, 1, 4] and list(parts.skipped) == [2, 3]
    torch.testing.assert_close(parts.outputs, expected.outputs[:3], atol=1e-5, rtol=1e-5)
    pooled = opened(run).embed(smiles=SOME[:3])["pooled"]
    assert pooled.shape == (3, 8)


def test_a_text_is_no_list(run) -> None:
    for use in (opened(run).predict, opened(run).embed):
        with pytest.raises(ConfigError, match="smiles is the text 'CCO', expected a list"):
            use(smiles="CCO")


def test_what_cannot_be_read_is_named(run) -> None:
    with pytest.raises(DataError, match=r"row 1: 'C1C' is no SMILES") as caught:
        opened(run).predict(smiles=["C", "C1C"])
    assert "--skip-invalid" in str(caught.value)
    with pytest.raises(DataError, match="none of 2 can be read"):
        opened(run).predict(smiles=["C1C", ""], skip_invalid=True)
    with pytest.raises(ConfigError, match="No SMILES"):
        opened(run).predict(smiles=[])


def test_a_model_of_other_graphs_reads_no_smiles() -> None:
    other = open_run(run_of("classes"), graph=graph_of("classes"))
    with pytest.raises(ConfigError, match=r"trained on other features \(rings\)"):
        other.predict(smiles=["C"])


def test_files_of_smiles(tmp_path: Path) -> None:
    (tmp_path / "a.smi").write_text("CCO\n\nC\n\n")
    assert read_smiles([str(tmp_path / "a.smi")]) == ["CCO", "", "C"]
    (tmp_path / "a.csv").write_text("id,SMILES,other\n1,CCO,x\n2,C,y\n")
    assert read_smiles([str(tmp_path / "a.csv")]) == ["CCO", "C"]
    assert read_smiles([str(tmp_path / "a.csv")], "other") == ["x", "y"]
    (tmp_path / "a.tsv").write_text("id\tsmiles\n1\tCCO\n")
    assert read_smiles([str(tmp_path / "a.tsv")]) == ["CCO"]
    (tmp_path / "b.csv").write_text("one,two\nC,C\n")
    (tmp_path / "empty.txt").write_text("")
    for given, column, message in (
        (["b.csv"], None, "Say which one has the SMILES"),
        (["b.csv"], "three", "no column 'three'"),
        (["no.csv"], None, "There is no file"),
        (["empty.txt"], None, "lists no SMILES"),
        (["a.smi"], "x", "is for tables"),
        (["a.smi", "C"], None, "Give SMILES, or one file"),
    ):
        with pytest.raises((DatasetError, ConfigError), match=message):
            read_smiles([str(tmp_path / text) if "." in text else text for text in given], column)
    with pytest.raises(ConfigError, match="is for a table"):
        read_smiles(["C"], "x")
