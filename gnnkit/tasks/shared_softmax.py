"""Shares of answers in a softmax over candidates that all questions of a batch share, without a matrix of all scores.

Rules: scores are there for some questions at a time. Those that fit at once are kept for the gradients; else they are
computed again.
"""

from __future__ import annotations

import math
from typing import Any, Tuple

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
        candidate_ids: Likewise. Shape [K], int64.

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


def _scores(queries: Tensor, candidates: Tensor, answer_ids: Tensor, candidate_ids: Tensor) -> Tensor:
    """Of all candidates; minus infinity for the answer. Shape [B, K]."""
    scores = queries @ candidates.T
    return scores.masked_fill_(answer_ids[:, None] == candidate_ids[None], -math.inf)


class _LogShares(torch.autograd.Function):
    """:func:`log_shares`, [T]."""

    @staticmethod
    def forward(
        ctx: Any, queries: Tensor, answers: Tensor, candidates: Tensor, answer_ids: Tensor, candidate_ids: Tensor
    ) -> Tensor:
        with torch.autocast(queries.device.type, enabled=False):
            own = (queries * answers).sum(dim=1)
            totals = torch.empty_like(own)
            size = max(1, _SCORES // max(len(candidates), 1))
            scores = queries.new_empty(0)
            for start in range(0, len(queries), size):
                part = slice(start, start + size)
                scores = _scores(queries[part], candidates, answer_ids[part], candidate_ids)
                totals[part] = torch.logaddexp(own[part], scores.logsumexp(dim=1))
            kept = scores if len(queries) <= size else queries.new_empty(0)
            ctx.save_for_backward(queries, answers, candidates, answer_ids, candidate_ids, own, totals, kept)
            return own - totals

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tuple[Any, ...]:
        queries, answers, candidates, answer_ids, candidate_ids, own, totals, kept = ctx.saved_tensors
        given = gradients[0]
        of_own = (given * (1 - (own - totals).exp()))[:, None]
        of_queries, of_candidates = of_own * answers, torch.zeros_like(candidates)
        size = max(1, _SCORES // max(len(candidates), 1))
        for start in range(0, len(queries), size):
            part = slice(start, start + size)
            scores = kept if len(kept) else _scores(queries[part], candidates, answer_ids[part], candidate_ids)
            shares = (scores - totals[part, None]).exp_().mul_(-given[part, None])
            of_queries[part] += shares @ candidates
            of_candidates.addmm_(shares.T, queries[part])
        return of_queries, of_own * queries, of_candidates, None, None
