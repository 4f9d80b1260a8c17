"""Unsupervised training through the Trainer and the command line, on every backend."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import gnnkit
from gnnkit.data import Targets
from gnnkit.errors import CheckpointError, ConfigError, UnknownNameError
from gnnkit.inference import open_run
from gnnkit.parity import compare
from gnnkit.runs import read_weights, recorded_config
from gnnkit.tasks import Unsupervised
from tests.commands import gnnkit_here
from tests.graphs import communities

SMALL = {"task": "unsupervised", "device": "cpu", "progress": False, "batch_size": 64, "fanouts": [5, 5], "epochs": 3}


def fit(backend="reference", model="sage", seed=0, resume=None, **settings):
    graph = communities()
    net = gnnkit.build_model(model, graph, out_channels=16, hidden_channels=16, seed=seed, dropout=0.2)
    return gnnkit.Trainer(backend, seed=seed, **{**SMALL, **settings}).fit(net, graph, resume=resume)


def command(*arguments: str, cwd: Path) -> dict:
    done = gnnkit_here(*arguments, "--json", cwd=cwd)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def losses(result) -> list:
    return [record.train_loss for record in result.history]


@pytest.mark.in_turn
@pytest.mark.parametrize("model", ["sage", "gin"])
def test_same_seed_same_numbers_on_every_backend(backend, model: str) -> None:
    expected, found = fit("reference", model), fit(backend, model)
    assert losses(found) == pytest.approx(losses(expected), rel=1e-4)
    assert [record.valid_loss for record in found.history] == pytest.approx(
        [record.valid_loss for record in expected.history], rel=1e-2
    )


@pytest.mark.parametrize("num_threads", [0, 1, 3])
def test_threads_change_nothing(num_threads: int) -> None:
    assert losses(fit(num_threads=num_threads)) == losses(fit())


def test_it_learns_without_labels() -> None:
    result = fit(epochs=30, lr=0.01)
    assert result.history[-1].train_loss < 0.98 * result.history[0].train_loss
    assert result.test["accuracy"] > 0.6
    # Labels of the training nodes have a part in the probe alone.
    graph = communities()
    graph.y[graph.splits["train"]] = graph.y[graph.splits["train"]].roll(1)
    net = gnnkit.build_model("sage", graph, out_channels=16, hidden_channels=16, dropout=0.2)
    other = gnnkit.Trainer(**{**SMALL, "epochs": 30, "lr": 0.01}).fit(net, graph)
    assert losses(other) == losses(result)


def test_a_resumed_run_equals_one_that_went_through(tmp_path: Path) -> None:
    whole = fit(epochs=4)
    fit(epochs=2, run_dir=tmp_path / "first")
    resumed = fit(epochs=4, resume=tmp_path / "first", run_dir=tmp_path / "second")
    assert losses(resumed) == losses(whole) and resumed.test == whole.test


def test_a_run_of_another_task_is_no_beginning(tmp_path: Path) -> None:
    graph = communities()
    net = gnnkit.build_model("sage", graph, hidden_channels=16, dropout=0.2)
    gnnkit.Trainer(**{**SMALL, "run_dir": tmp_path / "run"}).fit(net, graph)
    trainer = gnnkit.Trainer(device="cpu", epochs=9, batch_size=64)
    with pytest.raises(CheckpointError, match="trained for the task 'unsupervised', this run is for 'node_class"):
        trainer.fit(net, graph, resume=tmp_path / "run")


def test_a_run_can_be_embedded_and_stands_for_no_classes(tmp_path: Path) -> None:
    graph = communities()
    result = fit(run_dir=tmp_path / "run")
    run = open_run(tmp_path / "run", graph=graph, device="cpu")
    embeddings = run.embed(graph.splits["test"])
    assert {layer: tuple(values.shape) for layer, values in embeddings.items()} == {1: (60, 16), 2: (60, 16)}
    # They are what the probe was judged on.
    task = Unsupervised.for_graph(graph)
    nodes = graph.splits["train"]
    read = task.readout(run.embed(nodes, layers=[2])[2], graph.y[nodes])
    assert task.judge(read(embeddings[2]), Targets(graph.y[graph.splits["test"]])) == result.test
    with pytest.raises(ConfigError, match="outputs are embeddings"):
        run.predict()


def test_backends_can_be_compared_on_it() -> None:
    graph = communities()
    net = gnnkit.build_model("sage", graph, out_channels=16)
    found = compare(net, graph, ["reference", "reference"], device="cpu", epochs=1, task="unsupervised", batch_size=64)
    assert found.is_within and found.backends[1].losses


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ConfigError, match="learns from sampled batches"):
        fit(batch_size=None, fanouts=None)
    with pytest.raises(UnknownNameError, match="unsupervised"):
        fit(task="unsupervized")
    with pytest.raises(ConfigError, match="num_negatives is 0"):
        fit(task_options={"num_negatives": 0})
    with pytest.raises(ConfigError, match="gives 16 outputs"):
        fit(task="node_classification")


def test_command_line_keeps_the_width_and_reproduces(tmp_path: Path) -> None:
    options = ("--task", "unsupervised", "--dataset", "karate", "--model", "sage", "--epochs", "2")
    values = command("run", *options, "model.out_channels=8", "--run-dir", "run", cwd=tmp_path)
    assert values["epochs"] == 2 and 0 <= values["test_accuracy"] <= 1
    config = recorded_config(tmp_path / "run")
    assert config["model"]["out_channels"] == 8 and config["task"] == "unsupervised"
    assert read_weights(tmp_path / "run" / "checkpoints" / "best.safetensors")[0].out_channels == 8
    assert command("reproduce", "run", cwd=tmp_path)["verdict"] == "identical"
    assert command("run", "--resume", "run", "--epochs", "3", "--run-dir", "more", cwd=tmp_path)["epochs"] == 3


def test_an_ipu_learns_it_too() -> None:
    pytest.importorskip("gnnkit_ipu")
    # Without dropout, whose masks have the shapes of padded batches there.
    graph = communities()
    net = gnnkit.build_model("gcn", graph, out_channels=16, hidden_channels=16, dropout=0.0, input_dropout=0.0)
    settings = {**SMALL, "batch_size": 32, "overflow_rate": 0.0}
    found = gnnkit.Trainer("ipu", **{**settings, "device": "ipu-emulator"}).fit(net, graph)
    assert losses(found) == pytest.approx(losses(gnnkit.Trainer(**settings).fit(net, graph)), rel=1e-4)


def test_embeddings_of_cora_are_of_use(data_dir: Path) -> None:
    graph = gnnkit.load_dataset("cora", data_dir=data_dir)
    net = gnnkit.build_model("sage", graph, out_channels=128, dropout=0.0)
    settings = {"task": "unsupervised", "device": "cpu", "progress": False, "epochs": 9, "eval_every": 3}
    assert gnnkit.Trainer(**settings).fit(net, graph).test["accuracy"] >= 0.72


@pytest.mark.long
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_linear_probe_on_cora_with_default_settings(
    backend_name: str, seed: int, data_dir: Path, tmp_path: Path
) -> None:
    options = ("--task", "unsupervised", "--dataset", "cora", "--model", "sage", "--seed", str(seed))
    place = ("--backend", backend_name, "--device", "cpu", "--data-dir", str(data_dir))
    assert command("run", *options, *place, cwd=tmp_path)["test_accuracy"] >= 0.72
