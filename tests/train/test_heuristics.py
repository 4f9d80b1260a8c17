"""Heuristics as models: judged as trained ones are, kept as runs, and refused where something is to be trained."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml

import gnnkit
from gnnkit.data import Graph, Links, split_edges
from gnnkit.engine.heuristics import HEURISTICS, heuristic_scores
from gnnkit.errors import ConfigError, GnnkitError
from gnnkit.tasks.pair_metrics import pair_metric
from gnnkit.train import judge_heuristic
from tests.commands import gnnkit_here

RUN = ("run", "--model", "common_neighbors", "--dataset", "karate")


def split_karate() -> Graph:
    return split_edges(gnnkit.load_dataset("karate"), valid=0.1, test=0.2)


@pytest.fixture(scope="module")
def ddi(data_dir: Path) -> Graph:
    pytest.importorskip("ogb.linkproppred")
    return gnnkit.load_dataset("ogbl-ddi", data_dir=data_dir)


@pytest.mark.parametrize(
    ("name", "valid", "test"),
    [("common_neighbors", 9.47, 17.73), ("adamic_adar", 9.66, 18.61), ("resource_allocation", 7.25, 6.23)],
)
def test_published_figures(ddi: Graph, name: str, valid: float, test: float) -> None:
    """Those of the Open Graph Benchmark's leaderboard for ogbl-ddi, in percent."""
    result = judge_heuristic(name, ddi, task_options={"metrics": ["hits@20"]})
    assert [round(100 * split["hits@20"], 2) for split in (result.valid, result.test)] == [valid, test]


@pytest.mark.parametrize("name", HEURISTICS)
def test_pairs_are_judged_by_their_scores(name: str) -> None:
    graph = split_karate()
    links = graph.links
    negatives = {split: torch.randint(34, (len(links.pairs[split]), 5)) for split in ("valid", "test")}
    graph = replace(graph, links=replace(links, negatives={}, negative_destinations=negatives))
    result = judge_heuristic(name, graph, task_options={"metrics": ["mrr", "auc"]})
    for split, found in (("valid", result.valid), ("test", result.test)):
        pairs = links.pairs[split]
        own = heuristic_scores(name, graph, pairs)
        others = [
            heuristic_scores(name, graph, torch.stack([pairs[:, 0], column], dim=1)) for column in negatives[split].T
        ]
        expected = {each: pair_metric(each)(own, torch.stack(others, dim=1)) for each in ("mrr", "auc")}
        assert found == pytest.approx(expected)
        assert list(found) == ["mrr", "auc"]


def test_edges_that_carry_messages_for_testing_count_there_alone() -> None:
    path = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])
    # The pair (2, 4) has the common neighbour 3 once the edges of testing are there.
    more = torch.tensor([[2, 3, 3, 4], [3, 2, 4, 3]])
    pairs = {"train": torch.tensor([[0, 1], [1, 2]]), "valid": torch.tensor([[2, 3]]), "test": torch.tensor([[2, 4]])}
    links = Links(
        pairs,
        undirected=True,
        negatives={"valid": torch.tensor([[0, 4]]), "test": torch.tensor([[0, 4]])},
        test_edges=gnnkit.from_edge_index(torch.cat([path, more], dim=1), num_nodes=5),
    )
    graph = replace(gnnkit.from_edge_index(path, num_nodes=5), links=links)
    result = judge_heuristic("common_neighbors", graph, task_options={"metrics": ["auc"]})
    assert (result.valid["auc"], result.test["auc"]) == (0.5, 1.0)


def test_a_run_is_kept_and_says_that_nothing_was_trained(tmp_path: Path) -> None:
    done = gnnkit_here(*RUN, "--run-dir", "kept", "--json", "--seed", "3", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout)
    manifest = json.loads((tmp_path / "kept" / "manifest.json").read_text())
    assert manifest["status"] == "complete"
    assert manifest["trained"] is printed["trained"] is False
    assert manifest["result"] == printed
    assert manifest["data"]["links"]["pairs"]["test"] > 0
    assert yaml.safe_load((tmp_path / "kept" / "config.yaml").read_text())["model"] == {"name": "common_neighbors"}
    again = gnnkit_here("run", "kept/config.yaml", "--run-dir", "again", "--json", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    metrics = [name for name in printed if name.startswith(("valid_", "test_"))]
    assert [json.loads(again.stdout)[name] for name in metrics] == [printed[name] for name in metrics]
    uses = [
        "report kept",
        "predict kept --output out.csv",
        "reproduce kept",
        "run --init-from kept",
        "run --resume kept",
    ]
    for use in uses:
        refused = gnnkit_here(*use.split(), cwd=tmp_path)
        assert (refused.returncode, refused.stderr.count("\n")) == (2, 1), refused.stderr
        assert "judged a heuristic" in refused.stderr
    with pytest.raises(GnnkitError, match="judged a heuristic"):
        gnnkit.open_run(tmp_path / "kept")
    taken = gnnkit_here(*RUN, "--run-dir", "kept", cwd=tmp_path)
    assert taken.returncode == 2
    assert "already exists" in taken.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--epochs", "3"], "train.epochs: no effect"),
        (["model.dropout=0.1"], "model.dropout: no effect"),
        (["--backend", "reference"], "backend: no effect"),
        (["--device", "cuda"], "device: no effect"),
        (["task_options.loss=bpr"], "task_options.loss: no effect"),
        (["task_options.candidates=all"], "Judge by negatives"),
        (["task_options.metrics=[hits@0]"], "expected a number from 1"),
        (["--task", "node_classification"], "is for the task 'link_prediction'"),
    ],
)
def test_what_has_no_effect_is_refused(tmp_path: Path, arguments: list[str], message: str) -> None:
    done = gnnkit_here(*RUN, *arguments, cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert message in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("command", [["bench"], ["compare", "--backends", "reference,reference"], ["plan"]])
def test_nothing_is_trained_elsewhere(tmp_path: Path, command: list[str]) -> None:
    done = gnnkit_here(*command, *RUN[1:], cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "'common_neighbors' is a heuristic" in done.stderr


def test_an_option_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"task_options\.negatives: no effect"):
        judge_heuristic("adamic_adar", split_karate(), task_options={"negatives": "degree"})
