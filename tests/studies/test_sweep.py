"""Sweeps: what is proposed, trained, kept and found, also after interruptions."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from gnnkit.stages import Listener, heard_by
from gnnkit.studies import SWEEP, read_sweep, run_sweep
from gnnkit.train import load_config
from gnnkit.train.assembling import assemble
from tests.commands import answer, gnnkit_here

optuna = pytest.importorskip("optuna")

BASE = {"dataset": {"name": "karate"}, "device": "cpu", "train": {"epochs": 3}}
SPACE = {
    "train": {"lr": {"low": 1e-3, "high": 0.1, "log": True}},
    "model.name": ["gcn", "sage"],
    "model.hidden_channels": {"low": 4, "high": 16, "step": 4},
}


WIDTHS = {"model.hidden_channels": [4, 8]}


@pytest.fixture
def asked(tmp_path: Path):
    def make(**section):
        file = tmp_path / "asked.yaml"
        file.write_text(yaml.safe_dump({**BASE, "sweep": {"space": SPACE, "trials": 4, **section}}))
        return read_sweep(file)

    return make


def points(result) -> list:
    return [(trial.number, dict(trial.values), trial.state, trial.score) for trial in result.trials]


def test_a_trial_is_the_run_of_its_settings(asked, tmp_path: Path) -> None:
    seen = []
    result = run_sweep(asked(), tmp_path / "sweep", report=seen.append)
    assert seen == result.trials and [trial.state for trial in seen] == ["complete"] * 4
    assert len({str(trial.values) for trial in seen}) == 4
    assert result.best.score == max(trial.score for trial in seen) and result.ranked[0].score == result.best.score
    trainer, model, graph = assemble(load_config(tmp_path / "sweep" / "best.yaml"))
    assert trainer.fit(model, graph).valid["accuracy"] == result.best.score
    recorded = load_config(tmp_path / "sweep" / f"trial-{result.best.number:04d}" / "config.yaml")
    assert recorded.model.name == result.best.values["model.name"]


def test_data_are_read_once_for_points_that_share_them(asked, tmp_path: Path) -> None:
    read = []

    class Reading(Listener):
        def on_stage(self, what: str) -> None:
            read.append(what)

    with heard_by(Reading()):
        run_sweep(asked(trials=3, space=WIDTHS), tmp_path / "same")
        assert read.count("reading karate") == 1
        read.clear()
        run_sweep(asked(sampler="grid", space={"seed": [1, 2]}), tmp_path / "other")
    assert read.count("reading karate") == 2


def test_optuna_reads_the_study(asked, tmp_path: Path) -> None:
    result = run_sweep(asked(), tmp_path / "sweep")
    backend = optuna.storages.journal.JournalFileBackend(str(tmp_path / "sweep" / "study.log"))
    study = optuna.load_study(study_name="sweep", storage=optuna.storages.JournalStorage(backend))
    assert [trial.value for trial in study.trials] == [trial.score for trial in result.trials]
    assert study.best_trial.number == result.best.number


class EnoughError(Exception):
    pass


@pytest.mark.parametrize("sampler", ["random", "tpe", "grid", "qmc"])
def test_an_interrupted_sweep_equals_an_unbroken_one(asked, tmp_path: Path, sampler: str) -> None:
    options = {"sampler": sampler, "trials": 4}
    if sampler == "grid":
        options["space"] = {"model.name": ["gcn", "sage"], "train.lr": [0.01, 0.1]}
    if sampler == "tpe":
        options["sampler_options"] = {"n_startup_trials": 2}
    whole = run_sweep(asked(**options), tmp_path / "whole")

    def stop(trial) -> None:
        raise EnoughError

    for _ in range(2):
        with pytest.raises(EnoughError):
            run_sweep(asked(**options), tmp_path / "broken", report=stop)
    study = run_sweep(asked(**options), tmp_path / "broken")
    assert points(study) == points(whole) and len(whole.trials) == 4


def test_a_trial_that_had_begun_is_done_again(asked, tmp_path: Path) -> None:
    whole = run_sweep(asked(), tmp_path / "whole")
    again = tmp_path / "again"
    run_sweep(asked(), again, report=lambda trial: None)
    lines = (again / "study.log").read_text().splitlines(keepends=True)
    cut = max(i for i, line in enumerate(lines) if '"state"' in line)  # The last trial's end, which is lost.
    (again / "study.log").write_text("".join(lines[:cut]))
    (again / "trial-0003" / "half").touch()
    assert points(run_sweep(asked(), again)) == points(whole)
    assert not (again / "trial-0003" / "half").exists()


def test_pruned_trials_stop_early(asked, tmp_path: Path) -> None:
    pruner = {"pruner": "threshold", "pruner_options": {"lower": 2.0}}
    result = run_sweep(asked(**pruner), tmp_path / "sweep")
    assert [trial.state for trial in result.trials] == ["pruned"] * 4 and result.best is None
    assert len((tmp_path / "sweep" / "trial-0000" / "metrics.jsonl").read_text().splitlines()) == 1


def test_seeds_count_together(asked, tmp_path: Path) -> None:
    result = run_sweep(asked(seeds=2, trials=1), tmp_path / "sweep")
    config = read_sweep(tmp_path / "sweep" / SWEEP).config(result.trials[0].values)
    scores = []
    for seed in (0, 1):
        trainer, model, graph = assemble(replace(config, seed=seed))
        scores.append(trainer.fit(model, graph).valid["accuracy"])
    assert result.trials[0].score == pytest.approx(sum(scores) / 2)


def test_a_point_that_fails_is_told_and_passed_over(asked, tmp_path: Path) -> None:
    space = {"train.lr": [1e30, 0.01]}
    result = run_sweep(asked(sampler="grid", space=space), tmp_path / "sweep")
    assert [trial.state for trial in result.trials] == ["failed", "complete"] and result.best.number == 1
    assert "1e+30" in result.trials[0].problem or "loss" in result.trials[0].problem


def test_processes_train_the_same_points(asked, tmp_path: Path) -> None:
    one = run_sweep(asked(sampler="random"), tmp_path / "one")
    two = run_sweep(asked(sampler="random"), tmp_path / "two", processes=2)
    assert points(two) == points(one)


def test_the_command_goes_on_by_folder(asked, tmp_path: Path) -> None:
    asked()
    line = ["sweep", "asked.yaml", "sweep.trials=2", "train.epochs=2", "--run-dir", "here", "--json"]
    first = answer(gnnkit_here(*line, cwd=tmp_path))
    assert len(first["trials"]) == 2 and first["best"]["score"] is not None
    assert answer(gnnkit_here("sweep", "here", "--json", cwd=tmp_path))["trials"] == first["trials"]
    shown = gnnkit_here("runs", "here", cwd=tmp_path).stdout
    assert "trial-0000" in shown and "trial-0001" in shown


MISTAKES = {
    "no section": ({}, [], 'no section "sweep"'),
    "no space": ({"sweep": {"trials": 3}}, [], "no space"),
    "an unknown setting": ({"sweep": {"space": {"train.learning_rate": [1]}}}, [], "learning_rate"),
    "a value of the wrong type": ({"sweep": {"space": {"train.lr": ["fast"]}}}, [], "train.lr"),
    "no range": ({"sweep": {"space": {"train.lr": {"low": 1}}}}, [], "expected a list of values, or low and high"),
    "a range that is turned round": ({"sweep": {"space": {"train.lr": {"low": 1, "high": 0}}}}, [], "low below high"),
    "log of 0": ({"sweep": {"space": {"train.lr": {"low": 0, "high": 1, "log": True}}}}, [], "low above 0"),
    "a grid without steps": ({"sweep": {"sampler": "grid", "space": SPACE}}, [], "A grid needs all values"),
    "an unknown sampler": ({"sweep": {"sampler": "tp", "space": SPACE}}, [], "Did you mean 'tpe'"),
    "an unknown pruner": ({"sweep": {"pruner": "medium", "space": SPACE}}, [], "Unknown pruner 'medium'"),
    "an unknown option": ({"sweep": {"trails": 4, "space": SPACE}}, [], "Did you mean 'trials'"),
    "options of no sampler": ({"sweep": {"sampler_options": {"a": 1}, "space": SPACE}}, [], "do not fit TPESampler"),
    "no trials": ({"sweep": {"trials": 0, "space": SPACE}}, [], "sweep.trials is 0"),
    "no process": ({"sweep": {"space": SPACE}}, ["--processes", "0"], "number of processes is 0"),
    "the seed twice": ({"sweep": {"seeds": 2, "space": {"seed": [1, 2]}}}, [], "beside sweep.seeds"),
    "one value twice": ({"sweep": {"space": {"train.lr": [0.1, 0.1]}}}, [], "names a value twice"),
    "a taken folder": ({"sweep": {"space": SPACE}}, ["--run-dir", "."], "already holds something"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_give_one_line(name: str, tmp_path: Path) -> None:
    section, arguments, words = MISTAKES[name]
    (tmp_path / "asked.yaml").write_text(yaml.safe_dump({**BASE, **section}))
    done = gnnkit_here("sweep", "asked.yaml", *arguments, cwd=tmp_path)
    assert done.returncode == 2 and words in done.stderr, done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_another_sweep_is_not_mixed_in(asked, tmp_path: Path) -> None:
    run_sweep(asked(trials=1), tmp_path / "here")
    done = gnnkit_here("sweep", "asked.yaml", "sweep.trials=2", "--run-dir", "here", cwd=tmp_path)
    assert done.returncode == 2 and "folder of another sweep" in done.stderr


@pytest.mark.long
def test_twenty_trials_killed_twice(asked, tmp_path: Path) -> None:
    asked(trials=20)
    whole = answer(gnnkit_here("sweep", "asked.yaml", "--run-dir", "whole", "--json", cwd=tmp_path))
    command = [sys.executable, "-m", "gnnkit.cli.main", "sweep", "asked.yaml", "--run-dir", "broken"]
    for number in (4, 11):
        process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL)
        while not (tmp_path / "broken" / f"trial-{number:04d}").exists():
            assert process.poll() is None
            time.sleep(0.005)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    broken = answer(gnnkit_here("sweep", "broken", "--json", cwd=tmp_path))
    assert broken["trials"] == whole["trials"] and len(whole["trials"]) == 20
    assert broken["best"] == whole["best"]
