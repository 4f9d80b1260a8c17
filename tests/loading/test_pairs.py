"""Batches of pairs: layout, independence of threads and of padding."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from gnnkit.backends import Backend, build_model
from gnnkit.data import Batch
from gnnkit.errors import BatchOverflowError, ConfigError
from gnnkit.loading import NeighborLoader, PadSpec, batch_sizes, pad_batch, paired, plan_padding
from gnnkit.sampling import NeighborSampler, PairSampler
from gnnkit.tasks import LossModule, Unsupervised, UnsupervisedOptions
from tests.graphs import communities

GRAPH = communities(60)


def loader(**settings) -> NeighborLoader:
    draw = paired(PairSampler(GRAPH, num_negatives=4, seed=3))
    options = {"batch_size": 16, "shuffle": True, "seed": 3, **settings}
    return NeighborLoader(GRAPH, torch.arange(60), NeighborSampler(GRAPH, [3, 2], seed=3), draw=draw, **options)


def real_pairs(batch: Batch) -> list:
    """Node ids of the pairs that count, and of the negatives."""
    rows, mask = batch.targets.rows, batch.targets.mask
    mask = torch.ones(len(rows["src"]), dtype=torch.bool) if mask is None else mask
    pairs = zip(*(batch.nodes[rows[name][mask]].tolist() for name in ("src", "dst")))
    return [*pairs, *batch.nodes[rows["negatives"]].tolist()]


def test_a_batch_holds_sources_then_partners_then_negatives() -> None:
    batches = list(loader().epoch(1))
    for batch in batches:
        pairs, rows = batch.num_targets, batch.targets.rows
        assert torch.cat([rows["src"], rows["dst"], rows["negatives"]]).tolist() == list(range(2 * pairs + 4))
        assert rows["src"].shape == rows["dst"].shape == (pairs,) and batch.targets.y is None
        assert batch.nodes.shape == (batch.blocks[-1].num_dst,)
        # The rows of the features are those of the seeds, repeated ones included.
        torch.testing.assert_close(batch.x[: len(batch.nodes)], GRAPH.x[batch.nodes])
    met = [node for batch in batches for node in batch.nodes[batch.targets.rows["src"]].tolist()]
    # A node that has no neighbour but itself has no pair.
    starts = GRAPH.indptr.tolist()
    lonely = [i for i in range(60) if set(GRAPH.indices[starts[i] : starts[i + 1]].tolist()) == {i}]
    assert sorted([*met, *lonely]) == list(range(60))


@pytest.mark.parametrize("num_threads", [0, 1, 3])
def test_threads_change_nothing(num_threads: int) -> None:
    expected = [real_pairs(batch) for batch in loader().epoch(2)]
    assert [real_pairs(batch) for batch in loader(num_threads=num_threads).epoch(2)] == expected
    assert [real_pairs(batch) for batch in loader().epoch(3)] != expected


def test_parts_of_a_batch_that_was_too_large_have_the_pairs_of_the_whole() -> None:
    spec = plan_padding(loader(batch_size=10)).spec
    whole = {pair for batch in loader().epoch(1) for pair in real_pairs(batch)}
    parts = list(loader(pad=spec).epoch(1))
    assert len(parts) > len(loader())
    assert {pair for batch in parts for pair in real_pairs(batch)} == whole
    keys = [batch.key for batch in parts]
    assert len(set(keys)) == len(keys) and {key.number for key in keys} == set(range(len(loader())))
    assert all(key.epoch == 1 for key in keys) and max(key.part for key in keys) > 0


def test_sizes_are_planned_for_pairs_too() -> None:
    plan = plan_padding(loader(), overflow_rate=0.0, epochs=range(3))
    most = max(batch.num_targets for epoch in range(3) for batch in loader().epoch(epoch))
    assert most < plan.spec.num_pairs <= most + 8 and plan.spec.names[-1] == "pairs"
    batches = list(loader(pad=plan.spec).epoch(1))
    assert len({tuple(tensor.shape for tensor in batch.flatten()) for batch in batches}) == 1
    assert sum(tensor.nbytes for tensor in batches[0].flatten()) == plan.bytes_per_batch + 4 * 8
    small = replace(plan.spec, num_pairs=most)
    with pytest.raises(BatchOverflowError, match="pairs: "):
        list(loader(pad=small, overflow="error").epoch(1))


def test_sizes_for_nodes_are_refused() -> None:
    batch = next(loader().epoch(0))
    least = PadSpec.least(batch_sizes(batch.blocks, batch.targets))
    with pytest.raises(ConfigError, match="targets of the batch are pairs, the padded sizes are for nodes"):
        pad_batch(batch, replace(least, num_pairs=None))
    with pytest.raises(ConfigError, match="0 pairs"):
        replace(least, num_pairs=0)


@pytest.mark.parametrize("extra", [0, 5])
def test_padding_changes_no_loss_and_no_gradient(backend: Backend, extra: int) -> None:
    batch = next(loader().epoch(0)).map(lambda tensor: tensor.double() if tensor.is_floating_point() else tensor)
    least = PadSpec.least(batch_sizes(batch.blocks, batch.targets))
    nodes, edges = (tuple(size + extra for size in part) for part in (least.num_nodes, least.num_edges))
    padded = pad_batch(batch, PadSpec(nodes, edges, num_pairs=least.num_pairs + extra))
    assert set(padded.targets.rows["dst"][len(batch.targets.rows["dst"]) :].tolist()) == {nodes[-1] - 1}
    found = []
    for each in (batch, padded, padded.layout.unflatten(padded.flatten())):
        model = build_model("sage", GRAPH, backend=backend, dropout=0.0).double()
        loss, _ = LossModule(model, Unsupervised(UnsupervisedOptions(negative_weight=3.0)))(each)
        loss.backward()
        found.append([loss, *(parameter.grad for parameter in model.parameters())])
    for other in found[1:]:
        for ours, theirs in zip(other, found[0]):
            torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12)
