"""What a report finds out about runs and their data, without the page."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from gnnkit.report.collect import ReportOptions, collect
from tests.graphs import communities
from tests.report.runs import StopAfter, train


def facts(*runs: Path, **options):
    return collect(runs, ReportOptions(**{"map": "pca", "batches": 0, **options}))


def test_runs_whose_models_prepare_data_differently_have_the_same_data(run: Path, graph, tmp_path: Path) -> None:
    runs = [run, train(tmp_path / "sage", graph, "sage"), train(tmp_path / "gat", graph, "gat", fanouts=[5, 5])]
    found = facts(*runs, graph=graph)
    assert [one.warnings for one in found] == [[], [], []] and [one.group for one in found] == [1, 1, 1]


@pytest.mark.parametrize("model", ["gcn", "sage"])
@pytest.mark.parametrize("is_there", [True, False], ids=["data there", "data gone"])
def test_runs_on_different_data_are_told_apart(run: Path, graph, tmp_path: Path, model: str, is_there: bool) -> None:
    splits = {**graph.splits, "test": graph.splits["test"][1:]}
    other = replace(communities(120, seed=1), x=graph.x, y=graph.y, splits=splits)
    found = facts(run, train(tmp_path / "two", other, model), graph=graph if is_there else None)
    mine = [warning for warning in found[1].warnings if "different data" in warning]
    assert (
        len(mine) == 1
        and "of the same name, communities" in mine[0]
        and "splits" in mine[0]
        and "features" not in mine[0]
    )
    if is_there:
        assert "edges" in mine[0]
    assert [one.group for one in found] == [1, 2]


def test_an_interrupted_run_is_judged_by_its_best_checkpoint_so_far(tmp_path: Path, graph) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "cut", graph, callbacks=[StopAfter(3)])
    (found,) = facts(tmp_path / "cut", graph=graph)
    assert len(found.warnings) == 1 and "after 3 epochs" in found.warnings[0]
    assert found.scores.num_nodes == 30 and found.best is not None and found.result == {}


def test_data_at_hand_that_are_not_the_runs(run: Path, graph) -> None:
    (found,) = facts(run, graph=replace(graph, x=graph.x * 2))
    assert any("what differs: features" in warning for warning in found.warnings)


def test_features_of_another_width(run: Path, graph) -> None:
    (found,) = facts(run, graph=replace(graph, x=graph.x[:, :3]), batches=1)
    assert "takes 8 features" in found.missing["predictions"] and "stages" in found.missing


def test_outputs_can_come_from_any_backend(run: Path, graph, backend_name: str) -> None:
    (found,) = facts(run, graph=graph, backend=backend_name)
    recorded = json.loads((run / "manifest.json").read_text())["result"]
    assert found.scores.accuracy == recorded["test_accuracy"]
    assert found.scores.macro_f1 == pytest.approx(recorded["test_macro_f1"])
    assert [(one.layer, one.width, len(one.points)) for one in found.maps] == [(1, 16, 120), (2, 3, 120)]


def test_labels_that_nobody_knows(run: Path, graph) -> None:
    (found,) = facts(run, graph=replace(graph, y=torch.full_like(graph.y, -100), class_names=("a", "b", "c")))
    assert "No node of a split has a label" in found.missing["predictions"]
    assert len(found.maps) == 2 and set(found.maps[0].classes) == {-1}


def test_without_test_nodes_others_are_scored(run: Path, graph) -> None:
    splits = {name: nodes for name, nodes in graph.splits.items() if name != "test"}
    (found,) = facts(run, graph=replace(graph, splits=splits))
    assert found.scores.split == "valid" and found.scores.num_nodes == 30


def test_outputs_that_are_no_classes_are_not_scored(run: Path, graph) -> None:
    file = run / "manifest.json"
    manifest = json.loads(file.read_text())
    manifest["learned"]["outputs"] = "embeddings"
    file.write_text(json.dumps({**manifest, "task": "unsupervised"}))
    (found,) = facts(run, graph=graph)
    assert found.scores is None and "outputs are embeddings" in found.missing["predictions"] and len(found.maps) == 2
