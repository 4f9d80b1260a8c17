"""Reports where data are not those of a run, or runs have different data, or numbers are not finite."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import gnnkit
from gnnkit.report import write_report
from gnnkit.report.collect import ReportOptions, collect
from gnnkit.report.gallery import Gallery
from gnnkit.report.overview import comparison
from gnnkit.report.sections import make_sections
from gnnkit.runs import read_weights
from gnnkit.runs.checkpoint import write_weights
from tests.graphs import communities
from tests.report.runs import train

NAMES = ("cat", "dog", "eel")
FEATURES = tuple("abcdefgh")


@pytest.fixture
def pets():
    return replace(communities(120), class_names=NAMES)


def facts(*runs: Path, **options):
    return collect(runs, ReportOptions(**{"map": "pca", "batches": 0, **options}))


def test_labels_in_another_order_are_scored_alike(pets, tmp_path: Path, backend_name: str) -> None:
    run = train(tmp_path / "one", pets)
    (expected,) = facts(run, graph=pets, backend=backend_name)
    (found,) = facts(run, graph=replace(pets, y=2 - pets.y, class_names=NAMES[::-1]), backend=backend_name)
    assert found.warnings == [] and found.class_names == list(NAMES)
    assert np.array_equal(found.scores.confusion, expected.scores.confusion) and found.scores.accuracy > 0.5


def test_features_in_another_order_are_read_alike(pets, tmp_path: Path) -> None:
    graph = replace(pets, feature_names=FEATURES)
    run, order = train(tmp_path / "one", graph), torch.arange(7, -1, -1)
    other = replace(graph, x=graph.x[:, order], feature_names=FEATURES[::-1])
    (expected,), (found,) = facts(run, graph=graph), facts(run, graph=other, batches=1)
    assert found.warnings == [] and found.missing == {} and found.measurement is not None
    assert np.array_equal(found.scores.confusion, expected.scores.confusion)
    assert np.array_equal(found.maps[0].points, expected.maps[0].points)


def test_a_class_that_the_model_does_not_know_is_left_out_and_said(pets, tmp_path: Path) -> None:
    run = train(tmp_path / "one", pets)
    other = replace(pets, y=(pets.y + 1) % 3, class_names=("ant", "cat", "dog"))
    report = write_report(run, graph=other, map="pca", batches=0)
    assert any("does not know class 'ant'" in warning for warning in report.warnings)
    (found,) = facts(run, graph=other)
    test = pets.splits["test"]
    assert found.scores.num_nodes == int((pets.y[test] != 2).sum())
    assert found.scores.support.tolist() == [int((pets.y[test] == c).sum()) for c in (0, 1)] + [0]
    text = report.file.read_text()
    assert "2 eel" in text and "0 ant" in text  # The model's classes with the scores, the data's in their table.


def test_labels_of_another_kind_are_not_judged(pets, tmp_path: Path) -> None:
    run = train(tmp_path / "one", pets)
    several = replace(pets, y=torch.nn.functional.one_hot(pets.y, 3).float())
    (found,) = facts(run, graph=several)
    assert found.scores is None and "no labels of the model's kind" in found.missing["predictions"]
    assert len(found.maps) == 2


def pages(runs, **options):
    found = facts(*runs, **options)
    gallery = Gallery(runs[0].parent / "plots")
    return comparison(found, gallery), {section.anchor: section for section in make_sections(found, gallery)}


def test_runs_on_different_data_are_not_ranked(pets, tmp_path: Path) -> None:
    other = replace(communities(120, seed=1), name="strangers")
    runs = [train(tmp_path / "one", pets), train(tmp_path / "two", other)]
    section, others = pages(runs)
    assert [[table.best for table in panel.tables] for panel in section.panels] == [[[]], [[]]]
    assert "of 2 groups" in section.notes[0]
    titles = [
        f"{name}: node classification by accuracy ({run})"
        for name, run in (("communities", "one"), ("strangers", "two"))
    ]
    assert [panel.title for panel in section.panels] == titles
    assert [panel.title for panel in others["training"].panels] == titles
    page = write_report(runs, tmp_path / "page.html", map="pca", batches=0).file.read_text()
    assert "best of a line" not in page and "compared within a group alone" in page


def test_runs_are_ranked_with_those_of_the_same_metric(pets, tmp_path: Path) -> None:
    runs = [
        train(tmp_path / "one", pets),
        train(tmp_path / "two", replace(pets, metric="macro_f1"), epochs=1),
        train(tmp_path / "three", pets, "sage", epochs=1),
    ]
    section, others = pages(runs, graph=pets)
    by_accuracy, by_macro_f1 = [panel.tables[0] for panel in section.panels if panel.tables]
    assert by_accuracy.columns == ["", "one", "three"] and by_macro_f1.columns == ["", "two"]
    rows = {row[0]: number for number, row in enumerate(by_accuracy.rows)}
    assert {rows["validation accuracy"], rows["test accuracy"]} <= {row for row, _ in by_accuracy.best}
    assert by_macro_f1.best == [] and "validation macro F1" in [row[0] for row in by_macro_f1.rows]
    assert len(others["training"].panels) == 2


def test_a_run_that_diverged_is_shown_and_says_so(run: Path, graph) -> None:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    for number, line in enumerate(lines):
        line["train_loss"] = [1.0, float("nan"), None, float("inf")][number]
        line["valid_metric"] = [0.5, float("nan"), None, 0.5][number]
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    manifest = json.loads((run / "manifest.json").read_text())
    manifest.update(status="failed", error="TrainingError: the loss is nan", result=None)
    (run / "manifest.json").write_text(json.dumps(manifest))
    file = run / "checkpoints" / "best.safetensors"
    spec, weights, seed = read_weights(file)
    write_weights(file, spec, {name: value * torch.nan for name, value in weights.items()}, seed)
    report = write_report(run, graph=graph, map="pca", batches=0)
    assert any("diverged: its loss is not finite in epoch 2" in warning for warning in report.warnings)
    assert any("TrainingError: the loss is nan" in warning for warning in report.warnings)
    assert "numbers that are not finite" in report.missing["one"]["predictions"]


def test_a_run_that_failed_in_its_first_epoch_says_why(run: Path, graph) -> None:
    (run / "metrics.jsonl").unlink()
    manifest = json.loads((run / "manifest.json").read_text())
    manifest.update(status="failed", error="TrainingError: the loss is nan")
    (run / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(gnnkit.GnnkitError, match=r"ended before its first epoch did \(failed: TrainingError"):
        write_report(run, graph=graph, batches=0)
