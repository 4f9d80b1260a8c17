"""Metrics: how good scores are, by name, and whether more is better.

Rules: a metric takes the scores of the nodes that are to be judged, [N, C], and what is true of them: classes [N],
labels [N, C] of 0 and 1, or numbers [N, C]. Labels of -100 and numbers that are NaN take no part. scikit-learn computes
areas under curves; it is not imported for anything else, because it costs every process 70 MB and a second.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Callable, Dict, FrozenSet, List, Mapping, Optional, Sequence, Tuple

import numpy as np
import torch
from torch import Tensor

from gnnkit.data import IGNORED_LABEL
from gnnkit.datasets.ogb_files import import_ogb
from gnnkit.errors import ConfigError, UnknownNameError


@dataclass(frozen=True)
class Metric:
    """A metric; call it as its function.

    Attributes:
        compute: From scores [N, C] and labels to a number; NaN where there is nothing to judge.
        higher_is_better: Whether a larger number is a better one.
        kinds: Which outputs it judges: "classes", "labels", "numbers".

    Example:
        >>> METRICS["mae"](torch.tensor([[2.0]]), torch.tensor([[5.0]])), METRICS["mae"].higher_is_better
        (3.0, False)
    """

    compute: Callable[[Tensor, Tensor], float]
    higher_is_better: bool = True
    kinds: FrozenSet[str] = frozenset({"classes", "labels", "numbers"})

    def __call__(self, scores: Tensor, y: Tensor) -> float:
        """Judge scores."""
        return float(self.compute(scores, y))


def accuracy(outputs: Tensor, y: Tensor) -> float:
    """Share of nodes whose largest output is their class; for multi-label data, of entries with the right sign."""
    kept = y != IGNORED_LABEL
    if not bool(kept.any()):
        return math.nan
    right = (outputs > 0) == (y > 0.5) if y.ndim == 2 else outputs.argmax(dim=-1) == y
    return float(right[kept].double().mean())


def macro_f1(outputs: Tensor, y: Tensor) -> float:
    """Mean over classes of the F1 score, as scikit-learn computes it.

    The mean is over classes that are met or predicted; one that is only either counts 0. For multi-label data it is
    over the columns that have labels, and one without a 1 in labels and outputs counts 0.
    """
    if y.ndim == 2:
        found = [
            _f1_scores(predicted.astype(np.int64), true.astype(np.int64), 2)[1]
            for predicted, true in _columns(outputs > 0, y)
        ]
        return float(np.mean(np.nan_to_num(found))) if found else math.nan
    kept = y != IGNORED_LABEL
    if not bool(kept.any()):
        return math.nan
    scores = _f1_scores(outputs.argmax(dim=-1)[kept].numpy(), y[kept].numpy(), outputs.shape[1])
    return float(np.mean(scores[~np.isnan(scores)]))


def _f1_scores(predicted: np.ndarray, true: np.ndarray, num_classes: int) -> np.ndarray:
    """The F1 score of every class, [num_classes]; NaN for one that is neither met nor predicted."""
    hits = np.bincount(true[predicted == true], minlength=num_classes)
    either = np.bincount(true, minlength=num_classes) + np.bincount(predicted, minlength=num_classes)
    scores: np.ndarray = np.divide(2.0 * hits, either, out=np.full(len(either), math.nan), where=either > 0)
    return scores


def rocauc(outputs: Tensor, y: Tensor) -> float:
    """Mean over the columns of multi-label data of the area under the ROC curve, as the Open Graph Benchmark does.

    Columns in which only one value occurs are left out. For classes, the mean over one-against-rest problems, in which
    nodes are ranked by the probability of the class: a constant added to all outputs of a node changes nothing.
    """
    from sklearn.metrics import roc_auc_score

    areas = [roc_auc_score(true, score) for score, true in _columns(*_rankings(outputs, y)) if 0 < true.mean() < 1]
    return float(np.mean(areas)) if areas else math.nan


def average_precision(outputs: Tensor, y: Tensor) -> float:
    """Mean over the columns of multi-label data of the average precision, as the Open Graph Benchmark does.

    Columns in which only one value occurs are left out. Classes are ranked as in :func:`rocauc`.
    """
    from sklearn.metrics import average_precision_score

    columns = _columns(*_rankings(outputs, y))
    precisions = [average_precision_score(true, score) for score, true in columns if 0 < true.mean() < 1]
    return float(np.mean(precisions)) if precisions else math.nan


def _rankings(outputs: Tensor, y: Tensor) -> Tuple[Tensor, Tensor]:
    """Scores and labels [N, C]: those of multi-label data, or one class against the rest in each column."""
    if y.ndim == 2:
        return outputs, y
    classes = torch.arange(outputs.shape[1])
    return _log_odds(outputs), torch.where((y == IGNORED_LABEL)[:, None], IGNORED_LABEL, (y[:, None] == classes).long())


def _log_odds(outputs: Tensor) -> Tensor:
    """Logarithm of p / (1 - p) for each class, [N, C]: in the order of probabilities, which end in ties at 0 and 1.

    Of two classes it is the difference of their outputs.
    """
    outputs = outputs.double()
    outputs = outputs - outputs.amax(dim=1, keepdim=True)
    none = torch.full_like(outputs[:, :1], -math.inf)
    before = torch.cat([none, outputs[:, :-1]], dim=1).logcumsumexp(dim=1)
    after = torch.cat([outputs[:, 1:], none], dim=1).flip(1).logcumsumexp(dim=1).flip(1)
    return outputs - torch.logaddexp(before, after)


def _columns(values: Tensor, y: Tensor) -> List[List[np.ndarray]]:
    """The labelled part of every column, as pairs (values, labels)."""
    kept = y != IGNORED_LABEL
    pairs = ((values[kept[:, c], c].numpy(), y[kept[:, c], c].numpy()) for c in range(y.shape[1]))
    return [[value, label] for value, label in pairs if label.size]


def rmse(outputs: Tensor, y: Tensor) -> float:
    """Root of the mean squared error; of several numbers a node, the mean over them."""
    return _over_columns(outputs, y, lambda error, _: float(np.sqrt(np.mean(error**2))))


def mae(outputs: Tensor, y: Tensor) -> float:
    """Mean absolute error; of several numbers a node, the mean over them."""
    return _over_columns(outputs, y, lambda error, _: float(np.mean(np.abs(error))))


def r2(outputs: Tensor, y: Tensor) -> float:
    """Share of the variance that is explained; of several numbers a node, the mean over them.

    A number that is the same at all nodes has no variance: it is left out.
    """
    return _over_columns(outputs, y, _explained)


def _explained(error: np.ndarray, true: np.ndarray) -> float:
    if true.min() == true.max():  # Of their sum of squares rounding would leave something.
        return math.nan
    return 1 - float(np.sum(error**2) / np.sum((true - true.mean()) ** 2))


def _over_columns(outputs: Tensor, y: Tensor, judge: Callable[[np.ndarray, np.ndarray], float]) -> float:
    """Mean over columns of what is found of errors and true numbers, both of the nodes whose number is known."""
    outputs, y = outputs.double().reshape(len(y), -1), y.double().reshape(len(y), -1)
    found = []
    for predicted, true in zip(outputs.numpy().T, y.numpy().T):
        kept = ~np.isnan(true)
        if kept.any():
            found.append(judge(predicted[kept] - true[kept], true[kept]))
    known = [value for value in found if not math.isnan(value)]
    return float(np.mean(known)) if known else math.nan


_LABELS = frozenset({"classes", "labels"})
_NUMBERS = frozenset({"numbers"})
METRICS: Mapping[str, Metric] = {
    "accuracy": Metric(accuracy, kinds=_LABELS),
    "macro_f1": Metric(macro_f1, kinds=_LABELS),
    "rocauc": Metric(rocauc, kinds=_LABELS),
    "average_precision": Metric(average_precision, kinds=_LABELS),
    "rmse": Metric(rmse, higher_is_better=False, kinds=_NUMBERS),
    "mae": Metric(mae, higher_is_better=False, kinds=_NUMBERS),
    "r2": Metric(r2, kinds=_NUMBERS),
}
"""All metrics by name."""


def chosen_metrics(
    kind: str,
    default: Sequence[str],
    names: Optional[Sequence[str]] = None,
    best: Optional[str] = None,
    official: Mapping[str, Metric] = METRICS,
) -> Dict[str, Metric]:
    """The metrics that a task's options ask for.

    Args:
        kind: What is judged: "classes", "labels" or "numbers".
        default: Names if none are asked for.
        names: Names that are asked for.
        best: The one that picks the best model, which comes first. None: the first of them.
        official: How each is computed.

    Raises:
        UnknownNameError: No such metric for outputs of this kind.
        ConfigError: A name comes twice, or there is none.

    Example:
        >>> list(chosen_metrics("numbers", ["rmse", "mae"], best="r2"))
        ['r2', 'rmse', 'mae']
    """
    listed = list(default if names is None else names)
    if not listed or len(set(listed)) < len(listed):
        raise ConfigError(f"metrics is {listed}, expected names, each once.")
    known = [name for name, metric in official.items() if kind in metric.kinds]
    for name in [*listed, *([] if best is None else [best])]:
        if name not in known:
            raise UnknownNameError(f"metric of {kind}", name, known)
    return {name: official[name] for name in dict.fromkeys([*([] if best is None else [best]), *listed])}


def ogb_evaluator(kind: str, dataset: str) -> Any:
    """The Open Graph Benchmark's own evaluator of a data set; None for one that it does not list.

    Args:
        kind: OGB's module of such data: "nodeproppred", "linkproppred" or "graphproppred".
        dataset: Name as OGB publishes it.

    Raises:
        NotInstalledError: The package ogb is missing.
    """
    module = import_ogb(f"ogb.{kind}")
    try:
        return module.Evaluator(dataset)
    except ValueError:
        return None


_OGB_METRICS = {"acc": "accuracy", "rocauc": "rocauc", "ap": "average_precision"}
"""Our names for OGB's metrics of labels."""


def ogb_metric(dataset: str) -> Dict[str, Metric]:
    """The official metric of an Open Graph Benchmark data set, computed by OGB's own Evaluator.

    Args:
        dataset: Name as OGB publishes it, for example ``"ogbn-arxiv"``.

    Returns:
        The metric under our name for it; empty for a data set that OGB does not list, or whose metric is none of
        labels.

    Raises:
        NotInstalledError: The package ogb is missing.
    """
    evaluator = ogb_evaluator("graphproppred" if dataset.startswith("ogbg-") else "nodeproppred", dataset)
    ours = None if evaluator is None else _OGB_METRICS.get(evaluator.eval_metric)
    if ours is None:
        return {}

    def evaluate(outputs: Tensor, y: Tensor) -> float:
        if evaluator.eval_metric == "acc":
            labels, predicted = y[:, None].double(), outputs.argmax(dim=-1, keepdim=True).double()
        elif y.ndim == 1:  # Two classes, where OGB has one answer.
            labels, predicted = y[:, None].double(), _log_odds(outputs)[:, 1:]
        else:
            labels, predicted = y.double(), outputs.double()
        labels = labels.masked_fill(labels == IGNORED_LABEL, math.nan)
        result: Dict[str, float] = evaluator.eval({"y_true": labels.numpy(), "y_pred": predicted.numpy()})
        return float(result[evaluator.eval_metric])

    return {ours: Metric(evaluate, kinds=_LABELS)}
