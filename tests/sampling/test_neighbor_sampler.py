from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from gnnkit.data import Graph, from_edge_index
from gnnkit.errors import ConfigError, DataError
from gnnkit.loading import InputReduction, NeighborLoader
from gnnkit.sampling import NeighborSampler
from tests.sampling.neighbor_reference import csc_graph, reference_sample, rows_of

OPTIONS = [
    {},
    {"replace": True},
    {"weighted": True},
    {"weighted": True, "replace": True},
    {"keep_self_loops": True},
    {"keep_self_loops": True, "rescale": True},
    {"keep_self_loops": True, "rescale": True, "replace": True},
    {"keep_self_loops": True, "weighted": True},
    {"keep_self_loops": True, "weighted": True, "replace": True},
]


def star(num_leaves, **fields):
    """Node 0 with in-edges from nodes 1 to num_leaves."""
    return csc_graph([(leaf, 0) for leaf in range(1, num_leaves + 1)], num_leaves + 1, **fields)


@st.composite
def cases(draw):
    num = draw(st.integers(1, 8))
    node = st.integers(0, num - 1)
    edges = draw(st.lists(st.tuples(node, node), max_size=40))
    weights = draw(st.lists(st.sampled_from([0.0, 0.5, 1.0, 3.0]), min_size=len(edges), max_size=len(edges)))
    options = draw(st.sampled_from(OPTIONS))
    if not options.get("weighted") and draw(st.booleans()):
        weights = None
    fanouts = draw(st.lists(st.sampled_from([-1, 1, 2, 3, 10]), min_size=1, max_size=3))
    seeds = draw(st.lists(node, min_size=1, max_size=6))
    return csc_graph(edges, num, weights), fanouts, seeds, options


@settings(max_examples=200)
@given(cases(), st.integers(0, 5), st.integers(0, 5), st.integers(0, 5))
def test_sampler_matches_plain_python(case, seed, epoch, batch):
    graph, fanouts, seeds, options = case
    sampled = NeighborSampler(graph, fanouts, seed=seed, **options).sample(seeds, epoch=epoch, batch=batch)
    hops, nodes = reference_sample(graph, fanouts, seeds, seed=seed, epoch=epoch, batch=batch, **options)
    got = [(rows_of(block), block.num_src) for block in sampled.blocks]
    if options.get("weighted") and not options.get("replace"):
        # The order in which a weighted sample lists its edges is not part of the contract.
        got, nodes, hops = (_by_id(got, sampled.nodes.tolist()), None, _by_id(hops, nodes))
    else:
        assert sampled.nodes.tolist() == nodes
    for (rows, num_src), (expected, expected_src) in zip(got, hops):
        assert num_src == expected_src
        assert [[s for s, _ in row] for row in rows] == [[s for s, _ in row] for row in expected]
        assert [w for row in rows for _, w in row] == pytest.approx([w for row in expected for _, w in row])
    assert (sampled.blocks[0].edge_weight is None) == (graph.edge_weight is None and not options.get("rescale"))


def _by_id(hops, nodes):
    """Rows by node id, sorted; destinations by node id too, since their order follows that of the edges."""
    result = []
    for rows, num_src in hops:
        named = [(nodes[dst], sorted((nodes[s], w) for s, w in row)) for dst, row in enumerate(rows)]
        result.append(([[(dst, 0.0), *row] for dst, row in sorted(named)], num_src))
    return result


@settings(max_examples=60)
@given(cases())
def test_blocks_hold_edges_of_the_graph(case):
    graph, fanouts, seeds, options = case
    sampled = NeighborSampler(graph, fanouts, **options).sample(seeds, epoch=0, batch=0)
    edges = dict.fromkeys(zip(graph.indices.tolist(), graph.dst.tolist()), 0)
    for pair in zip(graph.indices.tolist(), graph.dst.tolist()):
        edges[pair] += 1
    nodes = sampled.nodes
    assert nodes.dtype == torch.int64 and nodes[: len(seeds)].tolist() == seeds
    assert sampled.blocks[-1].num_dst == len(seeds) and sampled.blocks[0].num_src == len(nodes)
    for inner, outer in zip(sampled.blocks, sampled.blocks[1:]):
        assert inner.num_dst == outer.num_src
    for block, fanout in zip(sampled.blocks, reversed(fanouts)):
        assert block.indptr.dtype == block.indices.dtype == torch.int64
        assert block.edge_weight is None or block.edge_weight.dtype == torch.float32
        for row, members in enumerate(rows_of(block)):
            dst = int(nodes[row])
            ids = [int(nodes[source]) for source, _ in members]
            for source in ids:
                assert edges.get((source, dst), 0) >= (1 if options.get("replace") else ids.count(source))
            if not options.get("weighted") and not options.get("replace"):
                degree = int(graph.in_degrees[dst])
                loops = edges.get((dst, dst), 0) if options.get("keep_self_loops") else 0
                assert len(ids) == (degree if fanout == -1 else min(degree - loops, fanout) + loops)


@pytest.mark.parametrize("num_leaves, fanout", [(6, 1), (6, 3), (6, 5), (40, 35)])
def test_uniform_without_replacement(num_leaves, fanout):
    sampler = NeighborSampler(star(num_leaves), [fanout], seed=1)
    counts, trials = np.zeros(num_leaves), 3000
    for epoch in range(trials):
        leaves = sampler.sample([0], epoch=epoch, batch=0).nodes[1:].numpy()
        assert len(set(leaves)) == fanout
        counts[leaves - 1] += 1
    # Draws within a sample exclude each other, which narrows the counts by (1 - 1/n) / (1 - k/n) of the usual form.
    expected = trials * fanout / num_leaves
    statistic = ((counts - expected) ** 2 / expected).sum() * (num_leaves - 1) / (num_leaves - fanout)
    assert 1e-3 < stats.chi2.sf(statistic, num_leaves - 1) < 1 - 1e-3


def test_every_subset_is_equally_likely():
    sampler = NeighborSampler(star(5), [2], seed=2)
    counts = {}
    for batch in range(4000):
        subset = tuple(sorted(sampler.sample([0], epoch=0, batch=batch).nodes[1:].tolist()))
        counts[subset] = counts.get(subset, 0) + 1
    assert len(counts) == 10 and stats.chisquare(list(counts.values())).pvalue > 1e-3


def test_uniform_with_replacement():
    sampler = NeighborSampler(star(5), [8], replace=True, seed=3)
    counts = np.zeros(6)
    for epoch in range(1000):
        sampled = sampler.sample([0], epoch=epoch, batch=0)
        assert sampled.blocks[0].num_edges == 8
        np.add.at(counts, sampled.nodes[sampled.blocks[0].indices].numpy(), 1)
    assert counts[0] == 0 and stats.chisquare(counts[1:]).pvalue > 1e-3


WEIGHTS = [1.0, 2.0, 0.0, 3.0, 4.0]


def test_weighted_with_replacement_follows_the_weights():
    sampler = NeighborSampler(star(5, weights=WEIGHTS), [4], weighted=True, replace=True, seed=4)
    counts = np.zeros(6)
    for epoch in range(1500):
        sampled = sampler.sample([0], epoch=epoch, batch=0)
        np.add.at(counts, sampled.nodes[sampled.blocks[0].indices].numpy(), 1)
    observed = counts[[1, 2, 4, 5]]
    assert counts[3] == 0
    assert stats.chisquare(observed, observed.sum() * np.array([0.1, 0.2, 0.3, 0.4])).pvalue > 1e-3


def test_weighted_without_replacement_is_successive_sampling():
    sampler = NeighborSampler(star(5, weights=WEIGHTS), [2], weighted=True, seed=5)
    pairs, counts = [(1, 2), (1, 4), (1, 5), (2, 4), (2, 5), (4, 5)], {}
    for epoch in range(6000):
        pair = tuple(sorted(sampler.sample([0], epoch=epoch, batch=0).nodes[1:].tolist()))
        counts[pair] = counts.get(pair, 0) + 1
    share = {1: 0.1, 2: 0.2, 4: 0.3, 5: 0.4}
    chance = [share[a] * share[b] / (1 - share[a]) + share[b] * share[a] / (1 - share[b]) for a, b in pairs]
    assert set(counts) == set(pairs)
    assert stats.chisquare([counts[pair] for pair in pairs], 6000 * np.array(chance)).pvalue > 1e-3


@pytest.mark.parametrize("replace", [False, True])
@pytest.mark.parametrize("weights", [None, [0.3, 1.0, 2.0, 0.7, 1.5, 0.1, 0.9]])
def test_rescaled_sum_is_unbiased(replace, weights):
    edges = [(source, 0) for source in range(7)]  # 0 -> 0 is a self-loop
    graph = csc_graph(edges, 7, weights)
    values = torch.arange(1.0, 8.0)
    exact = float((values * (torch.ones(7) if weights is None else torch.tensor(weights))).sum())
    sampler = NeighborSampler(graph, [2], keep_self_loops=True, rescale=True, replace=replace)
    sums = []
    for epoch in range(4000):
        sampled = sampler.sample([0], epoch=epoch, batch=0)
        sources = sampled.nodes[sampled.blocks[0].indices]
        assert (sources == 0).sum() == 1
        sums.append(float((values[sources] * sampled.blocks[0].edge_weight).sum()))
    assert abs(np.mean(sums) - exact) < 4 * np.std(sums) / np.sqrt(len(sums))


def test_rescale_leaves_complete_neighbourhoods_alone():
    graph = csc_graph([(1, 0), (2, 0), (0, 0)], 3, [0.5, 2.0, 4.0])
    block = NeighborSampler(graph, [-1], keep_self_loops=True, rescale=True).sample([0], epoch=0, batch=0).blocks[0]
    assert sorted(block.edge_weight.tolist()) == [0.5, 2.0, 4.0]


def test_repeated_seeds_are_rows_of_their_own():
    sampled = NeighborSampler(star(4), [2, 2]).sample([0, 3, 0], epoch=0, batch=0)
    rows = rows_of(sampled.blocks[-1])
    assert len(rows) == 3 and rows[0] == rows[2] and len(rows[0]) == 2 and rows[1] == []
    assert sampled.nodes.tolist()[:3] == [0, 3, 0] and len(sampled.nodes) == len(set(sampled.nodes.tolist())) + 1
    # In the next hop too both rows of node 0 take neighbours, so that both hold the same hidden features.
    inner = rows_of(sampled.blocks[0])
    assert inner[0] == inner[2] and len(inner[0]) == 2


def test_all_neighbours_over_all_hops_is_the_graph_itself():
    ring = csc_graph([((node + 1) % 5, node) for node in range(5)], 5)
    sampled = NeighborSampler(ring, [-1, -1]).sample(torch.tensor([0]), epoch=0, batch=0)
    assert sampled.nodes.tolist() == [0, 1, 2]
    assert [block.num_edges for block in sampled.blocks] == [2, 1]


def test_hops_epochs_batches_and_seeds_draw_differently():
    def leaves(seed, epoch, batch):
        sampled = NeighborSampler(star(1000), [10, 10], seed=seed).sample([0], epoch=epoch, batch=batch)
        return [tuple(sampled.nodes[block.indices[:10]].tolist()) for block in sampled.blocks]

    draws = leaves(0, 0, 0) + leaves(1, 0, 0) + leaves(0, 1, 0) + leaves(0, 0, 1)
    assert len(set(draws)) == 8
    assert leaves(0, 0, 0) == leaves(0, 0, 0)


def test_hub_with_a_large_fanout():
    sampler = NeighborSampler(star(200_000), [100_000])
    leaves = sampler.sample([0], epoch=0, batch=0).nodes[1:]
    assert len(leaves.unique()) == 100_000
    # The mean of a random half of 1..n is normal with a standard deviation near n / sqrt(12 n).
    assert abs(float(leaves.double().mean()) - 100_000.5) < 4 * 200_000 / np.sqrt(12 * 200_000)


def test_scratch_memory_carries_nothing_over():
    graph = csc_graph([(s, d) for s in range(30) for d in range(30) if (s * d) % 3], 30)
    sampler = NeighborSampler(graph, [3, 3], seed=9)

    def fingerprint(one, batch):
        sampled = one.sample([batch % 30, (batch * 7) % 30], epoch=0, batch=batch)
        return sampled.nodes.tolist(), [block.indices.tolist() for block in sampled.blocks]

    fresh = [fingerprint(NeighborSampler(graph, [3, 3], seed=9), batch) for batch in range(40)]
    assert [fingerprint(sampler, batch) for batch in reversed(range(40))] == fresh[::-1]
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(lambda batch: fingerprint(sampler, batch), range(40))) == fresh


def test_int32_indices_and_strided_arrays():
    graph = csc_graph([(s, d) for s in range(9) for d in range(9)], 9)
    expected = NeighborSampler(graph, [3]).sample([4, 2], epoch=0, batch=0)
    strided = torch.stack([graph.indices, graph.indices], dim=1)[:, 0]
    for indices in (graph.indices.int(), strided):
        got = NeighborSampler(Graph(graph.indptr, indices), [3]).sample([4, 2], epoch=0, batch=0)
        assert torch.equal(got.nodes, expected.nodes)
        assert torch.equal(got.blocks[0].indices, expected.blocks[0].indices)


@settings(max_examples=100)
@given(cases(), st.integers(0, 3))
def test_hashed_numbers_equal_dense_ones(case, batch):
    graph, fanouts, seeds, options = case
    dense = NeighborSampler(graph, fanouts, **options)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gnnkit.sampling.neighbor.MAX_DENSE_NODES", 0)
        hashed = NeighborSampler(graph, fanouts, **options)
        assert_same_samples(hashed, dense, [seeds, seeds[::-1], seeds * 2], batch)


def test_hashing_grows_with_the_batch():
    rng = np.random.default_rng(0)
    graph = from_edge_index(rng.integers(0, 20_000, (2, 200_000)), 20_000)
    dense = NeighborSampler(graph, [10, 10])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gnnkit.sampling.neighbor.MAX_DENSE_NODES", 0)
        hashed = NeighborSampler(graph, [10, 10])
        assert_same_samples(hashed, dense, [[5], rng.integers(0, 20_000, 3000), [7, 7, 19_999]], 0)


def assert_same_samples(first, second, seed_lists, batch):
    for seeds in seed_lists:
        got, expected = (sampler.sample(seeds, epoch=1, batch=batch) for sampler in (first, second))
        assert torch.equal(got.nodes, expected.nodes)
        for block, wanted in zip(got.blocks, expected.blocks):
            assert block.num_src == wanted.num_src
            assert torch.equal(block.indptr, wanted.indptr) and torch.equal(block.indices, wanted.indices)


@pytest.mark.parametrize("dtype", [np.int32, np.int64])
def test_edges_beyond_2_to_the_31(dtype, tmp_path):
    """Offsets that 32 bits cannot hold, into a file that is nearly all hole."""
    wide, per_node = 1 << 31, 1 << 28
    indptr = torch.cat([torch.arange(0, wide + 1, per_node), wide + torch.tensor([4, 4, 5])])
    num = indptr.numel() - 1
    indices = np.memmap(tmp_path / "indices", dtype=dtype, mode="w+", shape=(wide + 5,))
    indices[wide:] = [1, 3, 7, 9, 10]
    indices[wide - 2 : wide] = [4, 5]  # The end of node 7's edges; all before are holes: edges from node 0.
    x = torch.arange(num, dtype=torch.float32)[:, None]
    graph = Graph(indptr, torch.from_numpy(indices), x=x)
    sampler = NeighborSampler(graph, [-1])
    sampled = sampler.sample([8, 10, 9], epoch=0, batch=0)
    assert sampled.nodes[sampled.blocks[0].indices].tolist() == [1, 3, 7, 9, 10]
    assert sampled.blocks[0].indptr.tolist() == [0, 4, 5, 5]
    loops = NeighborSampler(graph, [2], keep_self_loops=True).sample([10, 7], epoch=0, batch=0)
    assert loops.nodes[loops.blocks[0].indices[:1]].tolist() == [10]
    loader = NeighborLoader(
        graph, torch.tensor([8]), sampler, batch_size=1, shuffle=False, reduction=InputReduction("sum")
    )
    assert next(loader.epoch(0)).x[:, 0].tolist() == [8, 20]


def test_graph_without_edges():
    sampled = NeighborSampler(csc_graph([], 3), [5, -1], replace=True).sample([2, 1], epoch=0, batch=0)
    assert sampled.nodes.tolist() == [2, 1]
    assert [(block.num_edges, block.num_src) for block in sampled.blocks] == [(0, 2), (0, 2)]


@pytest.mark.parametrize("fanouts", [[], [-2], [2, 1.5], ["3"], 5, None])
def test_bad_fanouts(fanouts):
    with pytest.raises(ConfigError, match="fan-outs"):
        NeighborSampler(star(2), fanouts)


@pytest.mark.parametrize(
    "seeds, error, text",
    [
        ([], ConfigError, "at least one"),
        ([0, 3], DataError, r"seeds, row 1: node id 3 is not in \[0, 3\)"),
        ([-1], DataError, "row 0"),
        ([0.5], DataError, "integer"),
        ([[0, 1]], DataError, "shape"),
    ],
)
def test_bad_seeds(seeds, error, text):
    with pytest.raises(error, match=text):
        NeighborSampler(star(2), [1]).sample(seeds, epoch=0, batch=0)


def test_bad_options():
    with pytest.raises(ConfigError, match="rescale and weighted"):
        NeighborSampler(star(2, weights=[1.0, 1.0]), [1], rescale=True, weighted=True)
    with pytest.raises(DataError, match="edge_weight"):
        NeighborSampler(star(2), [1], weighted=True)
    for bad in (-1.0, float("nan"), float("inf")):
        with pytest.raises(DataError, match="row 1"):
            NeighborSampler(star(2, weights=[1.0, bad]), [1], weighted=True)
