from __future__ import annotations

import gc
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gnnkit.data import Graph
from gnnkit.errors import ConfigError, DataError, PipelineError
from gnnkit.loading import FullGraphLoader, NeighborLoader
from gnnkit.loading.gather import gather_rows
from gnnkit.sampling import NeighborSampler


def ring(num=50, reach=4, **fields):
    """Node v has in-edges from v + 1 to v + reach; features and labels tell the node."""
    sources = (torch.arange(num)[:, None] + torch.arange(1, reach + 1)) % num
    defaults = {"x": torch.arange(num * 3.0).view(num, 3), "y": torch.arange(num)}
    return Graph(torch.arange(num + 1) * reach, sources.sort(dim=1).values.flatten(), **{**defaults, **fields})


def make_loader(graph=None, nodes=None, fanouts=(2, 2), **options):
    graph = ring() if graph is None else graph
    nodes = torch.arange(graph.num_nodes) if nodes is None else nodes
    options = {"batch_size": 8, "shuffle": True, **options}
    return NeighborLoader(graph, nodes, NeighborSampler(graph, fanouts, seed=7), **options)


def loader_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("gnnkit-loader")]


@pytest.fixture(autouse=True)
def no_thread_is_left():
    yield
    gc.collect()
    assert loader_threads() == []


def flatten(batch):
    blocks = [(block.indptr.tolist(), block.indices.tolist(), block.num_src) for block in batch.blocks]
    return batch.index, batch.num_targets, batch.nodes.tolist(), batch.x.tolist(), batch.y.tolist(), blocks


@pytest.mark.parametrize("num_threads", [1, 2, 4])
def test_batches_do_not_depend_on_threads(num_threads):
    expected = [flatten(batch) for batch in make_loader(num_threads=0).epoch(3)]
    for ahead in (0, 5):
        loader = make_loader(num_threads=num_threads, prefetch=ahead)
        assert [flatten(batch) for batch in loader.epoch(3)] == expected


def test_epoch_is_the_same_when_asked_again_and_differs_from_others():
    loader = make_loader()
    first, again, other = ([flatten(batch) for batch in loader.epoch(epoch)] for epoch in (0, 0, 1))
    assert first == again
    assert [batch[2] for batch in first] != [batch[2] for batch in other]


def test_seed_changes_the_order():
    orders = [[batch.nodes.tolist() for batch in make_loader(seed=seed).epoch(0)] for seed in (0, 1)]
    assert orders[0] != orders[1]


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 50), st.integers(1, 60), st.booleans(), st.integers(0, 3))
def test_each_node_comes_once_an_epoch(num, batch_size, shuffle, epoch):
    nodes = torch.arange(0, 50)[torch.randperm(50, generator=torch.Generator().manual_seed(num))[:num]]
    loader = make_loader(nodes=nodes, batch_size=batch_size, shuffle=shuffle)
    batches = list(loader.epoch(epoch))
    assert len(batches) == len(loader) == loader.num_batches == -(-num // batch_size)
    assert [batch.index for batch in batches] == list(range(len(batches)))
    assert all(len(batch.nodes) == batch_size for batch in batches[:-1])
    seen = torch.cat([batch.nodes for batch in batches])
    assert torch.equal(seen.sort().values, nodes.sort().values)
    if not shuffle:
        assert torch.equal(seen, nodes)


def test_drop_last():
    loader = make_loader(drop_last=True)
    batches = list(loader.epoch(0))
    assert len(loader) == len(batches) == 6 and all(len(batch.nodes) == 8 for batch in batches)
    assert len(make_loader(batch_size=10, drop_last=True)) == 5


def test_batch_holds_the_features_and_labels_of_its_nodes():
    y = torch.arange(50)
    y[::5] = -100
    graph = ring(y=y)
    for batch in make_loader(graph).epoch(0):
        sampled = NeighborSampler(graph, (2, 2), seed=7).sample(batch.nodes, epoch=0, batch=batch.index)
        assert torch.equal(batch.x, graph.x[sampled.nodes])
        assert torch.equal(batch.y, y[batch.nodes])
        assert batch.num_targets == int((batch.nodes % 5 != 0).sum())
        assert len(batch.blocks) == 2 and batch.blocks[-1].num_dst == len(batch.nodes)


def test_multi_label_and_missing_labels():
    y = torch.zeros(50, 2)
    y[0], y[1, 0] = -100.0, -100.0
    batch = next(make_loader(ring(y=y), shuffle=False).epoch(0))
    assert batch.y.shape == (8, 2) and batch.num_targets == 7
    batch = next(make_loader(ring(y=None)).epoch(0))
    assert batch.y is None and batch.num_targets == 0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_gather_equals_torch(dtype):
    rows = torch.tensor([2, 0, 2, 1])
    special = [0.0, -0.0, 1.0, -2.5, 65504.0, 6.1e-5, 6e-8, -3e-6, float("inf"), float("-inf"), float("nan"), 0.1]
    x = torch.tensor([special, special[::-1], [7.0] * 12]).to(dtype)
    expected = x[rows].float() if dtype in (torch.float16, torch.bfloat16) else x[rows]
    for table in (x, x.t().contiguous().t()):
        got = gather_rows(table, rows)
        assert got.dtype == expected.dtype
        assert torch.equal(got.nan_to_num(nan=123.0), expected.nan_to_num(nan=123.0))
        assert torch.equal(torch.signbit(got), torch.signbit(expected)) or bool(expected.isnan().any())


def test_every_float16_widens_exactly():
    x = torch.arange(-(2**15), 2**15, dtype=torch.int16).view(torch.float16).view(-1, 64)
    got = gather_rows(x, torch.arange(len(x)))
    finite = x.float().isfinite()
    assert torch.equal(got[finite], x.float()[finite])
    assert torch.equal(got.isnan(), x.float().isnan()) and torch.equal(got.isinf(), x.float().isinf())


@pytest.mark.filterwarnings("ignore:The given NumPy array is not writable")
def test_memory_mapped_features(tmp_path):
    graph = ring()
    np.save(tmp_path / "x.npy", graph.x.half().numpy())
    mapped = replace(graph, x=torch.from_numpy(np.load(tmp_path / "x.npy", mmap_mode="r")))
    expected = [flatten(batch) for batch in make_loader(graph).epoch(0)]
    assert [flatten(batch) for batch in make_loader(mapped).epoch(0)] == expected


@pytest.mark.parametrize("num_threads", [0, 1, 3])
def test_failure_in_transfer_names_batch_stage_and_cause(num_threads):
    def transfer(batch):
        if batch.index == 3:
            raise RuntimeError("out of memory")
        return batch

    epoch = make_loader(num_threads=num_threads, transfer=transfer).epoch(2)
    assert [next(epoch).index for _ in range(3)] == [0, 1, 2]
    with pytest.raises(
        PipelineError, match="Batch 3 of epoch 2 failed in transfer: RuntimeError: out of memory"
    ) as info:
        next(epoch)
    assert isinstance(info.value.__cause__, RuntimeError)
    assert loader_threads() == []


def test_failure_in_sampling_names_the_stage():
    graph = ring()
    sampler = NeighborSampler(graph, [2])
    sampler.fanouts = ("many",)
    with pytest.raises(PipelineError, match="Batch 0 of epoch 0 failed in sampling"):
        next(NeighborLoader(graph, torch.arange(50), sampler, batch_size=8, shuffle=False).epoch(0))


@pytest.mark.parametrize("end", ["close", "break", "exception", "interrupt"])
def test_abandoned_epoch_stops_threads_and_cancels_work(end):
    started = []

    def transfer(batch):
        started.append(batch.index)
        time.sleep(0.01)
        return batch

    loader = make_loader(batch_size=1, num_threads=2, prefetch=3, transfer=transfer)
    if end == "close":
        epoch = loader.epoch(0)
        next(epoch)
        assert loader_threads()
        epoch.close()
    elif end == "break":
        for _ in loader.epoch(0):
            break
    else:
        kind = KeyboardInterrupt if end == "interrupt" else ValueError
        with pytest.raises(kind):  # noqa: PT012 - the consumer fails inside its loop
            for _ in loader.epoch(0):
                raise kind
    gc.collect()
    assert loader_threads() == []
    assert len(started) <= 1 + 2 + 3


def test_no_more_than_the_window_is_prepared():
    made = []
    loader = make_loader(batch_size=1, num_threads=2, prefetch=3, transfer=lambda batch: made.append(batch) or batch)
    epoch = loader.epoch(0)
    next(epoch)
    time.sleep(0.2)
    assert len(made) == 5
    epoch.close()


def test_unstarted_epoch_starts_no_thread():
    make_loader(num_threads=2).epoch(0)
    assert loader_threads() == []


@pytest.mark.parametrize(
    "options, text",
    [
        ({"batch_size": 0}, "batch_size is 0"),
        ({"num_threads": -1}, "num_threads is -1"),
        ({"prefetch": -1}, "prefetch is -1"),
        ({"batch_size": 51, "drop_last": True}, "drop_last leaves no batch"),
        ({"nodes": torch.empty(0, dtype=torch.int64)}, "No nodes"),
    ],
)
def test_bad_settings(options, text):
    with pytest.raises(ConfigError, match=text):
        make_loader(**options)


def test_bad_data():
    with pytest.raises(DataError, match="no node features"):
        make_loader(ring(x=None))
    with pytest.raises(DataError, match="nodes, row 1: node id 50"):
        make_loader(nodes=torch.tensor([1, 50]))
    with pytest.raises(ConfigError, match="same graph"):
        NeighborLoader(ring(), torch.arange(3), NeighborSampler(ring(20), [1]), batch_size=1, shuffle=False)


def test_full_graph_batch():
    graph = ring(y=torch.where(torch.arange(50) == 4, -100, torch.arange(50)), edge_weight=torch.rand(200))
    calls = []
    nodes = torch.tensor([4, 9, 2])
    loader = FullGraphLoader(graph, nodes, num_layers=3, transfer=lambda batch: calls.append(1) or batch)
    assert calls == [] and len(loader) == 1
    (batch,) = loader.epoch(0)
    assert next(loader.epoch(1)) is batch and calls == [1]
    assert len(batch.blocks) == 3 and batch.blocks[0] is batch.blocks[1] is batch.blocks[2]
    block = batch.blocks[0]
    assert torch.equal(block.indptr, graph.indptr) and torch.equal(block.edge_weight, graph.edge_weight)
    assert torch.equal(batch.x, graph.x) and batch.nodes.tolist() == list(range(50))
    assert batch.num_targets == 2
    assert {node: int(label) for node, label in enumerate(batch.y) if label != -100} == {9: 9, 2: 2}
    assert int(graph.y[7]) == 7, "the graph's own labels must stay"


def test_full_graph_batch_types_and_missing_labels():
    y = torch.ones(50, 2)
    batch = next(FullGraphLoader(ring(y=y, x=ring().x.half()), torch.tensor([3]), num_layers=1).epoch(0))
    assert batch.x.dtype == torch.float32 and batch.num_targets == 1 and batch.y[3].tolist() == [1.0, 1.0]
    assert bool((batch.y[4] == -100).all())
    batch = next(FullGraphLoader(ring(x=ring().x.double()), None, num_layers=1).epoch(0))
    assert batch.x.dtype == torch.float64 and batch.y is None and batch.num_targets == 0


def test_full_graph_errors():
    with pytest.raises(ConfigError, match="num_layers is 0"):
        FullGraphLoader(ring(), None, num_layers=0)
    with pytest.raises(DataError, match="node features"):
        FullGraphLoader(ring(x=None), None, num_layers=1)
    with pytest.raises(DataError, match="nodes, row 0"):
        FullGraphLoader(ring(), torch.tensor([-1]), num_layers=1)

    def fail(batch):
        raise RuntimeError("device lost")

    with pytest.raises(PipelineError, match="full-graph batch failed in transfer: RuntimeError: device lost"):
        next(FullGraphLoader(ring(), None, num_layers=1, transfer=fail).epoch(0))
