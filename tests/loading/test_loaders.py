from __future__ import annotations

import gc
import threading
import time
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gnnkit.data import Graph
from gnnkit.errors import BatchOverflowError, ConfigError, DataError, PipelineError
from gnnkit.loading import BatchSizes, FullGraphLoader, Loader, NeighborLoader, PadSpec, batch_sizes
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
    return batch.key, batch.num_targets, batch.nodes.tolist(), batch.x.tolist(), batch.targets.y.tolist(), blocks


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


@settings(max_examples=25)
@given(st.integers(1, 50), st.integers(1, 60), st.booleans(), st.integers(0, 3))
def test_each_node_comes_once_an_epoch(num, batch_size, shuffle, epoch):
    nodes = torch.arange(0, 50)[torch.randperm(50, generator=torch.Generator().manual_seed(num))[:num]]
    loader = make_loader(nodes=nodes, batch_size=batch_size, shuffle=shuffle)
    batches = list(loader.epoch(epoch))
    assert len(batches) == len(loader) == loader.num_batches == -(-num // batch_size)
    assert [batch.key.number for batch in batches] == list(range(len(batches)))
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
        sampled = NeighborSampler(graph, (2, 2), seed=7).sample(batch.nodes, epoch=0, batch=batch.key.number)
        assert torch.equal(batch.x, graph.x[sampled.nodes])
        assert torch.equal(batch.targets.y, y[batch.nodes])
        assert batch.num_targets == int((batch.nodes % 5 != 0).sum())
        assert len(batch.blocks) == 2 and batch.blocks[-1].num_dst == len(batch.nodes)


def test_multi_label_and_missing_labels():
    y = torch.zeros(50, 2)
    y[0], y[1, 0] = -100.0, -100.0
    batch = next(make_loader(ring(y=y), shuffle=False).epoch(0))
    assert batch.targets.y.shape == (8, 2) and batch.num_targets == 7
    batch = next(make_loader(ring(y=None)).epoch(0))
    assert batch.targets is None and batch.num_targets == 0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_gather_equals_torch(dtype):
    rows = torch.tensor([2, 0, 2, 1])
    special = [0.0, -0.0, 1.0, -2.5, 65504.0, 6.1e-5, 6e-8, -3e-6, float("inf"), float("-inf"), float("nan"), 0.1]
    x = torch.tensor([special, special[::-1], [7.0] * 12]).to(dtype)
    expected = x[rows].float() if dtype in (torch.float16, torch.bfloat16) else x[rows]
    for table in (x, x.t().contiguous().t()):
        got = torch.empty(expected.shape, dtype=expected.dtype)
        gather_rows(table, rows, got)
        assert torch.equal(got.nan_to_num(nan=123.0), expected.nan_to_num(nan=123.0))
        assert torch.equal(torch.signbit(got), torch.signbit(expected)) or bool(expected.isnan().any())


def test_every_float16_widens_exactly():
    x = torch.arange(-(2**15), 2**15, dtype=torch.int16).view(torch.float16).view(-1, 64)
    got = torch.empty(x.shape)
    gather_rows(x, torch.arange(len(x)), got)
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
        if batch.key.number == 3:
            raise RuntimeError("out of memory")
        return batch

    epoch = make_loader(num_threads=num_threads, transfer=transfer).epoch(2)
    assert [next(epoch).key.number for _ in range(3)] == [0, 1, 2]
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
        started.append(batch.key.number)
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
    assert {node: int(label) for node, label in enumerate(batch.targets.y) if label != -100} == {9: 9, 2: 2}
    assert int(graph.y[7]) == 7, "the graph's own labels must stay"


def test_full_graph_batch_types_and_missing_labels():
    y = torch.ones(50, 2)
    batch = next(FullGraphLoader(ring(y=y, x=ring().x.half()), torch.tensor([3]), num_layers=1).epoch(0))
    assert batch.x.dtype == torch.float32 and batch.num_targets == 1 and batch.targets.y[3].tolist() == [1.0, 1.0]
    assert bool((batch.targets.y[4] == -100).all())
    batch = next(FullGraphLoader(ring(x=ring().x.double()), None, num_layers=1).epoch(0))
    assert batch.x.dtype == torch.float64 and batch.targets is None and batch.num_targets == 0


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


def padded_flatten(batch):
    return flatten(batch) + (batch.blocks[-1].dst_mask.tolist(), batch.blocks[0].edge_mask.tolist())


def sizes_seen(loader, epoch=0):
    seen = np.array([sizes.values for sizes in loader.sizes(epoch)])
    return seen.min(axis=0), seen.max(axis=0)


def real_nodes(batch):
    return batch.nodes[batch.nodes >= 0]


def tight_spec(quantile):
    """Sizes between the smallest that hold any one seed of a ring and the largest batch."""
    _, most = sizes_seen(make_loader())
    least = (9, 3, 1, 6, 2)  # Two neighbours of the seed, and two of each of the three.
    values = [int(small + quantile * (big - small)) + 1 for small, big in zip(least, most)]
    return PadSpec(tuple(values[:3]), tuple(values[3:]))


@settings(max_examples=25)
@given(st.floats(0, 1.5), st.integers(1, 20), st.integers(0, 4), st.integers(0, 3))
def test_every_seed_comes_once_for_any_sizes(quantile, batch_size, num_threads, epoch):
    spec = tight_spec(quantile)
    loader = make_loader(batch_size=batch_size, pad=spec, num_threads=num_threads)
    batches = list(loader.epoch(epoch))
    assert len(batches) >= len(loader)
    keys = [batch.key for batch in batches]
    parts = Counter(key.number for key in keys)
    assert keys == [(epoch, number, part) for number in range(len(loader)) for part in range(parts[number])]
    assert all(batch_sizes(batch.blocks).values == spec.values for batch in batches)
    assert all(batch.num_targets == len(real_nodes(batch)) for batch in batches)
    for batch in batches:  # Drawn again by its key, a part is what it was.
        again = loader.sampler.sample(real_nodes(batch), epoch=batch.key.epoch, batch=batch.key.number)
        ours, theirs = batch.blocks[0], again.blocks[0]
        assert torch.equal(ours.indices[ours.edge_mask], theirs.indices)
    plain = torch.cat([batch.nodes for batch in make_loader(batch_size=batch_size).epoch(epoch)])
    assert torch.equal(torch.cat([real_nodes(batch) for batch in batches]), plain), "in the order of the unpadded run"


@pytest.mark.parametrize("num_threads", [1, 2, 4])
def test_padded_batches_do_not_depend_on_threads(num_threads):
    spec = tight_spec(0.6)
    expected = [padded_flatten(batch) for batch in make_loader(pad=spec, num_threads=0).epoch(3)]
    assert len(expected) > len(make_loader())
    assert [padded_flatten(batch) for batch in make_loader(pad=spec, num_threads=num_threads).epoch(3)] == expected


def test_parts_of_a_batch_draw_the_neighbours_of_the_whole():
    spec = tight_spec(0.6)
    parts = list(make_loader(pad=spec, batch_size=50).epoch(0))
    (whole,) = make_loader(batch_size=50).epoch(0)
    taken = {}
    for batch in [whole, *parts]:
        block = batch.blocks[-1]
        hop_nodes = batch.x[:, 0] / 3  # The features tell the node.
        for row, node in enumerate(real_nodes(batch).tolist()):
            sources = block.indices[block.indptr[row] : block.indptr[row + 1]]
            taken.setdefault(node, []).append(sorted(hop_nodes[sources].tolist()))
    assert len(parts) > 1 and len(taken) == 50
    assert all(len(drawn) == 2 and drawn[0] == drawn[1] for drawn in taken.values())


def test_overflow_error_names_batch_and_margins():
    _, most = sizes_seen(make_loader())
    spec = PadSpec(tuple(most[:3] + 1), (int(most[3]) + 1, int(most[4]) - 3))
    loader = make_loader(pad=spec, overflow="error")
    with pytest.raises(BatchOverflowError, match=r"Batch 0 of epoch 0: .*edges of block 1: 16 of 12 \(margin -4\)"):
        list(loader.epoch(0))
    fitting = PadSpec(tuple(most[:3] + 1), tuple(most[3:] + 1))
    assert len(list(make_loader(pad=fitting, overflow="error").epoch(0))) == 7


def test_one_seed_that_is_too_large_stops():
    loader = make_loader(pad=PadSpec((3, 2, 2), (9, 9)))
    with pytest.raises(BatchOverflowError, match="nodes of level 1"):
        list(loader.epoch(0))
    with pytest.raises(ConfigError, match="overflow is 'drop'; expected one of carry, error"):
        make_loader(overflow="drop")


def test_full_graph_batch_is_padded():
    spec = PadSpec((56, 56, 56), (208, 208))
    loader = FullGraphLoader(ring(), torch.tensor([3]), num_layers=2, pad=spec)
    (batch,) = loader.epoch(0)
    assert batch_sizes(batch.blocks).values == spec.values and batch.blocks[0] is batch.blocks[1]
    assert next(loader.sizes(0)) == BatchSizes((50,) * 3, (200,) * 2)
    with pytest.raises(BatchOverflowError, match="50 of 49"):
        next(FullGraphLoader(ring(), None, num_layers=1, pad=PadSpec((50, 50), (208,))).epoch(0))


def test_sizes_equal_those_of_the_batches():
    for loader in (make_loader(), FullGraphLoader(ring(), None, num_layers=2)):
        assert list(loader.sizes(1)) == [batch_sizes(batch.blocks) for batch in loader.epoch(1)]
        assert list(Loader.sizes(loader, 1)) == list(loader.sizes(1))
