"""Batch sizes and learning rates that are found before a run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

import gnnkit
from gnnkit.errors import ConfigError, GnnkitError
from gnnkit.measure import batch_size, find_batch_size, find_lr
from gnnkit.measure.learning_rate import smoothed, suggested
from gnnkit.measure.trial import Trial
from gnnkit.train import load_config
from tests.graphs import communities

needs_proc = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="nobody says what a process has")


def trained_loss(lr: float) -> float:
    graph = communities()
    net = gnnkit.build_model("gcn", graph, dropout=0.0)
    return gnnkit.Trainer(device="cpu", epochs=20, lr=lr, progress=False).fit(net, graph).history[-1].train_loss


def test_the_rate_that_is_found_learns_faster_than_those_around_it(backend_name: str) -> None:
    if backend_name == "ipu":
        pytest.skip("device cpu does not take it")
    graph = communities()
    net = gnnkit.build_model("gcn", graph, backend=backend_name, dropout=0.0)
    before = {name: value.clone() for name, value in net.canonical_state().items()}
    found = find_lr(gnnkit.Trainer(device="cpu", schedule="cosine", warmup=5), net, graph)
    assert all(torch.equal(value, before[name]) for name, value in net.canonical_state().items())
    assert found.rates[0] == pytest.approx(1e-6)
    steps = [after / rate for rate, after in zip(found.rates, found.rates[1:])]
    assert steps == pytest.approx([steps[0]] * len(steps)) and steps[0] > 1
    assert found.lr in found.rates and len(found.losses) == len(found.smoothed) == len(found.rates)
    assert trained_loss(found.lr) < min(trained_loss(found.lr / 30), trained_loss(found.lr * 30))


def test_gradient_descent_explodes_and_the_test_ends() -> None:
    graph = communities()
    net = gnnkit.build_model("sage", graph, dropout=0.0)
    trainer = gnnkit.Trainer(device="cpu", optimizer="sgd", batch_size=64, accumulate=2)
    found = find_lr(trainer, net, graph, num_batches=60, between=(1e-4, 1e6))
    assert found.exploded and 10 < len(found.rates) < 60
    assert found.lr is not None and found.lr < found.rates[-1]
    assert not find_lr(trainer, net, graph, num_batches=20, between=(1e-6, 1e-5)).exploded


def test_groups_of_parameters_keep_the_ratio_of_their_rates() -> None:
    graph = communities()
    groups = []

    def optimizer(parameters):
        first, *others = parameters
        made = torch.optim.SGD([{"params": [first], "lr": 0.1}, {"params": others, "lr": 0.01}])
        groups.append(made.param_groups)
        return made

    net = gnnkit.build_model("gcn", graph)
    find_lr(gnnkit.Trainer(device="cpu", optimizer=optimizer), net, graph, num_batches=20, between=(1e-3, 1e-2))
    assert groups[0][0]["lr"] == pytest.approx(10 * groups[0][1]["lr"])


def test_the_smoothed_curve_falls_where_the_losses_fall() -> None:
    losses = [2.0] * 40 + [1.0] * 40
    steps = [before - after for before, after in zip(smoothed(losses), smoothed(losses)[1:])]
    assert steps.index(max(steps)) == 39
    exploding = smoothed([2.0] * 40 + [1.0] * 40 + [1e6, float("nan")])
    assert max(exploding) <= 8 and min(exploding) == pytest.approx(1.0, abs=0.05)


def test_a_loss_that_never_falls_gives_no_rate() -> None:
    assert suggested([1e-3, 1e-2, 1e-1], [1.0, 2.0, 3.0]) is None


@pytest.mark.parametrize(
    "settings, message",
    [({"num_batches": 5}, "number of batches is 5"), ({"between": (0.1, 0.01)}, "from 0.1 to 0.01")],
)
def test_tests_that_tell_nothing_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        find_lr(gnnkit.Trainer(device="cpu"), gnnkit.build_model("gcn", communities()), communities(), **settings)


FOUND = {"num_targets": 1000, "batches_per_epoch": 10, "batch_seconds": 0.1}


def config(*overrides: str):
    return load_config(overrides=["dataset.name=karate", "device=cpu", *overrides])


@needs_proc
def test_a_batch_holds_no_more_than_all_targets_and_its_process_leaves_nothing(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    seen = []
    found = find_batch_size(config("train.batch_size=8"), memory=4 * 10**9, report=seen.append)
    assert (found.batch_size, found.num_targets) == (4, 4) and [each.batch_size for each in found.tried] == [8]
    assert seen == found.tried and all(10**8 < each.num_bytes < 4 * 10**9 for each in found.tried)
    assert found.tried[0].target_seconds == found.tried[0].batch_seconds / 4
    assert found.evaluation_bytes is not None and not os.listdir(tmp_path)


@needs_proc
def test_a_process_beyond_its_limit_is_ended() -> None:
    with pytest.raises(ConfigError, match="Not even a batch of one fits into 60,000,000 bytes"):
        find_batch_size(config("train.batch_size=2"), memory=60 * 10**6)


@pytest.mark.long
def test_what_a_training_would_refuse_is_told_as_it_tells_it() -> None:
    with pytest.raises(GnnkitError, match=r"options\.speed|no option|speed"):
        find_batch_size(config("train.batch_size=2", "dataset.options.speed=3"), memory=4 * 10**9)


@pytest.mark.parametrize(
    "overrides, memory, message",
    [
        ([], None, "on the full graph"),
        (["train.clusters=2"], None, "on the full graph or on parts"),
        (["train.batch_size=2"], 0, "memory is 0"),
    ],
)
def test_trainings_without_a_batch_size_are_refused(overrides: list, memory, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        find_batch_size(config(*overrides), memory=memory)


@pytest.mark.parametrize(
    "start, most, expected",
    [(4, 5, 4), (4, 100, 96), (64, 9, 8), (64, 1, 1), (8, 10_000, 1000), (2000, 10_000, 1000), (3, 7, 6)],
)
def test_the_search_ends_near_the_largest_size(start: int, most: int, expected: int, monkeypatch) -> None:
    """With processes that answer at once; tries no size twice, and few of them."""
    asked = []

    def answer(config, *, limit: int, evaluates: bool, **_: object) -> Trial:
        size = config.train.batch_size
        asked.append((size, evaluates))
        return Trial({**FOUND, "limited": size} if size <= most else None)

    monkeypatch.setattr(batch_size, "run_trial", answer)
    found = find_batch_size(config(f"train.batch_size={start}"), memory=10**6)
    assert found.batch_size == expected and found.evaluation_bytes == expected
    assert len(asked) == len(set(asked)) < 14


@pytest.mark.long
def test_the_largest_size_within_a_limit_and_no_larger_one(data_dir: Path) -> None:
    facebook = ["dataset.name=facebook_large", f"dataset.data_dir={data_dir}", "model.name=sage"]
    found = find_batch_size(config(*facebook, "train.batch_size=512"), memory=900 * 10**6)
    assert {each.fits for each in found.tried} == {True, False}
    for each in found.tried:
        assert each.fits == (each.batch_size <= found.batch_size)
