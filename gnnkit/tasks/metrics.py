"""Metrics: numbers between 0 and 1 from outputs and labels. Larger is better.

Rules: a metric takes the outputs of the nodes that are to be judged, [N, C], and their labels, [N] or for multi-label
data [N, C]; labels of -100 take no part. scikit-learn computes what is more than a mean.
"""

from __future__ import annotations

import math
from typing import Callable, Dict, List, Mapping

import numpy as np
import torch
from torch import Tensor

from gnnkit.data import IGNORED_LABEL
from gnnkit.errors import NotInstalledError

Metric = Callable[[Tensor, Tensor], float]


def accuracy(outputs: Tensor, y: Tensor) -> float:
    """Share of nodes whose largest output is their class; for multi-label data, of entries with the right sign."""
    kept = y != IGNORED_LABEL
    if not bool(kept.any()):
        return math.nan
    right = (outputs > 0) == (y > 0.5) if y.ndim == 2 else outputs.argmax(dim=-1) == y
    return float(right[kept].double().mean())


def macro_f1(outputs: Tensor, y: Tensor) -> float:
    """Mean over classes of the F1 score, as scikit-learn defines it; a class never met or predicted counts 0."""
    from sklearn.metrics import f1_score

    if y.ndim == 2:
        scores = []
        for predicted, true in _columns(outputs > 0, y):
            scores.append(f1_score(true, predicted, zero_division=0.0))
        return float(np.mean(scores)) if scores else math.nan
    kept = y != IGNORED_LABEL
    if not bool(kept.any()):
        return math.nan
    return float(f1_score(y[kept].numpy(), outputs.argmax(dim=-1)[kept].numpy(), average="macro", zero_division=0.0))


def rocauc(outputs: Tensor, y: Tensor) -> float:
    """Mean over the columns of multi-label data of the area under the ROC curve, as the Open Graph Benchmark does.

    Columns in which only one value occurs are left out. For classes, the mean over one-against-rest problems, in which
    nodes are ranked by the probability of the class: a constant added to all outputs of a node changes nothing.
    """
    from sklearn.metrics import roc_auc_score

    if y.ndim == 1:
        outputs = _log_odds(outputs)
        classes = torch.arange(outputs.shape[1])
        y = torch.where((y == IGNORED_LABEL)[:, None], IGNORED_LABEL, (y[:, None] == classes).long())
    areas = [roc_auc_score(true, score) for score, true in _columns(outputs, y) if 0 < true.mean() < 1]
    return float(np.mean(areas)) if areas else math.nan


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


METRICS: Mapping[str, Metric] = {"accuracy": accuracy, "macro_f1": macro_f1, "rocauc": rocauc}
"""All metrics by name."""


def ogb_metric(dataset: str) -> Dict[str, Metric]:
    """The official metric of an Open Graph Benchmark data set, computed by OGB's own Evaluator.

    Args:
        dataset: Name as OGB publishes it, for example ``"ogbn-arxiv"``.

    Returns:
        The metric under our name for it; empty for a data set that OGB does not list.

    Raises:
        NotInstalledError: The package ogb is missing.
    """
    try:
        from ogb.nodeproppred import Evaluator
    except ImportError as error:
        raise NotInstalledError("The evaluator of the Open Graph Benchmark", "pip install 'gnnkit[ogb]'") from error
    try:
        evaluator = Evaluator(dataset)
    except ValueError:
        return {}
    ours = {"acc": "accuracy", "rocauc": "rocauc"}[evaluator.eval_metric]

    def evaluate(outputs: Tensor, y: Tensor) -> float:
        if evaluator.eval_metric == "acc":
            labels, predicted = y[:, None].double(), outputs.argmax(dim=-1, keepdim=True).double()
        else:
            labels, predicted = y.double(), outputs.double()
        labels = labels.masked_fill(labels == IGNORED_LABEL, math.nan)
        result: Dict[str, float] = evaluator.eval({"y_true": labels.numpy(), "y_pred": predicted.numpy()})
        return float(result[evaluator.eval_metric])

    return {ours: evaluate}
