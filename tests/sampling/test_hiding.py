"""Hidden pairs: a sampler that is told of them draws as one whose graph never had their edges."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from gnnkit.sampling import NeighborSampler
from gnnkit.sampling.hiding import edges_between
from tests.sampling.neighbor_reference import csc_graph
from tests.sampling.test_neighbor_sampler import OPTIONS, star


@st.composite
def hidden_cases(draw):
    """A graph with repeats, reverses and self-loops, pairs to hide, with and without edges, and how to sample."""
    num = draw(st.integers(1, 8))
    node = st.integers(0, num - 1)
    pair = st.tuples(node, node)
    edges = draw(st.lists(pair, max_size=40))
    edges += [(v, u) for u, v in edges if draw(st.booleans())]
    pairs = draw(st.lists(st.one_of(pair, st.sampled_from(edges)) if edges else pair, max_size=8))
    if draw(st.booleans()):
        pairs += [(v, u) for u, v in pairs]
    options = draw(st.sampled_from(OPTIONS))
    weights = draw(st.lists(st.sampled_from([0.0, 0.5, 1.0, 3.0]), min_size=len(edges), max_size=len(edges)))
    if not options.get("weighted") and draw(st.booleans()):
        weights = None
    fanouts = draw(st.lists(st.sampled_from([-1, 1, 2, 3, 10]), min_size=1, max_size=3))
    return edges, num, weights, pairs, fanouts, draw(st.lists(node, min_size=1, max_size=6)), options


@settings(max_examples=300)
@given(hidden_cases(), st.integers(0, 5))
def test_hiding_is_sampling_from_a_graph_without_the_edges(case, seed):
    edges, num, weights, pairs, fanouts, seeds, options = case
    stays = options.get("keep_self_loops", False)
    left = [edge not in pairs or (stays and edge[0] == edge[1]) for edge in edges]
    fewer = [edge for edge, is_left in zip(edges, left) if is_left]
    lighter = None if weights is None else [weight for weight, is_left in zip(weights, left) if is_left]
    when = {"epoch": 3, "batch": 4, "edge_ids": True}
    whole = csc_graph(edges, num, weights)
    hidden = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    found = NeighborSampler(whole, fanouts, seed=seed, **options).sample(seeds, hidden=hidden, **when)
    without = csc_graph(fewer, num, lighter)
    expected = NeighborSampler(without, fanouts, seed=seed, **options).sample(seeds, **when)
    assert found.nodes.tolist() == expected.nodes.tolist()
    # The numbers that the edges of the smaller graph have in the whole one.
    order = sorted(range(len(edges)), key=lambda edge: (edges[edge][1], edges[edge][0]))
    numbers = torch.tensor([place for place, edge in enumerate(order) if left[edge]], dtype=torch.int64)
    for one, other in zip(found.blocks, expected.blocks):
        assert torch.equal(one.indptr, other.indptr) and torch.equal(one.indices, other.indices)
        assert torch.equal(one.edge_ids, numbers[other.edge_ids])
        assert (one.edge_weight is None) == (other.edge_weight is None)
        assert one.edge_weight is None or torch.equal(one.edge_weight, other.edge_weight)


@settings(max_examples=100)
@given(hidden_cases())
def test_no_block_holds_a_hidden_pair(case):
    edges, num, weights, pairs, fanouts, seeds, options = case
    sampler = NeighborSampler(csc_graph(edges, num, weights), fanouts, **options)
    sampled = sampler.sample(seeds, epoch=0, batch=0, hidden=np.array(pairs, dtype=np.int64).reshape(-1, 2))
    for block in sampled.blocks:
        ends = torch.repeat_interleave(torch.arange(block.num_dst), block.indptr.diff())
        met = set(zip(sampled.nodes[block.indices].tolist(), sampled.nodes[ends].tolist()))
        loops = {(node, node) for node in range(num)} if options.get("keep_self_loops") else set()
        assert not (met & set(pairs)) - loops


@pytest.mark.parametrize("num_hidden, fanout", [(1, 3), (4, 5), (20, 4)])
def test_the_other_neighbours_are_equally_likely(num_hidden, fanout):
    leaves = np.arange(1, 31)
    hidden = leaves[:: len(leaves) // num_hidden][:num_hidden]
    others = np.setdiff1d(leaves, hidden)
    pairs = np.stack([hidden, np.zeros_like(hidden)], axis=1)
    sampler = NeighborSampler(star(30), [fanout], seed=1)
    counts, trials = np.zeros(31), 2000
    for epoch in range(trials):
        met = sampler.sample([0], epoch=epoch, batch=0, hidden=pairs).nodes[1:].numpy()
        assert len(set(met)) == fanout
        counts[met] += 1
    assert counts[hidden].sum() == 0
    # Draws within a sample exclude each other, which narrows the counts by (1 - 1/n) / (1 - k/n) of the usual form.
    num, expected = len(others), trials * fanout / len(others)
    statistic = ((counts[others] - expected) ** 2 / expected).sum() * (num - 1) / (num - fanout)
    assert 1e-3 < stats.chi2.sf(statistic, num - 1) < 1 - 1e-3


def test_weights_are_rescaled_by_the_neighbours_that_are_left():
    pairs = np.array([[1, 0], [2, 0], [0, 3]])
    sampled = NeighborSampler(star(10), [4], rescale=True).sample([0], epoch=0, batch=0, hidden=pairs)
    assert sampled.blocks[0].edge_weight.tolist() == [2.0] * 4


@settings(max_examples=100)
@given(hidden_cases())
def test_edges_between_pairs(case):
    edges, num, _, pairs, *_ = case
    graph = csc_graph(edges, num)
    listed = list(zip(graph.indices.tolist(), graph.dst.tolist()))
    arrays = graph.indptr.numpy(), graph.indices.numpy(), np.array(pairs, dtype=np.int64).reshape(-1, 2)
    expected = [place for place, edge in enumerate(listed) if edge in pairs]
    assert edges_between(*arrays).tolist() == expected
    unlooped = [place for place in expected if listed[place][0] != listed[place][1]]
    assert edges_between(*arrays, loops=False).tolist() == unlooped
