"""Small graphs in bins: every graph once, no bin too full, and the efficiency is what was filled."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import gnnkit
from gnnkit.data import check_graph, from_edge_index
from gnnkit.datasets import load_dataset
from gnnkit.datasets.files import Finder
from gnnkit.datasets.tu import TuCollection
from gnnkit.errors import BatchOverflowError, ConfigError
from gnnkit.loading import PadSpec, graph_sizes, pack_graphs, pad_graphs, pad_to_maximum, propose_bins, take_graphs
from gnnkit.loading.packing import deal

SIZES = st.lists(st.tuples(st.integers(0, 20), st.integers(0, 40)), min_size=1, max_size=40)


@settings(max_examples=100)
@given(SIZES, st.integers(21, 60), st.integers(41, 120), st.integers(2, 10))
def test_every_graph_once_and_no_bin_too_full(sizes, num_nodes, num_edges, num_graphs):
    packing = pack_graphs(sizes, num_nodes=num_nodes, num_edges=num_edges, num_graphs=num_graphs)
    assert sorted(graph for graphs in packing.bins for graph in graphs) == list(range(len(sizes)))
    for graphs in packing.bins:
        assert 0 < len(graphs) < num_graphs
        assert sum(sizes[graph][0] for graph in graphs) < num_nodes
        assert sum(sizes[graph][1] for graph in graphs) < num_edges
    assert packing.efficiency == sum(nodes for nodes, _ in sizes) / (len(packing.bins) * num_nodes)
    assert packing.edge_efficiency == sum(edges for _, edges in sizes) / (len(packing.bins) * num_edges)
    # First fit: what begins a bin fits into none of the bins before it.
    assert len(packing.bins) <= len(pad_to_maximum(sizes).bins)


@settings(max_examples=30)
@given(SIZES)
def test_padding_to_the_maximum(sizes):
    most = max(1, *(nodes for nodes, _ in sizes))
    packing = pad_to_maximum(sizes)
    assert packing.bins == tuple((graph,) for graph in range(len(sizes)))
    assert packing.efficiency == pytest.approx(sum(nodes for nodes, _ in sizes) / (len(sizes) * (most + 1)))


def test_first_fit_decreasing_on_nodes_and_edges():
    nodes_decide = pack_graphs([(3, 0), (6, 0), (4, 0), (7, 0)], num_nodes=11, num_edges=9, num_graphs=9)
    assert nodes_decide.bins == ((0, 3), (1, 2)) and nodes_decide.efficiency == 20 / 22
    edges_decide = pack_graphs([(3, 8), (6, 8), (4, 1), (7, 1)], num_nodes=100, num_edges=10, num_graphs=9)
    assert edges_decide.bins == ((1, 2, 3), (0,)) or edges_decide.bins == ((1, 3), (0, 2))
    graphs_decide = pack_graphs([(1, 1)] * 5, num_nodes=100, num_edges=100, num_graphs=3)
    assert [len(graphs) for graphs in graphs_decide.bins] == [2, 2, 1]


def test_a_graph_larger_than_a_bin():
    with pytest.raises(BatchOverflowError, match=r"nodes of level 0: 8 of 7 \(margin -1\)"):
        pack_graphs([(8, 3), (2, 2)], num_nodes=8, num_edges=9, num_graphs=3)


@pytest.mark.parametrize("sizes", [[], [(1, 2, 3)], [(-1, 2)], [(1.5, 2.5)], [3, 4]])
def test_what_is_no_list_of_sizes(sizes):
    with pytest.raises(ConfigError, match=r"list of \(nodes, edges\)"):
        pad_to_maximum(sizes)


def random_record(counts, seed):
    """A record of graphs with all arrays, some graphs without edges."""
    generator = torch.Generator().manual_seed(seed)
    pointer = torch.tensor([0, *counts]).cumsum(0)
    edges = []
    for graph, count in enumerate(counts):
        num = int(torch.randint(0, 3 * count, (1,), generator=generator)) if count else 0
        edges.append(torch.randint(0, max(count, 1), (2, num), generator=generator) + pointer[graph])
    edge_index, num_nodes = torch.cat(edges, dim=1), sum(counts)
    return from_edge_index(
        edge_index,
        num_nodes,
        x=torch.rand(num_nodes, 3, generator=generator),
        y=torch.randint(0, 3, (num_nodes,), generator=generator),
        edge_weight=torch.rand(edge_index.shape[1], generator=generator),
        edge_attr=torch.rand(edge_index.shape[1], 2, generator=generator),
        node_data={"age": torch.arange(num_nodes)},
        graph_ptr=pointer,
        graph_y=torch.randint(0, 2, (len(counts),), generator=generator),
    )


@settings(max_examples=30)
@given(st.lists(st.integers(1, 6), min_size=1, max_size=6), st.integers(0, 99), st.data())
def test_taking_and_padding_graphs(counts, seed, data):
    record = random_record(counts, seed)
    chosen = data.draw(st.lists(st.integers(0, len(counts) - 1), min_size=1, max_size=8, unique=True))
    some = take_graphs(record, chosen)
    check_graph(some)
    assert some.graph_y.tolist() == record.graph_y[chosen].tolist()
    for place, graph in enumerate(chosen):
        one, other = take_graphs(some, [place]), take_graphs(record, [graph])
        for field in ("indptr", "indices", "x", "y", "edge_weight", "edge_attr", "graph_ptr", "graph_y"):
            assert torch.equal(getattr(one, field), getattr(other, field)), field
        assert torch.equal(one.node_data["age"], other.node_data["age"])
    extra = [data.draw(st.integers(0, 5)) for _ in range(3)]
    room = some.num_nodes + 1 + extra[0]
    padded = pad_graphs(some, PadSpec((room, room), (some.num_edges + 1 + extra[1],), len(chosen) + 1 + extra[2]))
    check_graph(padded.graph)
    assert (padded.graph.num_nodes, padded.graph.num_edges) == (room, some.num_edges + 1 + extra[1])
    assert padded.graph.num_graphs == len(chosen) + 1 + extra[2] == len(padded.graph_mask)
    assert torch.equal(padded.graph.x[padded.node_mask], some.x) and not padded.graph.x[~padded.node_mask].any()
    assert set(padded.graph.edge_index[:, ~padded.edge_mask].flatten().tolist()) == {room - 1}
    assert torch.equal(padded.graph.edge_index[:, padded.edge_mask], some.edge_index)
    assert set(padded.graph.graph_y[~padded.graph_mask].tolist()) == {-100}
    assert int(padded.graph_mask.sum()) == len(chosen)
    assert torch.equal(padded.graph.graph_ptr[: len(chosen) + 1], some.graph_ptr)


def test_records_can_be_packed_and_padded_as_planned():
    record = random_record([5, 3, 6, 1, 4, 2], seed=0)
    packing = pack_graphs(record, num_nodes=9, num_edges=40, num_graphs=4)
    sizes = [(take_graphs(record, [g]).num_nodes, take_graphs(record, [g]).num_edges) for g in range(6)]
    same = pack_graphs(sizes, num_nodes=9, num_edges=40, num_graphs=4)
    assert (packing.spec, packing.bins, packing.efficiency) == (same.spec, same.bins, same.efficiency)
    shapes = {pad_graphs(take_graphs(record, graphs), packing.spec).graph.x.shape for graphs in packing.bins}
    assert shapes == {(9, 3)}


def test_one_graph_is_a_record_too():
    graph = from_edge_index([[0, 1], [1, 0]], 2, x=torch.ones(2, 1))
    assert pad_to_maximum(graph).efficiency == 2 / 3
    assert pad_graphs(graph, PadSpec((4, 4), (3,), 2)).graph.graph_ptr.tolist() == [0, 2, 4]


def test_errors_of_taking_and_padding():
    record = random_record([2, 3], seed=0)
    for graphs in ([], [2], [-1]):
        with pytest.raises(ConfigError, match="from 0 to 1"):
            take_graphs(record, graphs)
    with pytest.raises(ConfigError, match="num_graphs"):
        pad_graphs(record, PadSpec((9, 9), (99,)))
    with pytest.raises(BatchOverflowError, match="5 of 4"):
        pad_graphs(record, PadSpec((5, 5), (99,), 5))
    with pytest.raises(BatchOverflowError, match=r"graphs: 2 of 1 \(margin -1\)") as info:
        pad_graphs(record, PadSpec((9, 9), (99,), 2))
    assert info.value.excess == {"graphs": 1}


def test_packing_mutag_fills_its_slots(data_dir, tmp_path):
    dataset = TuCollection(requested="TU-MUTAG")
    graph = dataset.read(dataset.locate(Finder("TU-MUTAG", data_dir, tmp_path, download=False)))
    packed = pack_graphs(graph, num_nodes=128, num_edges=320, num_graphs=17)
    assert packed.efficiency >= 0.85
    assert pad_to_maximum(graph).efficiency == pytest.approx(3371 / (188 * 29))
    filled = [int(pad_graphs(take_graphs(graph, graphs), packed.spec).node_mask.sum()) for graphs in packed.bins]
    assert sum(filled) == 3371 and max(filled) < 128
    assert packed.efficiency == sum(filled) / (128 * len(filled))


@settings(max_examples=50)
@given(SIZES, st.integers(1, 12))
def test_proposed_bins_hold_every_graph_and_are_decided_by_nodes(sizes, graphs_per_bin):
    packing = propose_bins(sizes, graphs_per_bin)
    assert sorted(graph for graphs in packing.bins for graph in graphs) == list(range(len(sizes)))
    spec = packing.spec
    filled = np.array([[sum(sizes[g][i] for g in graphs) for i in (0, 1)] + [len(graphs)] for graphs in packing.bins])
    assert (filled < [spec.num_nodes[0], spec.num_edges[0], spec.num_graphs]).all()
    # Some room for the bins of other epochs.
    assert spec.num_edges[0] <= 1.02 * filled[:, 1].max() + 2 and spec.num_graphs <= 1.1 * filled[:, 2].max() + 2


@settings(max_examples=50)
@given(SIZES, st.integers(1, 12), st.integers(0, 99))
def test_dealt_bins_have_the_same_size_and_lose_no_graph(sizes, graphs_per_bin, seed):
    packing = propose_bins(sizes, graphs_per_bin)
    spec = packing.spec
    dealt = deal(packing, np.random.default_rng(seed).permutation(len(sizes)))
    assert len(dealt) == len(packing.bins)
    assert sorted(graph for graphs in dealt for graph in graphs.tolist()) == list(range(len(sizes)))
    for graphs in dealt:
        nodes, edges = np.array(sizes)[graphs].sum(axis=0)
        assert nodes < spec.num_nodes[0] and edges < spec.num_edges[0] and len(graphs) < spec.num_graphs


def test_bins_hold_large_and_small_graphs():
    nodes = np.random.default_rng(0).integers(3, 60, 200)
    packing = propose_bins([(n, 2 * n) for n in nodes.tolist()], 10)
    order = np.random.default_rng(1).permutation(200)
    first, second = deal(packing, order), deal(packing, order[::-1])
    for bins in (packing.bins, first, second):
        assert all(nodes[list(graphs)].min() < 18 and nodes[list(graphs)].max() > 45 for graphs in bins)
    assert [graphs.tolist() for graphs in first] != [graphs.tolist() for graphs in second]


def test_bins_of_less_than_a_graph():
    with pytest.raises(ConfigError, match="graphs_per_bin is 0"):
        propose_bins([(1, 1)], 0)


@pytest.mark.parametrize("graphs_per_bin", [16, 32, 128])
def test_bins_of_real_molecules_are_full(data_dir, graphs_per_bin):
    mutag = gnnkit.load_dataset("TU-MUTAG", data_dir=data_dir / "MUTAG")
    assert propose_bins(mutag, min(graphs_per_bin, 64)).efficiency >= 0.93
    nci1 = load_dataset("GIN-NCI1", data_dir=data_dir)
    assert (nci1.num_graphs, nci1.num_nodes, len(graph_sizes(nci1))) == (4110, 122_747, 4110)
    assert propose_bins(nci1, graphs_per_bin).efficiency >= 0.93
