"""Heuristics as models: judged like any other, without anything trained.

Rules: a heuristic scores pairs from the edges that carry messages when a split is judged. What only a training needs is
refused, so that nobody believes that it had an effect.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Iterable, Mapping, Optional, Union

import torch
from torch import Tensor

from gnnkit.data import Graph, check_graph, check_leaks, describe_data, message_graph, summarize
from gnnkit.data.check import MOST_CHECKED
from gnnkit.engine.heuristics import heuristic_scores
from gnnkit.errors import ConfigError
from gnnkit.options import plain_value
from gnnkit.paths import user_path
from gnnkit.runs.run_folder import check_free, write_judged
from gnnkit.tasks import Task, arranged, make_task
from gnnkit.tasks.base import Judged

HEURISTIC_TASK = "link_prediction"
"""The task that heuristics are for."""

_JUDGING = ("valid_share", "test_share", "split_by", "split_seed", "candidates", "metrics", "metric")
"""Options of the task that decide what is judged, and how."""


@dataclass(frozen=True)
class HeuristicResult:
    """The result of judging a heuristic.

    Attributes:
        model: Its name.
        dataset: Name of the graph.
        metric: The metric that comes first.
        valid: Metrics of the validation pairs, by name.
        test: Metrics of the test pairs, by name.
        seconds: Wall time of scoring and judging.
        run_dir: The run folder; None if none was asked for.
    """

    model: str
    dataset: str
    metric: str
    valid: Dict[str, float]
    test: Dict[str, float]
    seconds: float
    run_dir: Optional[Path] = None

    def summary(self) -> Dict[str, Any]:
        """Plain values, as ``gnnkit run --json`` prints them."""
        return {
            "dataset": self.dataset,
            "model": self.model,
            "trained": False,
            **{f"valid_{name}": value for name, value in self.valid.items()},
            **{f"test_{name}": value for name, value in self.test.items()},
            "seconds": self.seconds,
            "run_dir": None if self.run_dir is None else str(self.run_dir),
        }


def judge_heuristic(
    name: str,
    graph: Graph,
    *,
    task_options: Optional[Mapping[str, Any]] = None,
    seed: int = 0,
    run_dir: Union[str, Path, None] = None,
    facts: Optional[Mapping[str, Any]] = None,
) -> HeuristicResult:
    """Judge a heuristic on the validation and the test pairs of a graph, as a trained model would be.

    Args:
        name: "common_neighbors", "adamic_adar" or "resource_allocation"; see
            :func:`gnnkit.engine.heuristics.heuristic_scores`.
        graph: Pairs are split off its edges, if it has no links. Features are not read.
        task_options: Options of the task ``link_prediction`` that say what is judged, and how.
        seed: Seed of the split and of the negatives.
        run_dir: Folder for configuration, manifest and result. None writes nothing.
        facts: Anything else that the folder's configuration should record.

    Raises:
        UnknownNameError: There is no such heuristic.
        ConfigError: An option cannot be used or has no effect, or the folder is taken.
        DataError: The graph breaks a rule.

    Example:
        >>> import gnnkit
        >>> result = judge_heuristic("adamic_adar", gnnkit.load_dataset("karate"))
        >>> list(result.valid)[0], 0.5 < result.test["auc"] <= 1
        ('auc', True)
    """
    options = {key: plain_value(value) for key, value in (task_options or {}).items()}
    _check_options(name, options)
    folder = None if run_dir is None else user_path(run_dir, "run_dir")
    if folder is not None:
        check_free(folder)
    graph = arranged(HEURISTIC_TASK, graph, options, seed)
    check_graph(graph, most_values=MOST_CHECKED)
    check_leaks(graph)
    task = make_task(HEURISTIC_TASK, graph, options)
    start = time.perf_counter()
    valid, test = (_judged(name, task, graph, split) for split in ("valid", "test"))
    result = HeuristicResult(name, graph.name, task.metric, valid, test, time.perf_counter() - start, folder)
    if folder is not None:
        recorded = {
            **(facts or {}),
            "model": {"name": name},
            "task": HEURISTIC_TASK,
            "task_options": options,
            "seed": seed,
        }
        metric = {"name": task.metric, "higher_is_better": task.higher_is_better}
        known = {"model": {"name": name}, "trained": False, "task": HEURISTIC_TASK, "metric": metric, "seed": seed}
        data = {"data": describe_data(graph), "data_summary": summarize(graph)}
        write_judged(folder, recorded, {**known, **data, "result": result.summary()})
    return result


def _judged(name: str, task: Task, graph: Graph, split: str) -> Dict[str, float]:
    """The metrics of a split."""
    judged = task.judged(graph, split)
    return task.judge(_scores(name, message_graph(graph, split), judged), judged.targets)


def _scores(name: str, graph: Graph, judged: Judged) -> Tensor:
    """Scores in the form that :meth:`LinkPrediction.judge` takes."""
    rows = {key: judged.nodes[row] for key, row in judged.targets.rows.items()}
    destinations = torch.cat([rows["dst"][:, None], rows.get("negatives", rows["dst"][:, None][:, :0])], dim=1)
    sources = rows["src"][:, None].expand_as(destinations)
    pairs = torch.stack([sources.reshape(-1), destinations.reshape(-1)], dim=1)
    return heuristic_scores(name, graph, pairs).reshape(destinations.shape)


def check_heuristic(name: str, told: Iterable[Mapping[str, Any]]) -> None:
    """Refuse settings of a run that have no effect on a heuristic.

    Args:
        name: The heuristic.
        told: What the user said, in the structure of :class:`gnnkit.train.RunConfig`.

    Raises:
        ConfigError: There is one, or the task is another one.
    """
    for layer in told:
        idle = [f"train.{key}" for key in layer.get("train", {})]
        idle += [f"model.{key}" for key in layer.get("model", {}) if key != "name"]
        idle += [key for key in ("backend", "backend_options", "device_options", "init_from") if layer.get(key)]
        idle += ["device"] if layer.get("device", "auto") not in ("auto", "cpu") else []
        idle += ["track"] if layer.get("track") else []
        if idle:
            raise _idle(name, ", ".join(idle))
    for layer in told:
        if layer.get("task", HEURISTIC_TASK) != HEURISTIC_TASK:
            raise ConfigError(
                f"Model {name!r} scores pairs and is for the task {HEURISTIC_TASK!r}, not for {layer['task']!r}."
            )


def _check_options(name: str, options: Mapping[str, Any]) -> None:
    idle = [f"task_options.{key}" for key in options if key not in _JUDGING]
    if idle:
        raise _idle(name, ", ".join(idle))
    if options.get("candidates", "negatives") != "negatives":
        raise ConfigError(
            f"candidates is {options['candidates']!r}, which ranks all nodes by their embeddings, and {name!r} has "
            "none. Judge by negatives: candidates='negatives'."
        )


def _idle(name: str, settings: str) -> ConfigError:
    return ConfigError(
        f"{settings}: no effect, because model {name!r} is a heuristic and learns nothing. Leave it out."
    )
