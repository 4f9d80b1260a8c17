"""Batches of whole graphs: every graph once an epoch, copied as it is, the same for (seed, epoch, number)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gnnkit.data import from_edge_index
from gnnkit.errors import ConfigError, DataError, PipelineError
from gnnkit.loading import GraphLoader, graph_sizes, largest_batch, propose_bins, take_graphs
from gnnkit.testing.graphs import many_graphs

GRAPH = replace(many_graphs(60), edge_weight=torch.rand(many_graphs(60).num_edges))


def loader(graphs=range(60), graph=GRAPH, packed=0, **settings):
    chosen = torch.as_tensor(list(graphs))
    if packed:
        settings["packing"] = propose_bins(graph_sizes(graph)[chosen.numpy()], packed)
    return GraphLoader(graph, chosen, **{"num_layers": 2, "batch_size": 7, "edge_features": True, **settings})


def assert_same(first, second):
    assert first.key == second.key and torch.equal(first.nodes, second.nodes)
    for ours, theirs in zip(first.flatten(), second.flatten()):
        assert torch.equal(ours, theirs)


@settings(max_examples=25)
@given(
    st.lists(st.integers(0, 59), min_size=1, max_size=60, unique=True),
    st.integers(1, 20),
    st.integers(0, 99),
    st.booleans(),
    st.booleans(),
)
def test_every_graph_once_an_epoch_and_as_it_is(graphs, size, seed, packed, shuffle) -> None:
    batches = loader(graphs, packed=size if packed else 0, batch_size=size, seed=seed, shuffle=shuffle)
    for epoch in (0, 3):
        found = list(batches.epoch(epoch))
        assert len(found) == len(batches)
        assert sorted(number for batch in found for number in batch.nodes.tolist()) == sorted(graphs)
        for index, batch in enumerate(found):
            assert (batch.key.epoch, batch.key.number) == (epoch, index)
            whole = take_graphs(GRAPH, batch.nodes.tolist())
            block = batch.blocks[0]
            assert batch.blocks[1] is block and (block.num_src, block.num_dst) == (whole.num_nodes,) * 2
            for ours, theirs in (
                (batch.x, whole.x),
                (block.indptr, whole.indptr),
                (block.indices, whole.indices),
                (block.edge_weight, whole.edge_weight),
                (block.edge_attr, whole.edge_attr),
                (batch.targets.y, whole.graph_y),
                (batch.graphs.indptr, whole.graph_ptr),
                (batch.graphs.indices, torch.arange(whole.num_nodes)),
            ):
                assert torch.equal(ours, theirs)
            assert batch.num_targets == len(batch.nodes) == batch.graphs.num_dst


@pytest.mark.parametrize("packed", [0, 8])
def test_batches_are_a_function_of_seed_epoch_and_number(packed) -> None:
    first = [batch for epoch in range(3) for batch in loader(packed=packed, seed=4).epoch(epoch)]
    for threads in (0, 1, 3):
        again = loader(packed=packed, seed=4, num_threads=threads)
        list(again.epoch(7))
        for ours, theirs in zip((batch for epoch in range(3) for batch in again.epoch(epoch)), first):
            assert_same(ours, theirs)
    orders = {
        tuple(number for batch in loader(packed=packed, seed=seed).epoch(epoch) for number in batch.nodes.tolist())
        for seed in range(3)
        for epoch in range(3)
    }
    assert len(orders) == 9


def test_without_shuffling_the_order_is_the_given_one() -> None:
    graphs = [5, 3, 58, 0, 1, 40, 7, 9]
    batches = loader(graphs, batch_size=3, shuffle=False)
    assert [batch.nodes.tolist() for batch in batches.epoch(9)] == [[5, 3, 58], [0, 1, 40], [7, 9]]
    assert len(loader(graphs, batch_size=3, drop_last=True)) == 2


def test_bins_are_as_many_and_what_fills_them_is_not_the_same() -> None:
    batches = loader(packed=8)
    assert {len(list(batches.epoch(e))) for e in range(4)} == {len(batches)}
    groups = {frozenset(batch.nodes.tolist()) for e in range(4) for batch in batches.epoch(e)}
    assert len(groups) > 2 * len(batches)


@settings(max_examples=20)
@given(st.integers(1, 12), st.integers(0, 9))
def test_no_batch_is_larger_than_foreseen(size, seed) -> None:
    for packed in (0, size):
        batches = loader(packed=packed, batch_size=size, seed=seed)
        spec = batches.packing.spec if packed else largest_batch(GRAPH, size)
        spec = spec.repeated(2)
        padded = loader(packed=packed, batch_size=size, seed=seed, pad=spec)
        for batch, plain in zip(padded.epoch(1), batches.epoch(1)):
            assert batch.num_targets == len(plain.nodes) and len(batch.nodes) == spec.num_graphs
            assert batch.blocks[0].num_src == spec.num_nodes[0] and batch.graphs.num_edges == spec.num_nodes[0]
            assert torch.equal(batch.nodes[batch.nodes >= 0], plain.nodes)
            assert (
                batch.graphs.dst_mask.sum() == len(plain.nodes) and (batch.targets.y[len(plain.nodes) :] == -100).all()
            )


def test_sizes_are_those_of_batches() -> None:
    sizes = list(loader(batch_size=20).sizes(0))
    assert [size.num_graphs for size in sizes] == [20, 20, 20]
    assert sum(size.num_nodes[0] for size in sizes) == GRAPH.num_nodes


def test_a_record_of_one_graph_is_one_batch() -> None:
    graph = from_edge_index([[0, 1], [1, 0]], 2, x=torch.eye(2))
    (batch,) = GraphLoader(graph, torch.tensor([0]), num_layers=1).epoch(0)
    assert batch.graphs.indptr.tolist() == [0, 2] and batch.targets is None


def test_half_precision_is_widened_and_categories_stay() -> None:
    half = replace(GRAPH, x=GRAPH.x.half())
    batch = next(loader(graph=half).epoch(0))
    assert batch.x.dtype == torch.float32
    codes = replace(GRAPH, x=torch.ones(GRAPH.num_nodes, 2, dtype=torch.int64))
    assert next(loader(graph=codes).epoch(0)).x.dtype == torch.int64


def test_a_failure_names_the_batch() -> None:
    def fail(batch):
        if batch.key.epoch == 2:
            raise OSError("gone")
        return batch

    batches = loader(transfer=fail, num_threads=1)
    assert list(batches.epoch(1))
    with pytest.raises(PipelineError, match="Batch 0 of epoch 2 failed: OSError: gone"):
        list(batches.epoch(2))


BAD = {
    "no layer": ({"num_layers": 0}, ConfigError, "num_layers is 0"),
    "no graph in a batch": ({"batch_size": 0}, ConfigError, "batch_size is 0"),
    "a graph that is not there": ({"graphs": [60]}, ConfigError, "beyond 0 to 59"),
    "a negative number": ({"graphs": [-1]}, ConfigError, "beyond 0 to 59"),
    "a packing of others": ({"packing": propose_bins(graph_sizes(GRAPH)[:9], 3)}, ConfigError, "packing holds 9"),
    "nothing left": ({"graphs": [1, 2], "drop_last": True}, ConfigError, "drop_last leaves no batch"),
    "no features": ({"graph": replace(GRAPH, x=None)}, DataError, "x"),
    "no features of edges": ({"graph": replace(GRAPH, edge_attr=None)}, DataError, "edge_attr"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_loaded(name) -> None:
    arguments, error, words = BAD[name]
    with pytest.raises(error, match=words):
        loader(**arguments)


def test_memory_of_a_batch_is_its_own() -> None:
    batches = loader(batch_size=30)
    first, second = batches.epoch(0)
    kept = [tensor.clone() for tensor in first.flatten()]
    for _ in range(3):
        list(batches.epoch(1))
    assert all(torch.equal(a, b) for a, b in zip(first.flatten(), kept))
    assert not np.shares_memory(first.x.numpy(), second.x.numpy())
