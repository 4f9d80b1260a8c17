"""How good predictions of whole graphs are, graph by graph: errors, by size, the best and the worst.

Rules: of classes the error is minus the logarithm of the true one's probability, of several labels its mean over those
that are known. Of numbers it is the mean of absolute errors in units of the deviation of what is true. Graphs of which
nothing is known take no part.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Optional, Tuple

import numpy as np
import torch

from gnnkit.inference import GraphPredictions

MOST_SIZES = 8
"""Groups of sizes."""


@dataclass(frozen=True)
class GraphScores:
    """Errors of predictions for graphs. M is how many are judged.

    Attributes:
        split: Which graphs: "test", "valid" or "train".
        said: The predictions, in the order of the graphs.
        sizes: Nodes of each. Shape [M], int64.
        errors: See the rules above. Shape [M], NaN where nothing is known.
        wrong: What is shown by size: the share of wrong classes or labels, or of numbers the error. Shape [M].
        groups: Groups of sizes: name, mean of ``wrong``, number of graphs.
    """

    split: str
    said: GraphPredictions
    sizes: np.ndarray
    errors: np.ndarray
    wrong: np.ndarray
    groups: List[Tuple[str, float, int]]

    @property
    def are_numbers(self) -> bool:
        """Whether numbers are predicted."""
        return self.said.are_numbers

    def best_and_worst(self, most: int) -> Tuple[List[int], List[int]]:
        """Rows of the graphs that are predicted best and worst, these first; none is among both."""
        known = np.flatnonzero(np.isfinite(self.errors))
        order = known[np.argsort(self.errors[known], kind="stable")]
        few = min(most, len(order) // 2)
        return order[:few].tolist(), order[::-1][:few].tolist()


def score_graphs(said: GraphPredictions, sizes: np.ndarray, split: str) -> Optional[GraphScores]:
    """Judge predictions graph by graph.

    Args:
        said: With what is true.
        sizes: Nodes of each graph. Shape [M], int64.
        split: Which graphs they are.

    Returns:
        The errors; None if nothing is known of any.
    """
    if said.true is None:
        return None
    errors, wrong = _errors(said)
    if not np.isfinite(errors).any():
        return None
    return GraphScores(split, said, sizes, errors, wrong, _by_size(sizes, wrong))


def _errors(said: GraphPredictions) -> Tuple[np.ndarray, np.ndarray]:
    true, outputs = said.true, said.outputs.double()
    assert true is not None, "something is known"
    if said.are_numbers:
        known = true.reshape(len(outputs), -1).double().numpy()
        with np.errstate(invalid="ignore"):
            scale = np.array([np.nanstd(column) if np.isfinite(column).any() else 1.0 for column in known.T])
        each = np.abs(outputs.numpy() - known) / np.where(scale > 0, scale, 1.0)
        errors = _mean_of_known(each)
        return errors, errors
    if said.is_multi_label:
        known = true.numpy()
        chances = said.probabilities.double().numpy()
        right = np.where(known > 0.5, chances, 1 - chances)
        loss = np.where(np.isnan(known), np.nan, -np.log(np.maximum(right, 1e-12)))
        missed = np.where(np.isnan(known), np.nan, (known > 0.5) != said.classes.numpy())
        return _mean_of_known(loss), _mean_of_known(missed)
    has_class = (true >= 0).numpy()
    likely = torch.log_softmax(outputs, dim=1).gather(1, true.clamp(min=0).reshape(-1, 1))[:, 0]
    wrong = (said.classes != true).double().numpy()
    return np.where(has_class, -likely.numpy(), np.nan), np.where(has_class, wrong, np.nan)


def _mean_of_known(values: np.ndarray) -> np.ndarray:
    """Mean of each row over what is not NaN; NaN where all are. [M, T] to [M]."""
    known = ~np.isnan(values)
    count = known.sum(axis=1)
    total = np.where(known, values, 0.0).sum(axis=1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _by_size(sizes: np.ndarray, wrong: np.ndarray) -> List[Tuple[str, float, int]]:
    """Means over graphs of about equal size, in groups of about equal number."""
    known = np.isfinite(wrong)
    sizes, wrong = sizes[known], wrong[known]
    edges = np.unique(np.quantile(sizes, np.linspace(0, 1, MOST_SIZES + 1), method="lower"))
    place = np.searchsorted(edges[1:-1], sizes, side="right") if len(edges) > 2 else np.zeros(len(sizes), dtype=int)
    groups = []
    for group in np.unique(place):
        mine = place == group
        least, most = int(sizes[mine].min()), int(sizes[mine].max())
        name = str(least) if least == most else f"{least} to {most}"
        groups.append((name, float(wrong[mine].mean()), int(mine.sum())))
    return groups
