"""Features on disk: a batch's rows are asked for at once, and batches are the same as from memory."""

from __future__ import annotations

import ctypes
import mmap
import os
import resource
from dataclasses import replace

import numpy as np
import pytest
import torch

from gnnkit.data import Graph
from gnnkit.datasets import load_graph, save_graph
from gnnkit.loading import InputReduction, NeighborLoader
from gnnkit.sampling import NeighborSampler
from tests.loading.test_loaders import flatten

NUM_NODES, WIDTH = 60_000, 128
PER_PAGE = mmap.PAGESIZE // (WIDTH * 4)
"""Rows of a page."""

pytestmark = pytest.mark.skipif(not hasattr(resource, "RUSAGE_THREAD"), reason="only Linux is asked to read ahead")


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """A graph in memory, without edges of any pattern, and the folder that it is saved in."""
    random = torch.Generator().manual_seed(0)
    graph = Graph(
        torch.arange(NUM_NODES + 1) * 2,
        torch.randint(NUM_NODES, (NUM_NODES * 2,), generator=random).view(-1, 2).sort(dim=1).values.flatten(),
        x=torch.randn(NUM_NODES, WIDTH, generator=random),
        y=torch.arange(NUM_NODES) % 7,
    )
    folder = tmp_path_factory.mktemp("stored") / "graph"
    save_graph(graph, folder)
    return graph, folder


@pytest.fixture(params=[None, 32, 1], ids=["fits", "larger than the memory", "so large that batches come in parts"])
def is_large(request, monkeypatch):
    """Whether the features are larger than half of the memory, of which there are so many MiB."""
    if request.param is None:
        return False
    for place in ("gnnkit.io.memory", "gnnkit.loading.ahead"):
        monkeypatch.setattr(f"{place}.memory_limit", lambda: request.param << 20)
    return True


def resident(x):
    """Which pages of a mapped table are in the page cache. Shape [pages], bool."""
    first = x.data_ptr() - x.data_ptr() % mmap.PAGESIZE
    size = x.data_ptr() + x.numel() * 4 - first
    told = (ctypes.c_ubyte * -(-size // mmap.PAGESIZE))()
    assert ctypes.CDLL(None).mincore(ctypes.c_void_p(first), ctypes.c_size_t(size), told) == 0
    return np.frombuffer(told, np.uint8) & 1 == 1


def opened_cold(folder):
    """The saved graph, its features not in the page cache."""
    (file,) = (file for file in folder.glob("*.npy") if file.stat().st_size > NUM_NODES * WIDTH * 4)
    with file.open("rb") as stream:
        graph = load_graph(folder)  # Compares the file's bytes with their checksum now and then, so it comes first.
        ctypes.CDLL(None).madvise(*_whole(graph.x), mmap.MADV_DONTNEED)
        os.fsync(stream.fileno())
        os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    if resident(graph.x).mean() > 0.01:
        pytest.skip("this file system keeps files in memory")
    return graph


def _whole(x):
    first = x.data_ptr() - x.data_ptr() % mmap.PAGESIZE
    return ctypes.c_void_p(first), ctypes.c_size_t(x.data_ptr() + x.numel() * 4 - first)


def batch_of(graph, reduction=None, size=300):
    loader = NeighborLoader(
        graph,
        torch.arange(0, NUM_NODES, NUM_NODES // size)[:size],
        NeighborSampler(graph, [2], seed=1),
        batch_size=size,
        shuffle=False,
        num_threads=0,
        reduction=reduction,
    )
    (batch,) = loader.epoch(0)
    return batch


def waits(work):
    """How often a piece of work waited for the disk, and what it gave."""
    before = resource.getrusage(resource.RUSAGE_THREAD).ru_majflt
    result = work()
    return resource.getrusage(resource.RUSAGE_THREAD).ru_majflt - before, result


@pytest.mark.parametrize("reduction", [None, InputReduction("mean")], ids=["gather", "reduce"])
def test_a_batch_is_read_at_once_and_is_the_same(stored, is_large, reduction):
    graph, folder = stored
    expected = batch_of(graph, reduction)
    num, batch = waits(lambda: batch_of(replace(graph, x=opened_cold(folder).x), reduction))
    assert flatten(batch) == flatten(expected)
    # It is waited for the first rows that are looked at, and for labels and edges not at all: they are in memory.
    assert 0 < num < 60, "some hundred pages were waited for one after another"


def test_what_is_read_is_what_a_batch_needs(stored, is_large):
    graph, folder = stored
    cold = opened_cold(folder)
    batch_of(replace(graph, x=cold.x))
    sampled = NeighborSampler(graph, [2], seed=1).sample(
        np.arange(0, NUM_NODES, NUM_NODES // 300)[:300], epoch=0, batch=0
    )
    there, wanted = resident(cold.x), np.unique(sampled.nodes.numpy() // PER_PAGE)
    assert there[wanted].all()
    if is_large:
        assert there.mean() < 0.5, "much was read that a batch out of too large a file will not need"


def test_nothing_is_asked_for_what_is_in_memory(stored, is_large, monkeypatch):
    graph, folder = stored
    mapped = load_graph(folder)
    assert mapped.x.sum() == graph.x.sum()  # Now it is.
    monkeypatch.setattr("gnnkit.loading.ahead._ask", lambda *_: pytest.fail("rows in memory were asked for"))
    assert flatten(batch_of(mapped)) == flatten(batch_of(graph))


def test_without_linux_rows_are_waited_for(stored, is_large, monkeypatch):
    graph, folder = stored
    monkeypatch.setattr("gnnkit.loading.ahead._IS_SUPPORTED", False)
    num, batch = waits(lambda: batch_of(replace(graph, x=opened_cold(folder).x)))
    assert flatten(batch) == flatten(batch_of(graph))
    assert num > (200 if is_large else 0)


def test_few_rows_are_read_as_they_are(stored, is_large):
    graph, folder = stored
    cold = opened_cold(folder)
    assert flatten(batch_of(replace(graph, x=cold.x), size=4)) == flatten(batch_of(graph, size=4))
