"""Several seeds: each is the run that it would be alone, and what they say together is right."""

from __future__ import annotations

import json
import statistics
from pathlib import Path

import numpy as np
import pytest
import scipy.stats

from gnnkit.report import write_report
from gnnkit.runs import read_run
from gnnkit.studies import SUMMARY, run_seeds, spread
from gnnkit.train import load_config
from gnnkit.train.assembling import assemble
from tests.commands import gnnkit_here

KARATE = ["dataset.name=karate", "device=cpu", "train.epochs=3"]


def test_each_seed_is_the_run_that_it_would_be_alone(backend, tmp_path: Path) -> None:
    config = load_config(overrides=[*KARATE, f"backend={backend.name}", "seed=4", f"run_dir={tmp_path / 'all'}"])
    seen = []
    result = run_seeds(config, 3, report=seen.append)
    assert [member.name for member in result.members] == ["seed-4", "seed-5", "seed-6"] and seen == result.members
    alone = load_config(overrides=[*KARATE, f"backend={backend.name}", "seed=5"])
    trainer, model, graph = assemble(alone)
    single = trainer.fit(model, graph)
    among = result.members[1].result
    assert [r.train_loss for r in single.history] == [r.train_loss for r in among.history]
    assert single.test == among.test and read_run(tmp_path / "all" / "seed-5").is_complete
    again = load_config(Path(among.run_dir) / "config.yaml")
    assert again.seed == 5


def test_the_summary_says_mean_deviation_and_interval(tmp_path: Path) -> None:
    result = run_seeds(load_config(overrides=[*KARATE, f"run_dir={tmp_path / 'all'}"]), 4)
    values = [member.result.test["accuracy"] for member in result.members]
    said = json.loads((tmp_path / "all" / SUMMARY).read_text())
    assert said["kind"] == "seeds" and said["complete"] and len(said["members"]) == 4
    assert said["test_accuracy"]["mean"] == pytest.approx(statistics.fmean(values))
    assert said["test_accuracy"]["deviation"] == pytest.approx(statistics.stdev(values))
    page = write_report(tmp_path / "all").file.read_text()
    assert "4 seeds" in page and "95 % confidence" in page


def test_the_interval_is_that_of_a_t_test() -> None:
    values = np.random.default_rng(0).normal(3, 2, 7).tolist()
    expected = scipy.stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert spread(values).interval == pytest.approx((expected.low, expected.high))
    assert spread([1.5]).interval is None and spread([1.5]).deviation == 0


MISTAKES = {
    "no seed": (["--seeds", "0"], "number of seeds is 0"),
    "with a run to go on with": (["--seeds", "2", "--resume", "."], "--seeds makes several|has no"),
    "with processes": (["--seeds", "2", "--processes", "2"], "--seeds makes several"),
    "of a heuristic": (["--seeds", "2", "--task", "link_prediction", "--model", "common_neighbors"], "learns nothing"),
    "into a folder that is taken": (["--seeds", "2", "--run-dir", "."], "already exists"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_give_one_line(name: str, tmp_path: Path) -> None:
    arguments, words = MISTAKES[name]
    (tmp_path / "something").touch()
    done = gnnkit_here("run", "--dataset", "karate", "--device", "cpu", *arguments, cwd=tmp_path)
    assert done.returncode == 2 and any(word in done.stderr for word in words.split("|"))
    assert len(done.stderr.strip().splitlines()) == 1
