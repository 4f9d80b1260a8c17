"""Heads with parameters: drawn by the seed, trained, saved, resumed on another backend, and used in predictions."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

import gnnkit
from gnnkit.backends import load_backend
from gnnkit.data import Targets
from gnnkit.errors import CheckpointError, ConfigError
from gnnkit.inference import open_run
from gnnkit.runs import read_weights
from gnnkit.runs.checkpoint import read_head
from gnnkit.tasks import Head, LossModule, NodeClassification
from tests.graphs import communities
from tests.plugins import install

PLUGIN = """
import torch
from torch import nn
from gnnkit.tasks import Head, NodeClassification
class TwoLayers(Head):
    def __init__(self, width):
        super().__init__()
        self.lin = nn.Linear(width, 3)
    def forward(self, h, targets):
        return self.lin(h.relu())
class Plugin(NodeClassification):
    name = "perceptron"
    def num_outputs(self, graph):
        return None
    def head(self, width):
        return TwoLayers(width)
"""
SETTINGS = {"task": "perceptron", "device": "cpu", "progress": False}


@pytest.fixture(autouse=True)
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "site").mkdir()
    install(tmp_path / "site", "perceptron", PLUGIN, group="tasks")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))


def model(backend="reference"):
    return gnnkit.build_model("sage", communities(), backend=backend, out_channels=6, hidden_channels=8, dropout=0.0)


def losses(result) -> list:
    return [value for record in result.history for value in (record.train_loss, record.valid_loss)]


def fit(backend="reference", resume=None, **settings):
    return gnnkit.Trainer(backend, **{**SETTINGS, **settings}).fit(model(), communities(), resume=resume)


def test_the_head_learns_with_the_encoder_alike_on_every_backend(backend) -> None:
    found = fit(backend, epochs=15, lr=0.05)
    assert losses(found) == pytest.approx(losses(fit(epochs=15, lr=0.05)), rel=1e-3)
    assert found.test["accuracy"] > 0.45  # Chance is 0.33.


@pytest.mark.parametrize("first, second", [("reference", "reference"), ("dgl", "pyg")])
def test_a_resumed_run_equals_one_that_went_through(first, second, tmp_path: Path) -> None:
    for name in {first, second} - {"reference"}:
        pytest.importorskip(f"gnnkit_{name}")
    whole = fit(first, epochs=4)
    fit(first, epochs=2, run_dir=tmp_path / "first")
    resumed = fit(second, epochs=4, resume=tmp_path / "first", run_dir=tmp_path / "second")
    assert losses(resumed) == (losses(whole) if first == second else pytest.approx(losses(whole), rel=1e-4))


def test_predictions_go_through_the_head(tmp_path: Path) -> None:
    graph = communities()
    result = fit(epochs=20, lr=0.05, run_dir=tmp_path / "run")
    run = open_run(tmp_path / "run", graph=graph, device="cpu")
    said = run.predict(graph.splits["test"])
    assert said.outputs.shape == (60, 3)
    accuracy = float((said.classes == graph.y[graph.splits["test"]]).double().mean())
    assert accuracy == pytest.approx(result.test["accuracy"])


def test_parameters_stand_beside_the_encoders(tmp_path: Path) -> None:
    fit(epochs=1, run_dir=tmp_path / "run")
    file = tmp_path / "run" / "checkpoints" / "best.safetensors"
    assert sorted(read_head(file)) == ["lin.bias", "lin.weight"]
    assert not [name for name in read_weights(file)[1] if name.startswith("task.")]


class Linear(Head):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.lin = nn.Linear(width, 3)

    def forward(self, h: torch.Tensor, targets: Targets) -> torch.Tensor:
        return self.lin(h)


class Perceptron(NodeClassification):
    def head(self, width: int) -> Head:
        return Linear(width)


def test_initial_values_are_those_of_the_seed() -> None:
    states = []
    for seed in (0, 0, 1):
        torch.manual_seed(len(states))
        states.append(LossModule(model(), Perceptron(), seed).canonical_state()["task.lin.weight"])
    assert torch.equal(states[0], states[1]) and not torch.equal(states[0], states[2])


def test_weights_of_another_head_are_refused() -> None:
    module = LossModule(model(), Perceptron())
    with pytest.raises(CheckpointError, match="for the head of task 'node_classification', expected task.lin"):
        module.load_canonical(model().canonical_state())


def test_names_of_a_head_are_its_own() -> None:
    class Module(nn.Module):
        num_layers = 1

        def __init__(self) -> None:
            super().__init__()
            self.task = nn.Linear(8, 6)

        def forward(self, blocks, x):
            return self.task(x[: blocks[-1].num_dst])

    from gnnkit.nn.custom import custom_model

    custom = custom_model(Module(), 8, load_backend("reference"))
    assert LossModule(custom, NodeClassification()).canonical_state().keys() == custom.canonical_state().keys()
    with pytest.raises(ConfigError, match="has a name of the task's head"):
        LossModule(custom, Perceptron())
