"""Reports about runs that learned about pairs of nodes."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch

import gnnkit
from gnnkit.inference import open_run
from gnnkit.report import link_scores, write_report
from gnnkit.report.link_scores import score_links
from tests.inference.pair_runs import graph_of, run_of
from tests.report.test_report import Words

QUICK = {"map": "pca", "batches": 0, "force": True}
COMMON = {"loss", "metric", "embeddings-layer-1", "embeddings-layer-2", "degrees"}


def page_of(task: str, tmp_path, **settings):
    report = write_report(run_of(task), tmp_path / "page.html", graph=graph_of(task), **{**QUICK, **settings})
    return report, re.sub(r"\s+", " ", Words(report.file).text)


def result_of(task: str):
    return json.loads((run_of(task) / "manifest.json").read_text())["result"]


def test_links_have_curves_scores_and_ranks(tmp_path) -> None:
    report, text = page_of("link_prediction", tmp_path, batches=1)
    assert report.warnings == [] and report.missing == {}
    drawn = {file.stem for file in report.figures}
    assert drawn == COMMON | {"roc", "precision-recall", "link-scores", "ranks", "stages"}
    result = result_of("link_prediction")
    assert f"AUC {result['test_auc']:.3f}, average precision {result['test_average_precision']:.3f}" in text
    links = graph_of("link_prediction").links
    for split, name in (("valid", "validation"), ("test", "test")):
        assert f"{name} {len(links.pairs[split]):,} {len(links.negatives[split]):,} for all" in text
    assert "homophily" not in text and "Class balance" not in text and "negatives that are pairs" in text
    assert "training nodes" not in text and "training pairs" in text


def test_the_share_of_false_negatives_is_told_where_the_run_knows_it(tmp_path) -> None:
    manifest = run_of("link_prediction") / "manifest.json"
    before = manifest.read_text()
    manifest.write_text(json.dumps({**json.loads(before), "negatives": {"false_rate": 0.0125}}))
    try:
        _, text = page_of("link_prediction", tmp_path)
    finally:
        manifest.write_text(before)
    assert "negatives that are pairs 1.2%" in text


@pytest.mark.parametrize("task", ["edge_classification", "edge_regression"])
def test_labels_and_numbers_of_pairs_are_judged_as_those_of_nodes(task, tmp_path) -> None:
    report, text = page_of(task, tmp_path)
    links, result = graph_of(task).links, result_of(task)
    assert report.missing == {} and f"on {len(links.pairs['test'])} test pairs" in text
    drawn = {file.stem for file in report.figures}
    if task == "edge_classification":
        assert drawn == COMMON | {"confusion", "scores"}
        assert f"Accuracy {result['test_accuracy']:.3f}" in text and "Pairs by class" in text
        counts = torch.bincount(links.y["test"], minlength=2).tolist()
        assert re.search(rf"together \d+ \d+ {counts[1]}\b", text)
    else:
        assert drawn == COMMON and f"{result['test_rmse']:.4g}" in text
    assert "test nodes" not in text and "homophily" not in text


def test_ranks_and_curves_against_counting(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = graph_of("link_prediction", False)
    run = open_run(run_of("link_prediction", False), graph=graph, device="cpu")
    pairs, negatives = graph.links.pairs["test"], graph.links.negatives["test"]
    positive, negative = (run.predict_pairs(some).outputs[:, 0].numpy() for some in (pairs, negatives))
    found = score_links(run, graph.links)
    ranks = np.array([1 + (negative > s).sum() + (negative == s).sum() / 2 for s in positive])
    carrying = graph.links.test_edges
    degrees = np.array([int((carrying.indices == source).sum()) for source in pairs[:, 0]])
    named = {
        "0": (0, 0),
        **{name: tuple(map(int, (name.split(" to ") * 2)[:2])) for name in found.degrees if name != "0"},
    }
    assert sum(num for _, num in found.ranks) == len(pairs)
    for name, (mean, num) in zip(found.degrees, found.ranks):
        mine = (degrees >= named[name][0]) & (degrees <= named[name][1])
        assert num == mine.sum() and mean == pytest.approx(ranks[mine].mean())
    np.testing.assert_allclose(found.histogram.sum(axis=1), 1)
    # Each pair with negatives of its own, of which few are taken.
    own = negatives[:6, 1].repeat(len(pairs), 1)
    monkeypatch.setattr(link_scores, "_MOST_NEGATIVES", 30)
    each = score_links(run, replace(graph.links, negatives={}, negative_destinations={"test": own}))
    assert (each.num_pairs, each.num_negatives, each.num_ranked) == (5, 30, 6)
    shared = score_links(run, graph.links)
    assert shared.num_negatives == 30 and shared.num_pairs == len(pairs)


def test_a_run_that_ranks_among_all_nodes_gets_negatives_for_the_page(tmp_path) -> None:
    graph = gnnkit.load_dataset("karate")
    trainer = gnnkit.Trainer(
        device="cpu",
        task="link_prediction",
        task_options={"candidates": "all"},
        epochs=1,
        run_dir=tmp_path / "run",
        progress=False,
    )
    trainer.fit(gnnkit.build_model("gcn", graph, out_channels=8), graph)
    report = write_report(tmp_path / "run", graph=graph, **QUICK)
    assert report.missing == {} and "drawn for this page" in Words(report.file).text
