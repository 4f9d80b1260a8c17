"""Numba kernels of the neighbour sampler: one call handles all destinations of one hop of one batch.

Rules: kernels read the graph and write to arrays that the caller allocated; they check nothing. Nodes are numbered
globally in ``dst`` and ``nodes`` and locally (position in ``nodes``) in what ``relabel`` writes. The *candidates* of
a destination are its in-edges less the self-loops that are taken anyway and less the hidden ones; they are numbered
from 0 in edge order.
"""

from __future__ import annotations

from typing import Any, Tuple

import numpy as np

from gnnkit.jit import fetch, kernel
from gnnkit.sampling.random import derive, next_below, next_unit

AHEAD = 64
"""Edges between the one that is asked for and the one that is read."""
NEAR = AHEAD // 2
"""The same for what depends on an array that was asked for before."""
_NEAR_NUMBERS = 2**17
"""Nodes up to which their numbers stay in a core's own cache, where to ask for them costs more than to wait."""
Array = Any
"""A NumPy array; the kernels' own docstrings give dtype and shape, Numba compiles for what it is given."""


@kernel
def first_not_below(values: Array, start: int, end: int, bound: int) -> int:
    """First position in the ascending ``values[start:end]`` that is not below ``bound``; ``end`` if there is none."""
    while start < end:
        middle = (start + end) // 2
        if values[middle] < bound:
            start = middle + 1
        else:
            end = middle
    return start


@kernel
def kept_loops(indices: Array, start: int, end: int, node: int, keep: bool) -> Tuple[int, int]:
    """Edge range [low, high) of the node's self-loops that are taken in any case; empty, at ``end``, without keep."""
    if not keep:
        return end, end
    low = first_not_below(indices, start, end, node)
    return low, first_not_below(indices, low, end, node + 1)


@kernel
def hidden_edges(hidden: Array, start: int, end: int) -> Tuple[int, int]:
    """Range [first, last) of the ascending positions ``hidden`` that lie in [start, end).

    Callers ask ``ends`` first, bool, a power of two: that of a node's low bits is set if any of its edges is hidden.
    For most nodes none is, and the call alone would take longer than all else that is done for them.
    """
    first = first_not_below(hidden, 0, len(hidden), start)
    last = first
    while last < len(hidden) and hidden[last] < end:
        last += 1
    return first, last


@kernel
def count_edges(
    indptr: Array,
    indices: Array,
    dst: Array,
    fanout: int,
    replace: bool,
    keep: bool,
    hidden: Array,
    ends: Array,
    out: Array,
) -> None:
    """Write the offsets of the edges that every destination will take. ``out``: int64 [len(dst) + 1]."""
    out[0] = 0
    for row in range(len(dst)):
        if row + AHEAD < len(dst):
            fetch(indptr, dst[row + AHEAD], 0)
        start, end = indptr[dst[row]], indptr[dst[row] + 1]
        low, high = kept_loops(indices, start, end, dst[row], keep)
        first, last = 0, 0
        if ends[dst[row] & (len(ends) - 1)]:
            first, last = hidden_edges(hidden, start, end)
        taken = end - start - (high - low) - (last - first)
        if fanout >= 0 and taken > 0 and (replace or taken > fanout):
            taken = fanout
        out[row + 1] = out[row] + taken + (high - low)


@kernel
def draw_distinct(state: np.uint64, num: int, marks: Array, out: Array) -> None:
    """Fill ``out`` with distinct candidates, every subset equally likely.

    Floyd's algorithm (Bentley and Floyd, "Programming pearls: a sample of brilliance", 1987) in len(out) steps,
    whatever the degree. ``marks``: uint8 [num] or more, all 0 before and after.
    """
    for step in range(len(out)):
        last = num - len(out) + step
        choice, state = next_below(state, last + 1)
        if marks[choice]:
            choice = np.int64(last)
        marks[choice] = 1
        out[step] = choice
    for step in range(len(out)):
        marks[out[step]] = 0


@kernel
def sift_down(keys: Array, items: Array) -> None:
    """Restore the heap (largest key first) after its first key changed; ``items`` moves along with ``keys``."""
    position = 0
    while True:
        child = 2 * position + 1
        if child >= len(keys):
            return
        if child + 1 < len(keys) and keys[child + 1] > keys[child]:
            child += 1
        if keys[position] >= keys[child]:
            return
        keys[position], keys[child] = keys[child], keys[position]
        items[position], items[child] = items[child], items[position]
        position = child


@kernel
def draw_distinct_weighted(state: np.uint64, weights: Array, keys: Array, out: Array) -> None:
    """Fill ``out`` with distinct candidates, drawn one after another with probability proportional to weight.

    Efraimidis and Spirakis, "Weighted random sampling with a reservoir" (2006): the candidates with the smallest
    exponential variates, each of its candidate's weight as rate. ``weights`` are positive; ``keys``: float64 scratch
    [len(out)].
    """
    keys[:] = np.inf
    out[:] = 0
    for candidate in range(len(weights)):
        unit, state = next_unit(state)
        key = -np.log(unit) / weights[candidate]
        if key < keys[0]:
            keys[0] = key
            out[0] = candidate
            sift_down(keys, out)


@kernel
def draw_repeated_weighted(state: np.uint64, weights: Array, out: Array) -> None:
    """Fill ``out`` with independent draws proportional to weight; ``weights`` (positive) become their running sums."""
    for candidate in range(1, len(weights)):
        weights[candidate] += weights[candidate - 1]
    for step in range(len(out)):
        unit, state = next_unit(state)
        # unit lies in (0, 1], so there is always a first sum that is not below it.
        out[step] = first_not_below(weights, 0, len(weights), unit * weights[-1])


@kernel
def pick_edges(
    indptr: Array,
    indices: Array,
    weights: Array,
    dst: Array,
    offsets: Array,
    key: np.uint64,
    replace: bool,
    weighted: bool,
    keep: bool,
    hidden: Array,
    ends: Array,
    marks: Array,
    scratch: Array,
    out: Array,
) -> None:
    """Write the edges that every destination takes, as positions in ``indices``.

    ``offsets`` comes from ``count_edges``. A destination that takes all its edges takes them in order; else its
    self-loops come first and the others in the order of drawing. ``hidden`` (int64, ascending positions, no self-loop
    that is kept) are taken by nobody; for ``ends`` see ``hidden_edges``. ``marks`` (uint8 zeros, [largest degree]) and
    ``scratch`` (float64, twice that) serve one destination at a time. ``out``: int64 [offsets[-1]].
    """
    for row in range(len(dst)):
        if row + AHEAD < len(dst):
            fetch(indptr, dst[row + AHEAD], 0)
        start, end = indptr[dst[row]], indptr[dst[row] + 1]
        low, high = kept_loops(indices, start, end, dst[row], keep)
        loops = high - low
        first, last = 0, 0
        if ends[dst[row] & (len(ends) - 1)]:
            first, last = hidden_edges(hidden, start, end)
        num = end - start - loops - (last - first)
        begin = offsets[row] + loops
        chosen = out[begin : offsets[row + 1]]
        if num == 0 or (len(chosen) == num and not replace):
            if first < last:
                put_others(start, end, hidden, first, last, out, offsets[row])
                continue
            for step in range(end - start):
                out[offsets[row] + step] = start + step
            continue
        for step in range(loops):
            out[offsets[row] + step] = low + step
        state = derive(key, np.uint64(dst[row]))
        if weighted:
            candidate, skipped = 0, first
            for edge in range(start, end):
                if skipped < last and hidden[skipped] == edge:
                    skipped += 1
                elif edge < low or edge >= high:
                    scratch[candidate] = weights[edge]
                    candidate += 1
            if replace:
                draw_repeated_weighted(state, scratch[:num], chosen)
            else:
                draw_distinct_weighted(state, scratch[:num], scratch[num : num + len(chosen)], chosen)
        elif replace:
            for step in range(len(chosen)):
                chosen[step], state = next_below(state, num)
        else:
            draw_distinct(state, num, marks, chosen)
        if first < last:
            for step in range(len(chosen)):
                chosen[step] = candidate_edge(start + chosen[step], low, loops, hidden, first, last)
            continue
        for step in range(len(chosen)):
            edge = start + chosen[step]
            chosen[step] = edge if edge < low else edge + loops


@kernel
def put_others(start: int, end: int, hidden: Array, first: int, last: int, out: Array, begin: int) -> None:
    """Write the edges [start, end) without the hidden ones, ``hidden[first:last]``, in order from ``out[begin]`` on."""
    for edge in range(start, end):
        if first < last and hidden[first] == edge:
            first += 1
        else:
            out[begin] = edge
            begin += 1


@kernel
def candidate_edge(edge: int, low: int, loops: int, hidden: Array, first: int, last: int) -> int:
    """Where a candidate's edge is, from where it would be if no edge before it were a kept self-loop or hidden.

    Those that are hidden are ``hidden[first:last]``.
    """
    while first < last and hidden[first] < low and edge >= hidden[first]:
        edge += 1
        first += 1
    if edge >= low:
        edge += loops
    while first < last and edge >= hidden[first]:
        edge += 1
        first += 1
    return edge


@kernel
def edge_weights(
    indptr: Array,
    indices: Array,
    weights: Array,
    dst: Array,
    offsets: Array,
    edges: Array,
    rescale: bool,
    keep: bool,
    hidden: Array,
    ends: Array,
) -> Array:
    """Weights [len(edges)] of the picked edges, in the type of ``weights``; if that is empty, all weights are 1.

    With ``rescale`` the candidates' weights are multiplied by (candidates / candidates taken).
    """
    out = np.empty(len(edges), dtype=weights.dtype)
    for row in range(len(dst)):
        begin, end = offsets[row], offsets[row + 1]
        loops = 0
        if keep:
            for position in range(begin, end):
                loops += indices[edges[position]] == dst[row]
        scale = 1.0
        if rescale and end - begin > loops:
            low, high = indptr[dst[row]], indptr[dst[row] + 1]
            first, last = 0, 0
            if ends[dst[row] & (len(ends) - 1)]:
                first, last = hidden_edges(hidden, low, high)
            scale = (high - low - loops - (last - first)) / (end - begin - loops)
        for position in range(begin, end):
            weight = weights[edges[position]] if len(weights) else 1.0
            fixed = keep and indices[edges[position]] == dst[row]
            out[position] = weight if fixed else weight * scale
    return out


@kernel
def slot_of(keys: Array, node: int) -> int:
    """Where the number of a node stands.

    With ``keys`` None at the node's own place. Else ``keys`` (int64, a power of two, -1 where free, never all in
    use) are an open-addressing hash table: at the node's slot, or the free one where it belongs.
    """
    if keys is None:
        return node
    mask = len(keys) - 1
    # Fibonacci hashing (Knuth, "The art of computer programming", vol. 3): upper bits of the product are mixed best.
    slot: Any = np.int64((np.uint64(node) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(32)) & mask
    while keys[slot] != node and keys[slot] >= 0:
        slot = (slot + 1) & mask
    return slot  # type: ignore[no-any-return]


@kernel
def label_seeds(seeds: Array, keys: Array, local: Array, nodes: Array) -> None:
    """Put the seeds at the front of ``nodes``; a repeated seed is known by its first position."""
    for position in range(len(seeds)):
        nodes[position] = seeds[position]
        slot = slot_of(keys, seeds[position])
        if local[slot] < 0:
            local[slot] = position
            if keys is not None:
                keys[slot] = seeds[position]


@kernel
def relabel(indices: Array, edges: Array, keys: Array, local: Array, nodes: Array, num: int, out: Array) -> int:
    """Turn edges into the local numbers of their sources; new ones are appended to ``nodes``.

    ``out`` may be ``edges``. ``local``: int32, the number of each node by ``slot_of``, or -1. Returns how many nodes
    there are now.
    """
    is_far = keys is None and len(local) > _NEAR_NUMBERS
    for position in range(len(edges)):
        if position + AHEAD < len(edges):
            fetch(indices, edges[position + AHEAD], 0)
        if is_far and position + NEAR < len(edges):
            fetch(local, indices[edges[position + NEAR]], 0)
        source = indices[edges[position]]
        slot = slot_of(keys, source)
        # Without a branch: whether a node is new is as good as random, and a wrong guess costs more than the writing.
        known = local[slot]
        number: Any = np.int64(num) if known < 0 else np.int64(known)
        local[slot] = number
        if keys is not None:
            keys[slot] = source
        nodes[num] = source
        num += known < 0
        out[position] = number
    return num


@kernel
def forget(nodes: Array, keys: Array, local: Array) -> None:
    """Set the numbers of ``nodes`` back to -1."""
    if keys is None:
        for node in nodes:
            local[node] = -1
    else:
        keys[:] = -1
        local[:] = -1
