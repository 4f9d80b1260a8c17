"""Training that runs into NaN or infinity ends with one line, and what was saved before stays."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
import torch

import gnnkit
from gnnkit.errors import DataError, TrainingError
from gnnkit.runs import load_model, read_run
from gnnkit.runs.checkpoint import BEST, FOLDER, LAST
from gnnkit.tasks import METRICS
from gnnkit.train import Callback
from tests.graphs import communities, multi_label

SAMPLED = {"fanouts": [3, 3], "batch_size": 32}


def fit(backend="reference", graph=None, model="gcn", run_dir=None, **settings):
    graph = communities() if graph is None else graph
    trainer = gnnkit.Trainer(backend, progress=False, run_dir=run_dir, **settings)
    return trainer.fit(gnnkit.build_model(model, graph, norm="none"), graph)


def strict(text: str) -> dict:
    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is not JSON")

    return json.loads(text, parse_constant=refuse)


class Breaks(Callback):
    """Makes a weight infinite after a batch."""

    def __init__(self, epoch: int, value: float) -> None:
        self.epoch, self.value, self.done = epoch, value, 0

    def on_start(self, model, num_epochs, num_batches) -> None:
        self.model = model

    def on_epoch(self, record) -> None:
        self.done = record.epoch

    def on_batch(self, index: int) -> None:
        if self.done == self.epoch - 1:
            with torch.no_grad():
                next(self.model.parameters()).view(-1)[0] = self.value


@pytest.mark.parametrize("how", [{}, SAMPLED], ids=["full", "sampled"])
def test_a_rate_far_too_large_ends_the_run(backend, tmp_path, how: dict) -> None:
    with pytest.raises(TrainingError, match="lr") as caught:
        fit(backend, run_dir=tmp_path / "run", lr=1e30, epochs=20, **how)
    message = str(caught.value)
    assert "1e+30" in message
    assert "norm of the weights" in message
    manifest = strict((tmp_path / "run" / "manifest.json").read_text())
    assert manifest["status"] == "failed"
    assert "TrainingError" in manifest["error"]
    assert not (tmp_path / "run" / FOLDER / BEST).exists()


def test_the_first_bad_batch_is_named() -> None:
    graph = communities()
    train = graph.splits["train"]
    x = graph.x.clone()
    x[train] *= 3e38 / float(x.abs().max())
    with pytest.raises(TrainingError, match=r"epoch 1, batch 0 is (nan|inf).*gradients"):
        fit(graph=replace(graph, x=x), model="sage", epochs=3, **SAMPLED)


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("eval_every", [1, 100])
def test_weights_are_looked_at_when_an_epoch_ends(tmp_path, value: float, eval_every: int) -> None:
    settings = {"epochs": 100, "eval_every": eval_every, "save_every": 1}
    with pytest.raises(TrainingError, match="after epoch 3"):
        fit(run_dir=tmp_path / "run", callbacks=[Breaks(3, value)], **settings)
    record = read_run(tmp_path / "run")
    assert [epoch.epoch for epoch in record.history] == [1, 2]
    kept = gnnkit.runs.read_state(tmp_path / "run")
    assert kept.epoch == 2
    assert all(bool(weight.isfinite().all()) for weight in kept.weights.values())
    if eval_every == 1:
        best = load_model(tmp_path / "run" / FOLDER / BEST, gnnkit.backends.load_backend("reference"))
        assert all(bool(weight.isfinite().all()) for weight in best.canonical_state().values())
    assert (tmp_path / "run" / FOLDER / LAST).is_file()
    for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines():
        strict(line)


def test_large_finite_weights_are_no_error() -> None:
    class Grows(Breaks):
        def on_batch(self, index: int) -> None:
            with torch.no_grad():
                bias = dict(self.model.parameters_by_name())["convs.1.bias"]
                bias.fill_(3e38)  # Their sum is infinite; the same for each class, so the loss is finite.

    result = fit(epochs=2, callbacks=[Grows(1, 0.0)])
    assert all(math.isfinite(record.train_loss) for record in result.history)


@pytest.mark.parametrize("evaluation", ["full", "layerwise", "sampled"])
def test_no_metric_is_computed_from_outputs_that_are_not_finite(evaluation: str) -> None:
    graph = communities()
    x = graph.x.clone()
    x[graph.splits["valid"]] = 3e38
    alone = gnnkit.from_edge_index([[], []], graph.num_nodes, x=x, y=graph.y, splits=graph.splits)
    with pytest.raises(TrainingError, match=r"outputs of [\d,]+ of [\d,]+ valid nodes are not finite after epoch 1"):
        fit(graph=alone, model="gin", epochs=2, lr=1.0, evaluation=evaluation, **SAMPLED)


@pytest.mark.parametrize("metric", [name for name, metric in METRICS.items() if "classes" in metric.kinds])
@pytest.mark.parametrize("make", [communities, multi_label])
def test_every_metric_is_computed_or_refused_before_training(tmp_path, metric: str, make) -> None:
    graph = replace(make(), metric=metric)
    if metric == "accuracy" and graph.is_multi_label:
        assert math.isfinite(fit(graph=graph, epochs=1).valid[metric])
    valid = graph.splits["valid"]
    y = graph.y.clone()
    y[valid] = y[valid[:1]]  # All alike: there is no curve.
    alike = replace(graph, y=y)
    if metric in ("rocauc", "average_precision"):
        with pytest.raises(DataError, match=rf"splits\['valid'\].*{metric}"):
            fit(graph=alike, run_dir=tmp_path / "run", epochs=1)
        assert not (tmp_path / "run").exists()
    else:
        assert math.isfinite(fit(graph=alike, epochs=1).history[0].valid_metric)


@pytest.mark.parametrize("metric", [name for name, metric in METRICS.items() if "numbers" in metric.kinds])
def test_every_metric_of_numbers_is_computed_or_refused_before_training(tmp_path, metric: str) -> None:
    graph = communities()
    y = graph.x[:, 0].clone()
    y[graph.splits["valid"]] = 1.0  # All alike: there is no variance.
    alike, how = replace(graph, y=y, metric=metric), {"task": "node_regression", "epochs": 1}
    if metric == "r2":
        with pytest.raises(DataError, match=r"splits\['valid'\].*r2"):
            fit(graph=alike, run_dir=tmp_path / "run", **how)
        assert not (tmp_path / "run").exists()
    else:
        assert math.isfinite(fit(graph=alike, **how).history[0].valid_metric)
        assert next(iter(fit(graph=alike, **how).test)) == metric
