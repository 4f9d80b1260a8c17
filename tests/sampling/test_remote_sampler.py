"""Blocks from a graph whose edges lie elsewhere: those of our own sampler, where all neighbours are taken."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gnnkit.data import from_edge_index, prepare_graph
from gnnkit.errors import ConfigError
from gnnkit.sampling import NeighborSampler, RemoteSampler
from tests.remote import as_remote


@st.composite
def cases(draw):
    """A graph without repeated self-loops, pairs to hide, and seeds."""
    num = draw(st.integers(1, 8))
    node = st.integers(0, num - 1)
    edges = draw(st.lists(st.tuples(node, node), max_size=40))
    edges = [pair for place, pair in enumerate(edges) if pair[0] != pair[1] or pair not in edges[:place]]
    ends = torch.tensor(edges, dtype=torch.int64).reshape(-1, 2).T
    graph = from_edge_index(ends, num, x=torch.ones(num, 1))
    pairs = draw(st.lists(st.tuples(node, node), max_size=6))
    return graph, np.array(pairs, dtype=np.int64).reshape(-1, 2), draw(st.lists(node, min_size=1, unique=True))


def flow(sampled, hop):
    """The edges of a block by the ids of their ends, with weights, and how often each is there."""
    block = sampled.blocks[hop]
    ids = sampled.nodes.numpy()
    weights = torch.ones(block.num_edges) if block.edge_weight is None else block.edge_weight
    edges = zip(ids[block.indices.numpy()].tolist(), ids[block.dst.numpy()].tolist(), weights.tolist())
    return Counter((source, end, round(weight, 5)) for source, end, weight in edges)


@settings(max_examples=200)
@given(case=cases(), kind=st.sampled_from(["none", "self_loops", "gcn_norm"]), hides=st.booleans())
def test_with_all_neighbours_blocks_are_those_of_our_sampler(case, kind, hides):
    graph, pairs, seeds = case
    loops, norm = kind != "none", kind == "gcn_norm"
    remote = RemoteSampler(as_remote(graph), [-1, -1], keep_self_loops=loops, weighted=norm)
    prepared = prepare_graph(graph, self_loops=loops, gcn_norm=norm)
    # What is hidden leaves fewer neighbours, which our own sampler scales by; all are taken here, so nothing is scaled.
    own = NeighborSampler(prepared, [-1, -1], keep_self_loops=loops)
    key = {"epoch": 0, "batch": 0, "hidden": pairs if hides else None}
    found, wanted = remote.sample(seeds, **key), own.sample(seeds, **key)
    for hop in range(2):
        assert found.blocks[hop].num_dst == wanted.blocks[hop].num_dst
        assert flow(found, hop) == flow(wanted, hop)
    assert sorted(found.nodes.tolist()) == sorted(wanted.nodes.tolist())
    assert found.nodes[: len(seeds)].tolist() == seeds


@settings(max_examples=200)
@given(case=cases(), fanout=st.integers(1, 3), replace=st.booleans(), loops=st.booleans())
def test_hidden_pairs_are_in_no_block(case, fanout, replace, loops):
    graph, pairs, seeds = case
    sampler = RemoteSampler(as_remote(graph), [fanout] * 3, replace=replace, keep_self_loops=loops)
    sampled = sampler.sample(seeds, epoch=0, batch=0, hidden=pairs)
    existing, hidden = set(map(tuple, graph.edge_index.T.tolist())), set(map(tuple, pairs.tolist()))
    for hop, block in enumerate(sampled.blocks):
        assert int(block.indptr.diff().max()) <= fanout + loops
        seen = {(source, end) for source, end, _ in flow(sampled, hop)}
        own = {(node, node) for node in sampled.nodes[: block.num_dst].tolist()} if loops else set()
        assert own <= seen
        assert (seen - own) <= existing and not (seen - own) & hidden


def test_weights_of_drawn_neighbours_expect_the_whole_sum():
    star = from_edge_index([list(range(1, 9)), [0] * 8], 9, x=torch.ones(9, 1))
    sampler = RemoteSampler(as_remote(star), [2], keep_self_loops=True, weighted=True)
    (block,) = sampler.sample([0], epoch=0, batch=0).blocks
    # Degree 8 and a loop: 1/9 for it; the others have degree 0 and a loop, so 1/3, times 8 of which 2 were taken.
    assert block.edge_weight.tolist() == pytest.approx([1 / 9, 4 / 3, 4 / 3])


def test_a_graph_that_is_here_is_refused():
    with pytest.raises(ConfigError, match="NeighborSampler"):
        RemoteSampler(from_edge_index([[0], [1]], 2), [2])
