"""``gnnkit predict``, ``embed``, ``export``, ``report`` and ``reproduce`` on runs about whole graphs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.commands import answer, gnnkit_command, gnnkit_here
from tests.inference.graph_runs import rings_and_paths

MODEL = ["--model", "gin", "--epochs", "2", "--device", "cpu"]
TRAIN = ["--task", "graph_classification", *MODEL]


def write_tu(folder: Path, name: str, num_graphs: int) -> None:
    """Rings and paths in the layout of the TU collection."""
    graph = rings_and_paths(num_graphs, categories=True)
    home = np.repeat(np.arange(num_graphs), graph.graph_ptr.diff().numpy()) + 1
    (folder / name).mkdir(parents=True)
    for ending, rows in (
        ("A", graph.edge_index.T.numpy() + 1),
        ("graph_indicator", home),
        ("graph_labels", graph.graph_y.numpy()),
        ("node_labels", graph.x[:, 0].numpy()),
    ):
        np.savetxt(folder / name / f"{name}_{ending}.txt", rows, fmt="%d", delimiter=",")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    write_tu(home, "RINGS", 60)
    write_tu(home, "OTHERS", 10)
    (home / "smiles.csv").write_text("smiles\nC\n")
    for arguments in (["--run-dir", "run"], ["--folds", "3", "--run-dir", "folds"]):
        done = gnnkit_here("run", "--dataset", "TU-RINGS", "--data-dir", ".", *TRAIN, *arguments, cwd=home)
        assert done.returncode == 0, done.stderr
    done = gnnkit_here("run", "--dataset", "karate", *MODEL, "--run-dir", "nodes", cwd=home)
    assert done.returncode == 0, done.stderr
    return home


def test_predictions(home: Path, tmp_path: Path) -> None:
    told = answer(gnnkit_command("predict", "run", "--output", str(tmp_path / "p.csv"), "--json", cwd=home))
    assert (told["graphs"], told["classes"], told["differences"], "method" in told) == (60, 2, [], False)
    every = pd.read_csv(tmp_path / "p.csv")
    assert every["graph"].tolist() == list(range(60)) and set(every["split"]) == {"train", "valid", "test"}
    arguments = ["--split", "test", "--classes-only", "--output", str(tmp_path / "t.csv"), "--json"]
    told = answer(gnnkit_here("predict", "run", *arguments, cwd=home))
    test = pd.read_csv(tmp_path / "t.csv")
    expected = every[every["split"] == "test"]
    assert told["graphs"] == len(expected) and "p_0" not in test.columns
    pd.testing.assert_frame_equal(test, expected[test.columns.tolist()].reset_index(drop=True), atol=1e-6)
    chosen = ["--graphs", "7,2", "--output", str(tmp_path / "c.npy")]
    assert gnnkit_here("predict", "run", *chosen, cwd=home).returncode == 0
    assert np.load(tmp_path / "c.npy")["graph"].tolist() == [7, 2]


def test_other_data_and_embeddings(home: Path, tmp_path: Path) -> None:
    other = ["--dataset", "TU-OTHERS", "--data-dir", ".", "--json"]
    told = answer(gnnkit_here("predict", "run", *other, "--output", str(tmp_path / "o.csv"), cwd=home))
    assert told["graphs"] == 10 and "not the data of the run" in told["notes"][-1]
    assert "split" not in pd.read_csv(tmp_path / "o.csv").columns
    told = answer(gnnkit_here("embed", "run", "--output", str(tmp_path / "e.npy"), "--json", cwd=home))
    assert (told["graphs"], told["widths"]) == (60, {"pooled": 256})
    one = ["--layers", "1", "--graphs", "3", "--output", str(tmp_path / "l.parquet"), "--json"]
    assert answer(gnnkit_here("embed", "run", *one, cwd=home))["widths"] == {"1": 64}
    assert list(pd.read_parquet(tmp_path / "l.parquet").columns) == ["graph", "layer_1"]


def test_export_report_and_reproduction(home: Path, tmp_path: Path) -> None:
    page = ["--batches", "1", "--map", "pca", "--output", str(tmp_path / "page.html")]
    for runs in (["folds"], ["run", "folds/fold-0"]):
        done = gnnkit_here("report", *runs, *page, "--force", cwd=home)
        assert done.returncode == 0 and "no predictions" not in done.stdout, done.stderr
    done = gnnkit_here("reproduce", "folds/fold-2", cwd=home)
    assert done.returncode == 0 and "identical" in done.stdout, done.stderr
    import torch

    if hasattr(getattr(torch, "compiler", None), "is_exporting"):
        told = answer(gnnkit_here("export", "run", "--output", str(tmp_path / "m.pt2"), "--json", cwd=home))
        assert told["inputs"] == ["x", "edge_index", "graph_sizes"]


WRONG = {
    "run --nodes 1": "--nodes is for runs about nodes or pairs",
    "run --pairs x.csv": "--pairs is for runs about nodes or pairs",
    "run --top 3": "--top is for runs about nodes or pairs",
    "run --fanouts 2,2": "--fanouts is for runs about nodes or pairs",
    "run --method full": "--method is for runs about nodes or pairs",
    "run --new-nodes x.csv": "--new-nodes is for runs about nodes or pairs",
    "run --graphs 1,60": "there is no graph 60, expected numbers from 0 to 59",
    "run --graphs one": "--graphs is 'one', expected whole numbers",
    "run --split tset": "the splits of 'TU-RINGS' are: train, valid, test",
    "run --split test --graphs 1": "--graphs and --split exclude each other",
    "run --split test --dataset TU-OTHERS --data-dir .": "the splits of 'TU-OTHERS' are: none",
    "run --dataset karate": "The model takes 6 features",
    "run --skip-invalid": "--skip-invalid is for molecules",
    "run --smiles-column x": "--smiles-column is for molecules",
    "run --smiles C --split test": "Leave out --split",
    "run --smiles no.csv": "There is no file no.csv",
    "folds": "the summary of several runs",
    "nodes --graphs 1": "--graphs is for runs about whole graphs",
    "nodes --split test": "--split is for runs about whole graphs",
    "nodes --smiles C": "--smiles is for runs about whole graphs",
}


@pytest.mark.parametrize("typed", WRONG)
def test_mistakes(typed: str, home: Path, tmp_path: Path) -> None:
    done = gnnkit_here("predict", *typed.split(), "--output", str(tmp_path / "p.csv"), cwd=home)
    assert done.returncode == 2 and not (tmp_path / "p.csv").exists()
    last = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert len(last) == 1 and WRONG[typed] in last[0], done.stderr


def test_smiles(home: Path, tmp_path: Path) -> None:
    pytest.importorskip("rdkit")
    pytest.importorskip("gnnkit.datasets.smiles")
    done = gnnkit_here("predict", "run", "--smiles", "smiles.csv", "--output", str(tmp_path / "p.csv"), cwd=home)
    assert done.returncode == 2 and "trained on other features (TU-RINGS)" in done.stderr
