"""Losses that tell pairs from negatives.

Rules: each takes scores of pairs [T, 1] and of their negatives [T, K], and weights of the negatives [T, K] that add up
to 1 for each pair; it gives a loss for each pair, [T]. Shapes are fixed, so that compiled devices can have them all.
"""

from __future__ import annotations

from typing import Callable, Mapping, Optional

import torch
from torch import Tensor
from torch.nn import functional

PairLoss = Callable[[Tensor, Tensor, Tensor, float], Tensor]
"""From scores of pairs, scores of negatives, weights of negatives and the margin to a loss for each pair."""


def binary(positive: Tensor, negative: Tensor, weights: Tensor, _margin: float) -> Tensor:
    """Binary cross-entropy, a pair counting as much as all of its negatives.

    Example:
        >>> binary(torch.zeros(1, 1), torch.zeros(1, 1), torch.ones(1, 1), 0.0).item() == torch.tensor(2.0).log().item()
        True
    """
    return (functional.softplus(-positive[:, 0]) + (weights * functional.softplus(negative)).sum(dim=1)) / 2


def margin(positive: Tensor, negative: Tensor, weights: Tensor, margin: float) -> Tensor:
    """``max(0, margin - positive + negative)``."""
    return (weights * functional.relu(margin - positive + negative)).sum(dim=1)


def bpr(positive: Tensor, negative: Tensor, weights: Tensor, _margin: float) -> Tensor:
    """``-log sigmoid(positive - negative)``: Rendle et al., "Bayesian personalized ranking" (2009)."""
    return (weights * functional.softplus(negative - positive)).sum(dim=1)


def softmax(positive: Tensor, negative: Tensor, weights: Tensor, _margin: float) -> Tensor:
    """Cross-entropy of the pair among itself and its negatives, as in sampled softmax and InfoNCE.

    Weights move the negatives' scores by their logarithm against equal ones, so that equal weights change nothing.
    """
    moved = negative + (weights * weights.shape[1]).clamp(min=1e-12).log()
    return torch.logsumexp(torch.cat([positive, moved], dim=1), dim=1) - positive[:, 0]


PAIR_LOSSES: Mapping[str, PairLoss] = {"bce": binary, "margin": margin, "bpr": bpr, "softmax": softmax}
"""Losses by name."""


def negative_weights(negative: Tensor, temperature: float) -> Tensor:
    """How much each negative of a pair counts; the weights of a pair add up to 1.

    Args:
        negative: Scores. Shape [T, K].
        temperature: 0 for equal weights. Else softmax of ``temperature * score``, through which no gradient runs:
            self-adversarial weighting of Sun et al., "RotatE" (2019).
    """
    if temperature == 0:
        return torch.full_like(negative, 1 / negative.shape[1])
    return torch.softmax(temperature * negative.detach(), dim=1)


def mean_over_pairs(losses: Tensor, mask: Optional[Tensor]) -> Tensor:
    """The mean over the pairs that count; 0 if there are none.

    Args:
        losses: Shape [T].
        mask: Which count. Shape [T], bool. None: all.
    """
    if mask is None:
        return losses.sum() / max(len(losses), 1)
    return (losses * mask).sum() / mask.sum().clamp(min=1)
