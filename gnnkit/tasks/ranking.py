"""Pairs ranked among all nodes, and the best destinations of a node, in bounded memory.

Rules: scores of some sources with all nodes are there at a time. Known destinations get minus infinity there, so that
counting goes straight through. The order of nodes never decides a rank: of equals, all are counted.
"""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable, Tuple

import numpy as np
import torch
from torch import Tensor

from gnnkit.jit import kernel
from gnnkit.sampling.known_pairs import KnownPairs

Array = Any
"""A NumPy array; the kernels' own docstrings give dtype and shape."""

Score = Callable[[Tensor, Tensor], Tensor]
"""From embeddings of B sources [B, D] and of M destinations [M, D] to the scores of all their pairs, [B, M]."""

MEMORY = 1 << 25
"""Bytes of scores that are there at a time. glibc maps what is larger anew, page by page, at each allocation."""


def ranks(score: Score, h: Tensor, pairs: Tensor, known: KnownPairs, *, memory: int = MEMORY) -> Tensor:
    """Rank each pair's destination among all nodes as destinations of its source.

    The source itself and other destinations that it has a known pair with take no part: the "filtered" ranking of
    Bordes et al., "Translating embeddings for modeling multi-relational data" (2013).

    Args:
        score: Scores pairs from embeddings, such as :meth:`gnnkit.tasks.PairHead.table`.
        h: Embeddings of all nodes. Shape [N, D], floating point, in host memory.
        pairs: Shape [n, 2], int64 ids.
        known: Pairs that take no part, except for the ranked one itself.
        memory: Bytes of scores that are there at a time; those of one source are in any case.

    Returns:
        Shape [n, 3], float64: the best and the worst rank that equal scores allow, from 1, and the logarithm of the
        pair's share in the softmax over its candidates. NaN never wins: it counts as better than any other score.

    Example:
        >>> h = torch.tensor([[1.0], [3.0], [2.0], [2.0]])
        >>> known = KnownPairs(np.array([0, 1, 1, 1, 1]), np.array([1]))
        >>> ranks(lambda a, b: a @ b.T, h, torch.tensor([[0, 2], [0, 1]]), known)[:, :2].tolist()
        [[1.0, 2.0], [1.0, 1.0]]
    """
    order = torch.argsort(pairs[:, 0], stable=True)
    sources, counts = torch.unique_consecutive(pairs[order, 0], return_counts=True)
    destinations = pairs[order, 1].numpy()
    pointer = np.concatenate([[0], np.cumsum(counts.numpy())])
    found = np.empty((len(pairs), 3))

    def rank(rows: slice, table: Array) -> None:
        mine = slice(pointer[rows.start], pointer[rows.stop])
        here = np.repeat(np.arange(len(table)), np.diff(pointer[rows.start : rows.stop + 1]))
        found[mine] = _ranked(table, sources[rows].numpy(), here, destinations[mine], known)

    _for_tables(score, h, sources, memory, rank)
    out = torch.empty(len(pairs), 3, dtype=torch.float64)
    out[order] = torch.from_numpy(found)
    return out


def top_k(
    score: Score, h: Tensor, sources: Tensor, k: int, known: KnownPairs, *, memory: int = MEMORY
) -> Tuple[Tensor, Tensor]:
    """The destinations that score highest for each source, without itself and those that it has a known pair with.

    Args:
        score: As for :func:`ranks`.
        h: Likewise.
        sources: Shape [n], int64 ids.
        k: How many are wanted.
        known: Pairs that take no part.
        memory: As for :func:`ranks`.

    Returns:
        Ids [n, k], int64, the best first, of equals the smaller id; and their scores [n, k], of the embeddings' dtype.
        -1 and minus infinity where there are fewer. A score that is NaN is left out.

    Example:
        >>> h = torch.tensor([[1.0], [3.0], [2.0], [2.0]])
        >>> known = KnownPairs(np.array([0, 1, 1, 1, 1]), np.array([1]))
        >>> top_k(lambda a, b: a @ b.T, h, torch.tensor([0, 1]), 2, known)[0].tolist()
        [[2, 3], [2, 3]]
    """
    ids = torch.full((len(sources), k), -1)
    best = torch.full((len(sources), k), -math.inf, dtype=h.dtype)

    def pick(rows: slice, table: Array) -> None:
        _hide(table, sources[rows].numpy(), known.indptr, known.indices)
        _pick(table, ids[rows].numpy(), best[rows].numpy())

    if k and len(h):
        _for_tables(score, h, sources, memory, pick)
    return ids, best


@torch.no_grad()
def _for_tables(score: Score, h: Tensor, sources: Tensor, memory: int, work: Callable[[slice, Array], None]) -> None:
    """Do something with the scores [B, N] of some sources after others, on as many threads as torch has.

    ``work`` gets the positions of its sources, and may write to the scores.
    """
    most = max(1, memory // (len(h) * h.element_size()))
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        for first in range(0, len(sources), most):
            table = score(h[sources[first : first + most]], h).contiguous().numpy()
            size = -(-len(table) // torch.get_num_threads())
            starts = range(0, len(table), size)
            rows = [slice(first + start, first + min(start + size, len(table))) for start in starts]
            list(pool.map(work, rows, [table[start : start + size] for start in starts]))


def _ranked(table: Array, sources: Array, rows: Array, destinations: Array, known: KnownPairs) -> Array:
    """What :func:`ranks` returns for pairs, [n, 3], from scores of ``sources`` [B] with all nodes, [B, N].

    Pair i is that of row ``rows[i]`` with ``destinations[i]``.
    """
    own = table[rows, destinations]
    _hide(table, sources, known.indptr, known.indices)
    left = table[rows, destinations]
    better, equal = np.empty_like(rows), np.empty_like(rows)
    _count(table, rows, own, left, better, equal)
    own = own.astype(np.float64)
    with np.errstate(invalid="ignore"):  # Scores may be NaN.
        # A pair that is hidden is not in the sum yet.
        total = np.logaddexp(_log_sum_exp(table)[rows], np.where(left == -np.inf, own, -np.inf))
    return np.stack([1.0 + better, 1.0 + better + equal, own - total], axis=1)


def _log_sum_exp(table: Array) -> Array:
    """Logarithm of the sum of exponentials of each row of ``table`` [B, N]. Shape [B], float64.

    A row at a time, which stays in a processor's cache.
    """
    found = np.full(len(table), -np.inf)
    scratch = np.empty_like(table[0])
    for i, row in enumerate(table):
        most = row.max()
        if most != -np.inf:
            np.exp(np.subtract(row, most, out=scratch), out=scratch)
            found[i] = most + np.log(scratch.sum())
    return found


@kernel
def _hide(table: Array, sources: Array, indptr: Array, indices: Array) -> None:
    """Give known destinations of ``sources`` [B] and these themselves minus infinity in ``table`` [B, N]."""
    for row in range(len(sources)):
        source = sources[row]
        table[row, source] = -np.inf
        for i in range(indptr[source], indptr[source + 1]):
            table[row, indices[i]] = -np.inf


@kernel
def _count(table: Array, rows: Array, own: Array, left: Array, better: Array, equal: Array) -> None:
    """How many scores of row ``rows[i]`` are not below or equal ``own[i]``, and how many are equal.

    ``left[i]`` is what the row holds for the pair itself, which is not counted.
    """
    for i in range(len(rows)):
        row, mine = table[rows[i]], own[i]
        above, same = np.int32(0), np.int32(0)
        for j in range(len(row)):
            # Kept narrow, so that a processor counts many at once.
            above = np.int32(above + (not (row[j] <= mine)))
            same = np.int32(same + (row[j] == mine))
        better[i] = above - (not (left[i] <= mine))
        equal[i] = same - (left[i] == mine)


@kernel
def _pick(table: Array, ids: Array, best: Array) -> None:
    """Fill ``ids`` and ``best`` [B, k], which hold -1 and minus infinity, with the highest of each row in order."""
    most = ids.shape[1]
    for row in range(len(table)):
        for node in range(table.shape[1]):
            value = table[row, node]
            if not value > best[row, most - 1]:
                continue
            place = most - 1
            while place > 0 and value > best[row, place - 1]:
                best[row, place], ids[row, place] = best[row, place - 1], ids[row, place - 1]
                place -= 1
            best[row, place], ids[row, place] = value, node
