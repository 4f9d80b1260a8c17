"""Pairs ranked among all nodes, and the best destinations of a node, in bounded memory.

Rules: scores of many sources with some nodes are there at a time, few enough to stay in a processor's cache. Known
destinations get minus infinity there, so that counting goes straight through. The order of nodes never decides a rank:
of equals, all are counted.
"""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable, Iterator, Optional, Tuple

import numpy as np
import torch
from torch import Tensor

from gnnkit.jit import kernel
from gnnkit.sampling.known_pairs import KnownPairs

Array = Any
"""A NumPy array; the kernels' own docstrings give dtype and shape."""

Score = Callable[[Tensor, Tensor], Tensor]
"""From embeddings of B sources [B, D] and of M destinations [M, D] to the scores of all their pairs, [B, M], in a
tensor that nobody else holds."""

MEMORY = 1 << 21
"""Bytes of scores that are there at a time."""

_ROWS = 1024
"""Sources whose scores are computed at a time."""


def ranks(
    score: Score,
    h: Tensor,
    pairs: Tensor,
    known: KnownPairs,
    *,
    starts: Optional[Tensor] = None,
    memory: int = MEMORY,
) -> Tensor:
    """Rank each pair's destination among all nodes as destinations of its source.

    Other destinations that the source has a known pair with take no part: the "filtered" ranking of Bordes et al.,
    "Translating embeddings for modeling multi-relational data" (2013). Neither does the source itself, if it is a node.

    Args:
        score: Scores pairs from embeddings, such as :meth:`gnnkit.tasks.PairHead.table`.
        h: Embeddings of all nodes. Shape [N, D], floating point, in host memory.
        pairs: Shape [n, 2], int64 ids.
        known: Pairs that take no part, except for the ranked one itself.
        starts: What sources are, where they are no nodes: embeddings of queries. Shape [S, D]. None: rows of ``h``.
        memory: Bytes of scores that are there at a time.

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
    pointer = np.concatenate([[0], np.cumsum(counts.numpy())])
    found = torch.empty(len(pairs), 3, dtype=torch.float64)

    def rank(rows: slice) -> None:
        asked, block = (h if starts is None else starts)[sources[rows]], pointer[rows.start : rows.stop + 1]
        mine = order[block[0] : block[-1]]
        ends, width = pairs[mine, 1].numpy(), _width(len(asked), h, memory)
        own = _own_scores(score, asked, h, block - block[0], ends, width)
        counting = _Counting(sources[rows].numpy(), block - block[0], ends, own, known, starts is None)
        for table, start, fresh in _tables(score, asked, h, width):
            counting.add(table, start, fresh)
        found[mine] = torch.from_numpy(counting.result())

    _in_blocks(len(sources), rank)
    return found


def top_k(
    score: Score,
    h: Tensor,
    sources: Tensor,
    k: int,
    known: KnownPairs,
    *,
    starts: Optional[Tensor] = None,
    memory: int = MEMORY,
) -> Tuple[Tensor, Tensor]:
    """The destinations that score highest for each source, without those that it has a known pair with.

    A source that is a node is none of its own.

    Args:
        score: As for :func:`ranks`.
        h: Likewise.
        sources: Shape [n], int64 ids.
        k: How many are wanted.
        known: Pairs that take no part.
        starts: As for :func:`ranks`.
        memory: Likewise.

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

    def pick(rows: slice) -> None:
        nodes = sources[rows].numpy()
        places = known.indptr[nodes]
        asked = (h if starts is None else starts)[sources[rows]]
        for table, start, fresh in _tables(score, asked, h, _width(len(nodes), h, memory)):
            _hide(table, nodes, places, known.indptr, known.indices, start, fresh, starts is None)
            _pick(table, start, ids[rows].numpy(), best[rows].numpy())

    if k:
        _in_blocks(len(sources), pick)
    return ids, best


def _in_blocks(num_sources: int, work: Callable[[slice], None]) -> None:
    """Do something for sources, a block after another, on as many threads as torch has."""
    threads = torch.get_num_threads()
    size = min(_ROWS, -(-num_sources // threads))
    blocks = [slice(first, min(first + size, num_sources)) for first in range(0, num_sources, max(size, 1))]
    try:
        # Each with one thread of torch's: many small products would wait for each other's threads most of the time.
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            list(pool.map(torch.no_grad()(work), blocks))
    finally:
        torch.set_num_threads(threads)  # A thread's own number is also that of threads to come.


def _width(num_sources: int, h: Tensor, memory: int) -> int:
    """How many nodes are scored at a time."""
    return max(1, min(len(h), memory // (num_sources * h.element_size())))


def _tables(score: Score, starts: Tensor, h: Tensor, width: int) -> Iterator[Tuple[Array, int, int]]:
    """Scores of sources with some nodes after others, [B, width], with the first node and the first one that is new.

    All tables have one width, so that equal embeddings have scores of the same bits.
    """
    for fresh in range(0, len(h), width):
        start = min(fresh, len(h) - width)
        yield score(starts, h[start : start + width]).contiguous().numpy(), start, fresh


def _own_scores(score: Score, starts: Tensor, h: Tensor, pointer: Array, ends: Array, width: int) -> Array:
    """Scores of pairs: those of source i have the destinations ``ends[pointer[i]:pointer[i + 1]]``."""
    rows = np.repeat(np.arange(len(starts)), np.diff(pointer))
    nodes, place = np.unique(ends, return_inverse=True)
    own = np.empty(len(ends), dtype=h.numpy().dtype)
    for first in range(0, len(nodes), width):
        # As wide as all other tables are.
        columns = np.resize(nodes[first : first + width], width)
        table = score(starts, h[torch.from_numpy(columns)]).numpy()
        here = (place >= first) & (place < first + width)
        own[here] = table[rows[here], place[here] - first]
    return own


class _Counting:
    """Ranks of the pairs of some sources, while one table after another comes in.

    Args:
        sources: Shape [B], int64.
        pointer: The pairs of source i are those from ``pointer[i]`` up to ``pointer[i + 1]``. Shape [B + 1], int64.
        ends: Destinations of pairs. Shape [P], int64.
        own: Their scores. Shape [P].
        known: Pairs that take no part.
        are_nodes: Whether sources are nodes, which then take no part as destinations of themselves.
    """

    def __init__(
        self, sources: Array, pointer: Array, ends: Array, own: Array, known: KnownPairs, are_nodes: bool
    ) -> None:
        self.are_nodes = are_nodes
        self.sources, self.pointer, self.ends, self.own, self.known = sources, pointer, ends, own, known
        self.places = known.indptr[sources]
        self.better = np.zeros(len(ends), dtype=np.int64)
        self.equal = np.zeros(len(ends), dtype=np.int64)
        self.hidden = np.zeros(len(ends), dtype=np.bool_)
        self.most = np.full(len(sources), -np.inf, dtype=own.dtype)
        self.total = np.zeros(len(sources))

    def add(self, table: Array, start: int, fresh: int) -> None:
        """Take in the scores with some nodes; see :func:`_tables`."""
        known = self.known.indptr, self.known.indices
        _hide(table, self.sources, self.places, *known, start, fresh, self.are_nodes)
        _count(table, start, fresh, self.pointer, self.ends, self.own, self.better, self.equal, self.hidden)
        with np.errstate(over="ignore", invalid="ignore"):  # Scores may be NaN.
            part = _sums_of_exponentials(table, self.most)
            # Looking for the largest scores costs a good part of all: it is done at first, and where sums overflow.
            if self.most.min() == -np.inf or not np.isfinite(part).all():
                most = np.maximum(self.most, table.max(axis=1))
                self.total *= np.exp(self.most - np.maximum(most, _LEAST))
                self.most, part = most, _sums_of_exponentials(table, most)
            self.total += part

    def result(self) -> Array:
        """What :func:`ranks` returns for the pairs."""
        own = self.own.astype(np.float64)
        with np.errstate(invalid="ignore", divide="ignore"):
            others = np.repeat(self.most + np.log(self.total), np.diff(self.pointer))
            # A pair that is hidden is not in the sum yet.
            total = np.logaddexp(others, np.where(self.hidden, own, -np.inf))
            return np.stack([1.0 + self.better, 1.0 + self.better + self.equal, own - total], axis=1)


_LEAST = np.float32(-1e30)
"""Stands for minus infinity where a difference is to be a number."""


def _sums_of_exponentials(table: Array, most: Array) -> Array:
    """Sum over each row of ``table`` [B, M] of exp(score - ``most``). Shape [B]."""
    values = np.subtract(table, np.maximum(most, _LEAST)[:, None])
    return np.einsum("ij->i", np.exp(values, out=values))


@kernel
def _hide(
    table: Array,
    sources: Array,
    places: Array,
    indptr: Array,
    indices: Array,
    start: int,
    fresh: int,
    are_nodes: bool,
) -> None:
    """Give minus infinity to what takes no part in ``table`` [B, M], scores of ``sources`` with nodes from ``start``.

    That is known destinations, with ``are_nodes`` the sources themselves, and nodes before ``fresh``. ``places`` [B]
    are positions in ``indices`` behind what has been hidden already.
    """
    end = start + table.shape[1]
    for row in range(len(sources)):
        source = sources[row]
        table[row, : fresh - start] = -np.inf
        if are_nodes and start <= source < end:
            table[row, source - start] = -np.inf
        i, last = places[row], indptr[source + 1]
        while i < last and indices[i] < end:
            table[row, indices[i] - start] = -np.inf
            i += 1
        places[row] = i


@kernel
def _count(
    table: Array,
    start: int,
    fresh: int,
    pointer: Array,
    ends: Array,
    own: Array,
    better: Array,
    equal: Array,
    hidden: Array,
) -> None:
    """Add to ``better`` and ``equal`` [P] how many scores are not below or equal a pair's own, and how many are equal.

    The pair itself is not counted; ``hidden`` says whether it was hidden. Pairs of row i are those from ``pointer[i]``.
    """
    for i in range(len(table)):
        row = table[i]
        for pair in range(pointer[i], pointer[i + 1]):
            mine = own[pair]
            above, same = np.int32(0), np.int32(0)
            for j in range(len(row)):
                # Kept narrow, so that a processor counts many at once.
                above = np.int32(above + (not (row[j] <= mine)))
                same = np.int32(same + (row[j] == mine))
            if fresh <= ends[pair] < start + len(row):
                left = row[ends[pair] - start]
                above -= not (left <= mine)
                same -= left == mine
                hidden[pair] = left == -np.inf
            better[pair] += above
            equal[pair] += same


@kernel
def _pick(table: Array, start: int, ids: Array, best: Array) -> None:
    """Put the highest scores of each row of ``table``, of nodes from ``start``, into ``ids`` and ``best`` [B, k].

    These are in order, and hold -1 and minus infinity where nothing has been found yet.
    """
    most = ids.shape[1]
    for row in range(len(table)):
        for column in range(table.shape[1]):
            value = table[row, column]
            if not value > best[row, most - 1]:
                continue
            place = most - 1
            while place > 0 and value > best[row, place - 1]:
                best[row, place], ids[row, place] = best[row, place - 1], ids[row, place - 1]
                place -= 1
            best[row, place], ids[row, place] = value, start + column
