"""The page about a sweep: what is on it, and how it looks in a browser."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from gnnkit.errors import ConfigError
from gnnkit.report import Report, write_report
from gnnkit.report.style import LIGHT, themed
from gnnkit.report.sweep_figures import draw_importances, draw_settings, draw_trials
from gnnkit.studies import SweepResult, Trial, importances, read_result, read_sweep, run_sweep
from gnnkit.studies.space import Choice, read_space
from tests.report.browser import opened
from tests.report.test_figures import check_texts

pytest.importorskip("optuna")

SPACE = {
    "train.lr": {"low": 1e-3, "high": 0.1, "log": True},
    "model.name": ["gcn", "sage"],
    "model.dropout": {"low": 0.0, "high": 0.8},
}


def sweep_into(folder: Path, **section: Any) -> Path:
    asked = folder.with_suffix(".yaml")
    base = {"dataset": {"name": "karate"}, "device": "cpu", "train": {"epochs": 3}}
    asked.write_text(yaml.safe_dump({**base, "sweep": {"space": SPACE, "trials": 5, **section}}))
    run_sweep(read_sweep(asked), folder)
    return folder


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sweep_into(tmp_path_factory.mktemp("sweeps") / "first")


@pytest.fixture(scope="module")
def page(swept: Path) -> Report:
    return write_report(swept)


def test_what_is_on_the_page(swept: Path, page: Report) -> None:
    result, text = read_result(swept), page.file.read_text()
    assert page.file == swept / "report.html" and page.warnings == []
    assert {file.stem for file in page.figures} == {"settings", "importance", "curves"}
    assert "Sweep on karate" in text and "Validation accuracy" in text and "All 5 trials, in their order" in text
    assert f"lr: {result.best.values['train.lr']}" in text  # The best configuration, as it is in its file.
    shares = importances(swept)
    assert set(shares) == set(SPACE) and sum(shares.values()) == pytest.approx(1)
    assert list(shares.values()) == sorted(shares.values(), reverse=True)
    assert importances(swept) == shares


@pytest.mark.parametrize("width, scheme", [(390, "dark"), (390, "light"), (1440, "light"), (1440, "dark")])
def test_in_a_browser(browser: Any, page: Report, width: int, scheme: str) -> None:
    with opened(browser, page.file, width, scheme) as view:
        view.page.evaluate("document.querySelectorAll('details').forEach(part => { part.open = true; })")
        assert view.complaints == [] and view.requests == [] and len(view.images()) == 3
        assert view.page.evaluate("document.documentElement.scrollWidth") == width
        assert view.cut(width) == [] and view.overlaps() == [] and view.squeezed() == []
        says = view.page.eval_on_selector_all("[data-says]", "all => all.map(x => x.dataset.says)")
        assert any(text.startswith("model.name: gcn\n") and "accuracy" in text for text in says)


def test_a_sweep_of_seeds_that_has_not_ended_and_lost_its_runs(tmp_path: Path) -> None:
    folder = sweep_into(tmp_path / "seeds", trials=2, seeds=2)
    asked = folder / "sweep.yaml"
    asked.write_text(asked.read_text().replace("trials: 2", "trials: 9"))
    first = write_report(folder)
    assert len(first.warnings) == 1 and "2 of 9 trials" in first.warnings[0]
    text = first.file.read_text()
    assert "The curve of a trial is the mean over its runs." in text and "too few complete trials" in text
    for trial in folder.glob("trial-*"):
        shutil.rmtree(trial)
    assert "There are no curves" in write_report(folder, force=True).file.read_text()


def test_a_sweep_has_its_own_page(swept: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="their own page"):
        write_report([swept, swept / "trial-0000"], tmp_path / "page.html")
    (tmp_path / "empty").mkdir()
    shutil.copy(swept / "sweep.yaml", tmp_path / "empty")
    with pytest.raises(ConfigError, match=r"has no study.log"):
        write_report(tmp_path / "empty")


LONG = {
    f"model.conv_options.a_setting_with_a_long_name_{i}": ["a long choice number one", "b", "$x_1$"] for i in range(7)
}
NARROW = {"train.lr": {"low": 1e-5, "high": 1.0, "log": True}, "model.hidden_channels": [8, 16, 32, 64, 128, 256, 512]}


@pytest.mark.parametrize("space", [SPACE, LONG, NARROW], ids=["usual", "long names", "many choices"])
@pytest.mark.parametrize("is_equal", [True, False], ids=["equal scores", "other scores"])
def test_labels_are_whole_and_apart(space: dict, is_equal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    axes = read_space(space)

    def trial(number: int) -> Trial:
        values = {}
        for name, axis in axes.items():
            values[name] = axis.values[number % len(axis.values)] if isinstance(axis, Choice) else axis.high
        return Trial(number, values, "complete" if number else "pruned", 0.5 if is_equal else number / 10)

    trials = [trial(number) for number in range(6)]
    result = SweepResult(trials, trials[-1], Path(), higher_is_better=False)
    curves = {trial.number: {1: 0.1, 2: 0.2 + trial.number} for trial in trials}
    with themed(LIGHT):
        texts = check_texts(draw_settings(axes, result, "mean absolute error", LIGHT), monkeypatch)
        assert "validation mean absolute error (left is better)" in texts and len(texts) >= 2 * len(space)
        check_texts(draw_importances({name: 1 / len(space) for name in space}, LIGHT), monkeypatch)
        check_texts(draw_trials(curves, result, "mean absolute error", LIGHT), monkeypatch)
