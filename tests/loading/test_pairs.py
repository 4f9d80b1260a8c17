"""Batches of pairs: layout, independence of threads and of padding."""

from __future__ import annotations

import pytest
import torch

from gnnkit.data import Batch
from gnnkit.loading import NeighborLoader, PadSpec, paired, plan_padding
from gnnkit.sampling import NeighborSampler, PairSampler
from tests.graphs import communities

GRAPH = communities(60)


def loader(**settings) -> NeighborLoader:
    make = paired(PairSampler(GRAPH, num_negatives=4, seed=3))
    options = {"batch_size": 16, "shuffle": True, "seed": 3, **settings}
    return NeighborLoader(GRAPH, torch.arange(60), NeighborSampler(GRAPH, [3, 2], seed=3), draw=make, **options)


def roles(batch: Batch) -> tuple:
    """Nodes that are sources, partners and negatives; of padding none."""
    rows, mask = batch.targets.rows, batch.targets.mask
    own = [rows[name] if mask is None else rows[name][mask] for name in ("src", "dst")]
    return tuple(batch.nodes[each].tolist() for each in (*own, rows["negatives"]))


def test_a_batch_holds_sources_then_partners_then_negatives() -> None:
    batches = list(loader().epoch(1))
    for batch in batches:
        pairs = batch.num_targets
        assert [len(part) for part in roles(batch)] == [pairs, pairs, 4]
        assert torch.cat(list(batch.targets.rows.values())).tolist() == list(range(len(batch.nodes)))
        assert batch.nodes.shape == (batch.blocks[-1].num_dst,) and batch.y is None
        # The rows of the features are those of the seeds, repeated ones included.
        torch.testing.assert_close(batch.x[: len(batch.nodes)], GRAPH.x[batch.nodes])
    met = [node for batch in batches for node in roles(batch)[0]]
    # A node that has no neighbour but itself has no pair.
    starts = GRAPH.indptr.tolist()
    lonely = [i for i in range(60) if set(GRAPH.indices[starts[i] : starts[i + 1]].tolist()) == {i}]
    assert sorted([*met, *lonely]) == list(range(60))


@pytest.mark.parametrize("num_threads", [0, 1, 3])
def test_threads_change_nothing(num_threads: int) -> None:
    expected = [roles(batch) for batch in loader().epoch(2)]
    assert [roles(batch) for batch in loader(num_threads=num_threads).epoch(2)] == expected
    assert [roles(batch) for batch in loader().epoch(3)] != expected


def test_parts_of_a_batch_that_was_too_large_have_the_pairs_of_the_whole() -> None:
    spec = plan_padding(loader(batch_size=10)).spec
    whole = {pair for batch in loader().epoch(1) for pair in zip(*roles(batch)[:2])}
    parts = list(loader(pad=PadSpec(spec.num_nodes, spec.num_edges)).epoch(1))
    assert len(parts) > len(loader())
    assert {pair for batch in parts for pair in zip(*roles(batch)[:2])} == whole
