"""Batches of pairs: what they learn is in none of their blocks, and neither is what is judged."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gnnkit.backends import build_model
from gnnkit.data import Batch, prepare_graph, split_edges
from gnnkit.loading import FullGraphPairLoader, LinkDraw, NeighborLoader, PadSpec, batch_sizes, plan_padding
from gnnkit.sampling import NegativeSampler, NeighborSampler
from gnnkit.sampling.known_pairs import known_pairs
from tests.conftest import installed_backends
from tests.data.linked import multigraphs, pair_set

MODELS = ("sage", "gcn")


def split(graph, seed=0):
    return split_edges(graph, valid=0.2, test=0.2, seed=seed, negatives=False)


def draw_of(graph, *, seed=0, **options) -> LinkDraw:
    links = graph.links
    options.setdefault("negatives", NegativeSampler(graph, 2, seed=seed))
    return LinkDraw(links.pairs["train"], undirected=links.undirected, seed=seed, **options)


def loaders(graph, model, *, seed=0, pad=False, **options):
    """A full-graph loader and a sampled one of the graph as a model prepares it."""
    loops = model == "gcn"
    with_x = type(graph)(graph.indptr, graph.indices, x=torch.eye(graph.num_nodes), links=graph.links)
    prepared = prepare_graph(with_x, self_loops=loops, gcn_norm=loops)
    items, draw = torch.arange(len(graph.links.pairs["train"])), draw_of(graph, seed=seed, **options)
    sampler = NeighborSampler(prepared, [2, -1], seed=seed, keep_self_loops=loops, rescale=loops)
    found = {
        "full": lambda pad: FullGraphPairLoader(
            prepared, items, draw, num_layers=2, keep_self_loops=loops, seed=seed, pad=pad
        ),
        "sampled": lambda pad: NeighborLoader(
            prepared, items, sampler, batch_size=3, shuffle=True, seed=seed, draw=draw, num_threads=0, pad=pad
        ),
    }
    for make in found.values():
        yield make(plan_padding(make(None), epochs=range(2)).spec if pad else None)


def edges_of(batch: Batch, nodes_of_sources) -> set:
    """All edges of all blocks by node id, padding left out."""
    found = set()
    for block in batch.blocks:
        real = torch.ones(block.num_edges, dtype=torch.bool) if block.edge_mask is None else block.edge_mask
        sources = nodes_of_sources[block.indices[real]].tolist()
        found.update(zip(sources, nodes_of_sources[block.dst[real]].tolist()))
    return found


def ids_by_features(batch: Batch) -> torch.Tensor:
    """Node ids of the first block's sources: features are unit vectors; padding, whose features are 0, is node 0."""
    return batch.x.argmax(dim=1)


@settings(max_examples=40)
@given(graph=multigraphs(), seed=st.integers(0, 99), model=st.sampled_from(MODELS), pad=st.booleans())
def test_no_block_holds_a_pair_of_its_batch_or_one_that_is_judged(graph, seed, model, pad) -> None:
    graph = split(graph, seed)
    undirected = graph.links.undirected
    judged = set()
    for name in ("valid", "test"):
        judged |= pair_set(graph.links.pairs[name], undirected)
    for loader in loaders(graph, model, seed=seed, pad=pad):
        learnt = []
        for batch in loader.epoch(1):
            rows = batch.targets.rows
            real = slice(0, batch.num_targets)
            own = torch.stack([batch.nodes[rows["src"][real]], batch.nodes[rows["dst"][real]]], dim=1)
            learnt += sorted(pair_set(own, undirected))
            seen = {
                tuple(sorted(e)) if undirected else e for e in edges_of(batch, ids_by_features(batch)) if e[0] != e[1]
            }
            assert not seen & pair_set(own, undirected)
            assert not seen & judged
        assert sorted(learnt) == sorted(pair_set(graph.links.pairs["train"], undirected))


@pytest.mark.parametrize("name", installed_backends())
@settings(max_examples=10)
@given(graph=multigraphs(), seed=st.integers(0, 99))
def test_a_backend_computes_what_it_would_on_a_graph_without_the_pairs(name, graph, seed) -> None:
    """Outputs of a batch on the full graph are those of a graph from which its pairs have been taken by hand."""
    graph = split(graph, seed)
    model = build_model(
        "sage",
        type(graph)(graph.indptr, graph.indices, x=torch.eye(graph.num_nodes)),
        backend=name,
        out_channels=3,
        dropout=0.0,
    ).eval()
    full, _ = loaders(graph, "sage", seed=seed)
    for batch in full.epoch(0):
        own = pair_set(torch.stack([batch.targets.rows["src"], batch.targets.rows["dst"]], dim=1), False)
        own |= {(v, u) for u, v in own} if graph.links.undirected else set()
        kept = [e for e in zip(graph.indices.tolist(), graph.dst.tolist()) if e not in own]
        dense = torch.zeros(graph.num_nodes, graph.num_nodes)
        for source, destination in kept:
            dense[destination, source] += 1
        mean = dense / dense.sum(dim=1, keepdim=True).clamp(min=1)
        state = model.canonical_state()
        h = batch.x
        for layer in range(2):
            h = (
                h @ state[f"convs.{layer}.lin_self.weight"].T
                + (mean @ h) @ state[f"convs.{layer}.lin_neigh.weight"].T
                + state[f"convs.{layer}.bias"]
            )
            h = h.relu() if layer == 0 else h
        torch.testing.assert_close(model(batch.blocks, batch.x), h, atol=1e-5, rtol=1e-5)


@settings(max_examples=30)
@given(graph=multigraphs(), seed=st.integers(0, 99), both=st.booleans())
def test_negatives_are_no_known_training_pairs(graph, seed, both) -> None:
    graph = split(graph, seed)
    known = known_pairs(graph, splits=("train",))
    degrees = np.diff(known.indptr)
    assume(degrees.max() < graph.num_nodes - 2)  # Every source has somebody left.
    negatives = NegativeSampler(graph, 3, known=known, seed=seed)
    draw = draw_of(graph, seed=seed, negatives=negatives, both=both)
    items = np.arange(len(graph.links.pairs["train"]))
    drawn = draw(items, slice(None), 4, 0)
    rows = {name: drawn.seeds[row.numpy()] for name, row in drawn.targets.rows.items()}
    sources = rows.get("negative_sources", np.repeat(rows["src"][:, None], 3, axis=1))
    assert not known.contains(sources.ravel(), rows["negatives"].ravel()).any()
    assert (sources != rows["negatives"]).all()


@pytest.mark.parametrize("options", [{}, {"both": True}, {"in_batch": 2, "negatives": None}])
@settings(max_examples=20)
@given(graph=multigraphs(), seed=st.integers(0, 99), cut=st.integers(1, 3))
def test_parts_of_a_batch_draw_what_the_whole_does(options, graph, seed, cut) -> None:
    graph = split(graph, seed)
    draw = draw_of(graph, seed=seed, **options)
    items = np.arange(len(graph.links.pairs["train"]))[::-1][:5]

    def nodes(part):
        drawn = draw(items, part, 2, 1)
        assert len(np.unique(drawn.seeds)) == len(drawn.seeds)
        return {name: torch.from_numpy(drawn.seeds)[row] for name, row in drawn.targets.rows.items()}, drawn.hidden

    whole, hidden = nodes(slice(None))
    first, second = nodes(slice(0, cut)), nodes(slice(cut, None))
    for name in whole:
        assert torch.equal(torch.cat([first[0][name], second[0][name]]), whole[name])
    assert (first[1] == hidden).all() and (second[1] == hidden).all()


def test_what_is_drawn_depends_on_the_pair_and_not_on_its_batch() -> None:
    graph = split(next(iter([_ring()])))
    draw = draw_of(graph, seed=3)
    one, other = draw(np.array([2, 0, 1]), slice(0, 1), 5, 0), draw(np.array([7, 2]), slice(1, 2), 5, 9)
    for name in one.targets.rows:
        assert (one.seeds[one.targets.rows[name].numpy()] == other.seeds[other.targets.rows[name].numpy()]).all()
    again = draw(np.array([2]), slice(None), 6, 0)
    assert not (one.seeds[one.targets.rows["negatives"]] == again.seeds[again.targets.rows["negatives"]]).all()


def _ring():
    from gnnkit.data import from_edge_index

    nodes = torch.arange(30)
    edges = torch.stack([nodes, (nodes + 1) % 30])
    return from_edge_index(torch.cat([edges, edges.flip(0)], dim=1), 30)


def test_fixed_sizes_hold_fixed_numbers_of_pairs() -> None:
    graph = split(_ring())
    _, sampled = loaders(graph, "sage", pad=True)
    assert isinstance(sampled.pad, PadSpec) and sampled.pad.num_pairs is not None
    shapes = {tuple(tensor.shape for tensor in batch.flatten()) for batch in sampled.epoch(1)}
    assert len(shapes) == 1
    assert all(
        batch_sizes(batch.blocks, batch.targets).num_pairs == sampled.pad.num_pairs for batch in sampled.epoch(1)
    )
