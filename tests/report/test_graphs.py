"""Reports about runs that learned about whole graphs, and about folds."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Callable
from xml.etree import ElementTree

import numpy as np
import pytest
import torch

from gnnkit.data import from_edge_index
from gnnkit.errors import ConfigError
from gnnkit.inference import open_run
from gnnkit.loading import take_graphs
from gnnkit.report import Report, write_report
from gnnkit.report.drawing import HEIGHT, WIDTH, draw_graph, layout
from gnnkit.report.graph_scores import score_graphs
from gnnkit.studies import SUMMARY
from tests.inference.graph_runs import graph_of, run_of
from tests.report.browser import opened
from tests.report.test_report import Words

QUICK = {"map": "pca", "batches": 0, "force": True}
PICTURES = {f"{title}-{place:02}" for title in ("best", "worst") for place in range(1, 7)}


@pytest.fixture(scope="module")
def page_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Report]:
    """Writes the page about a kind of run, once; its figures take seconds."""

    @lru_cache(maxsize=None)
    def page_of(kind: str) -> Report:
        file = tmp_path_factory.mktemp(kind) / "page.html"
        return write_report(run_of(kind), file, graph=graph_of(kind), **{**QUICK, "batches": 1})

    return page_of


def words_of(report: Report) -> str:
    return re.sub(r"\s+", " ", Words(report.file).text)


def test_classes_of_graphs(page_of) -> None:
    report = page_of("classes")
    text = words_of(report)
    assert report.warnings == [] and report.missing == {}
    common = {"loss", "metric", "embeddings-layer-pooled", "sizes", "stages", "errors-by-size"}
    of_classes = {"learning-rate", "classes", "confusion", "scores"}  # The schedule is one that changes.
    assert {file.stem for file in report.figures} == common | of_classes | PICTURES
    result = json.loads((run_of("classes") / "manifest.json").read_text())["result"]
    assert f"Accuracy {result['test_accuracy']:.3f}" in text and "on 12 test graphs" in text
    assert "training graphs" in text and "training nodes" not in text and "homophily" not in text
    for file in report.figures:
        if file.suffix == ".svg":
            assert ElementTree.fromstring(file.read_text()).tag.endswith("svg")


def test_numbers_of_graphs(page_of) -> None:
    report = page_of("numbers")
    text = words_of(report)
    drawn = {file.stem for file in report.figures}
    expected = {"numbers-0", "numbers-1", "residuals-0", "residuals-1", "errors-by-size", "sizes"}
    assert expected <= drawn and "confusion" not in drawn and "classes" not in drawn
    assert "nodes: predicted and true" in text and "sum: errors" in text and "mean error" in text


def test_the_best_and_the_worst_by_counting() -> None:
    run = open_run(run_of("classes"), graph=graph_of("classes"), device="cpu")
    said = run.predict()
    sizes = run.graph.graph_ptr.diff().numpy()
    scores = score_graphs(said, sizes, "test")
    loss = torch.nn.functional.cross_entropy(said.outputs.double(), said.true, reduction="none").numpy()
    np.testing.assert_allclose(scores.errors, loss, rtol=1e-6)
    best, worst = scores.best_and_worst(12)
    assert len(best) == len(worst) == 12 and not set(best) & set(worst)
    assert set(best) == set(np.argsort(loss, kind="stable")[:12].tolist()) and worst[0] == int(loss.argmax())
    assert sum(num for _, _, num in scores.groups) == 60
    for name, mean, num in scores.groups:
        least, most = (int(part) for part in (name.split(" to ") * 2)[:2])
        mine = (sizes >= least) & (sizes <= most)
        assert num == mine.sum() and mean == pytest.approx(scores.wrong[mine].mean())


def test_numbers_that_are_missing_take_no_part() -> None:
    run = open_run(run_of("numbers"), graph=graph_of("numbers"), device="cpu")
    said = run.predict()
    deviations = [np.nanstd(column) for column in said.true.numpy().T]
    expected = np.nanmean(np.abs(said.outputs.double().numpy() - said.true.numpy()) / deviations, axis=1)
    sizes = np.ones(60, dtype=int)
    np.testing.assert_allclose(score_graphs(said, sizes, "test").errors, expected, rtol=1e-6)
    assert score_graphs(replace(said, true=None), sizes, "test") is None
    assert score_graphs(replace(said, true=torch.full_like(said.true, torch.nan)), sizes, "test") is None


def test_layouts_are_the_same_and_apart() -> None:
    ring = take_graphs(graph_of("classes"), [int(graph_of("classes").graph_ptr.diff().argmax())])
    first, second = layout(ring), layout(ring)
    np.testing.assert_array_equal(first, second)
    apart = np.sqrt(((first[:, None] - first[None]) ** 2).sum(axis=2)) + np.eye(len(first))
    assert apart.min() > 0.02
    for num_nodes in (1, 2, 30):
        lonely = from_edge_index([[], []], num_nodes)
        picture = ElementTree.fromstring(draw_graph(lonely).light)
        circles = [part for part in picture if part.tag.endswith("circle")]
        assert len(circles) == num_nodes
        for circle in circles:
            assert 0 < float(circle.get("cx")) < WIDTH and 0 < float(circle.get("cy")) < HEIGHT
    assert draw_graph(from_edge_index([[], []], 1000)) is None


def test_molecules_are_drawn_where_names_say_so() -> None:
    pytest.importorskip("rdkit")
    ethanol = from_edge_index([[0, 1], [1, 2]], 3, graph_ptr=[0, 3], graph_names=["CCO"])
    assert draw_graph(ethanol).is_molecule
    for name in ("CC", "no SMILES", "<svg>"):
        assert not draw_graph(replace(ethanol, graph_names=(name,))).is_molecule


@pytest.fixture
def folds(tmp_path: Path) -> Path:
    """A summary folder as ``gnnkit run --folds`` leaves it."""
    home = tmp_path / "folds"
    metrics = [{"accuracy": 0.5}, {"accuracy": 0.7}]
    told = []
    for number, test in enumerate(metrics):
        shutil.copytree(
            run_of("classes"), home / f"fold-{number}", ignore=shutil.ignore_patterns("checkpoints", "plots")
        )
        told.append({"labels": {"fold": number}, "best_epoch": 2, "valid": test, "test": test, "seconds": 1.5})
        told[-1]["run_dir"] = f"/somewhere/else/fold-{number}"
    over = {"mean": 0.6, "deviation": 0.1414}
    said = {"backend": "reference", "device": "cpu", "dataset": "rings", "model": "gin", "metric": "accuracy"}
    said.update(runs=2, complete=True, valid_accuracy=over, test_accuracy=over, members=told, kind="folds")
    said["best_epoch_over_folds"] = {"epoch": 2, **over}
    (home / SUMMARY).write_text(json.dumps(said))
    return home


def test_folds_have_one_page(folds: Path) -> None:
    report = write_report(folds)
    text = words_of(report)
    assert report.warnings == [] and {file.stem for file in report.figures} == {"loss", "validation-loss", "metric"}
    assert "0.600 ± 0.141" in text and "gin on rings, 2 folds" in text and "and no result" in text
    assert re.search(r"fold 1 2 0.700 0.700 1.5 s mean 0.600 0.600 deviation 0.141 0.141", text)


def test_folds_that_are_not_whole(folds: Path) -> None:
    shutil.rmtree(folds / "fold-1")
    said = json.loads((folds / SUMMARY).read_text())
    (folds / SUMMARY).write_text(json.dumps({**said, "complete": False}))
    report = write_report(folds)
    assert "not complete" in report.warnings[0] and "no curves of fold-1" in report.warnings[1]
    (folds / SUMMARY).write_text('{"runs": 1}')
    with pytest.raises(ConfigError, match="is damaged"):
        write_report(folds, force=True)


def test_folds_stand_alone(folds: Path) -> None:
    with pytest.raises(ConfigError, match="their own page"):
        write_report([folds, run_of("classes")], folds / "page.html")
    with pytest.raises(ConfigError, match=r"the summary of several runs.*/fold-0"):
        open_run(folds)


def test_several_runs_of_graphs(tmp_path) -> None:
    runs = [run_of("classes"), run_of("classes", conv="gcn", pooling="mean")]
    report = write_report(runs, tmp_path / "page.html", graph=graph_of("classes"), **QUICK)
    text = Words(report.file).text
    assert report.warnings == [] and report.missing == {} and text.count("12 test graphs") >= 2


@pytest.mark.parametrize("width, scheme", [(390, "light"), (1440, "dark")])
@pytest.mark.parametrize("kind", ["classes", "numbers"])
def test_in_a_browser(browser, kind, width, scheme, page_of) -> None:
    check_shown(browser, page_of(kind).file, width, scheme, least=18)


@pytest.mark.parametrize("width, scheme", [(390, "dark"), (1440, "light")])
def test_folds_in_a_browser(browser, folds: Path, width, scheme) -> None:
    check_shown(browser, write_report(folds).file, width, scheme, least=3)


def check_shown(browser, file: Path, width: int, scheme: str, least: int) -> None:
    with opened(browser, file, width, scheme) as view:
        assert view.complaints == [] and view.requests == []
        images = view.images()
        assert len(images) >= least
        for image in images:
            assert image["loaded"] and image["alt"] and image["width"] >= 120, image["alt"]
            assert image["width"] / image["height"] == pytest.approx(image["ratio"], rel=0.02)
        assert view.page.evaluate("document.documentElement.scrollWidth") == width
        assert view.cut(width) == [] and view.overlaps() == [] and view.squeezed() == []
