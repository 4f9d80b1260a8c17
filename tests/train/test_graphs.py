"""Tasks about whole graphs through the Trainer, on every backend and on a device with fixed shapes."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import pytest
import torch

import gnnkit
from gnnkit.data import from_edge_index
from gnnkit.errors import ConfigError, DataError
from gnnkit.parity import compare
from gnnkit.runs import read_run
from gnnkit.testing.graphs import many_graphs
from gnnkit.testing.task_base import FixedShapes

CLASSES, NUMBERS = "graph_classification", "graph_regression"
PACKED = {"packing": "always"}


def graph_for(what: str):
    """Graphs with classes, with labels of which some are missing, or with numbers of which some are."""
    graph = many_graphs()
    y = graph.graph_y
    if what == "missing classes":
        return replace(graph, graph_y=torch.where(torch.arange(len(y)) % 5 == 0, -100, y))
    if what == "labels":
        both = torch.stack([y == 0, y != 2], dim=1).float()
        return replace(
            graph, graph_y=torch.where(torch.arange(len(y))[:, None] % 5 == torch.tensor([0, 3]), -100, both)
        )
    if what == "numbers":
        numbers = torch.stack([y * 3.0, 2.0 - y], dim=1)
        numbers[::7, 1] = float("nan")
        return replace(graph, graph_y=numbers)
    if what == "one number":
        return replace(graph, graph_y=y.float())
    return graph


KINDS = {
    "classes": CLASSES,
    "missing classes": CLASSES,
    "labels": CLASSES,
    "numbers": NUMBERS,
    "one number": NUMBERS,
}
MODELS = {
    "sum": {"pooling": "sum"},
    "virtual node": {"pooling": "mean", "virtual_node": True, "encoder_channels": 8},
    "attention": {"pooling": "attention", "jumping_knowledge": "cat", "head_layers": 2},
    "max": {"pooling": "max", "residual": True},
}


def fit(
    backend="reference", what="classes", *, device=None, model="sum", resume=None, graph=None, options=None, **settings
):
    graph = graph_for(what) if graph is None else graph
    width = 1 if what == "one number" else 3 if "classes" in what else 2
    spec = {"norm": "layer", "dropout": 0.0, **MODELS[model], **settings.pop("spec", {})}
    net = gnnkit.build_model("gin", graph, out_channels=width, hidden_channels=8, num_layers=2, seed=0, **spec)
    device = device or ("ipu-emulator" if backend == "ipu" else "cpu")
    how = {"epochs": 3, "batch_size": 16, "lr": 0.01, "schedule": "constant", **PACKED, **settings}
    trainer = gnnkit.Trainer(backend, device, task=KINDS[what], task_options=options, progress=False, **how)
    return trainer.fit(net, graph, resume=resume)


def losses(result):
    return [record.train_loss for record in result.history]


@lru_cache(maxsize=None)
def on_reference(what="classes", model="sum"):
    return fit(what=what, model=model)


@pytest.mark.in_turn
@pytest.mark.parametrize("what", KINDS)
def test_same_seed_same_numbers_on_every_backend(backend_name, what) -> None:
    expected, found = on_reference(what), fit(backend_name, what)
    assert losses(found) == pytest.approx(losses(expected), rel=1e-4)
    assert [r.valid_loss for r in found.history] == pytest.approx([r.valid_loss for r in expected.history], rel=1e-3)
    assert set(found.test) == set(expected.test)


@pytest.mark.in_turn
@pytest.mark.parametrize("model", MODELS)
def test_every_readout_on_every_backend(backend_name, model) -> None:
    assert losses(fit(backend_name, model=model)) == pytest.approx(losses(on_reference(model=model)), rel=1e-4)


@pytest.mark.parametrize("model", MODELS)
def test_every_readout_learns(model) -> None:
    result = fit(model=model, epochs=25, lr=0.02, packing="never")
    assert losses(result)[-1] < 0.5 * losses(result)[0]
    assert result.test["accuracy"] > 0.6


@pytest.mark.parametrize("what", KINDS)
def test_numbers_and_labels_are_learnt(what) -> None:
    result = fit(what=what, epochs=25, lr=0.02, packing="never")
    assert losses(result)[-1] < losses(result)[0]
    assert result.history[-1].valid_metric is not None


@pytest.mark.parametrize("norm", ["layer", "batch"])
@pytest.mark.parametrize("packing", ["always", "never"])
def test_fixed_shapes_change_no_number(packing, norm) -> None:
    settings = {"packing": packing, "precision": "float64", "spec": {"norm": norm}}
    plain, fixed = fit(**settings), fit(device=FixedShapes(), **settings)
    assert losses(fixed) == pytest.approx(losses(plain), rel=1e-7)
    assert fixed.test == pytest.approx(plain.test)


def test_packed_and_unpacked_batches_of_the_same_graphs_have_one_loss() -> None:
    # All graphs in one bin, or in one batch.
    whole = {"batch_size": 60, "epochs": 4}
    assert losses(fit(packing="always", **whole)) == pytest.approx(losses(fit(packing="never", **whole)), rel=1e-5)


class Count(gnnkit.train.Callback):
    """Counts the batches that were trained on."""

    num = 0

    def on_batch(self, batch):
        self.num += 1


def test_an_epoch_has_as_many_batches_as_it_should() -> None:
    count = Count()
    fit(packing="never", callbacks=[count])
    assert count.num == 3 * 4, "60 graphs are 4 batches in each of 3 epochs"


@pytest.mark.parametrize("packing", ["always", "never"])
@pytest.mark.parametrize("num_threads", [0, 2])
def test_threads_change_nothing(num_threads, packing) -> None:
    assert losses(fit(num_threads=num_threads, packing=packing)) == losses(fit(packing=packing))


MORE = {"epochs": 4, "model": "virtual node"}


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory):
    """A run that ends before the last epoch of ``MORE``, and the losses of one that went through."""
    folder = tmp_path_factory.mktemp("begun") / "run"
    fit(**{**MORE, "epochs": 2}, run_dir=folder)
    return folder, losses(fit(**MORE))


def test_checkpoints_cross_backends(backend_name, begun) -> None:
    folder, expected = begun
    assert losses(fit(backend_name, **MORE, resume=folder)) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("packing", ["always", "never"])
@pytest.mark.parametrize("what", ["classes", "numbers"])
def test_a_resumed_run_equals_one_that_went_through(what, packing, tmp_path: Path) -> None:
    settings = {"what": what, "packing": packing, "spec": {"dropout": 0.3, "norm": "batch"}}
    whole = fit(**settings, epochs=4)
    fit(**settings, epochs=2, run_dir=tmp_path / "first")
    resumed = fit(**settings, epochs=4, resume=tmp_path / "first", run_dir=tmp_path / "second")
    assert losses(resumed) == losses(whole) and resumed.test == whole.test


def test_deterministic_runs_repeat_their_bits(backend_name) -> None:
    first, second = (fit(backend_name, model="virtual node", deterministic=True, epochs=2) for _ in range(2))
    assert first.nondeterministic is not None
    if not first.nondeterministic:
        for name, value in first.model.canonical_state().items():
            assert torch.equal(value, second.model.canonical_state()[name]), name


def test_accumulation_and_averages_hold_for_graphs() -> None:
    joined = fit(packing="never", batch_size=10, accumulate=6, shuffle=False, optimizer="sgd")
    whole = fit(packing="never", batch_size=60, shuffle=False, optimizer="sgd")
    assert losses(joined) == pytest.approx(losses(whole), rel=1e-4)
    assert fit(average=0.9).test


def test_a_run_says_what_it_was(tmp_path: Path) -> None:
    result = fit(run_dir=tmp_path / "run", packing="never")
    manifest = read_run(tmp_path / "run").manifest
    assert manifest["task"] == CLASSES
    assert result.metric == "accuracy" and set(result.test) >= {"accuracy"}


def test_splits_are_made_where_there_are_none() -> None:
    bare = replace(many_graphs(), graph_splits={})
    first, second = (fit(graph=bare, options={"split_seed": seed}) for seed in (1, 2))
    assert losses(first) == losses(fit(graph=bare, options={"split_seed": 1})) != losses(second)


def test_backends_can_be_compared() -> None:
    graph = many_graphs()
    spec = {"hidden_channels": 8, "num_layers": 2, "norm": "layer", "dropout": 0.0, "out_channels": 3}
    for model in MODELS.values():
        net = gnnkit.build_model("gin", graph, **spec, **model)
        found = compare(net, graph, ["reference", "pyg", "dgl"], task=CLASSES, epochs=2, batch_size=16)
        assert found.is_within, found.problems
        assert found.backends[1].outputs[-1].name == "head" and not found.notices


def test_a_device_with_fixed_shapes_is_compared_on_packed_graphs() -> None:
    graph = many_graphs()
    net = gnnkit.build_model("gin", graph, out_channels=3, hidden_channels=8, pooling="sum", norm="layer", dropout=0.3)
    found = compare(net, graph, ["reference", "ipu"], task=CLASSES, epochs=2, batch_size=16)
    assert found.is_within, found.problems
    assert any("packing is always" in notice for notice in found.notices)


def labelled(y, **fields):
    num = len(y)
    return from_edge_index([[], []], num, x=torch.ones(num, 8), graph_ptr=range(num + 1), graph_y=y, **fields)


ALIKE = {"train": torch.arange(20), "valid": torch.arange(20, 25), "test": torch.arange(25, 30)}
BAD = {
    "no labels of graphs": ({"graph": replace(many_graphs(), graph_y=None)}, DataError, "graph_y"),
    "one graph": (
        {"graph": from_edge_index([[0], [1]], 2, x=torch.ones(2, 8), graph_ptr=[0, 2], graph_y=[0])},
        DataError,
        "too few labelled graphs",
    ),
    "no record of graphs": ({"graph": from_edge_index([[0], [1]], 2, x=torch.ones(2, 8))}, DataError, "is one graph"),
    "numbers as classes": ({"graph": graph_for("one number")}, DataError, "graph_regression"),
    "one class in validation": (
        {
            "graph": labelled([0, 1, 2] * 6 + [0, 1] + [0] * 5 + [0, 1, 2, 0, 1], graph_splits=ALIKE),
            "options": {"metric": "rocauc"},
        },
        DataError,
        r"graph_splits\['valid'\].*rocauc.*Add graphs",
    ),
    "folds without a fold": ({"options": {"folds": 3}}, ConfigError, "fold is None"),
    "fold out of range": ({"options": {"folds": 3, "fold": 3}}, ConfigError, "fold is 3, expected 0 to 2"),
    "other folds than the data's": (
        {
            "graph": replace(many_graphs(), graph_data={"fold": torch.arange(120) % 4}),
            "options": {"folds": 3, "fold": 0},
        },
        ConfigError,
        "The data bring 4 folds, and 3",
    ),
    "fan-outs": ({"fanouts": [3, 3]}, ConfigError, "fanouts"),
    "layer-wise evaluation": ({"evaluation": "layerwise"}, ConfigError, "evaluation"),
    "shares": ({"options": {"valid_share": 0.7, "test_share": 0.4}}, ConfigError, "valid_share is 0.7"),
    "unknown packing": ({"packing": "tight"}, ConfigError, "packing is 'tight'"),
    "a model of nodes": (
        {"spec": {"pooling": "none"}},
        ConfigError,
        "whole graphs, and the model gives outputs of nodes",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_is_refused(name) -> None:
    arguments, error, words = BAD[name]
    with pytest.raises(error, match=words):
        fit(**arguments)


def test_a_model_of_graphs_is_refused_for_nodes() -> None:
    graph = gnnkit.load_dataset("karate")
    net = gnnkit.build_model("gin", graph, out_channels=4, pooling="sum")
    with pytest.raises(ConfigError, match="The model pools nodes to graphs"):
        gnnkit.Trainer("reference", "cpu", progress=False, epochs=1).fit(net, graph)
