"""Plans hold what they promise on batches that they have not seen, and their figures are right."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from gnnkit.data import gcn_norm
from gnnkit.errors import ConfigError
from gnnkit.loading import FullGraphLoader, NeighborLoader, PadSpec, batch_bytes, pad_batch, plan_padding
from gnnkit.loading.base import spread
from gnnkit.loading.planning import MOST_BATCHES
from gnnkit.sampling import NeighborSampler
from tests.graphs import communities, multi_label


@pytest.fixture(scope="module")
def graph():
    return communities(num_nodes=1500)


def make_loader(graph, **options):
    nodes = graph.splits["train"]
    options = {"batch_size": 32, "shuffle": True, **options}
    return NeighborLoader(graph, nodes, NeighborSampler(graph, [4, 4], seed=1), **options)


def fresh_overflow(loader, spec, epochs=30):
    sizes = [each for epoch in range(epochs) for each in loader.sizes(epoch)]
    return np.mean([not spec.fits(each) for each in sizes]), len(sizes)


@pytest.mark.parametrize("rate", [0.0, 0.01, 0.05, 0.2])
def test_overflow_rate_holds_on_fresh_batches(graph, rate):
    loader = make_loader(graph)
    plan = plan_padding(loader, overflow_rate=rate)
    share, num = fresh_overflow(loader, plan.spec)
    # Three standard deviations of a share that a plan of so many batches can know.
    uncertain = 3 * np.sqrt(max(rate, 0.002) / (len(plan.sizes) / 2))
    assert plan.expected_overflow <= rate and num > 500
    assert share <= rate + uncertain and abs(share - plan.expected_overflow) <= uncertain


@pytest.mark.parametrize("epochs", [range(1, 2), range(1, 11)])
def test_without_overflow_no_batch_to_come_is_too_large_and_no_room_is_wasted(graph, epochs):
    loader = make_loader(graph)
    plan = plan_padding(loader, overflow_rate=0.0, epochs=epochs)
    sizes = np.array([each.values for epoch in epochs for each in loader.sizes(epoch)])
    margins = np.array(plan.spec.values) - 1 - sizes.max(axis=0)
    assert plan.is_exact and plan.expected_overflow == 0 and np.array_equal(plan.sizes, sizes)
    assert margins.min() >= 0 and margins.max() < 8, "rounded up to multiples of 8, and nothing more"


def test_of_too_many_batches_a_sample_is_taken_and_a_warning_given(graph, caplog):
    epochs = range(1, MOST_BATCHES // len(make_loader(graph)) + 2)
    plan = plan_padding(make_loader(graph), overflow_rate=0.0, num_batches=20, epochs=epochs)
    assert not plan.is_exact and len(plan.sizes) == 20
    assert "more than the 4,096 that are looked at" in caplog.text and "a sample of 20 and a margin" in caplog.text
    caplog.clear()
    assert not plan_padding(make_loader(graph), overflow_rate=0.01, num_batches=20, epochs=epochs).is_exact
    assert not caplog.text


def test_a_higher_rate_wastes_less(graph):
    loader = make_loader(graph)
    tight, loose = plan_padding(loader, overflow_rate=0.3), plan_padding(loader, overflow_rate=0.0)
    assert tight.bytes_per_batch < loose.bytes_per_batch
    assert sum(tight.waste) < sum(loose.waste) and tight.waste[0] < 0.15
    assert all(a <= b for a, b in zip(tight.spec.values, loose.spec.values))


def test_waste_is_the_share_of_padding_in_padded_batches(graph):
    loader = make_loader(graph)
    plan = plan_padding(loader, overflow_rate=0.0)
    padding = []
    for batch in make_loader(graph, pad=plan.spec, num_threads=0).epoch(0):
        masks = [block.dst_mask for block in batch.blocks] + [block.edge_mask for block in batch.blocks]
        padding.append([1 - float(mask.float().mean()) for mask in masks])
    waste = dict(zip(plan.spec.names, plan.waste))
    expected = [
        waste[name] for name in ("nodes of level 1", "nodes of level 2", "edges of block 0", "edges of block 1")
    ]
    np.testing.assert_allclose(np.mean(padding, axis=0), expected, atol=0.03)
    fitting = plan.sizes[(plan.sizes < plan.spec.values).all(axis=1)]
    np.testing.assert_allclose(plan.waste[0], 1 - fitting[:, 0].mean() / plan.spec.num_nodes[0])


@pytest.mark.parametrize("kind", ["plain", "weighted", "multi-label", "half precision"])
def test_bytes_are_those_of_the_flattened_batch(graph, kind):
    if kind == "weighted":
        graph = gcn_norm(graph)
    elif kind == "multi-label":
        graph = multi_label()
    elif kind == "half precision":
        graph = replace(graph, x=graph.x.half())
    plan = plan_padding(make_loader(graph), num_batches=8)
    batch = next(make_loader(graph, pad=plan.spec, num_threads=0).epoch(0))
    kept = [name for block in batch.layout.blocks for name in block.names]
    assert len(kept) + 3 == len(batch.flatten()) and batch.layout.targets == ("y", "mask")
    held = sum(tensor.numel() * tensor.element_size() for tensor in batch.flatten())
    assert plan.bytes_per_batch == batch_bytes(plan.spec, graph) == held


def test_sizes_are_small_multiples_and_in_order(graph):
    spec = plan_padding(make_loader(graph, batch_size=31), num_batches=16).spec
    assert all(value % 8 == 0 for value in spec.values)
    assert spec.num_targets == 32 and list(spec.num_nodes) == sorted(spec.num_nodes, reverse=True)


def test_a_plan_is_repeatable_and_leaves_training_alone(graph):
    loader = make_loader(graph)
    before = next(loader.epoch(0))
    first, second = plan_padding(loader, num_batches=20), plan_padding(loader, num_batches=20)
    assert first.spec == second.spec and np.array_equal(first.sizes, second.sizes)
    assert torch.equal(next(loader.epoch(0)).nodes, before.nodes)


def test_full_graph(graph):
    loader = FullGraphLoader(graph, graph.splits["train"], num_layers=3)
    plan = plan_padding(loader)
    assert plan.expected_overflow == 0
    assert len(set(plan.spec.num_nodes)) == 1 and len(set(plan.spec.num_edges)) == 1
    assert graph.num_nodes < plan.spec.num_nodes[0] <= graph.num_nodes + 8
    padded = pad_batch(next(loader.epoch(0)), plan.spec)
    assert len(set(map(id, padded.blocks))) == 1


def test_batches_looked_at_are_spread_over_the_epoch(graph):
    assert spread(10, None) == list(range(10)) and spread(3, 8) == [0, 1, 2]
    assert spread(100, 4) == [0, 25, 50, 75]
    loader = make_loader(graph, shuffle=False)
    everything = list(loader.sizes(5))
    assert list(loader.sizes(5, limit=3)) == [everything[i] for i in spread(len(loader), 3)]


@pytest.mark.parametrize(
    "options, text",
    [
        ({"overflow_rate": 1.0}, "overflow_rate is 1.0"),
        ({"overflow_rate": -0.1}, "overflow_rate is -0.1"),
        ({"num_batches": 1}, "num_batches is 1"),
    ],
)
def test_bad_settings(graph, options, text):
    with pytest.raises(ConfigError, match=text):
        plan_padding(make_loader(graph), **options)


def test_graph_slots_come_last():
    assert PadSpec((8, 8), (8,), num_graphs=4).values == (8, 8, 8, 4)
