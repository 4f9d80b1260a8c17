"""How good what a run predicts is: each kind of output by its own scores."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from gnnkit.errors import ConfigError
from gnnkit.inference import TrainedRun
from gnnkit.report.collect_graphs import score_predicted_graphs
from gnnkit.report.link_scores import score_links
from gnnkit.report.scores import score_classes, score_numbers
from gnnkit.report.triples import score_relations
from gnnkit.runs.learned import EDGES, GRAPHS
from gnnkit.tasks import Units, make_task
from gnnkit.tasks.base import EMBEDDINGS, SCORES

if TYPE_CHECKING:
    from gnnkit.report.collect import RunFacts


def score_run(run: RunFacts, trained: TrainedRun) -> None:
    """Score what a run predicts, into the facts about it.

    Args:
        run: Gets the scores.
        trained: The run, opened.

    Raises:
        ConfigError: There is nothing to judge by.
    """
    graph = trained.graph
    if trained.learned.outputs == EMBEDDINGS:
        task = run.record.manifest.get("task")
        raise ConfigError(f"The task is {task}: outputs are embeddings. Metrics above are those of a probe on them.")
    if trained.learned.level == EDGES:
        _score_pairs(run, trained)
        return
    if trained.learned.level == GRAPHS:
        score_predicted_graphs(run, trained)
        return
    if trained.learned.units is not None:
        _score_numbers(run, trained, trained.learned.units)
        return
    if graph.y is None:
        raise ConfigError("The data have no labels of the model's kind, so predictions cannot be judged.")
    for split in ("test", "valid", "train"):
        nodes = graph.splits.get(split)
        if nodes is None or not nodes.numel():
            continue
        run.scores = score_classes(trained.predict(nodes).outputs, graph.y[nodes], split)
        if run.scores is not None:
            return
    raise ConfigError("No node of a split has a label, so predictions cannot be judged.")


def _score_pairs(run: RunFacts, trained: TrainedRun) -> None:
    links, learned = trained.graph.links, trained.learned
    if links is None or "test" not in links.pairs:
        raise ConfigError("The data have no pairs to test, so predictions cannot be judged.")
    if trained.is_about_triples:
        run.triple_scores = score_relations(trained, links)
        return
    if learned.outputs == SCORES:
        run.link_scores = score_links(trained, links)
        return
    if "test" not in links.y:
        raise ConfigError("Nothing is known about the pairs of the data, so predictions cannot be judged.")
    outputs, y = trained.predict_pairs(links.pairs["test"]).outputs, links.y["test"]
    if learned.units is None:
        scored = score_classes(outputs, y, "test")
        run.scores = None if scored is None else replace(scored, items="pairs")
    else:
        numbers = score_numbers(outputs, y.reshape(len(y), -1), learned.units.names, "test")
        run.number_scores = None if numbers is None else replace(numbers, items="pairs")


def _score_numbers(run: RunFacts, trained: TrainedRun, units: Units) -> None:
    graph = trained.graph
    task = make_task(trained.config.task, graph, trained.config.task_options)
    y, nodes = task.labelled(graph).y, graph.splits["test"]
    assert y is not None and task.units is not None, "the task has found numbers"
    true = task.units.to_data(y[nodes])
    run.number_scores = score_numbers(trained.predict(nodes).outputs, true, units.names, "test")
