"""Node classification: one class per node, or any number of them (multi-label)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, List, Mapping, Optional, Sequence, Tuple, Union

import torch
from torch import Tensor
from torch.nn import functional

from gnnkit.data import IGNORED_LABEL, Graph, Targets
from gnnkit.errors import ConfigError, DataError
from gnnkit.registry import API_VERSION
from gnnkit.tasks.base import CLASSES, LABELS, Task, check_learnable
from gnnkit.tasks.metrics import METRICS, Metric, chosen_metrics, ogb_metric
from gnnkit.tasks.node_types import with_labels_of_type

BALANCED = "balanced"
"""Weights by how often classes occur among the training nodes."""

Weights = Union[None, str, List[float]]


@dataclass(frozen=True)
class NodeClassificationOptions:
    """Options of the task ``node_classification``.

    Attributes:
        class_weights: Weight of each class in the loss, which is a weighted mean; or "balanced": in inverse proportion
            to its training nodes, as scikit-learn has it. For one class per node.
        positive_weights: Weight of the positive answers for each label; or "balanced": negative ones over positive
            ones. For several labels per node.
        label_smoothing: Share of the truth that is spread evenly over all classes. For one class per node.
        metrics: Names of the metrics, the one that picks the best model first. Nothing: those that fit the data.
        metric: The metric that picks the best model, among these or besides them.
        node_type: On a typed graph, the node type to learn. Nothing: the only one with labels.
    """

    class_weights: Weights = None
    positive_weights: Weights = None
    label_smoothing: float = 0.0
    metrics: Optional[List[str]] = None
    metric: Optional[str] = None
    node_type: Optional[str] = None

    def __post_init__(self) -> None:
        if not 0 <= self.label_smoothing < 1:
            raise ConfigError(f"label_smoothing is {self.label_smoothing}, expected a share from 0 up to below 1.")
        for name in ("class_weights", "positive_weights"):
            value = getattr(self, name)
            if isinstance(value, str) and value != BALANCED:
                raise ConfigError(f"{name} is {value!r}, expected {BALANCED!r} or a list of numbers.")
            if isinstance(value, list) and not all(type(v) in (int, float) and v >= 0 for v in value):
                raise ConfigError(f"{name} is {value}, expected numbers of at least 0.")


class NodeClassification(Task):
    """Learn the labels of nodes.

    Args:
        options: The settings. Weights that are "balanced" need a graph, see :meth:`for_graph`.
        multi_label: Whether a node can have several labels.
        weights: Of the classes, or of the positive answers for each label. None: all are 1.
        metrics: How each metric is computed, by name.
        default: The metric that picks the best model if the options do not say; None for the usual one.

    Raises:
        UnknownNameError: No such metric.
        ConfigError: An option is for data of the other kind.
    """

    name: ClassVar[str] = "node_classification"
    api_version: ClassVar[int] = API_VERSION
    summary: ClassVar[str] = "The class of each node, or its labels where it may have several."
    options_class = NodeClassificationOptions

    def __init__(
        self,
        options: Optional[NodeClassificationOptions] = None,
        *,
        multi_label: bool = False,
        weights: Optional[Sequence[float]] = None,
        metrics: Mapping[str, Metric] = METRICS,
        default: Optional[str] = None,
    ) -> None:
        super().__init__(options)
        self.outputs = LABELS if multi_label else CLASSES
        for name, is_other in (
            ("class_weights", multi_label),
            ("label_smoothing", multi_label),
            ("positive_weights", not multi_label),
        ):
            if is_other and getattr(self.options, name):
                data = "several labels per node" if multi_label else "one class per node"
                raise ConfigError(f"Option {name!r} of task {self.name!r} has no effect on data with {data}.")
        usual = ["rocauc", "macro_f1"] if multi_label else ["accuracy", "macro_f1"]
        names = usual if default is None else list(dict.fromkeys([default, *usual]))
        self.metrics = chosen_metrics(self.outputs, names, self.options.metrics, self.options.metric, metrics)
        self.multi_label = multi_label
        self.weights = None if weights is None else [float(weight) for weight in weights]

    @classmethod
    def arrange(cls, graph: Graph, options: NodeClassificationOptions, seed: int) -> Graph:
        """See :class:`Task`: on a typed graph the labels and splits of one type."""
        return with_labels_of_type(graph, options.node_type, seed)

    @classmethod
    def for_graph(cls, graph: Graph, options: Optional[NodeClassificationOptions] = None) -> NodeClassification:
        """The task that a graph's labels and splits ask for.

        Raises:
            DataError: The graph has no features, no labels or numbers instead of them, or no split to train, validate
                or test on, or a split without a labelled node.
            ConfigError: Weights do not fit the classes.
        """
        if graph.has_numbers:
            row, number = _first_number(graph.y)
            raise DataError(
                "y",
                f"it holds numbers such as {number:g}, node classification needs classes 0, 1, ...",
                row=row,
                fix="Regress them with --task node_regression, in Python Trainer(task='node_regression'); or number "
                "them as classes with gnnkit.data.renumber_classes(labels).",
            )
        if graph.y is None and graph.notes.numbers:
            named = ", ".join(graph.notes.numbers)
            fix = f"Regress them with --task node_regression. {named} stays in node_data."
            raise DataError("y", f"the data have numbers to regress ({named}) and no classes.", fix=fix)
        if graph.y is None and graph.graph_y is not None:
            fix = "Learn what is known of graphs: --task graph_classification or graph_regression."
            raise DataError("y", "nodes have no labels, and graphs have some.", fix=fix)
        check_learnable(graph, "node classification", graph.has_label)
        options = NodeClassificationOptions() if options is None else options
        metrics = dict(METRICS)
        if graph.evaluator is not None:
            metrics.update(ogb_metric(graph.evaluator))
        multi_label = graph.is_multi_label
        weights = _weights(graph, options.positive_weights if multi_label else options.class_weights)
        return cls(options, multi_label=multi_label, weights=weights, metrics=metrics, default=graph.metric)

    def loss(self, outputs: Tensor, targets: Targets) -> Tensor:
        """Mean cross-entropy over the targets; for multi-label data mean binary cross-entropy over their entries.

        With weights and smoothing as torch's own: classes have a weighted mean, labels a mean of weighted entries.

        Args:
            outputs: Logits. Shape [N, C].
            targets: Their ``y`` are labels, -100 where there is no target: [N] int64, or [N, C] floating point.

        Returns:
            A scalar; 0 for a batch without targets.
        """
        y = targets.y
        assert y is not None, "a graph without labels is refused"
        kept = y != IGNORED_LABEL
        weights = None if self.weights is None else outputs.new_tensor(self.weights)
        if self.multi_label:
            target = y.clamp(min=0).to(outputs.dtype)
            losses = functional.binary_cross_entropy_with_logits(outputs, target, reduction="none", pos_weight=weights)
            return torch.where(kept, losses, torch.zeros_like(losses)).sum() / kept.sum().clamp(min=1)
        # The sum over a clamped count, because torch's own mean over no targets is NaN.
        total = functional.cross_entropy(
            outputs,
            y,
            weight=weights,
            ignore_index=IGNORED_LABEL,
            reduction="sum",
            label_smoothing=self.options.label_smoothing,
        )
        if weights is None:
            return total / kept.sum().clamp(min=1)
        weighed = (weights[y.clamp(min=0)] * kept).sum()
        return total / torch.where(weighed > 0, weighed, torch.ones_like(weighed))

    def weight(self, targets: Targets) -> float:
        """See :class:`Task`: the sum of the classes' weights; of several labels, the number of entries."""
        if self.multi_label and targets.y is not None:
            return float((targets.y != IGNORED_LABEL).sum())
        if self.weights is None or targets.y is None:
            return super().weight(targets)
        kept = targets.y != IGNORED_LABEL
        return float((torch.tensor(self.weights, device=kept.device)[targets.y.clamp(min=0)] * kept).sum())

    def num_outputs(self, graph: Graph) -> int:
        """One for each class."""
        return graph.num_classes


def _first_number(y: Optional[Tensor]) -> Tuple[int, float]:
    """Row and value of the first number that is neither an answer nor a mark; any if all are."""
    assert y is not None
    columns = y.reshape(len(y), -1)
    is_number = ~((columns == 0) | (columns == 1) | (columns == IGNORED_LABEL) | columns.isnan())
    row, column = (is_number if bool(is_number.any()) else ~columns.isnan()).nonzero()[0].tolist()
    return row, float(columns[row, column])


def _weights(graph: Graph, given: Weights) -> Optional[List[float]]:
    """One weight for each output; None for none.

    Raises:
        ConfigError: Not one for each.
    """
    assert graph.y is not None
    if given is None:
        return None
    if isinstance(given, list):
        if len(given) != graph.num_classes:
            raise ConfigError(f"Received {len(given)} weights, expected {graph.num_classes}: one for each class.")
        return given
    y = graph.y[graph.splits["train"]]
    if graph.is_multi_label:
        positive, negative = (y == 1).sum(dim=0).double(), (y == 0).sum(dim=0).double()
        return (negative / positive.clamp(min=1)).tolist()
    counts = torch.bincount(y[y >= 0], minlength=graph.num_classes).double()
    return (counts.sum() / (graph.num_classes * counts.clamp(min=1))).tolist()
