"""The Trainer through its public face, on every installed backend."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from dataclasses import replace

import pytest
import torch

import gnnkit
from gnnkit.engine import LayerwiseInference
from gnnkit.errors import CapabilityError, ConfigError, DataError, PipelineError, UnknownNameError
from gnnkit.nn import CONVS, PRESETS
from gnnkit.runs import load_model
from gnnkit.train import Callback
from tests.graphs import communities, multi_label

SAMPLED = {"fanouts": [5, 5], "batch_size": 32}


# Those that differ in what surrounds them; the kit trains all of them.
MODELS = ["gcn", "sage", "gat", "gatv2", "gin", "gine", "appnp"]


def fit(backend="reference", model="gcn", graph=None, seed=0, model_settings=None, **settings):
    graph = communities() if graph is None else graph
    model_settings = dict(model_settings or {})
    if model in CONVS and CONVS[model].is_propagation:
        # One layer for each of two fan-outs; what stands between layers is refused, and so is a head.
        idle = ("dropout", "norm", "residual", "jumping_knowledge")
        model_settings = {name: value for name, value in model_settings.items() if name not in idle}
        model_settings.update(num_layers=2, mlp_dropout=0.0)
    net = gnnkit.build_model(model, graph, seed=seed, **model_settings)
    options = {"device": "cpu", "progress": False, **settings}
    return gnnkit.Trainer(backend, seed=seed, **options).fit(net, graph)


def losses(result) -> list:
    return [record.train_loss for record in result.history]


@pytest.mark.in_turn
@pytest.mark.parametrize("how", [{"epochs": 60}, {"epochs": 8, **SAMPLED}], ids=["full", "sampled"])
@pytest.mark.parametrize("model", MODELS)
def test_every_model_learns(backend, model: str, how: dict) -> None:
    light = {"dropout": 0.2, "input_dropout": 0.0, "attention_dropout": 0.0, "norm": "layer"}
    result = fit(backend, model, lr=0.02, weight_decay=0.0, model_settings=light, **how)
    assert result.backend == backend.name
    assert result.test["accuracy"] >= 0.6
    assert result.history[-1].train_loss < result.history[0].train_loss


REFERENCE: dict = {}
"""Losses of the reference backend, trained once for all others."""


@pytest.mark.in_turn
@pytest.mark.parametrize("how", [{}, SAMPLED], ids=["full", "sampled"])
@pytest.mark.parametrize("model", MODELS)
def test_same_seed_same_losses_on_every_backend(backend, model: str, how: dict) -> None:
    settings = {"epochs": 5, "model_settings": {"attention_dropout": 0.0}, **how}
    key = model, "sampled" if how else "full"
    if key not in REFERENCE:
        REFERENCE[key] = losses(fit("reference", model, **settings))
    assert losses(fit(backend, model, **settings)) == pytest.approx(REFERENCE[key], rel=1e-4)


@pytest.mark.parametrize("how", [{}, SAMPLED], ids=["full", "sampled"])
def test_seed_decides(how: dict) -> None:
    first, again, other = (fit(seed=seed, epochs=4, **how) for seed in (1, 1, 2))
    assert losses(first) == losses(again)
    assert losses(first) != losses(other)


@pytest.mark.parametrize("num_threads", [0, 1, 2, 4])
def test_threads_change_nothing(num_threads: int) -> None:
    assert losses(fit(epochs=2, num_threads=num_threads, **SAMPLED)) == losses(fit(epochs=2, **SAMPLED))


def test_training_leaves_the_model_and_the_global_random_state_alone() -> None:
    graph = communities()
    model = gnnkit.build_model("gcn", graph)
    before, state = model.canonical_state(), torch.random.get_rng_state()
    gnnkit.Trainer(device="cpu", epochs=3, progress=False).fit(model, graph)
    assert all(torch.equal(value, before[name]) for name, value in model.canonical_state().items())
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.in_turn
@pytest.mark.parametrize(
    "model, jumping_knowledge", [*((model, "cat") for model in MODELS), ("sage", "none"), ("sage", "max")]
)
def test_layerwise_sampled_and_full_inference_agree(backend, model: str, jumping_knowledge: str) -> None:
    settings = {"norm": "batch", "residual": True, "jumping_knowledge": jumping_knowledge}
    results = [
        fit(backend, model, epochs=2, evaluation=evaluation, model_settings=settings, **batches)
        for evaluation, batches in (
            ("full", {}),
            ("layerwise", {"eval_batch_size": 50}),
            ("sampled", {"eval_batch_size": 50}),
        )  # Without fan-outs, sampling takes all neighbours.
    ]
    for result in results[1:]:
        assert result.valid["accuracy"] == pytest.approx(results[0].valid["accuracy"])
        assert [r.valid_loss for r in result.history] == pytest.approx(
            [r.valid_loss for r in results[0].history], rel=1e-5
        )


def test_best_model_is_kept_and_tested() -> None:
    result = fit(epochs=40, lr=0.5)  # A rate at which the metric goes up and down.
    scores = [record.valid_metric for record in result.history]
    assert result.history[result.best_epoch - 1].valid_metric == max(scores)
    assert result.valid["accuracy"] == pytest.approx(max(scores))


def test_patience_stops_early() -> None:
    result = fit(epochs=500, patience=5)
    assert len(result.history) == result.best_epoch + 5


def test_settings_reach_the_optimiser() -> None:
    plain = losses(fit(epochs=4))
    assert losses(fit(epochs=4, clip_norm=1e-3)) != plain
    assert losses(fit(epochs=4, weight_decay=0.5)) != plain
    rates = [record.lr for record in fit(epochs=4, lr=0.1, schedule="cosine").history]
    assert rates == pytest.approx([0.1, 0.0853553, 0.05, 0.0146447], rel=1e-4)
    rates = {record.lr for record in fit(epochs=60, lr=1.0, schedule="plateau").history}
    assert rates > {1.0, 0.5}


def test_presets_apply_and_the_user_wins() -> None:
    assert fit(epochs=1).history[0].lr == PRESETS["gcn"].train["lr"]
    assert fit(epochs=1, lr=0.123).history[0].lr == 0.123


def test_bfloat16_trains(backend) -> None:
    result = fit(backend, "sage", epochs=8, precision="bfloat16", **SAMPLED)
    exact = fit(backend, "sage", epochs=8, **SAMPLED)
    assert losses(result) == pytest.approx(losses(exact), rel=0.05)
    assert losses(result) != losses(exact)


@pytest.mark.in_turn
@pytest.mark.parametrize("how", [{}, SAMPLED], ids=["full", "sampled"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_features_of_any_floating_type_are_taken(backend, dtype: torch.dtype, how: dict) -> None:
    graph = communities()
    coarse = graph.x.bfloat16().float().half().float()  # What all of the types can tell.
    assert torch.equal(coarse.bfloat16().float(), coarse)
    weights = torch.linspace(0.5, 1.5, graph.num_edges)
    given, expected = (
        fit(
            backend,
            "gcn",
            replace(graph, x=coarse.to(t), edge_weight=weights.to(torch.promote_types(t, torch.float32))),
            epochs=2,
            **how,
        )
        for t in (dtype, torch.float32)
    )
    assert losses(given) == pytest.approx(losses(expected), rel=1e-6)


def test_multi_label(backend) -> None:
    result = fit(backend, "sage", graph=multi_label(), epochs=30)
    assert result.metric == "rocauc"
    assert result.test["rocauc"] >= 0.8
    assert set(result.test) == {"rocauc", "macro_f1"}


def test_unlabelled_training_nodes_take_no_part() -> None:
    graph = communities()
    y = graph.y.clone()
    y[graph.splits["train"][:100]] = -100
    fewer = replace(graph, splits={**graph.splits, "train": graph.splits["train"][100:]})
    assert losses(fit(graph=replace(graph, y=y), epochs=3)) == pytest.approx(losses(fit(graph=fewer, epochs=3)))


def test_layers_of_inference_are_public() -> None:
    graph = communities()
    result = fit("reference", "sage", graph=graph, epochs=2)
    from gnnkit.devices import StepOptions, load_device

    inference = LayerwiseInference(result.model, graph, load_device("cpu"), StepOptions(), batch_size=64)
    layers = inference.layers()
    assert {number: tuple(layer.shape) for number, layer in layers.items()} == {1: (240, 64), 2: (240, 3)}
    torch.testing.assert_close(inference.outputs(torch.arange(240)), layers[2])


class TestRunFolder:
    """What lies on disk."""

    def test_a_finished_run(self, tmp_path) -> None:
        result = fit(epochs=3, run_dir=tmp_path / "run")
        manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
        assert manifest["status"] == "complete"
        assert manifest["result"]["test_accuracy"] == result.test["accuracy"]
        lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
        assert [line["train_loss"] for line in lines] == losses(result)
        assert (tmp_path / "run" / "plots" / "curves.png").read_bytes().startswith(b"\x89PNG")
        assert not list((tmp_path / "run").rglob(".*"))

    def test_its_weights_load_on_every_backend(self, backend, tmp_path) -> None:
        graph = communities()
        result = fit(graph=graph, epochs=3, run_dir=tmp_path / "run")
        model = load_model(tmp_path / "run" / "checkpoints" / "best.safetensors", backend)
        expected = result.model.canonical_state()
        assert all(torch.equal(value, expected[name]) for name, value in model.canonical_state().items())

    def test_a_failure_is_on_record(self, tmp_path) -> None:
        class Fail(Callback):
            def on_epoch(self, record) -> None:
                raise RuntimeError("disk on fire")

        with pytest.raises(RuntimeError, match="disk on fire"):
            fit(epochs=3, run_dir=tmp_path / "run", callbacks=[Fail()])
        manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
        assert (manifest["status"], manifest["error"]) == ("failed", "RuntimeError: disk on fire")

    def test_an_interruption_is_on_record_and_leaves_no_thread(self, tmp_path) -> None:
        class Interrupt(Callback):
            def on_batch(self, index: int) -> None:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            fit(epochs=3, run_dir=tmp_path / "run", callbacks=[Interrupt()], num_threads=2, **SAMPLED)
        assert json.loads((tmp_path / "run" / "manifest.json").read_text())["status"] == "interrupted"
        assert not [t for t in threading.enumerate() if t.name.startswith("gnnkit")]

    def test_a_taken_folder_is_kept(self, tmp_path) -> None:
        (tmp_path / "precious.txt").write_text("mine")
        with pytest.raises(ConfigError, match="already exists"):
            fit(epochs=1, run_dir=tmp_path)
        assert [file.name for file in tmp_path.iterdir()] == ["precious.txt"]


BAD_GRAPHS = {
    "no split": (lambda g: replace(g, splits={"train": g.splits["train"]}), "splits\\['valid'\\]"),
    "empty split": (lambda g: replace(g, splits={**g.splits, "test": torch.tensor([], dtype=torch.long)}), "test"),
    "overlap": (lambda g: replace(g, splits={**g.splits, "test": g.splits["train"]}), "train"),
    "lengths": (lambda g: replace(g, x=g.x[:-1]), "239"),
    "NaN": (lambda g: replace(g, x=g.x.index_fill(0, torch.tensor([7]), float("nan"))), "row 7"),
    "edges": (lambda g: replace(g, indices=g.indices + 1), "240"),
    "negative label": (lambda g: replace(g, y=g.y - 1), "-1"),
}


@pytest.mark.parametrize("name", BAD_GRAPHS)
def test_bad_graphs_are_refused_before_anything_is_written(name: str, tmp_path) -> None:
    spoil, message = BAD_GRAPHS[name]
    graph = communities()
    model = gnnkit.build_model("gcn", graph)
    with pytest.raises(DataError, match=message):
        gnnkit.Trainer(device="cpu", run_dir=tmp_path / "run").fit(model, spoil(graph))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"fanouts": [5, 5, 5]}, ConfigError, "3 fan-outs for a model of 2 layers"),
        ({"fanouts": [5, -2]}, ConfigError, "fan-outs"),
        ({"epochs": 0}, ConfigError, "epochs is 0"),
        ({"lr": -1.0}, ConfigError, "lr is -1"),
        ({"precision": "float8"}, ConfigError, "bfloat16"),
        ({"schedule": "linear"}, ConfigError, "cosine"),
        ({"epoch": 5}, UnknownNameError, "'epochs'"),
        ({"epochs": "many"}, ConfigError, "epochs"),
    ],
)
def test_bad_settings(settings: dict, error: type, message: str, tmp_path) -> None:
    with pytest.raises(error, match=message):
        fit(run_dir=tmp_path / "run", **settings)
    assert not (tmp_path / "run").exists()


def test_a_model_for_another_graph_is_refused() -> None:
    graph = communities()
    with pytest.raises(ConfigError, match="8 features"):
        gnnkit.Trainer(device="cpu").fit(gnnkit.build_model("gcn", graph), replace(graph, x=graph.x[:, :4]))


def test_an_undeclared_precision_is_refused() -> None:
    from gnnkit.backends import BackendCapabilities
    from gnnkit.backends.reference import ReferenceBackend

    class Narrow(ReferenceBackend):
        capabilities = BackendCapabilities(dtypes=frozenset({"float32"}))

    with pytest.raises(CapabilityError, match="'bfloat16' is not offered by backend 'reference'"):
        fit(Narrow(), precision="bfloat16")


def test_a_failing_stage_names_its_batch() -> None:
    from gnnkit.backends.reference import ReferenceBackend

    class Failing(ReferenceBackend):
        calls = 0

        def lower(self, block):
            self.calls += 1
            if self.calls > 7:
                raise ValueError("cannot lower this")
            return block

    with pytest.raises(PipelineError, match=r"Batch 3 .*cannot lower this"):
        fit(Failing(), num_threads=1, **SAMPLED)


def test_what_computes_metrics_is_imported_before_the_clock_starts() -> None:
    code = """
import dataclasses, sys, gnnkit.train, torch
class Sees(gnnkit.train.Callback):
    def on_start(self, *rest):
        print("sklearn.metrics" in sys.modules)
graph = gnnkit.load_dataset("karate")
graph = dataclasses.replace(graph, y=torch.nn.functional.one_hot(graph.y).float())
gnnkit.Trainer(epochs=1, callbacks=[Sees()], progress=False).fit(gnnkit.build_model("gcn", graph), graph)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"
