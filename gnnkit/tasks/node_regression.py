"""Node regression: one number per node, or several of which some may be missing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Dict, List, Mapping, Optional, Tuple

import torch
from torch import Tensor
from torch.nn import functional

from gnnkit.data import IGNORED_LABEL, Graph, Targets
from gnnkit.errors import ConfigError, DataError, UnknownNameError
from gnnkit.registry import API_VERSION
from gnnkit.tasks.base import NUMBERS, Task, check_learnable
from gnnkit.tasks.metrics import chosen_metrics
from gnnkit.tasks.node_types import with_labels_of_type
from gnnkit.tasks.units import Units, units_of

_METRICS = ("rmse", "mae", "r2")
LOSSES = ("squared", "absolute", "huber")


@dataclass(frozen=True)
class NodeRegressionOptions:
    """Options of the task ``node_regression``.

    Attributes:
        targets: Names of the arrays of ``Graph.node_data`` to regress. Nothing: the numbers in ``Graph.y``, or the
            column of labels of a folder if that holds numbers.
        loss: "squared", "absolute", or "huber": squared for errors up to ``huber_delta`` and absolute beyond (Huber
            1964).
        huber_delta: In standard deviations, unless ``standardize`` is false.
        log: Whether to learn the natural logarithm of the numbers, which must be positive. Metrics are of logarithms
            then; predictions come back in the data's units.
        standardize: Whether the model learns numbers of mean 0 and standard deviation 1, by the training nodes.
            Predictions and metrics are in the data's units all the same.
        metrics: Names of the metrics, the one that picks the best model first: "rmse", "mae", "r2". Nothing: these.
        metric: The metric that picks the best model, among these or besides them.
        node_type: On a typed graph, the node type to learn. Nothing: the only one with labels.
    """

    targets: Optional[List[str]] = None
    loss: str = "squared"
    huber_delta: float = 1.0
    log: bool = False
    standardize: bool = True
    metrics: Optional[List[str]] = None
    metric: Optional[str] = None
    node_type: Optional[str] = None

    def __post_init__(self) -> None:
        if self.loss not in LOSSES:
            raise UnknownNameError("loss of task 'node_regression':", self.loss, LOSSES)
        if self.huber_delta <= 0:
            raise ConfigError(f"huber_delta is {self.huber_delta}, expected a positive number.")
        if self.targets is not None and (not self.targets or len(set(self.targets)) < len(self.targets)):
            raise ConfigError(f"targets is {self.targets}, expected names of node_data, each once.")


class NodeRegression(Task):
    """Learn numbers of nodes. T is how many a node has.

    Args:
        options: The settings.
        units: What the numbers are called and how they are scaled. None: one number, as it is.
        default: The metric that picks the best model if the options do not say; one of labels, or None, for the usual.
    """

    name: ClassVar[str] = "node_regression"
    api_version: ClassVar[int] = API_VERSION
    summary: ClassVar[str] = "A number of each node, or several of which some may be missing."
    options_class = NodeRegressionOptions
    outputs = NUMBERS

    def __init__(
        self,
        options: Optional[NodeRegressionOptions] = None,
        units: Optional[Units] = None,
        default: Optional[str] = None,
    ) -> None:
        super().__init__(options)
        self.units: Units = Units(("y",), (0.0,), (1.0,)) if units is None else units
        names = list(dict.fromkeys([*([default] if default in _METRICS else []), *_METRICS]))
        self.metrics = chosen_metrics(NUMBERS, names, self.options.metrics, self.options.metric)

    @classmethod
    def arrange(cls, graph: Graph, options: NodeRegressionOptions, seed: int) -> Graph:
        """See :class:`Task`: on a typed graph the labels and splits of one type."""
        return with_labels_of_type(graph, options.node_type, seed)

    @classmethod
    def for_graph(cls, graph: Graph, options: Optional[NodeRegressionOptions] = None) -> NodeRegression:
        """The task on a graph's numbers.

        Raises:
            DataError: There are none, one has no logarithm, or features or splits are missing.
            UnknownNameError: There is no such array of ``node_data``.
        """
        options = NodeRegressionOptions() if options is None else options
        values, names = numbers_of(graph, options.targets)
        known = ~values.isnan()
        check_learnable(graph, "node regression", known.any(dim=1))
        training = graph.splits["train"]
        units = units_of(values, training, names, log=options.log, standardize=options.standardize)
        return cls(options, units, default=graph.metric)

    def labelled(self, graph: Graph) -> Graph:
        """The graph with scaled numbers [N, T] as ``y``, NaN for a missing one."""
        values = self.units.to_model(numbers_of(graph, self.options.targets)[0])
        return replace(graph, y=values, class_names=())

    def num_outputs(self, graph: Graph) -> int:
        """One for each number."""
        return len(self.units.names)

    def loss(self, outputs: Tensor, targets: Targets) -> Tensor:
        """Mean over the numbers that are known, all alike whichever node has them.

        Args:
            outputs: Scaled numbers. Shape [N, T].
            targets: Scaled numbers in ``y``, NaN where one is missing. Shape [N, T] or, for one number, [N].

        Returns:
            A scalar; 0 for a batch in which nothing is known.
        """
        assert targets.y is not None, "nodes have numbers"
        y = targets.y.reshape(outputs.shape)
        known = ~torch.isnan(y)
        if targets.mask is not None:
            known = known & targets.mask.reshape(-1, 1)
        true = torch.where(known, y, torch.zeros_like(y)).to(outputs.dtype)
        predicted = torch.where(known, outputs, torch.zeros_like(outputs))  # So that what is unknown adds 0.
        return self._errors(predicted, true).sum() / known.sum().clamp(min=1)

    def weight(self, targets: Targets) -> float:
        """See :class:`gnnkit.tasks.Task`: how many numbers are known."""
        assert targets.y is not None, "nodes have numbers"
        known = ~torch.isnan(targets.y)
        if targets.mask is not None:
            known = known & targets.mask.reshape(-1, *[1] * (known.ndim - 1))
        return float(known.sum())

    def _errors(self, predicted: Tensor, true: Tensor) -> Tensor:
        if self.options.loss == "absolute":
            return functional.l1_loss(predicted, true, reduction="none")
        if self.options.loss == "huber":
            return functional.huber_loss(predicted, true, reduction="none", delta=self.options.huber_delta)
        return functional.mse_loss(predicted, true, reduction="none")

    def judge(self, scores: Tensor, targets: Targets) -> Dict[str, float]:
        """See :class:`Task`; in the data's units, of logarithms where those are learned."""
        assert targets.y is not None
        true = self.units.judged(targets.y.reshape(scores.shape))
        return super().judge(self.units.judged(scores), replace(targets, y=true))


def numbers_of(graph: Graph, targets: Optional[List[str]]) -> Tuple[Tensor, Tuple[str, ...]]:
    """The numbers of a graph's nodes, and their names.

    Args:
        graph: The graph.
        targets: As of :class:`NodeRegressionOptions`.

    Returns:
        Shape [N, T], float64, NaN for a missing one; and T names.

    Raises:
        DataError: There are none, or an array holds no numbers.
        UnknownNameError: There is no such array.
    """
    if targets is not None:
        for name in targets:
            if name not in graph.node_data:
                raise UnknownNameError("array of node_data:", name, graph.node_data)
        columns = [_column(name, graph.node_data[name]) for name in targets]
        return torch.cat(columns, dim=1), _names({name: c.shape[1] for name, c in zip(targets, columns)})
    if graph.y is None and len(graph.notes.numbers) == 1:
        return numbers_of(graph, list(graph.notes.numbers))
    if graph.y is None:
        held = ", ".join(graph.node_data) or "nothing"
        fix = f"Pass y=... , or name arrays of node_data, which holds {held}: task_options.targets=[NAME]."
        raise DataError("y", "the graph has no numbers, node regression needs some.", fix=fix)
    column = _column("y", graph.y)
    if not graph.has_numbers:  # Classes, or answers of 0 and 1, which have a mark of their own for a missing one.
        column = torch.where(column == IGNORED_LABEL, float("nan"), column)
    named = graph.class_names if len(graph.class_names) == column.shape[1] and graph.y.ndim == 2 else ()
    return column, tuple(named) or _names({"y": column.shape[1]})


def _names(widths: Mapping[str, int]) -> Tuple[str, ...]:
    return tuple(name if width == 1 else f"{name}[{place}]" for name, width in widths.items() for place in range(width))


def _column(name: str, values: Tensor) -> Tensor:
    field = name if name == "y" else f"node_data[{name!r}]"
    if values.ndim not in (1, 2) or values.is_complex():
        raise DataError(field, f"shape is {list(values.shape)}, expected numbers of shape [N] or [N, T].")
    column = values.double().reshape(len(values), -1)
    if bool(column.isinf().any()):
        row = int(column.isinf().any(dim=1).nonzero()[0])
        raise DataError(field, "a number is infinite, expected finite ones, or NaN for a missing one.", row=row)
    return column
