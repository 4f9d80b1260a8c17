"""Tasks about whole graphs: conformance, losses by formula, and what the command says of mistakes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from gnnkit.data import Targets
from gnnkit.errors import ConfigError, UnknownNameError
from gnnkit.runs import read_run
from gnnkit.tasks import arranged, make_task
from gnnkit.testing import TaskSuite
from gnnkit.testing.graphs import many_graphs
from tests.commands import gnnkit_here


class TestGraphClassification(TaskSuite):
    name = "graph_classification"


class TestWeightedClasses(TaskSuite):
    name = "graph_classification"
    options = {"class_weights": [1.0, 2.0, 5.0], "label_smoothing": 0.1}


class TestSeveralLabels(TaskSuite):
    name = "graph_classification"
    options = {"positive_weights": "balanced"}

    def graph(self):
        graph = many_graphs()
        y = torch.stack([graph.graph_y == 0, graph.graph_y != 2], dim=1).float()
        y[::7, 1] = -100
        return replace(graph, graph_y=y)


class TestGraphRegression(TaskSuite):
    name = "graph_regression"


class TestOneNumber(TaskSuite):
    name = "graph_regression"
    options = {"loss": "huber"}

    def graph(self):
        graph = many_graphs()
        return replace(graph, graph_y=graph.graph_y.float())


def task_for(name, graph, **options):
    graph = arranged(name, graph, options, 0)
    return make_task(name, graph, options), graph


def test_the_loss_of_classes_is_cross_entropy_over_known_graphs() -> None:
    task, graph = task_for("graph_classification", many_graphs())
    y = graph.graph_y.clone()
    y[::3] = -100
    outputs = torch.randn(len(y), 3, generator=torch.Generator().manual_seed(0))
    expected = functional.cross_entropy(outputs[y >= 0], y[y >= 0])
    torch.testing.assert_close(task.loss(outputs, Targets.of_labels(y)), expected)
    assert task.num_outputs(graph) == 3


def test_numbers_are_scaled_by_the_training_graphs() -> None:
    graph = many_graphs()
    numbers = torch.stack([graph.graph_y * 3.0, 2.0 - graph.graph_y], dim=1)
    numbers[::7, 1] = float("nan")
    task, graph = task_for("graph_regression", replace(graph, graph_y=numbers))
    labelled = task.labelled(graph)
    known = labelled.graph_y[graph.graph_splits["train"]]
    assert known.nanmean(0).abs().max() < 1e-5
    assert torch.equal(labelled.graph_y.isnan(), numbers.isnan())
    perfect = labelled.graph_y.nan_to_num(0.0)
    judged = task.judged(labelled, "valid")
    assert task.judge(perfect[judged.nodes], judged.targets)["rmse"] == pytest.approx(0.0, abs=1e-5)


def test_arrays_of_graphs_can_be_regressed_by_name() -> None:
    graph = replace(many_graphs(), graph_y=None, graph_data={"energy": torch.rand(120), "charge": torch.rand(120)})
    task, graph = task_for("graph_regression", graph, targets=["energy", "charge"])
    assert task.num_outputs(graph) == 2
    torch.testing.assert_close(task.labelled(graph).graph_y.shape, torch.Size([120, 2]))


def test_graphs_with_a_target_are_split_whatever_their_labels() -> None:
    graph = replace(many_graphs(), graph_splits={})
    energy = torch.rand(120)
    energy[::4] = float("nan")
    graph = replace(graph, graph_y=torch.full((120,), -100), graph_data={"energy": energy})
    for folds in ({}, {"folds": 3, "fold": 1}):
        _, ready = task_for("graph_regression", graph, targets=["energy"], **folds)
        used = torch.cat(list(ready.graph_splits.values())).sort().values
        assert torch.equal(used, (~energy.isnan()).nonzero()[:, 0])
    with pytest.raises(UnknownNameError, match="array of graph_data: 'mass'.*energy"):
        task_for("graph_regression", graph, targets=["mass"])


@pytest.mark.parametrize("name", ["graph_classification", "graph_regression"])
def test_a_missing_answer_of_one_column_is_no_number(name) -> None:
    graph = many_graphs()
    answers = (graph.graph_y > 0).float()[:, None]
    answers[::4] = -100
    task, ready = task_for(name, replace(graph, graph_y=answers, graph_splits={}, class_names=()))
    assert task.num_outputs(ready) == (2 if name == "graph_classification" else 1)
    y = task.labelled(ready).graph_y.reshape(-1)
    assert torch.equal((y == -100) | y.isnan(), answers[:, 0] == -100)


def test_labels_of_nodes_do_not_disturb_those_of_graphs() -> None:
    graph = many_graphs()
    both = replace(graph, y=torch.zeros(graph.num_nodes, dtype=torch.int64), class_names=("only",))
    task, both = task_for("graph_classification", both)
    assert task.num_outputs(both) == 3 and task.labelled(both).class_names == ("only",)


def test_folds_and_fold_come_together() -> None:
    for options in ({"folds": 3}, {"fold": 0}):
        with pytest.raises(ConfigError, match="expected both or none"):
            task_for("graph_classification", many_graphs(), **options)


def write_tu(folder: Path, labels, sizes=None) -> None:
    """Rings of these sizes as a data set TU-RINGS of one folder."""
    sizes = [3] * len(labels) if sizes is None else sizes
    home = folder / "RINGS"
    home.mkdir()
    starts = np.cumsum([0, *sizes])
    edges = [
        f"{start + (i + step) % size + 1}, {start + i + 1}"
        for start, size in zip(starts, sizes)
        for i in range(size)
        for step in (1, -1)
    ]
    home.joinpath("RINGS_A.txt").write_text("\n".join(edges) + "\n")
    indicator = [str(graph + 1) for graph, size in enumerate(sizes) for _ in range(size)]
    home.joinpath("RINGS_graph_indicator.txt").write_text("\n".join(indicator) + "\n")
    home.joinpath("RINGS_graph_labels.txt").write_text("\n".join(map(str, labels)) + "\n")
    home.joinpath("RINGS_node_labels.txt").write_text("\n".join(str(i % 2) for i in range(starts[-1])) + "\n")


HALVES = [0, 1] * 20
RUN = "run --dataset TU-RINGS --data-dir . --device cpu --epochs 1 --model gin"
GRAPHS = f"{RUN} --task graph_classification"
MISTAKES = {
    "a model of nodes": (f"{GRAPHS} model.pooling=none", HALVES, ("pooling",)),
    "a model of graphs for nodes": ("run --dataset karate --device cpu model.pooling=sum", HALVES, ("pooling",)),
    "fan-outs": (f"{GRAPHS} --fanouts 3,3", HALVES, ("fanouts", "nodes or edges")),
    "layer-wise evaluation": (f"{GRAPHS} train.evaluation=layerwise", HALVES, ("evaluation", "nodes or edges")),
    "one graph": (GRAPHS, [0], ("too few labelled graphs",)),
    "no graphs": ("run --dataset karate --device cpu --task graph_classification", HALVES, ("many",)),
    "one class in validation": (
        f"{GRAPHS} task_options.metric=rocauc task_options.valid_share=0.03 task_options.test_share=0.3",
        HALVES,
        ("rocauc", "alike"),
    ),
    "fold out of range": (f"{GRAPHS} --folds 3 --fold 3", HALVES, ("folds [3], expected different ones from 0 to 2",)),
    "a fold without folds": (f"{GRAPHS} --fold 1", HALVES, ("--folds",)),
    "no number of a fold": (f"{GRAPHS} --folds 3 --fold first", HALVES, ("--fold",)),
    "one fold": (f"{GRAPHS} --folds 1", HALVES, ("1 folds",)),
    "more folds than graphs": (f"{GRAPHS} --folds 50", HALVES, ("40 labelled graphs", "50 folds")),
    "folds of nodes": ("run --dataset karate --device cpu --folds 3", HALVES, ("Folds are for tasks about graphs",)),
    "virtual node without encoder": (
        f"{GRAPHS} model.virtual_node=true model.hidden_channels=16",
        HALVES,
        ("virtual_node", "encoder_channels"),
    ),
    "unknown pooling": (f"{GRAPHS} model.pooling=median", HALVES, ("pooling is 'median'", "sum")),
    "no layer in the head": (f"{GRAPHS} model.head_layers=0", HALVES, ("head_layers",)),
    "unknown packing": (f"{GRAPHS} train.packing=tight", HALVES, ("packing is 'tight'", "always")),
    "packing of nodes": ("run --dataset karate --device cpu train.packing=always", HALVES, ("packing", "about graphs")),
    "shares": (f"{GRAPHS} task_options.valid_share=0.9 task_options.test_share=0.2", HALVES, ("valid_share is 0.9",)),
}


def test_a_recorded_configuration_can_be_run_again(tmp_path: Path) -> None:
    write_tu(tmp_path, HALVES)
    for line in (
        f"{GRAPHS} --run-dir first",
        "run first/config.yaml --run-dir second",
        "reproduce first --run-dir third",
    ):
        done = gnnkit_here(*line.split(), cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    first, second = (read_run(tmp_path / name) for name in ("first", "second"))
    assert [record.train_loss for record in first.history] == [record.train_loss for record in second.history]


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_gives_one_line(name: str, tmp_path: Path) -> None:
    line, labels, words = MISTAKES[name]
    write_tu(tmp_path, labels)
    done = gnnkit_here(*line.split(), cwd=tmp_path)
    lines = [text for text in done.stderr.splitlines() if not text.startswith("warning:")]
    assert done.returncode == 2, done
    assert len(lines) == 1 and lines[0].startswith("error: "), done.stderr
    assert all(word in lines[0] for word in words), lines[0]
    assert not list(tmp_path.glob("runs/**/manifest.json"))
