"""Samples of typed graphs: relations stay together, fan-outs hold for each, and a run is drawn by itself."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gnnkit.data import from_typed
from gnnkit.errors import ConfigError, UnknownNameError
from gnnkit.loading import NeighborLoader
from gnnkit.sampling import NeighborSampler
from tests.typed_graphs import papers

GRAPH = papers()
TYPED = GRAPH.typed
LABELS = [str(relation) for relation in TYPED.schema.relations]


def relations_into(graph, node):
    """The edges of a node by relation, in the graph."""
    start, end = graph.indptr[node : node + 2].tolist()
    return Counter(graph.typed.edge_type[start:end].tolist())


fanout = st.one_of(st.just(-1), st.integers(0, 4))


@settings(max_examples=30)
@given(
    by_relation=st.lists(st.tuples(fanout, fanout), min_size=len(LABELS), max_size=len(LABELS)),
    seeds=st.lists(st.integers(0, GRAPH.num_nodes - 1), min_size=1, max_size=8, unique=True),
    replace=st.booleans(),
    epoch=st.integers(0, 5),
)
def test_each_relation_has_its_fanout(by_relation, seeds, replace, epoch):
    sampler = NeighborSampler(GRAPH, dict(zip(LABELS, by_relation)), seed=3, replace=replace)
    sampled = sampler.sample(seeds, epoch=epoch, batch=1, edge_ids=True)
    for hop, block in enumerate(reversed(sampled.blocks)):
        assert torch.equal(block.edge_type, TYPED.edge_type[block.edge_ids].long())
        assert torch.equal(block.src_type, TYPED.node_type[sampled.nodes[: block.num_src]].long())
        assert torch.equal(GRAPH.indices[block.edge_ids], sampled.nodes[block.indices])
        keys = block.dst * len(LABELS) + block.edge_type
        assert bool((keys.diff() >= 0).all()), "edges are not sorted by (destination, relation)"
        taken = Counter(zip(block.dst.tolist(), block.edge_type.tolist()))
        for row in range(block.num_dst):
            for relation, there in relations_into(GRAPH, int(sampled.nodes[row])).items():
                wanted = by_relation[relation][hop]
                expected = there if wanted < 0 or (there < wanted and not replace) else wanted
                assert taken[row, relation] == expected
        if not replace:
            assert len(set(block.edge_ids.tolist())) == block.num_edges


@settings(max_examples=30)
@given(lengths=st.lists(st.integers(0, 70), min_size=1, max_size=4), wanted=st.sampled_from([-1, 3, 20]))
def test_runs_of_any_length_end_where_the_next_relation_begins(lengths, wanted):
    edges = {
        f"node:r{i}:node": torch.stack([torch.arange(num), torch.zeros(num).long()]) for i, num in enumerate(lengths)
    }
    graph = from_typed(edges, num_nodes={"node": 71})
    sampled = NeighborSampler(graph, {"*": [wanted]}, seed=0).sample([0], epoch=0, batch=0, edge_ids=True)
    taken = Counter(sampled.blocks[0].edge_type.tolist())
    for relation, num in relations_into(graph, 0).items():
        assert taken[relation] == (num if wanted < 0 else min(num, wanted))
    assert torch.equal(sampled.blocks[0].edge_type, graph.typed.edge_type[sampled.blocks[0].edge_ids].long())


@settings(max_examples=60)
@given(num=st.one_of(st.integers(1, 20), st.integers(60, 70)), wanted=st.integers(1, 66), epoch=st.integers(0, 5))
def test_a_run_is_drawn_alike_where_edges_of_another_are_hidden(num, wanted, epoch):
    """Short runs, which are drawn by the bits of one number, like long ones and those that are searched."""
    drawn = torch.stack([torch.arange(num), torch.zeros(num).long()])
    graph = from_typed({"node:r0:node": drawn, "node:r1:node": torch.tensor([[3], [0]])}, num_nodes={"node": 71})
    sampler = NeighborSampler(graph, {"*": [wanted]}, seed=0)

    def taken(**more):
        block = sampler.sample([0], epoch=epoch, batch=0, edge_ids=True, **more).blocks[0]
        return block.edge_ids[block.edge_type == 0].tolist()

    assert taken() == taken(hidden=np.array([[3, 0, 1]]))


def test_a_run_is_drawn_alike_whatever_other_relations_take():
    """Random numbers are keyed by node and relation."""
    only = NeighborSampler(GRAPH, {"cites": [2], "*": [0]}).sample([0, 7], epoch=2, batch=4, edge_ids=True).blocks[0]
    both = NeighborSampler(GRAPH, {"cites": [2], "*": [3]}).sample([7, 0], epoch=2, batch=4, edge_ids=True).blocks[0]
    assert set(only.edge_ids.tolist()) == set(both.edge_ids[both.edge_type == 0].tolist())


@pytest.mark.parametrize("fanouts", [[3, 2], {"writes": [2, 2], "*": [1, 1]}])
def test_batches_do_not_depend_on_threads(fanouts):
    def batches(num_threads):
        sampler = NeighborSampler(GRAPH, fanouts, seed=1)
        loader = NeighborLoader(GRAPH, torch.arange(40), sampler, batch_size=7, shuffle=True, num_threads=num_threads)
        return [torch.cat([tensor.flatten().double() for tensor in batch.flatten()]) for batch in loader.epoch(3)]

    assert all(torch.equal(first, second) for first, second in zip(batches(0), batches(3)))


def test_edges_of_one_fanout_for_all_are_sorted_too():
    block = NeighborSampler(GRAPH, [3]).sample(torch.arange(40), epoch=0, batch=0).blocks[0]
    assert bool(((block.dst * len(LABELS) + block.edge_type).diff() >= 0).all())


@pytest.mark.parametrize("fanouts", [[-1], [2], {"*": [2]}])
def test_hidden_pairs_are_found_in_every_relation(fanouts):
    """A third column restricts a pair to one relation."""
    sampler = NeighborSampler(GRAPH, fanouts)
    edge = int((TYPED.edge_type == 1).nonzero()[0])
    source, destination = int(GRAPH.indices[edge]), int(GRAPH.dst[edge])

    def taken(hidden):
        sampled = sampler.sample([destination], epoch=0, batch=0, edge_ids=True, hidden=np.array(hidden))
        ids = sampled.blocks[0].edge_ids
        return bool(((GRAPH.indices[ids] == source) & (TYPED.edge_type[ids] == 1)).any())

    assert not taken([[source, destination]])
    assert not taken([[source, destination, 1]])
    full = NeighborSampler(GRAPH, [-1]).sample(
        [destination], epoch=0, batch=0, hidden=np.array([[source, destination, 0]])
    )
    assert full.blocks[0].num_edges == int(GRAPH.in_degrees[destination])


@pytest.mark.parametrize(
    ("fanouts", "error", "words"),
    [
        ({"cites": [2]}, ConfigError, "author:writes:paper"),
        ({"quotes": [2], "*": [1]}, UnknownNameError, "quotes"),
        ({"cites": [2, 2], "*": [1]}, ConfigError, "1, 2 fan-outs"),
        ({"cites": [-2], "*": [1]}, ConfigError, "cites"),
    ],
)
def test_bad_fanouts_are_refused(fanouts, error, words):
    with pytest.raises(error, match=words):
        NeighborSampler(GRAPH, fanouts)
