"""Numba kernels for graphs with relations: draws by run of a destination's edges of one relation, and their order.

Rules: as in :mod:`gnnkit.sampling.kernels`. ``types`` (int16) is the relation of each edge, ascending within a
destination. Edges leave in ascending order of their positions, so that those of one relation stay together.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gnnkit.jit import fetch, kernel
from gnnkit.sampling.kernels import AHEAD, NEAR, draw_distinct, first_not_below, hidden_edges, put_others
from gnnkit.sampling.random import derive, next_below

Array = Any
"""A NumPy array; the kernels' own docstrings give dtype and shape."""
_FEW = 64
"""Bits of the number that says which of a run's edges are taken; of longer runs an array says so."""
_SHORT = 16
"""Edges of a run that are looked at one after another; then its end is searched for by halves."""


@kernel
def most_picks(indptr: Array, dst: Array, fanouts: Array, replace: bool) -> int:
    """How many edges all destinations take at most. ``fanouts``: int64 by relation, -1 for all."""
    total, takes_all = 0, False
    for fanout in fanouts:
        total += max(fanout, 0)
        takes_all |= fanout < 0
    most = 0
    for row in range(len(dst)):
        if row + AHEAD < len(dst):
            fetch(indptr, dst[row + AHEAD], 0)
        degree = indptr[dst[row] + 1] - indptr[dst[row]]
        if replace and degree:
            most += total + degree * takes_all
        else:
            most += degree if takes_all else min(degree, total)
    return most


@kernel
def pick_runs(
    indptr: Array,
    types: Array,
    dst: Array,
    fanouts: Array,
    key: np.uint64,
    replace: bool,
    hidden: Array,
    ends: Array,
    marks: Array,
    offsets: Array,
    out: Array,
) -> None:
    """Write the edges that every destination takes of each relation, as ascending positions.

    The random numbers of a run are keyed by its node and relation. ``hidden`` and ``ends`` are those of
    ``count_edges``; ``marks``: uint8 zeros, [largest degree]; ``offsets``: int64 [len(dst) + 1], becomes where each
    destination's edges begin; ``out``: int64, with room for ``most_picks``.
    """
    least = least_fanout(fanouts)
    begin = offsets[0] = 0
    for row in range(len(dst)):
        if row + AHEAD < len(dst):
            fetch(indptr, dst[row + AHEAD], 0)
        if row + NEAR < len(dst):
            fetch(types, indptr[dst[row + NEAR]], 0)
        start, end = indptr[dst[row]], indptr[dst[row] + 1]
        looks = ends[dst[row] & (len(ends) - 1)]
        is_few = end - start <= least * len(fanouts)  # Else there is a longer run for sure.
        if is_few and not (looks or replace or has_longer(types, start, end, least)):
            for edge in range(start, end):  # Most destinations. All of it is taken.
                out[begin + edge - start] = edge
            begin += end - start
            start = end
        while start < end:
            relation = types[start]
            fanout = fanouts[relation]
            is_long = fanout >= 0 and start + fanout < end and types[start + fanout] == relation
            if not (is_long or looks or replace):  # Most runs. All of it is taken, so nobody asks first where it ends.
                while start < end and types[start] == relation:
                    out[begin] = start
                    begin += 1
                    start += 1
                continue
            stop = end_of_run(types, start, end)
            first, last = 0, 0
            if looks:
                first, last = hidden_edges(hidden, start, stop)
            num = stop - start - (last - first)
            if fanout >= 0 and num > 0 and (replace or num > fanout):
                state = derive(derive(key, np.uint64(dst[row])), np.uint64(relation))
                chosen = out[begin : begin + fanout]
                if num <= _FEW and not (replace or looks):
                    put_distinct(state, start, num, chosen)
                else:
                    draw_candidates(state, num, replace, marks, chosen)
                    put_candidates(chosen, start, hidden, first, last)
                begin += fanout
            else:
                put_others(start, stop, hidden, first, last, out, begin)
                begin += num
            start = stop
        offsets[row + 1] = begin


@kernel
def least_fanout(fanouts: Array) -> int:
    """The smallest fan-out of ``fanouts``, where -1 is all."""
    least: Any = np.int64(2**31)
    for fanout in fanouts:
        if 0 <= fanout < least:
            least = np.int64(fanout)
    return least  # type: ignore[no-any-return]


@kernel
def has_longer(types: Array, start: int, end: int, length: int) -> bool:
    """Whether a run between two positions has more than ``length`` edges."""
    found = False
    for edge in range(start, end - length):  # Without a way out, so that many are compared at once.
        found |= types[edge] == types[edge + length]
    return found


@kernel
def end_of_run(types: Array, start: int, end: int) -> int:
    """Where the edges from ``start`` on have another relation for the first time; ``end`` if they have not."""
    stop, near = start + 1, min(start + _SHORT, end)
    while stop < near and types[stop] == types[start]:
        stop += 1
    if stop < near or near == end:
        return stop
    return first_not_below(types, stop, end, types[start] + 1)


@kernel
def draw_candidates(state: np.uint64, num: int, replace: bool, marks: Array, out: Array) -> None:
    """Fill ``out`` with candidates in [0, num), ascending. ``marks``: as for ``draw_distinct``."""
    if replace:
        for step in range(len(out)):
            out[step], state = next_below(state, num)
    else:
        draw_distinct(state, num, marks, out)
    sort_few(out)


@kernel
def put_distinct(state: np.uint64, start: int, num: int, chosen: Array) -> None:
    """Write distinct positions of the ``num`` from ``start`` on, ascending: those that ``draw_candidates`` would draw.

    ``num``: 64 at most, so that one number says by its bits which are taken.
    """
    taken, one = np.uint64(0), np.uint64(1)
    for step in range(len(chosen)):
        last = num - len(chosen) + step
        choice, state = next_below(state, last + 1)
        # Without a branch, which would be guessed wrong often.
        is_taken = (taken >> np.uint64(choice)) & one
        taken |= (one << np.uint64(choice)) | (is_taken << np.uint64(last))
    found: Any = 0
    candidate = 0
    while found < len(chosen):
        chosen[found] = start + candidate
        found += np.int64((taken >> np.uint64(candidate)) & one)
        candidate += 1


@kernel
def sort_few(values: Array) -> None:
    """Sort in place, by insertion: the quickest for as many as a fan-out has."""
    if len(values) > 64:
        values.sort()
        return
    for step in range(1, len(values)):
        value, place = values[step], step
        while place > 0 and values[place - 1] > value:
            values[place] = values[place - 1]
            place -= 1
        values[place] = value


@kernel
def put_candidates(chosen: Array, start: int, hidden: Array, first: int, last: int) -> None:
    """Turn ascending numbers of candidates into positions, ``hidden[first:last]`` being no candidates."""
    passed = first
    for step in range(len(chosen)):
        edge = start + chosen[step] + passed - first
        while passed < last and edge >= hidden[passed]:
            edge += 1
            passed += 1
        chosen[step] = edge


@kernel
def sort_picks(offsets: Array, edges: Array) -> None:
    """Sort the edges of every destination by their positions."""
    for row in range(len(offsets) - 1):
        part = edges[offsets[row] : offsets[row + 1]]
        is_sorted = True
        for step in range(1, len(part)):
            if part[step] < part[step - 1]:
                is_sorted = False
                break
        if not is_sorted:
            part.sort()


@kernel
def take_types(types: Array, positions: Array, out: Array) -> None:
    """Write ``types[positions]`` as int64."""
    for step in range(len(positions)):
        if step + AHEAD < len(positions):
            fetch(types, positions[step + AHEAD], 0)
        out[step] = types[positions[step]]


@kernel
def count_between(indptr: Array, indices: Array, types: Array, pairs: Array, loops: bool) -> int:
    """How many edges ``put_between`` will write."""
    total = 0
    for row in range(len(pairs)):
        total += write_between(indptr, indices, types, pairs[row], loops, pairs[:0, 0], 0)
    return total


@kernel
def put_between(indptr: Array, indices: Array, types: Array, pairs: Array, loops: bool, out: Array) -> None:
    """Write the positions of all edges between pairs, in the order of the pairs.

    ``pairs``: int64, source and destination [n, 2], or with a relation, -1 for all, [n, 3].
    """
    at = 0
    for row in range(len(pairs)):
        at += write_between(indptr, indices, types, pairs[row], loops, out, at)


@kernel
def write_between(indptr: Array, indices: Array, types: Array, pair: Array, loops: bool, out: Array, at: int) -> int:
    """Write the edges of one pair, if ``out`` has room; returns how many they are. Sources ascend within a run."""
    source, destination = pair[0], pair[1]
    if source == destination and not loops:
        return 0
    wanted = pair[2] if len(pair) > 2 else -1
    start, end = indptr[destination], indptr[destination + 1]
    found = 0
    while start < end:
        relation = types[start]
        stop = end_of_run(types, start, end)
        if wanted < 0 or relation == wanted:
            edge = first_not_below(indices, start, stop, source)
            while edge < stop and indices[edge] == source:
                if at + found < len(out):
                    out[at + found] = edge
                found += 1
                edge += 1
        start = stop
    return found
