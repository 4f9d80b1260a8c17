"""The neighbour sampler in plain Python: slow, obvious, written from the documented behaviour.

Random numbers follow the documented stream (SplitMix64 keyed by seed, epoch, batch, hop, node), so that the sampler
must return exactly these blocks. A hop is a list of rows; a row is the list of (local source, weight) of one
destination.
"""

from __future__ import annotations

import bisect
import itertools
import math

import torch

MASK = (1 << 64) - 1
GOLDEN = 0x9E3779B97F4A7C15


def mix64(value):
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & MASK
    return value ^ (value >> 31)


def key_of(*words):
    key = 0
    for word in words:
        key = mix64(key ^ mix64((word + GOLDEN) & MASK))
    return key


class Stream:
    def __init__(self, key):
        self.key, self.counter = key, 0

    def bits(self):
        self.counter += 1
        return mix64((self.key + self.counter * GOLDEN) & MASK)

    def below(self, bound):
        while True:
            product = (self.bits() >> 32) * bound
            if product % 2**32 >= 2**32 % bound:
                return product >> 32

    def unit(self):
        return ((self.bits() >> 11) + 1) / 2**53


def draw(stream, num, fanout, weights, replace):
    """Candidates (0 to num - 1) that a destination takes; ``weights`` is None for uniform draws."""
    if replace and weights is None:
        return [stream.below(num) for _ in range(fanout)]
    if replace:
        sums = list(itertools.accumulate(weights))
        return [bisect.bisect_left(sums, stream.unit() * sums[-1]) for _ in range(fanout)]
    if weights is not None:
        keys = [-math.log(stream.unit()) / weight for weight in weights]
        return sorted(range(num), key=keys.__getitem__)[:fanout]
    chosen = []
    for last in range(num - fanout, num):
        choice = stream.below(last + 1)
        chosen.append(last if choice in chosen else choice)
    return chosen


def reference_sample(graph, fanouts, seeds, *, seed, epoch, batch, replace=False, weighted=False,
                     keep_self_loops=False, rescale=False):  # fmt: skip
    """Hops (input layer first) and the ids of the first hop's sources."""
    indptr, indices = graph.indptr.tolist(), graph.indices.tolist()
    weight_of = [1.0] * len(indices) if graph.edge_weight is None else graph.edge_weight.tolist()
    nodes = list(seeds)
    local = {}
    for position, node in enumerate(nodes):
        local.setdefault(node, position)
    hops = []
    for hop, fanout in enumerate(fanouts):
        rows = []
        for node in list(nodes):
            edges = list(range(indptr[node], indptr[node + 1]))
            kept = [edge for edge in edges if keep_self_loops and indices[edge] == node]
            others = [edge for edge in edges if edge not in kept and not (weighted and weight_of[edge] == 0)]
            everything = fanout == -1 or not others or (not replace and len(others) <= fanout)
            if everything:
                taken = [edge for edge in edges if edge in kept or edge in others]
                scale = 1.0
            else:
                stream = Stream(key_of(seed, epoch, batch, hop, node))
                weights = [weight_of[edge] for edge in others] if weighted else None
                taken = kept + [others[number] for number in draw(stream, len(others), fanout, weights, replace)]
                scale = len(others) / fanout if rescale else 1.0
            row = []
            for edge in taken:
                source = indices[edge]
                if source not in local:
                    local[source] = len(nodes)
                    nodes.append(source)
                row.append((source, weight_of[edge] * (1.0 if edge in kept else scale)))
            rows.append(row)
        hops.insert(0, (rows, len(nodes)))
    return [([[(local[s], w) for s, w in row] for row in rows], num) for rows, num in hops], nodes


def rows_of(block):
    """The rows of a sampled block, as in ``reference_sample``."""
    weight = torch.ones(block.num_edges) if block.edge_weight is None else block.edge_weight
    pairs = list(zip(block.indices.tolist(), weight.tolist()))
    offsets = block.indptr.tolist()
    return [pairs[begin:end] for begin, end in zip(offsets, offsets[1:])]


def csc_graph(edges, num_nodes, weights=None, **fields):
    """A graph from (source, destination) pairs; weights in the order of the pairs."""
    from gnnkit.data import Graph

    order = sorted(range(len(edges)), key=lambda edge: (edges[edge][1], edges[edge][0]))
    degrees = torch.bincount(torch.tensor([dst for _, dst in edges], dtype=torch.int64), minlength=num_nodes)
    return Graph(
        indptr=torch.cat([torch.zeros(1, dtype=torch.int64), degrees.cumsum(0)]),
        indices=torch.tensor([edges[edge][0] for edge in order], dtype=torch.int64),
        edge_weight=None if weights is None else torch.tensor([weights[edge] for edge in order]),
        **fields,
    )
