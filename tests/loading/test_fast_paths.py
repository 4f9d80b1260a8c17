"""Every fast path of loading gives the batches of the slow one: in the caller's thread, in memory, in float32."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from gnnkit.data import Graph
from gnnkit.errors import PipelineError
from gnnkit.loading import InputReduction, NeighborLoader, PadSpec
from gnnkit.sampling import NeighborSampler
from tests.loading.test_loaders import flatten, loader_threads, make_loader, ring

REDUCTIONS = [None, InputReduction("mean"), InputReduction("sum", keep_own=False)]


def batches(graph=None, **options):
    return [flatten(batch) for batch in make_loader(graph, **{"num_threads": 0, **options}).epoch(1)]


@pytest.mark.parametrize("reduction", REDUCTIONS, ids=str)
@pytest.mark.parametrize("num_threads, prefetch", [(1, 0), (1, 1), (2, 0), (2, 2), (3, 9), (None, 0), (None, 2)])
def test_threads_and_depth_change_nothing(num_threads, prefetch, reduction):
    expected = batches(reduction=reduction)
    assert batches(num_threads=num_threads, prefetch=prefetch, reduction=reduction) == expected


def test_threads_are_settled_after_an_epoch_and_batches_stay():
    loader = make_loader(num_threads=None, batch_size=4)
    expected = [[flatten(batch) for batch in make_loader(num_threads=0, batch_size=4).epoch(e)] for e in (1, 2, 3)]
    assert [[flatten(batch) for batch in loader.epoch(e)] for e in (1, 2, 3)] == expected
    assert loader.num_threads >= 1


def test_threads_are_settled_by_an_epoch_that_is_left():
    loader = make_loader(num_threads=None, batch_size=2)
    epoch = loader.epoch(0)
    for _ in range(3):
        next(epoch)
    epoch.close()
    assert loader.num_threads is None, "three batches say too little"
    epoch = loader.epoch(0)
    for _ in range(3):
        next(epoch)
    epoch.close()
    assert loader.num_threads >= 1


@pytest.mark.parametrize("reduction", REDUCTIONS, ids=str)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.filterwarnings("ignore:The given NumPy array is not writable")
def test_memory_mapped_features_equal_those_in_memory(dtype, reduction, tmp_path):
    graph = ring()
    np.save(tmp_path / "x.npy", graph.x.numpy().astype(dtype))
    for mode in ("r", "r+"):
        mapped = torch.from_numpy(np.load(tmp_path / "x.npy", mmap_mode=mode))
        got = batches(replace(graph, x=mapped), reduction=reduction, num_threads=2)
        expected = batches(replace(graph, x=torch.from_numpy(np.load(tmp_path / "x.npy"))), reduction=reduction)
        assert got == expected


def test_edges_beyond_int32_are_found(tmp_path):
    """Offsets on both sides of 2^31, over an array of edges that takes no room where nothing was written."""
    border, before, after = 2**31, 3, 5
    edges = np.memmap(tmp_path / "edges", dtype=np.int32, mode="w+", shape=(border + after,))
    (tmp_path / "edges").unlink()  # The memory stays until the array goes.
    edges[border - before :] = np.arange(before + after) % 4
    indptr = torch.tensor([border - before, border - 1, border, border + 1, border + after])
    x, y = torch.arange(8.0).view(4, 2), torch.arange(4)
    huge = Graph(indptr, torch.from_numpy(edges), x=x, y=y)
    small = Graph(indptr - int(indptr[0]), torch.from_numpy(edges[border - before :].astype(np.int64)), x=x, y=y)
    for fanouts in ([-1, -1], [1, 2]):
        assert batches(huge, fanouts=fanouts) == batches(small, fanouts=fanouts)


def test_observed_batches_are_the_same_and_every_stage_is_reported():
    loader = make_loader(num_threads=3)
    seen = []
    observed = loader.observed(lambda stage, seconds: seen.append((stage, seconds)))
    assert [flatten(batch) for batch in observed.epoch(1)] == batches()
    assert [stage for stage, _ in seen] == ["sampling", "gathering features", "transfer"] * len(loader)
    assert all(seconds >= 0 for _, seconds in seen)
    seen.clear()
    list(loader.epoch(1))
    assert seen == [], "the loader itself reports nothing"


@pytest.mark.parametrize("num_threads", [0, 2, None])
@pytest.mark.parametrize(
    "stage, number, reduction",
    [
        ("sampling", 0, None),
        ("gathering features", 3, None),
        ("reducing features", 3, InputReduction("mean")),
        ("padding", 0, None),
        ("transfer", 5, None),
    ],
)
def test_an_exception_in_any_stage_names_batch_and_stage(stage, number, reduction, num_threads):
    def transfer(batch):
        if batch.key.number == 5:
            raise OSError("bus gone")
        return batch

    y = torch.arange(50)
    if stage == "padding":
        y = y.to(torch.uint8)  # Has no -100 to pad with.
    elif stage != "transfer":
        y = y[:30]  # Batch 3 needs label 31.
    graph = ring(y=y)
    sampler = NeighborSampler(graph, [2, 2])
    if stage == "sampling":
        sampler.fanouts = ("many",)
    options = {"reduction": reduction, "transfer": transfer, "num_threads": num_threads}
    if stage == "padding":
        options["pad"] = PadSpec((64, 64, 64), (256, 256))
    loader = NeighborLoader(graph, torch.arange(50), sampler, batch_size=8, shuffle=False, **options)
    epoch = loader.epoch(4)
    assert [next(epoch).key.number for _ in range(number)] == list(range(number))
    with pytest.raises(PipelineError, match=rf"Batch {number} of epoch 4 failed in {stage}: ") as info:
        next(epoch)
    assert info.value.__cause__ is not None
    assert loader_threads() == []
