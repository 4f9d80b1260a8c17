"""Runs of gnnkit 0.1.0 predict, embed, report and resume. ``v0.1.0`` holds such runs, and what 0.1.0 made of them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Dict, List

import numpy as np
import pytest
import torch

import gnnkit
from gnnkit.backends import load_backend
from gnnkit.inference import open_run
from gnnkit.report import write_report
from gnnkit.runs import read_run, recorded_config
from gnnkit.train import load_config
from gnnkit.train.assembling import assemble
from tests.conftest import installed_backends

RUNS = Path(__file__).parent / "v0.1.0"
CLASSIFIERS = ("gcn", "gat")
BACKENDS = [name for name in ("reference", "pyg", "dgl", "ipu") if name in installed_backends()]


def device(backend: str) -> str:
    return "ipu-emulator" if backend == "ipu" else "cpu"


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_predictions_are_those_of_then(name: str, backend: str) -> None:
    run = open_run(RUNS / name, backend=backend, device=device(backend))
    assert run.differences == []
    table = np.genfromtxt(RUNS / f"{name}.csv", delimiter=",", names=True)
    probabilities = np.stack([table[f"p_{i}"] for i in range(4)], axis=1)
    found = torch.softmax(run.predict().outputs, dim=1).numpy()
    run.close()
    np.testing.assert_allclose(found, probabilities, atol=2e-6)


@pytest.mark.parametrize("backend", BACKENDS)
def test_embeddings_are_those_of_then(backend: str) -> None:
    run = open_run(RUNS / "unsupervised", backend=backend, device=device(backend))
    (last,) = run.embed(layers=[2]).values()
    run.close()
    np.testing.assert_allclose(last.numpy(), np.load(RUNS / "unsupervised.npy"), atol=2e-5)


@pytest.mark.parametrize("name", ["gcn", pytest.param("gat", marks=pytest.mark.long), "unsupervised"])
def test_a_report_shows_them(name: str, tmp_path: Path) -> None:
    run = shutil.copytree(RUNS / name, tmp_path / name)  # Figures are written beside the run.
    report = write_report(run, tmp_path / "report.html", map="pca", batches=2)
    missing = {part for parts in report.missing.values() for part in parts}
    assert missing == ({"predictions"} if name == "unsupervised" else set())


def losses(lines: List[str]) -> List[float]:
    return [json.loads(line)["train_loss"] for line in lines]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name, model", [("gcn", "gcn"), ("gat", "gat"), ("unsupervised", "sage")])
def test_they_go_on_as_they_would_have_then(name: str, model: str, backend: str) -> None:
    if backend == "ipu" and name == "unsupervised":
        pytest.skip("fixed shapes: device ipu-emulator does not declare task unsupervised")
    expected = losses((RUNS / f"{name}-resumed.jsonl").read_text().splitlines())
    flags = {"backend": backend, "train": {"epochs": len(expected)}}
    config = load_config(flags=flags, base=recorded_config(RUNS / name, device(backend)))
    trainer, net, graph = assemble(config, initial=False)
    result = trainer.fit(net, graph, resume=RUNS / name)
    assert net.spec.conv == model
    found = [record.train_loss for record in result.history]
    assert len(found) == len(expected)
    if backend == "ipu" and net.spec.dropout:  # Random numbers of its own from where the old run ended.
        found, expected = found[:6], expected[:6]
    assert found == pytest.approx(expected, rel=1e-4)


def test_their_settings_are_read() -> None:
    kept: Dict[str, object] = {}
    for name in (*CLASSIFIERS, "unsupervised"):
        config = load_config(base=recorded_config(RUNS / name))
        kept[name] = (config.model.name, config.train.epochs, read_run(RUNS / name).is_complete)
    assert kept == {"gcn": ("gcn", 6, True), "gat": ("gat", 6, True), "unsupervised": ("sage", 2, True)}
    model = gnnkit.load_model(RUNS / "gat" / "checkpoints" / "best.safetensors", load_backend("reference"))
    assert [model.spec.conv_spec(layer).out_width for layer in range(2)] == [8, 4]
