"""Edges keep their ids through sampling, and blocks the features of just these edges."""

from __future__ import annotations

from typing import Any, Dict, List, Tuple

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gnnkit.data import Batch, Block, Graph, add_self_loops, from_edge_index
from gnnkit.errors import ConfigError
from gnnkit.loading import FullGraphLoader, InputReduction, NeighborLoader, plan_padding
from gnnkit.sampling import NeighborSampler

WAYS = st.fixed_dictionaries(
    {
        "replace": st.booleans(),
        "weighted": st.booleans(),
        "keep_self_loops": st.booleans(),
    }
)


@st.composite
def graphs(draw: Any) -> Graph:
    """Graphs with repeated edges, self-loops and edges of weight 0; each edge has features of its own."""
    num_nodes = draw(st.integers(2, 12))
    nodes = st.integers(0, num_nodes - 1)
    edges = draw(st.lists(st.tuples(nodes, nodes), min_size=1, max_size=40))
    num = len(edges)
    weight = draw(st.lists(st.sampled_from([0.0, 0.5, 2.0]), min_size=num, max_size=num))
    return from_edge_index(
        torch.tensor(edges).T,
        num_nodes,
        x=torch.arange(num_nodes, dtype=torch.float32)[:, None],
        edge_weight=torch.tensor(weight),
        # Source, destination and a number of its own, by which an edge is known.
        edge_attr=torch.tensor([[src, dst, 100 + i] for i, (src, dst) in enumerate(edges)], dtype=torch.float32),
    )


def check(graph: Graph, block: Block, sources: torch.Tensor) -> None:
    """The block's real edges have the rows of the graph's edges between the same nodes."""
    real = slice(None) if block.edge_mask is None else block.edge_mask
    attr, src, dst = block.edge_attr[real], block.indices[real], block.dst[real]
    assert graph.edge_attr is not None
    assert attr[:, 0].tolist() == sources[src].tolist()
    assert attr[:, 1].tolist() == sources[dst].tolist()
    if block.edge_ids is not None:
        ids = block.edge_ids[real]
        assert torch.equal(graph.edge_attr[ids], attr)
        assert torch.equal(graph.indices[ids], sources[src].long())
    if block.edge_mask is not None:
        assert not bool(block.edge_attr[~block.edge_mask].any())
        assert block.edge_ids is None or block.edge_ids[~block.edge_mask].eq(-1).all()


def loader(graph: Graph, fanouts: List[int], ways: Dict[str, Any], **options: Any) -> NeighborLoader:
    sampler = NeighborSampler(graph, fanouts, keep_edge_ids=True, **ways)
    nodes = torch.arange(graph.num_nodes)
    return NeighborLoader(graph, nodes, sampler, batch_size=5, shuffle=True, edge_features=True, **options)


def check_batch(graph: Graph, batch: Batch) -> None:
    sources = batch.x[:, 0]  # Features are the nodes' own numbers.
    for block in batch.blocks:
        check(graph, block, sources[: block.num_src])
        sources = sources[: block.num_dst]


@settings(max_examples=60, deadline=None)
@given(graphs(), st.sampled_from([[-1, -1], [2, 2], [1, 3]]), WAYS, st.integers(0, 3))
def test_sampled_blocks_have_the_features_of_their_edges(
    graph: Graph, fanouts: List[int], ways: Dict[str, Any], epoch: int
) -> None:
    for batch in loader(graph, fanouts, ways).epoch(epoch):
        check_batch(graph, batch)


@settings(max_examples=25, deadline=None)
@given(graphs(), WAYS)
def test_padded_and_split_batches_have_them_too(graph: Graph, ways: Dict[str, Any]) -> None:
    plain = loader(graph, [2, 2], ways)
    pad = plan_padding(plain, overflow_rate=0.3).spec
    split = loader(graph, [2, 2], ways, pad=pad)
    seen: List[Tuple[float, ...]] = []
    for batch in split.epoch(1):
        check_batch(graph, batch)
        last = batch.blocks[-1]
        seen += [tuple(row) for row in last.edge_attr[last.edge_mask].tolist()]
    whole = [tuple(row) for batch in plain.epoch(1) for row in batch.blocks[-1].edge_attr.tolist()]
    assert sorted(seen) == sorted(whole)


@settings(max_examples=25, deadline=None)
@given(graphs())
def test_whole_graphs_have_them(graph: Graph) -> None:
    batch = next(iter(FullGraphLoader(graph, None, num_layers=2, edge_features=True).epoch(0)))
    assert batch.blocks[0] is batch.blocks[1]
    check_batch(graph, batch)


@settings(max_examples=25, deadline=None)
@given(graphs(), WAYS, st.integers(0, 3))
def test_asking_for_ids_changes_no_sample(graph: Graph, ways: Dict[str, Any], epoch: int) -> None:
    asked, plain = (NeighborSampler(graph, [2, 2], keep_edge_ids=keep, **ways) for keep in (True, False))
    nodes = torch.arange(graph.num_nodes)
    for ours, theirs in zip(*(sampler.sample(nodes, epoch=epoch, batch=3).blocks for sampler in (asked, plain))):
        assert torch.equal(ours.indices, theirs.indices) and torch.equal(ours.indptr, theirs.indptr)
        assert theirs.edge_ids is None


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_stored_types_are_widened_as_features_of_nodes_are(dtype: torch.dtype) -> None:
    graph = from_edge_index(
        torch.tensor([[0, 1], [1, 0]]), x=torch.eye(2), edge_attr=torch.tensor([[1.5], [2.5]], dtype=dtype)
    )
    (batch,) = loader(graph, [-1], {}).epoch(0)
    assert batch.blocks[0].edge_attr.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert sorted(batch.blocks[0].edge_attr.flatten().tolist()) == [1.5, 2.5]


def test_features_that_cannot_be_had_are_refused() -> None:
    graph = from_edge_index(torch.tensor([[0, 1], [1, 0]]), x=torch.eye(2), edge_attr=torch.ones(2, 1))
    nodes, options = torch.arange(2), {"batch_size": 2, "shuffle": False, "edge_features": True}
    with pytest.raises(ConfigError, match="keep_edge_ids=True"):
        NeighborLoader(graph, nodes, NeighborSampler(graph, [1]), **options)
    sampler = NeighborSampler(graph, [1], keep_edge_ids=True)
    with pytest.raises(ConfigError, match="cannot be computed while loading"):
        NeighborLoader(graph, nodes, sampler, reduction=InputReduction("sum"), **options)


def test_nothing_is_gathered_that_nobody_reads() -> None:
    graph = add_self_loops(from_edge_index(torch.tensor([[0, 1], [1, 0]]), x=torch.eye(2), edge_attr=torch.ones(2, 1)))
    (batch,) = NeighborLoader(graph, torch.arange(2), NeighborSampler(graph, [1]), batch_size=2, shuffle=False).epoch(0)
    assert batch.blocks[0].edge_attr is None and batch.blocks[0].edge_ids is None
