"""What comes out at the end: accuracies on real data, from the commands that a user types."""

from __future__ import annotations

import json
import statistics
from pathlib import Path

import pytest

import gnnkit
from tests.commands import gnnkit_here
from tests.conftest import need

CORA = {"gcn": 0.805, "sage": 0.770, "gat": 0.815}


def run(tmp_path: Path, *arguments: str) -> dict:
    done = gnnkit_here("run", *arguments, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_the_embedded_data_set(tmp_path: Path) -> None:
    assert run(tmp_path)["test_accuracy"] >= 0.95


@pytest.mark.long
def test_the_embedded_data_set_on_backends(backend_name: str, tmp_path: Path) -> None:
    assert run(tmp_path, "--backend", backend_name)["test_accuracy"] >= 0.95


def test_cora_in_short(data_dir: Path) -> None:
    graph = gnnkit.load_dataset("cora", data_dir=data_dir)
    trainer = gnnkit.Trainer("reference", "cpu", epochs=60, progress=False)
    assert trainer.fit(gnnkit.build_model("gcn", graph), graph).test["accuracy"] >= 0.79


@pytest.mark.long
@pytest.mark.parametrize("model", CORA)
def test_cora_over_seeds(backend_name: str, model: str, data_dir: Path, tmp_path: Path) -> None:
    """The accuracies that the models' defaults must reach, as means over seeds 0 to 4."""
    need(backend_name, model)
    arguments = ["--backend", backend_name, "--dataset", "cora", "--data-dir", str(data_dir), "--model", model]
    scores = [run(tmp_path, *arguments, "--seed", str(seed))["test_accuracy"] for seed in range(5)]
    assert statistics.mean(scores) >= CORA[model]


@pytest.mark.long
def test_facebook_sampled(backend_name: str, data_dir: Path, tmp_path: Path) -> None:
    arguments = ["--dataset", "facebook_large", "--data-dir", str(data_dir), "--model", "sage"]
    sampled = ["--fanouts", "10,10", "--batch-size", "1024"]
    assert run(tmp_path, "--backend", backend_name, *arguments, *sampled)["test_accuracy"] >= 0.93


@pytest.mark.long
def test_links_of_cora_over_seeds(backend_name: str, data_dir: Path, tmp_path: Path) -> None:
    """Pairs split 85/5/10, a GCN of two layers, dot products; means over seeds 0 to 4."""
    arguments = ["--task", "link_prediction", "--backend", backend_name, "--dataset", "cora", "--model", "gcn"]
    settings = ["--epochs", "80", "model.hidden_channels=128", "model.input_dropout=0.7", "train.eval_every=2"]
    place = ["--data-dir", str(data_dir)]
    found = [run(tmp_path, *arguments, *place, "--seed", str(seed), *settings) for seed in range(5)]
    assert statistics.mean(each["test_auc"] for each in found) >= 0.905
    assert statistics.mean(each["test_average_precision"] for each in found) >= 0.915


@pytest.mark.long
def test_links_of_facebook_sampled(backend_name: str, data_dir: Path, tmp_path: Path) -> None:
    arguments = ["--dataset", "facebook_large", "--data-dir", str(data_dir), "--model", "gcn", "--epochs", "6"]
    sampled = ["--task", "link_prediction", "--fanouts", "10,10", "--batch-size", "1024", "--dropout", "0"]
    assert run(tmp_path, "--backend", backend_name, *arguments, *sampled)["test_auc"] >= 0.95


@pytest.mark.long
def test_classes_of_mutag_over_folds(backend_name: str, data_dir: Path, tmp_path: Path) -> None:
    """A GIN with its defaults, ten stratified folds, the epoch picked by the validation part alone."""
    arguments = ["--task", "graph_classification", "--dataset", "TU-MUTAG", "--data-dir", str(data_dir / "MUTAG")]
    found = run(tmp_path, "--backend", backend_name, *arguments, "--model", "gin", "--folds", "10", "--epochs", "150")
    assert found["runs"] == 10 and found["test_accuracy"]["mean"] >= 0.85


NCI1 = ["--task", "graph_classification", "--dataset", "GIN-NCI1", "--model", "gin", "--batch-size", "128"]
NCI1_SETTINGS = ["--epochs", "60", "--dropout", "0", "train.lr=0.01", "model.head_layers=2"]


@pytest.mark.long
def test_classes_of_nci1_over_its_folds(data_dir: Path, tmp_path: Path) -> None:
    place = ["--data-dir", str(data_dir / "NCI1"), "--folds", "10"]
    assert run(tmp_path, *NCI1, *NCI1_SETTINGS, *place)["test_accuracy"]["mean"] >= 0.79


ESOL = ["--task", "graph_regression", "--dataset", "molecules", "--epochs", "100"]


@pytest.mark.long
def test_solubility_over_seeds(data_dir: Path, tmp_path: Path) -> None:
    """A GINE with its defaults on five random splits."""
    table = f"dataset.options.file={data_dir / 'esol' / 'delaney-processed.csv'}"
    target = "dataset.options.targets=[measured log solubility in mols per litre]"
    found = [run(tmp_path, *ESOL, table, target, "--model", "gine", "--seed", str(seed)) for seed in range(5)]
    assert statistics.mean(each["test_rmse"] for each in found) <= 0.65


def test_a_small_ogb_data_set_trains(backend_name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ogb")
    from tests.datasets.test_ogb import save

    monkeypatch.setenv("GNNKIT_CACHE", str(tmp_path / "cache"))
    save(tmp_path, monkeypatch)
    arguments = ["--backend", backend_name, "--dataset", "ogbn-small", "--data-dir", str(tmp_path), "--epochs", "3"]
    first, from_cache = run(tmp_path, *arguments), run(tmp_path, *arguments)
    assert first["train_loss"] == from_cache["train_loss"]
