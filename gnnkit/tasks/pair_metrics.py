"""Metrics of pairs: how well scores tell pairs that are true from pairs that are none.

Rules: a metric takes scores of pairs, [n], and of negatives: [m] that all pairs are told from, or [n, K] that are each
pair's own. All of it is counting, for each pair, how many negatives score higher and how many the same, so the order of
items never decides between equals. Scores are compared as they are, in their own precision.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from functools import partial
from typing import Callable, Dict, FrozenSet, Mapping, Optional, Sequence, Tuple

import torch
from torch import Tensor

from gnnkit.errors import ConfigError, UnknownNameError
from gnnkit.tasks.metrics import Metric, ogb_evaluator

NAMES = ("auc", "average_precision", "mrr", "hits@K", "mean_rank")
"""Names of metrics of pairs; K is any number from 1."""


@dataclass(frozen=True)
class PairMetric(Metric):
    """A metric of pairs; call it with scores of pairs [n] and of negatives, [m] or [n, K].

    It is NaN where there are no pairs or no negatives, and where a score is NaN.

    Attributes:
        of_ranks: The same from the pairs' ranks among their candidates, [n], the best being 1. None: ranks do not say.

    Example:
        >>> positive, negative = torch.tensor([3.0, 1.0]), torch.tensor([2.0, 0.0, -1.0])
        >>> pair_metric("hits@1")(positive, negative), pair_metric("mrr")(positive, negative)
        (0.5, 0.75)
    """

    kinds: FrozenSet[str] = frozenset({"pairs"})
    of_ranks: Optional[Callable[[Tensor], float]] = None

    def __call__(self, positive: Tensor, negative: Tensor) -> float:
        """Judge scores.

        Args:
            positive: Scores of pairs. Shape [n].
            negative: Scores of negatives. Shape [m] or [n, K].
        """
        if any(not scores.numel() or bool(scores.isnan().any()) for scores in (positive, negative)):
            return math.nan
        return super().__call__(positive, negative)


def pair_metric(name: str) -> PairMetric:
    """A metric of pairs by name.

    Args:
        name: "auc" (area under the ROC curve) or "average_precision", both as scikit-learn defines them, of all scores
            together. "mrr": mean of 1 / rank. "mean_rank": mean rank, less is better. "hits@K":
            share of pairs whose rank is K at most. Where scores are equal, a rank is the mean of the best and the worst
            possible, as in the Open Graph Benchmark; as there, "hits@K" of negatives that all pairs are told from takes
            the worst.

    Raises:
        UnknownNameError: There is no such metric.
        ConfigError: The K of "hits@K" is no number from 1.

    Example:
        >>> pair_metric("auc")(torch.tensor([1.0, 3.0]), torch.tensor([[2.0], [0.0]]))
        0.75
    """
    if name in _PLAIN:
        return _PLAIN[name]
    if not name.startswith("hits@"):
        raise UnknownNameError("metric of pairs", name, NAMES)
    if not re.fullmatch(r"hits@[1-9][0-9]*", name):
        raise ConfigError(
            f"Metric {name!r} asks for hits among the best {name[5:]!r}, expected a number from 1: hits@20."
        )
    most = int(name[5:])
    return PairMetric(partial(_hits, most), of_ranks=lambda ranks: float((ranks <= most).double().mean()))


def rank_metric(metric: Metric, ranks: Tensor) -> float:
    """A metric of pairs that were ranked among all nodes.

    Args:
        metric: "mrr" or "hits@K".
        ranks: As :func:`gnnkit.tasks.ranking.ranks` gives them. Shape [n, 3].

    Returns:
        NaN without any pair.

    Raises:
        ConfigError: The metric is of scores, and ranks do not say what it is.

    Example:
        >>> rank_metric(pair_metric("mrr"), torch.tensor([[1.0, 1.0, -0.1], [1.0, 3.0, -0.2]]))
        0.75
    """
    if not isinstance(metric, PairMetric) or metric.of_ranks is None:
        raise ConfigError(
            "A metric of scores cannot be computed from ranks among all nodes, expected mrr, hits@K or mean_rank. "
            "Judge by negatives: candidates='negatives'."
        )
    return metric.of_ranks(ranks[:, :2].double().mean(dim=1))


def chosen_pair_metrics(
    names: Sequence[str],
    wanted: Optional[Sequence[str]] = None,
    first: Optional[str] = None,
    *,
    default: Optional[str] = None,
    evaluator: Optional[str] = None,
    ranked: bool = False,
) -> Dict[str, PairMetric]:
    """The metrics that a task's options ask for.

    Args:
        names: Those that are usual.
        wanted: Those that are asked for instead.
        first: The one that picks the best model.
        default: The metric that the data ask for, which comes before the usual ones; one of nodes says nothing here.
        evaluator: The Open Graph Benchmark's name of the data, whose evaluator then computes its metric.
        ranked: Whether pairs are ranked among all nodes.

    Raises:
        UnknownNameError: There is no such metric.
        ConfigError: A name comes twice, there is none, or ranks do not say what it is.

    Example:
        >>> list(chosen_pair_metrics(["auc", "mrr"], default="hits@50"))
        ['hits@50', 'auc', 'mrr']
    """
    listed = list(names if wanted is None else wanted)
    if not listed or len(set(listed)) < len(listed):
        raise ConfigError(f"metrics is {listed}, expected names, each once.")
    if wanted is None and default is not None and _judges_pairs(default, ranked):
        listed.insert(0, default)
    if first is not None:
        listed.insert(0, first)
    found = {name: pair_metric(name) for name in listed}
    if ranked:
        for name, metric in found.items():
            if metric.of_ranks is None:
                raise _needs_negatives(name)
    elif evaluator is not None:
        found.update({name: metric for name, metric in ogb_link_metric(evaluator).items() if name in found})
    return found


def ogb_link_metric(dataset: str) -> Dict[str, PairMetric]:
    """The official metric of link data of the Open Graph Benchmark, computed by OGB's own Evaluator.

    Args:
        dataset: Name as OGB publishes it, for example ``"ogbl-ddi"``.

    Returns:
        The metric under our name for it; empty for data that OGB lists no pairs of.

    Raises:
        NotInstalledError: The package ogb is missing.
    """
    if not dataset.startswith("ogbl-"):
        return {}
    evaluator = ogb_evaluator("linkproppred", dataset)
    if evaluator is None:
        return {}
    official: str = evaluator.eval_metric
    ours = {"rocauc": "auc"}.get(official, official)
    wanted = 2 if official == "mrr" else 1

    def evaluate(positive: Tensor, negative: Tensor) -> float:
        if negative.ndim != wanted:
            kind = {1: "negatives that all pairs are told from, [m]", 2: "negatives of each pair, [n, K]"}[wanted]
            raise ConfigError(
                f"OGB's evaluator of {dataset} computes {official} from {kind}, and these have shape "
                f"{list(negative.shape)}. Judge by the negatives of the data, or by another metric."
            )
        result = evaluator.eval({"y_pred_pos": positive, "y_pred_neg": negative})
        return float(result["mrr_list"].double().mean() if official == "mrr" else result[official])

    return {ours: replace(pair_metric(ours), compute=evaluate)}


def _judges_pairs(name: str, ranked: bool) -> bool:
    """Whether a name is that of a metric of pairs, and of their ranks if these are all there is."""
    is_known = name in _PLAIN or name.startswith("hits@")
    return is_known and (not ranked or pair_metric(name).of_ranks is not None)


def _needs_negatives(name: str) -> ConfigError:
    return ConfigError(
        f"Metric {name!r} cannot be computed from ranks among all nodes, expected mrr, hits@K or mean_rank. "
        "Judge by negatives: candidates='negatives'."
    )


def _counts(positive: Tensor, negative: Tensor) -> Tuple[Tensor, Tensor]:
    """How many negatives score higher than each pair, and how many the same or higher. Each [n], float64."""
    if negative.ndim == 2:
        own = positive[:, None]
        return (negative > own).sum(dim=1).double(), (negative >= own).sum(dim=1).double()
    kind = torch.promote_types(positive.dtype, negative.dtype)
    ordered, positive = negative.to(kind).sort().values, positive.to(kind).contiguous()  # Torch warns of strides.
    above = len(ordered) - torch.searchsorted(ordered, positive, right=True)
    return above.double(), (len(ordered) - torch.searchsorted(ordered, positive)).double()


def _mean_ranks(positive: Tensor, negative: Tensor) -> Tensor:
    """Mean of each pair's best and worst rank among its negatives. Shape [n], float64."""
    above, not_below = _counts(positive, negative)
    return 1 + (above + not_below) / 2


def _reciprocal(ranks: Tensor) -> float:
    return float((1 / ranks).mean())


def _mrr(positive: Tensor, negative: Tensor) -> float:
    return _reciprocal(_mean_ranks(positive, negative))


def _hits(most: int, positive: Tensor, negative: Tensor) -> float:
    if negative.ndim == 1:
        worst = 1 + _counts(positive, negative)[1]
        return float((worst <= most).double().mean())
    return float((_mean_ranks(positive, negative) <= most).double().mean())


def _area(positive: Tensor, negative: Tensor) -> float:
    """Share of (pair, negative) in which the pair scores higher; equals count half."""
    negative = negative.reshape(-1)
    above, not_below = _counts(positive, negative)
    return float(1 - ((above + not_below) / 2).mean() / len(negative))


def _average_precision(positive: Tensor, negative: Tensor) -> float:
    """Mean over pairs of the precision among all scores that are not below the pair's."""
    pairs, negatives = _counts(positive, positive)[1], _counts(positive, negative.reshape(-1))[1]
    return float((pairs / (pairs + negatives)).mean())


_PLAIN: Mapping[str, PairMetric] = {
    "auc": PairMetric(_area),
    "average_precision": PairMetric(_average_precision),
    "mrr": PairMetric(_mrr, of_ranks=_reciprocal),
    "mean_rank": PairMetric(
        lambda positive, negative: float(_mean_ranks(positive, negative).mean()),
        higher_is_better=False,
        of_ranks=lambda ranks: float(ranks.mean()),
    ),
}
"""Metrics of pairs without a number in their name."""
