"""Node regression: from the data to predictions in their units, on every backend."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import gnnkit
from gnnkit.data import add_nodes, from_edge_index, random_split
from gnnkit.errors import ConfigError, DataError, UnknownNameError
from gnnkit.inference import open_run, write_predictions
from gnnkit.parity import compare
from gnnkit.tasks import METRICS, Metric, make_task
from tests.commands import gnnkit_here
from tests.graphs import communities

SETTINGS = {"task": "node_regression", "device": "cpu", "progress": False, "epochs": 4}


def numbers(columns: int = 2, offset: float = 1000.0):
    """Communities with numbers that features and neighbours tell, some of them missing."""
    graph = communities()
    values = offset + 50 * (graph.x[:, :columns] - graph.x[:, :1].mean())
    values[::7, 0] = float("nan")
    return replace(graph, y=values, class_names=(), metric=None)


def fit(backend="reference", graph=None, resume=None, **settings):
    graph = numbers() if graph is None else graph
    net = gnnkit.build_model("sage", graph, hidden_channels=16, dropout=0.0)
    return gnnkit.Trainer(backend, **{**SETTINGS, **settings}).fit(net, graph, resume=resume)


def losses(result) -> list:
    return [value for record in result.history for value in (record.train_loss, record.valid_loss)]


def places() -> list:
    return [(name, "ipu-emulator" if name == "ipu" else "cpu") for name in ("pyg", "dgl", "ipu")]


@pytest.mark.parametrize("name, device", places())
@pytest.mark.parametrize("how", [{}, {"batch_size": 32, "fanouts": [5, 5], "overflow_rate": 0.0}])
def test_same_numbers_on_every_backend(name, device, how) -> None:
    pytest.importorskip(f"gnnkit_{name}")
    net = gnnkit.build_model("gcn", numbers(), hidden_channels=16, dropout=0.0, input_dropout=0.0)
    found, expected = (
        gnnkit.Trainer(kind, **{**SETTINGS, "device": place, **how}).fit(net, numbers())
        for kind, place in ((name, device), ("reference", "cpu"))
    )
    assert losses(found) == pytest.approx(losses(expected), rel=1e-3)
    assert found.test == pytest.approx(expected.test, rel=1e-2)


def test_it_learns_and_the_smallest_error_is_the_best() -> None:
    result = fit(epochs=40, lr=0.03)
    assert result.metric == "rmse" and result.higher_is_better is False
    spread = float(numbers().y[numbers().splits["test"], 1].std())
    assert result.test["rmse"] < 0.7 * spread and result.test["r2"] > 0.3
    found = [record.valid_metric for record in result.history]
    assert result.best_epoch == 1 + int(np.argmin(found)) and result.valid["rmse"] == pytest.approx(min(found))


def test_patience_and_plateau_go_by_the_smallest() -> None:
    # The error rises from the first epoch on: a step that is far too large.
    result = fit(epochs=30, lr=3.0, patience=3)
    assert len(result.history) == result.best_epoch + 3
    falling = fit(epochs=6, schedule="plateau", schedule_options={"patience": 0}, lr=0.001)
    assert [record.lr for record in falling.history] == [0.001] * 6


def test_predictions_are_in_the_units_of_the_data(tmp_path: Path) -> None:
    graph = numbers()
    result = fit(epochs=30, lr=0.03, run_dir=tmp_path / "run")
    run = open_run(tmp_path / "run", graph=graph, device="cpu")
    said = run.predict(graph.splits["test"])
    assert said.are_numbers and said.class_names == ("y[0]", "y[1]")
    assert METRICS["rmse"](said.outputs, graph.y[graph.splits["test"]]) == pytest.approx(result.test["rmse"], rel=1e-4)
    with pytest.raises(ConfigError, match="no classes"):
        said.classes  # noqa: B018
    write_predictions(said, tmp_path / "said.csv")
    assert (tmp_path / "said.csv").read_text().splitlines()[0] == "node,y[0],y[1]"
    write_predictions(said, tmp_path / "said.npy")
    assert np.load(tmp_path / "said.npy")["value"].shape == (60, 2)
    # Data that have no numbers can be predicted on as well.
    bare = open_run(tmp_path / "run", graph=replace(graph, y=None), device="cpu")
    torch.testing.assert_close(bare.predict(graph.splits["test"]).outputs, said.outputs)


def test_logarithms_are_learned_and_undone(tmp_path: Path) -> None:
    graph = numbers(1)
    graph = replace(graph, y=(graph.y / 100).exp()[:, 0])
    result = fit(graph=graph, epochs=30, lr=0.03, task_options={"log": True}, run_dir=tmp_path / "run")
    said = open_run(tmp_path / "run", graph=graph, device="cpu").predict(graph.splits["test"])
    found = METRICS["rmse"](said.outputs.log(), graph.y[graph.splits["test"]].log())
    assert found == pytest.approx(result.test["rmse"], rel=1e-3)
    below = replace(graph, y=graph.y - graph.y.nanmean())
    with pytest.raises(DataError, match="has no logarithm"):
        fit(graph=below, task_options={"log": True})


def test_a_resumed_run_equals_one_that_went_through(tmp_path: Path) -> None:
    whole = fit(epochs=4)
    fit(epochs=2, run_dir=tmp_path / "first")
    resumed = fit(epochs=4, resume=tmp_path / "first", run_dir=tmp_path / "second")
    assert losses(resumed) == losses(whole) and resumed.test == whole.test


def test_scaling_is_by_the_training_nodes_alone() -> None:
    graph = numbers()
    changed = graph.y.clone()
    changed[graph.splits["test"]] += 1e6
    assert losses(fit(graph=replace(graph, y=changed))) == losses(fit())


def test_missing_numbers_never_matter() -> None:
    graph = numbers()
    mostly = torch.full_like(graph.y, float("nan"))
    for split in ("train", "valid", "test"):
        kept = graph.splits[split][::2]
        mostly[kept] = graph.y[kept]
    graph = replace(graph, y=mostly)
    fewer = {split: ids[::2] for split, ids in graph.splits.items()}
    assert losses(fit(graph=graph)) == pytest.approx(losses(fit(graph=replace(graph, splits=fewer))), rel=1e-5)


def test_several_arrays_by_name() -> None:
    graph = communities()
    graph = replace(graph, node_data={"age": graph.x[:, 0], "size": graph.x[:, 1:3].double()})
    task = make_task("node_regression", graph, {"targets": ["size", "age"]})
    assert task.units.names == ("size[0]", "size[1]", "age") and task.num_outputs(graph) == 3
    with pytest.raises(UnknownNameError, match="age"):
        make_task("node_regression", graph, {"targets": ["agee"]})
    with pytest.raises(DataError, match="holds age, size"):
        make_task("node_regression", replace(graph, y=None))


def test_classification_refuses_numbers_with_the_way_out() -> None:
    with pytest.raises(DataError, match="--task node_regression"):
        gnnkit.Trainer(device="cpu").fit(gnnkit.build_model("gcn", numbers()), numbers())


@pytest.mark.parametrize("y", [[0.5, 1.5, 7.0], [[0.5, 2], [1, 1], [3, 4]], np.arange(300) * 3])
def test_builders_take_numbers(y) -> None:
    graph = from_edge_index([[0], [1]], len(y), x=torch.ones(len(y), 1), y=y)
    assert graph.has_numbers and not graph.is_multi_label and graph.num_classes == 0
    assert gnnkit.data.summarize(graph)["labels"] == ("2 " if graph.y.ndim == 2 else "") + "numbers to regress"
    grown = add_nodes(graph, [[1.0]])
    assert grown.has_numbers and int(grown.has_label.sum()) == len(y)


def test_a_missing_number_is_in_no_split() -> None:
    y = torch.arange(100.0) + 0.5
    y[::2] = float("nan")
    graph = random_split(from_edge_index([[0], [1]], 100, y=y), 0.6, 0.2)
    assert bool(torch.cat(list(graph.splits.values())).remainder(2).eq(1).all())


def test_custom_loss_and_metric_win() -> None:
    def pinball(outputs, targets):
        known = ~targets.y.isnan()
        error = (targets.y - outputs)[known]
        return torch.maximum(0.9 * error, -0.1 * error).mean()

    worst = Metric(lambda scores, y: float((scores - y)[~y.isnan()].abs().max()), higher_is_better=False)
    result = fit(loss=pinball, metrics={"worst": worst}, epochs=40, lr=0.03)
    assert result.metric == "worst" and list(result.test) == ["worst"]
    assert result.history[-1].train_loss < result.history[0].train_loss
    assert result.best_epoch == 1 + int(np.argmin([record.valid_metric for record in result.history]))
    for wrong, words in (
        ({"loss": lambda outputs, targets: outputs}, "one number"),
        ({"loss": "huber"}, "expected a function"),
        ({"metrics": {}}, "one at least"),
    ):
        with pytest.raises(ConfigError, match=words):
            fit(**wrong)


def test_backends_can_be_compared_on_it() -> None:
    net = gnnkit.build_model("sage", numbers(), hidden_channels=8)
    found = compare(net, numbers(), ["reference", "reference"], device="cpu", epochs=1, task="node_regression")
    assert found.is_within and found.metric == "rmse"


def test_command_line(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((60, 3))
    lines = ["id,a,b,c,label"] + [f"{i},{a},{b},{c},{math.exp(a)}" for i, (a, b, c) in enumerate(x)]
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "nodes.csv").write_text("\n".join(lines))
    edges = [f"{u},{v}" for u, v in rng.integers(0, 60, (200, 2))]
    (tmp_path / "data" / "edges.csv").write_text("\n".join(["source,target", *edges]))

    def command(*arguments: str) -> dict:
        done = gnnkit_here(*arguments, "--json", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    options = ("--dataset", "data/", "--task", "node_regression", "task_options.log=true", "--device", "cpu")
    values = command("run", *options, "--epochs", "3", "--run-dir", "run")
    assert values["test_rmse"] > 0
    assert command("reproduce", "run")["verdict"] == "identical"
    command("predict", "run", "--output", "said.csv")
    assert (tmp_path / "said.csv").read_text().splitlines()[0] == "node,label"
    refused = gnnkit_here("run", "--dataset", "data/", cwd=tmp_path)
    assert refused.returncode == 2 and "--task node_regression" in refused.stderr
    command("report", "run", "--output", "page.html")
    assert "confusion" not in (tmp_path / "page.html").read_text().lower()


@pytest.mark.parametrize(
    ("y", "row", "number"),
    [(torch.tensor([0.0, 0.5, 1.0, 0.0] * 60), 1, "0.5"), (torch.tensor([[0.0, 1.0], [2.0, -100.0]] * 120), 1, "2")],
    ids=["one", "several"],
)
def test_classification_names_the_number_that_is_no_class(y, row, number):
    graph = replace(communities(), y=y, class_names=())
    with pytest.raises(DataError, match=rf"y, row {row}: it holds numbers such as {number},.*node_regression"):
        make_task("node_classification", graph)
