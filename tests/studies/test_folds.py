"""Cross-validation: each fold is a run that can be repeated by itself, and what they say together."""

from __future__ import annotations

import json
import statistics
from pathlib import Path

import pytest

from gnnkit.errors import ConfigError, GnnkitError, UnknownNameError
from gnnkit.runs import read_run
from gnnkit.studies import SUMMARY, run_folds
from gnnkit.train import load_config
from tests.commands import answer, gnnkit_here

SMALL = ["task=graph_classification", "dataset.name=TU-MUTAG", "model.name=gin", "train.epochs=2", "device=cpu"]
FAST = ["model.hidden_channels=8", "model.num_layers=2"]


@pytest.fixture
def config(data_dir: Path):
    def make(*more: str, run_dir=None):
        place = [] if run_dir is None else [f"run_dir={run_dir}"]
        return load_config(overrides=[*SMALL, *FAST, f"dataset.data_dir={data_dir / 'MUTAG'}", *more, *place])

    return make


def test_every_fold_tests_others_and_all_are_tested(config, tmp_path: Path) -> None:
    seen = []
    result = run_folds(config(run_dir=tmp_path / "all"), 3, report=seen.append)
    assert [member.labels for member in result.members] == [
        {"fold": 0},
        {"fold": 1},
        {"fold": 2},
    ] and seen == result.members
    accuracies = [run.result.test["accuracy"] for run in result.members]
    found = result.over("test")["accuracy"]
    assert (found.mean, found.deviation) == pytest.approx((statistics.fmean(accuracies), statistics.stdev(accuracies)))
    summary = json.loads((tmp_path / "all" / SUMMARY).read_text())
    assert (
        summary["complete"] and summary["runs"] == 3 and summary["test_accuracy"]["mean"] == pytest.approx(found.mean)
    )
    for number, run in enumerate(result.members):
        assert Path(run.result.run_dir) == tmp_path / "all" / f"fold-{number}"
        assert read_run(run.result.run_dir).is_complete
        options = load_config(Path(run.result.run_dir) / "config.yaml").task_options
        assert (options["folds"], options["fold"]) == (3, number)


def test_the_best_epoch_over_folds_is_picked_by_validation(config) -> None:
    result = run_folds(config("train.epochs=4"), 3)
    curves = [[record.valid_metric for record in run.result.history] for run in result.members]
    means = [statistics.fmean(values) for values in zip(*curves)]
    best = result.best_epoch_over_folds
    assert best["mean"] == pytest.approx(max(means)) and best["epoch"] == means.index(max(means)) + 1


def test_some_folds_and_repeats(config, tmp_path: Path) -> None:
    result = run_folds(config(run_dir=tmp_path / "some"), 5, folds=[3, 1], repeats=2)
    assert [member.name for member in result.members] == [f"repeat-{r}-fold-{f}" for r in (0, 1) for f in (3, 1)]
    assert (tmp_path / "some" / "repeat-1-fold-3").is_dir()
    first, _, third, _ = (run.result for run in result.members)
    assert first.history[0].train_loss != third.history[0].train_loss


def test_a_fold_alone_is_the_fold_among_all(config) -> None:
    (alone,) = run_folds(config(), 3, folds=[1]).members
    among = run_folds(config(), 3).members[1]
    assert [r.train_loss for r in alone.result.history] == [r.train_loss for r in among.result.history]
    assert alone.result.test == among.result.test


BAD = {
    "no such fold": ({"folds": [3]}, "folds \\[3\\], expected different ones from 0 to 2"),
    "one twice": ({"folds": [1, 2, 1]}, "folds \\[1, 2, 1\\], expected different ones from 0 to 2"),
    "a negative one": ({"folds": [-1]}, "folds \\[-1\\]"),
    "none": ({"folds": []}, "folds \\[\\]"),
    "no repeat": ({"repeats": 0}, "0 repeats"),
    "a single one": ({"num_folds": 1}, "Received 1 folds, expected at least 2"),
}


@pytest.mark.parametrize("name", BAD)
def test_folds_that_are_not_there(config, name) -> None:
    arguments, words = BAD[name]
    with pytest.raises(ConfigError, match=words):
        run_folds(config(), **{"num_folds": 3, **arguments})


def test_folds_are_for_graphs() -> None:
    with pytest.raises(ConfigError, match="Folds are for tasks about graphs"):
        run_folds(load_config(overrides=["dataset.name=karate"]), 3)
    with pytest.raises((UnknownNameError, GnnkitError)):
        run_folds(load_config(overrides=["task=graphs_of_all_kinds"]), 3)


LINE = "run --task graph_classification --dataset TU-MUTAG --model gin --epochs 1 --device cpu --hidden 8 --layers 2"


def test_the_command(data_dir: Path, tmp_path: Path) -> None:
    arguments = [*LINE.split(), "--data-dir", str(data_dir / "MUTAG"), "--folds", "3", "--run-dir", "cv", "--json"]
    values = answer(gnnkit_here(*arguments, cwd=tmp_path))
    assert values["runs"] == 3 and values["complete"] and len(values["members"]) == 3
    assert (tmp_path / "cv" / "fold-2").is_dir()
