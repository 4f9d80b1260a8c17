"""Trainings on data without features: every task, backend and way of loading, resumed exactly; sparse updates too."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

import gnnkit
from gnnkit.errors import ConfigError, DataError
from gnnkit.tasks import Head, NodeClassification
from gnnkit.train import load_config
from gnnkit.train.assembling import make_model
from tests.graphs import communities, featureless

HOW = {
    "full": {"epochs": 20},
    "sampled": {"epochs": 20, "fanouts": [4, 4], "batch_size": 32, "overflow_rate": 0.0},
}


def build(graph=None, conv="sage", **settings):
    graph = featureless() if graph is None else graph
    return gnnkit.build_model(conv, graph, embedding_channels=12, **{"dropout": 0.0, **settings})


def fit(backend="reference", graph=None, model=None, resume=None, **settings):
    graph = featureless() if graph is None else graph
    device = "ipu-emulator" if backend == "ipu" else "cpu"
    trainer = gnnkit.Trainer(backend, device, progress=False, **{"epochs": 4, **settings})
    return trainer.fit(build(graph) if model is None else model, graph, resume=resume)


def losses(result):
    return [record.train_loss for record in result.history]


@pytest.fixture(scope="module")
def reference_losses():
    return {how: losses(fit(**settings)) for how, settings in HOW.items()}


@pytest.mark.in_turn
@pytest.mark.parametrize("how", HOW)
def test_losses_are_alike_on_every_backend(backend_name, how: str, reference_losses) -> None:
    result = fit(backend_name, **HOW[how])
    assert losses(result) == pytest.approx(reference_losses[how], rel=1e-3)
    assert losses(result)[-1] < 0.5 * losses(result)[0]


@pytest.mark.in_turn
@pytest.mark.parametrize("how", HOW)
def test_a_run_goes_on_exactly_and_on_any_backend(backend_name, how: str, tmp_path, reference_losses) -> None:
    whole = fit(backend_name, **HOW[how])
    fit(backend_name, run_dir=tmp_path / "half", **{**HOW[how], "epochs": 9})
    resumed = fit(backend_name, resume=tmp_path / "half", **HOW[how])
    assert losses(resumed) == losses(whole)
    for name, value in whole.model.canonical_state().items():
        assert torch.equal(resumed.model.canonical_state()[name], value), name
    elsewhere = fit("reference", resume=tmp_path / "half", **HOW[how])
    assert losses(elsewhere) == pytest.approx(reference_losses[how], rel=1e-3)


def test_a_frozen_table_stays_as_it_is(backend_name) -> None:
    model = build()
    model.embedding.weight.requires_grad_(False)
    result = fit(backend_name, model=model, **{**HOW["sampled"], "epochs": 2})
    assert torch.equal(result.model.embedding.weight, model.embedding.weight)
    assert not torch.equal(result.model.canonical_state()["convs.0.lin_neigh.weight"], model.convs[0].lin_neigh.weight)


@pytest.mark.parametrize("precision", ["float64", "bfloat16"])
@pytest.mark.parametrize("how", HOW)
def test_other_precisions(how: str, precision: str, reference_losses) -> None:
    rel = 1e-4 if precision == "float64" else 0.1
    result = fit(**{**HOW[how], "epochs": 3}, precision=precision)
    assert losses(result) == pytest.approx(reference_losses[how][:3], rel=rel)


def test_every_task_takes_data_without_features() -> None:
    graph = featureless()
    numbers = replace(graph, y=graph.y.float())
    assert fit(graph=numbers, model=build(numbers), task="node_regression").history
    model = build(graph, out_channels=16)
    result = fit(graph=graph, model=model, task="unsupervised", batch_size=32, fanouts=[4, 4])
    assert losses(result)[-1] < losses(result)[0]


class ShiftingHead(Head):
    def inputs(self, x, targets):
        return x + 1


class Shifting(NodeClassification):
    changes_inputs = True

    def head(self, width):
        return ShiftingHead()


def test_what_does_not_fit_is_refused_before_training() -> None:
    graph = featureless()
    with pytest.raises(ConfigError, match=r"embeddings of 240 nodes, graph 'communities' has 100\. .*train a model on"):
        fit(graph=featureless(100), model=build(graph))
    with pytest.raises(ConfigError, match="has 8 features, which it would not read"):
        fit(graph=communities(), model=build(graph))
    with pytest.raises(DataError, match="no node features"):
        fit(graph=graph, model=gnnkit.build_model("sage", communities()))
    with pytest.raises(DataError, match="no node features, a custom module needs them"):
        fit(graph=graph, model=torch.nn.Linear(3, 3))
    with pytest.raises(ConfigError, match="cannot be fused: it learns embeddings"):
        fit(**HOW["sampled"], fuse_first_layer="always")
    with pytest.raises(ConfigError, match="changes features before the model reads them"):
        fit(task=Shifting)


def test_a_task_may_ask_for_embeddings_by_itself(monkeypatch) -> None:
    config = load_config(overrides=["model.hidden_channels=24"])
    with pytest.raises(DataError, match=r"model\.embedding_channels=64"):
        make_model(config, featureless())
    monkeypatch.setattr(NodeClassification, "needs_features", False)
    spec = make_model(config, featureless()).spec
    assert (spec.num_embeddings, spec.in_channels) == (240, 24)
    assert make_model(config, communities()).spec.num_embeddings is None
