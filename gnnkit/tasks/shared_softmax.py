"""Shares of answers in a softmax over candidates that all questions of a batch share, without a matrix of all scores.

Rules: scores are there for some questions at a time. Those that fit at once are kept for the gradients; else they are
computed again.
"""

from __future__ import annotations

import math
from typing import Any, List, Tuple

import torch
from torch import Tensor

_SCORES = 1 << 22
"""Scores that are there at a time."""


def log_shares(
    queries: Tensor, answers: Tensor, candidates: Tensor, answer_ids: Tensor, candidate_ids: Tensor
) -> Tensor:
    """The logarithm of each answer's share in the softmax over itself and all candidates, by their products.

    A candidate that is the answer counts once.

    Args:
        queries: Shape [T, D].
        answers: Embeddings of the answers. Shape [T, D].
        candidates: Embeddings. Shape [K, D].
        answer_ids: What says whether a candidate is the answer. Shape [T], int64.
        candidate_ids: Likewise, without repeats. Shape [K], int64.

    Returns:
        Shape [T, 1].

    Example:
        >>> one = torch.ones(1, 2)
        >>> round(float(log_shares(one, one, torch.ones(3, 2), torch.tensor([7]), torch.tensor([7, 8, 9])).exp()), 6)
        0.333333
    """
    kind = torch.promote_types(queries.dtype, candidates.dtype)
    inputs = [each.to(kind) for each in (queries, answers, candidates)]
    shares: Tensor = _LogShares.apply(*inputs, answer_ids, candidate_ids)  # type: ignore[no-untyped-call]
    return shares[:, None]


class _LogShares(torch.autograd.Function):
    """:func:`log_shares`, [T]."""

    @staticmethod
    def forward(
        ctx: Any, queries: Tensor, answers: Tensor, candidates: Tensor, answer_ids: Tensor, candidate_ids: Tensor
    ) -> Tensor:
        with torch.autocast(queries.device.type, enabled=False):
            own, hits = (queries * answers).sum(dim=1), _hits(answer_ids, candidate_ids)
            most, totals = torch.empty_like(own), torch.empty_like(own)
            powers = queries.new_empty(0)
            for part in _parts(len(queries), len(candidates)):
                scores = _scores(queries[part], candidates, hits[part])
                most[part] = scores.amax(dim=1).clamp(min=torch.finfo(own.dtype).min)
                powers = scores.sub_(most[part, None]).exp_()
                totals[part] = torch.logaddexp(own[part], most[part] + powers.sum(dim=1).log())
            kept = powers if len(powers) == len(queries) else queries.new_empty(0)
            ctx.save_for_backward(queries, answers, candidates, hits, own, most, totals, kept)
            return own - totals

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tuple[Any, ...]:
        queries, answers, candidates, hits, own, most, totals, kept = ctx.saved_tensors
        given = gradients[0]
        of_own = (given * (1 - (own - totals).exp()))[:, None]
        of_queries, of_candidates = of_own * answers, torch.zeros_like(candidates)
        for part in _parts(len(queries), len(candidates)):
            if len(kept):
                shares = kept * (-given * (most - totals).exp())[:, None]
            else:
                scores = _scores(queries[part], candidates, hits[part])
                shares = scores.sub_(totals[part, None]).exp_().mul_(-given[part, None])
            of_queries[part].addmm_(shares, candidates)
            of_candidates.addmm_(shares.T, queries[part])
        return of_queries, of_own * queries, of_candidates, None, None


def _parts(num: int, num_candidates: int) -> List[slice]:
    """Questions whose scores are there at a time."""
    size = max(1, _SCORES // max(num_candidates, 1))
    return [slice(start, start + size) for start in range(0, num, size)]


def _scores(queries: Tensor, candidates: Tensor, hits: Tensor) -> Tensor:
    """Of all candidates; minus infinity for the answer. Shape [B, K]."""
    scores = queries @ candidates.T
    rows = (hits >= 0).nonzero()[:, 0]
    scores[rows, hits[rows]] = -math.inf
    return scores


def _hits(answer_ids: Tensor, candidate_ids: Tensor) -> Tensor:
    """Where each answer stands among the candidates, -1 where it does not. Shape [T], int64."""
    if not len(candidate_ids):
        return torch.full_like(answer_ids, -1)
    ordered, order = candidate_ids.sort()
    places = torch.searchsorted(ordered, answer_ids).clamp(max=len(ordered) - 1)
    return torch.where(ordered[places] == answer_ids, order[places], -1)
