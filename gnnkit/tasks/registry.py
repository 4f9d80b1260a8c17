"""Choosing a task by name and making it for a graph."""

from __future__ import annotations

import copy
from typing import Any, Callable, Mapping, Optional, Type, Union

from torch import Tensor

from gnnkit.data import Graph, expect_graph
from gnnkit.errors import ConfigError
from gnnkit.options import make_options
from gnnkit.registry import Registry
from gnnkit.tasks.base import Loss, Task
from gnnkit.tasks.metrics import Metric

DEFAULT_TASK = "node_classification"
"""What is learned if nobody says anything."""

tasks: Registry[Task] = Registry("gnnkit.tasks", "task", Task)  # type: ignore[type-abstract]
"""All installed tasks."""

Metrics = Mapping[str, Callable[[Tensor, Tensor], float]]
"""Metrics by name, from scores and labels to a number; more is better unless it is a ``Metric`` that says otherwise."""

_NO_OPTIONS: Mapping[str, Any] = {}


def task_class(task: Union[str, Type[Task]]) -> Type[Task]:
    """The class of a task that is given by name, or itself.

    Raises:
        UnknownNameError: Nobody registered the name.
        BrokenPluginError: It is installed but cannot be used.
        ConfigError: It is something else.
    """
    if isinstance(task, str):
        return tasks.load(task)
    if not (isinstance(task, type) and issubclass(task, Task)):
        raise ConfigError(f"The task is {task!r}, expected a name ({', '.join(tasks.names())}), or a class of tasks.")
    return task


def task_options(task: Type[Task], options: Mapping[str, Any]) -> Any:
    """The options of a task, checked.

    Raises:
        UnknownNameError: There is no such option.
        ConfigError: A value cannot be used.
    """
    return make_options(task.options_class, options, f"task {task.name!r}")


def arranged(task: Union[str, Type[Task]], graph: Graph, options: Mapping[str, Any], seed: int) -> Graph:
    """The graph with the items of a task, split where the data do not say how.

    Args:
        task: Its name, or a class.
        graph: As loaded. One that has been arranged stays as it is.
        options: Settings of the task itself, by name.
        seed: The run's.

    Raises:
        GnnkitError: As :func:`make_task`.
        DataError: It is no graph.
    """
    cls = task_class(task)
    return cls.arrange(expect_graph(graph), task_options(cls, options), seed)


def make_task(
    task: Union[str, Type[Task]],
    graph: Graph,
    options: Mapping[str, Any] = _NO_OPTIONS,
    *,
    loss: Optional[Loss] = None,
    metrics: Optional[Metrics] = None,
) -> Task:
    """A task on a graph.

    Args:
        task: Its name, or a class.
        graph: From :func:`arranged`, with features, labels and splits, not prepared.
        options: Settings of the task itself, by name.
        loss: Instead of the task's.
        metrics: Instead of the task's; the first picks the best model.

    Raises:
        DataError: The graph lacks something that the task needs.
        ConfigError: An option cannot be used, or does not fit the graph.
        GnnkitError: As :func:`task_class`.

    Example:
        >>> import gnnkit
        >>> graph = gnnkit.load_dataset("karate")
        >>> make_task("node_classification", graph, {"label_smoothing": 0.1}).metric
        'accuracy'
    """
    cls = task_class(task)
    made = cls.for_graph(graph, task_options(cls, options))
    if loss is None and metrics is None:
        return made
    made = copy.copy(made)
    if loss is not None:
        made.custom_loss = loss
    if metrics is not None:
        made.metrics = {name: each if isinstance(each, Metric) else Metric(each) for name, each in metrics.items()}
    return made


def check_custom(loss: Optional[Loss], metrics: Optional[Metrics]) -> None:
    """Refuse a loss or metrics that cannot be called.

    Raises:
        ConfigError: One is no function, or there are no metrics.
    """
    if loss is not None and not callable(loss):
        raise ConfigError(f"loss is {loss!r}, expected a function of outputs and targets.")
    if getattr(loss, "__module__", "").startswith("torch.nn."):
        raise ConfigError(
            f"loss is {getattr(loss, '__name__', loss)}, which takes labels where gnnkit gives a record of targets. "
            "Wrap it in a function of (outputs, targets) that reads targets.y where targets.mask is true."
        )
    if metrics is None:
        return
    if not isinstance(metrics, Mapping) or not metrics or not all(callable(each) for each in metrics.values()):
        raise ConfigError(f"metrics is {metrics!r}, expected functions of scores and labels by name, one at least.")
