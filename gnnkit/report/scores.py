"""How good predictions are, class by class; scikit-learn counts.

Rules: labels of -100 take no part. For multi-label data an output above 0 is a yes, as in gnnkit's metrics.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Mapping, Optional, Sequence, Tuple

import numpy as np
from torch import Tensor

from gnnkit.data import IGNORED_LABEL
from gnnkit.tasks import METRICS


@dataclass(frozen=True)
class ClassScores:
    """Scores of every class on a set of nodes.

    Attributes:
        split: Which nodes: "test", "valid" or "train".
        num_nodes: How many of them have a label.
        precision: Share of right ones among nodes that were given the class, 0 where there are none. Shape [C].
        recall: Share of the class's nodes that were found, 0 where there are none. Shape [C].
        f1: Harmonic mean of both. Shape [C].
        support: Nodes of the class. Shape [C], int64.
        confusion: Nodes by true class (row) and predicted class (column). Shape [C, C], int64. None for multi-label
            data, where a node has no one class.
        items: "nodes", or "pairs" that stand in their place.
    """

    split: str
    num_nodes: int
    precision: np.ndarray
    recall: np.ndarray
    f1: np.ndarray
    support: np.ndarray
    confusion: Optional[np.ndarray]
    items: str = "nodes"

    @property
    def accuracy(self) -> Optional[float]:
        """Share of nodes with the right class; None for multi-label data."""
        return None if self.confusion is None else float(self.confusion.trace() / self.confusion.sum())

    @property
    def macro_f1(self) -> float:
        """Mean F1 score of the classes that are met or predicted, as the metric of this name."""
        if self.confusion is None:
            return float(self.f1.mean())
        return float(self.f1[(self.confusion.sum(axis=0) + self.support) > 0].mean())

    def mistakes(self, most: int) -> List[Tuple[int, int, int]]:
        """The most frequent ones: true class, predicted class, nodes."""
        if self.confusion is None:
            return []
        wrong = self.confusion.copy()
        np.fill_diagonal(wrong, 0)
        order = np.argsort(-wrong, axis=None, kind="stable")[:most]
        pairs = zip(*np.unravel_index(order, wrong.shape))
        return [(int(true), int(found), int(wrong[true, found])) for true, found in pairs if wrong[true, found]]


@dataclass(frozen=True)
class NumberScores:
    """How far predicted numbers are from the true ones, on a set of nodes.

    Attributes:
        split: Which nodes: "test", "valid" or "train".
        num_nodes: How many there are.
        rows: For each number by name: how many nodes have it, root mean squared and mean absolute error, share of the
            variance that is explained, mean and standard deviation of the true ones. In the data's units.
        items: As of :class:`ClassScores`.
    """

    split: str
    num_nodes: int
    rows: Mapping[str, Tuple[int, float, float, float, float, float]]
    items: str = "nodes"


def score_numbers(outputs: Tensor, y: Tensor, names: Sequence[str], split: str) -> Optional[NumberScores]:
    """Score numbers.

    Args:
        outputs: Predictions. Shape [M, T].
        y: The true numbers, NaN for a missing one. Shape [M, T].
        names: One for each.
        split: Which nodes they are.

    Returns:
        The scores; None if no number is known.
    """
    rows = {}
    for name, predicted, true in zip(names, outputs.T, y.double().T):
        known = ~true.isnan()
        if bool(known.any()):
            errors = [METRICS[metric](predicted, true) for metric in ("rmse", "mae", "r2")]
            spread = (float(true[known].mean()), float(true[known].std(unbiased=False)))
            rows[name] = (int(known.sum()), errors[0], errors[1], errors[2], *spread)
    return NumberScores(split, len(y), rows) if rows else None


def score_classes(outputs: Tensor, y: Tensor, split: str) -> Optional[ClassScores]:
    """Score outputs by class.

    Args:
        outputs: Logits. Shape [M, C].
        y: Labels of the same nodes. Shape [M] int64, or [M, C] floating point for multi-label data.
        split: Which nodes they are.

    Returns:
        The scores; None if no node has a label.
    """
    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

    kept = y != IGNORED_LABEL
    if not bool(kept.any()):
        return None
    num_classes = outputs.shape[1]
    if y.ndim == 2:
        return _score_columns(outputs, y, split)
    true, found = y[kept].numpy(), outputs.argmax(dim=-1)[kept].numpy()
    classes = np.arange(num_classes)
    confusion = confusion_matrix(true, found, labels=classes)
    precision, recall, f1, support = precision_recall_fscore_support(true, found, labels=classes, zero_division=0.0)
    return ClassScores(split, len(true), precision, recall, f1, support, confusion)


def _score_columns(outputs: Tensor, y: Tensor, split: str) -> ClassScores:
    """Every class as a question of its own, on the nodes where it is answered."""
    from sklearn.metrics import precision_recall_fscore_support

    rows = []
    for c in range(outputs.shape[1]):
        kept = y[:, c] != IGNORED_LABEL
        true, found = (y[kept, c] > 0.5).numpy(), (outputs[kept, c] > 0).numpy()
        precision, recall, f1, _ = precision_recall_fscore_support(true, found, average="binary", zero_division=0.0)
        rows.append((precision, recall, f1, int(true.sum())))
    precision, recall, f1, support = (np.array(column) for column in zip(*rows))
    num_nodes = int((y != IGNORED_LABEL).any(dim=1).sum())
    return ClassScores(split, num_nodes, precision, recall, f1, support, confusion=None)
