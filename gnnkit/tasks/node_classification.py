"""Node classification: one class per node, or any number of them (multi-label)."""

from __future__ import annotations

from typing import Any, ClassVar, Dict, Mapping

import torch
from torch import Tensor
from torch.nn import functional

from gnnkit.data import IGNORED_LABEL, Graph, Targets
from gnnkit.errors import UnknownNameError
from gnnkit.tasks.base import Task, check_learnable
from gnnkit.tasks.metrics import METRICS, Metric, ogb_metric


class NodeClassification(Task):
    """Learn the labels of nodes.

    Args:
        multi_label: Whether a node can have several labels.
        metric: The metric that picks the best model; it comes first in every report.
        metrics: How each metric is computed, by name.

    Raises:
        UnknownNameError: No such metric.
    """

    name: ClassVar[str] = "node_classification"

    def __init__(
        self, *, multi_label: bool = False, metric: str = "accuracy", metrics: Mapping[str, Metric] = METRICS
    ) -> None:
        if metric not in metrics:
            raise UnknownNameError("metric", metric, metrics)
        self.multi_label = multi_label
        self.metric = metric
        self._metrics = metrics

    @classmethod
    def for_graph(cls, graph: Graph, **settings: Any) -> NodeClassification:
        """The task that a graph's labels and splits ask for.

        Raises:
            DataError: The graph has no features, no labels, or no split to train, validate or test on, or a split
                without a labelled node.
        """
        check_learnable(graph, "node classification")
        metrics = dict(METRICS)
        if graph.name.startswith("ogbn-"):
            metrics.update(ogb_metric(graph.name))
        default = "rocauc" if graph.is_multi_label else "accuracy"
        return cls(multi_label=graph.is_multi_label, metric=graph.metric or default, metrics=metrics)

    def loss(self, outputs: Tensor, targets: Targets) -> Tensor:
        """Mean cross-entropy over the targets; for multi-label data mean binary cross-entropy over their entries.

        Args:
            outputs: Logits. Shape [N, C].
            targets: Their ``y`` are labels, -100 where there is no target: [N] int64, or [N, C] floating point.

        Returns:
            A scalar; 0 for a batch without targets.
        """
        y = targets.y
        assert y is not None, "a graph without labels is refused"
        kept = y != IGNORED_LABEL
        if self.multi_label:
            target = y.clamp(min=0).to(outputs.dtype)
            losses = functional.binary_cross_entropy_with_logits(outputs, target, reduction="none")
            return torch.where(kept, losses, torch.zeros_like(losses)).sum() / kept.sum().clamp(min=1)
        # The sum over a clamped count, because torch's own mean over no targets is NaN.
        total = functional.cross_entropy(outputs, y, ignore_index=IGNORED_LABEL, reduction="sum")
        return total / kept.sum().clamp(min=1)

    def num_outputs(self, graph: Graph) -> int:
        """One for each class."""
        return graph.num_classes

    def validation_loss(self, scores: Tensor, y: Tensor) -> Tensor:
        """The loss of training."""
        return self.loss(scores, Targets(y))

    def evaluate(self, scores: Tensor, y: Tensor) -> float:
        """See :class:`Task`."""
        return self._metrics[self.metric](scores, y)

    def evaluate_all(self, scores: Tensor, y: Tensor) -> Dict[str, float]:
        """See :class:`Task`."""
        names = [self.metric, "accuracy", "macro_f1"] if not self.multi_label else [self.metric, "rocauc", "macro_f1"]
        return {name: self._metrics[name](scores, y) for name in dict.fromkeys(names)}
