"""Typed graphs from data to prediction: one curve on every backend, gone on with, evaluated in three ways."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

import gnnkit
from gnnkit.errors import CapabilityError, ConfigError, GnnkitError, UnknownNameError
from gnnkit.inference import open_run
from gnnkit.nn import ModelSpec
from gnnkit.runs import read_weights
from tests.conftest import installed_backends
from tests.typed_graphs import papers

MODELS = {
    "rgcn": {"model": "rgcn", "hidden_channels": 8},
    "rgcn, bases": {"model": "rgcn", "hidden_channels": 8, "num_bases": 2},
    "rgat": {"model": "rgat", "hidden_channels": 4, "heads": 2, "attention_dropout": 0.0},
    "hgt": {"model": "hgt", "hidden_channels": 8, "heads": 2},
    "sage, sum": {"model": "sage", "hidden_channels": 8, "relational": "sum"},
    "sage, attention": {"model": "sage", "hidden_channels": 8, "relational": "attention"},
}
SAMPLED = {"batch_size": 8, "fanouts": {"writes": [3, 2], "*": [2, 2]}, "overflow_rate": 0.0}


def fit(name="rgcn", backend="reference", *, resume=None, graph=None, **settings):
    graph = papers() if graph is None else graph
    spec = {"dropout": 0.0, **MODELS[name]}
    net = gnnkit.build_model(spec.pop("model"), graph, backend=backend, seed=1, **spec)
    device = "ipu-emulator" if backend == "ipu" else "cpu"
    trainer = gnnkit.Trainer(backend, device, progress=False, seed=1, **{"epochs": 4, **settings})
    return trainer.fit(net, graph, resume=resume)


def losses(result):
    return [record.train_loss for record in result.history]


def others():
    return [name for name in installed_backends("rgcn") if name != "reference"]


QUICK = {("rgcn, bases", "full"), ("hgt", "sampled"), ("sage, sum", "full"), ("rgcn, bases", "sampled")}


@pytest.mark.parametrize(
    "name, how",
    [
        pytest.param(name, how, marks=[] if (name, how) in QUICK else pytest.mark.long)
        for name in ("rgcn, bases", "hgt", "sage, sum")
        for how in ("full", "sampled")
    ],
)
def test_curves_agree_between_backends(name, how):
    """Over 20 epochs to 1e-3, in training and validation."""
    settings = {"epochs": 20, **(SAMPLED if how == "sampled" else {})}
    expected = fit(name, **settings)
    assert losses(expected)[-1] < losses(expected)[0]
    for backend in others():
        if backend == "ipu" and (name != "rgcn, bases" or how == "full"):
            continue
        result = fit(name, backend, **settings)
        assert losses(result) == pytest.approx(losses(expected), abs=1e-3)
        valid = [record.valid_loss for record in result.history]
        assert valid == pytest.approx([record.valid_loss for record in expected.history], abs=1e-3)


@pytest.mark.parametrize("name", ["rgcn", "rgat", "hgt", "sage, attention"])
def test_evaluation_layer_by_layer_in_full_and_sampled_is_one(name, tmp_path):
    run = tmp_path / "run"
    fit(name, run_dir=run, **SAMPLED)
    opened = open_run(run, graph=papers(), device="cpu")
    nodes = [0, 7, 39]
    outputs = [
        opened.predict(nodes, method=method, **more).outputs
        for method, more in (
            ("full", {}),
            ("layerwise", {"batch_size": 9}),
            ("sampled", {"fanouts": [-1, -1], "batch_size": 9}),
        )
    ]
    for other in outputs[1:]:
        torch.testing.assert_close(other, outputs[0], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("backend", others())
def test_a_run_goes_on_and_its_weights_open_on_another_backend(backend, tmp_path):
    """With the numbers of a run that was never stopped."""
    whole = fit("rgcn, bases", epochs=6, **SAMPLED)
    first = tmp_path / "first"
    fit("rgcn, bases", epochs=3, run_dir=first, save_every=1, **SAMPLED)
    result = fit("rgcn, bases", backend, epochs=6, resume=first, **SAMPLED)
    assert losses(result) == pytest.approx(losses(whole), abs=1e-4)
    device = "ipu-emulator" if backend == "ipu" else "cpu"
    predictions = open_run(first, graph=papers(), backend=backend, device=device).predict([1, 2, 3]).outputs
    expected = open_run(first, graph=papers(), device="cpu").predict([1, 2, 3]).outputs
    torch.testing.assert_close(predictions, expected, atol=1e-5, rtol=1e-4)


def test_resume_repeats_every_bit(tmp_path):
    whole = fit("hgt", epochs=5, **SAMPLED)
    fit("hgt", epochs=2, run_dir=tmp_path / "first", save_every=1, **SAMPLED)
    assert losses(fit("hgt", epochs=5, resume=tmp_path / "first", **SAMPLED)) == losses(whole)


def test_parameters_have_names_of_their_types(tmp_path):
    fit("rgcn", run_dir=tmp_path / "run")
    values = read_weights(tmp_path / "run" / "checkpoints" / "best.safetensors")[1]
    assert {"input.paper.weight", "input.paper.bias", "input.author.embedding", "convs.0.weight"} <= set(values)
    assert tuple(values["input.author.embedding"].shape) == (25, 8)
    spec = ModelSpec.from_dict(open_run(tmp_path / "run", graph=papers(), device="cpu").model.spec.to_dict())
    assert spec.schema == papers().typed.schema


def several_types():
    graph = papers()
    y = {**graph.typed.y, "venue": torch.tensor([0, 1, 0, 1, 0, 1])}
    splits = {**graph.typed.splits, "venue": {"train": torch.tensor([0, 1]), "test": torch.tensor([2, 3])}}
    return replace(graph, typed=replace(graph.typed, y=y, splits=splits))


def test_the_type_to_learn_is_named_where_several_have_labels():
    """Validation nodes are taken from the training nodes, where there are none."""
    graph = several_types()
    with pytest.raises(ConfigError, match="paper, venue"):
        gnnkit.build_model("rgcn", graph)
    with pytest.raises(ConfigError, match="node_type=paper"):
        gnnkit.Trainer(device="cpu").fit(gnnkit.build_model("rgcn", graph, out_channels=3), graph)
    net = gnnkit.build_model("rgcn", graph, out_channels=2)
    result = gnnkit.Trainer(
        device="cpu", progress=False, epochs=2, task="node_classification", task_options={"node_type": "venue"}
    ).fit(net, graph)
    assert result.model.spec.out_channels == 2


def homogeneous():
    return gnnkit.load_dataset("karate")


def other_schema():
    graph = papers()
    schema = replace(graph.typed.schema, node_types=("paper", "writer", "venue", "ghost"))
    relations = tuple(
        replace(each, src=each.src.replace("author", "writer"), dst=each.dst.replace("author", "writer"))
        for each in schema.relations
    )
    return replace(graph, typed=replace(graph.typed, schema=replace(schema, relations=relations)))


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: gnnkit.build_model("gat", papers()), ConfigError, "self-loop"),
        (lambda: gnnkit.build_model("gcn", papers(), relational="sum"), ConfigError, "'gcn' cannot be taken"),
        (lambda: gnnkit.build_model("sage", homogeneous(), relational="sum"), ConfigError, "no relations"),
        (lambda: gnnkit.build_model("rgcn", papers(), num_blocks=3), ConfigError, "does not divide"),
        (lambda: gnnkit.build_model("hgt", papers(), heads=3, hidden_channels=8), ConfigError, "does not divide"),
        (lambda: gnnkit.build_model("sage", papers(), backend="ipu", relational="sum"), CapabilityError, "'ipu'"),
        (lambda: fit(task_options={"node_type": "writer"}), UnknownNameError, "writer"),
        (lambda: fit(fanouts={"quotes": [2, 2], "*": [1, 1]}), UnknownNameError, "quotes"),
        (lambda: fit(fanouts={"cites": [2], "*": [1]}), ConfigError, "1 fan-outs"),
        (
            lambda: gnnkit.Trainer(device="cpu").fit(gnnkit.build_model("rgcn", papers()), other_schema()),
            ConfigError,
            "other types",
        ),
        (
            lambda: gnnkit.Trainer(device="cpu").fit(gnnkit.build_model("rgcn", papers()), papers(num_authors=9)),
            ConfigError,
            "25 nodes of type 'author'",
        ),
    ],
)
def test_what_does_not_fit_is_refused(make, error, words):
    with pytest.raises(error, match=words) as caught:
        make()
    assert isinstance(caught.value, GnnkitError)
