"""The first layer's aggregation done while loading changes nothing but rounding."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gnnkit.backends import load_backend
from gnnkit.data import Graph, from_edge_index, prepare_graph
from gnnkit.errors import ConfigError
from gnnkit.loading import InputReduction, NeighborLoader
from gnnkit.loading.gather import gather_rows
from gnnkit.loading.reducing import reduce_rows
from gnnkit.nn import GNN, ModelSpec
from gnnkit.tasks import LossModule, NodeClassification
from gnnkit.train import TrainConfig
from gnnkit.train.loaders import input_reduction, make_sampler, training_loader
from tests.conftest import installed_backends

NUM_FEATURES = 5


def make_graph(num_nodes, num_edges, seed, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    edges = torch.randint(0, num_nodes, (2, num_edges), generator=generator)
    x = torch.randn(num_nodes, NUM_FEATURES, generator=generator, dtype=torch.float64).to(dtype)
    y = torch.randint(0, 3, (num_nodes,), generator=generator)
    return from_edge_index(edges, num_nodes, x=x, y=y, splits={"train": torch.arange(num_nodes)})


def make_loader(graph, spec, fuse, nodes=None, fanouts=(3, 2), precision="float32"):
    config = TrainConfig(fanouts=list(fanouts)).resolved(spec.num_layers)
    sampler = make_sampler(graph, spec, config, config.fanouts, 0)
    nodes = torch.arange(graph.num_nodes) if nodes is None else nodes
    reduction = input_reduction(spec, fuse, precision=precision)
    return NeighborLoader(graph, nodes, sampler, batch_size=8, shuffle=True, num_threads=0, reduction=reduction)


def step(model, batch):
    """Loss, outputs and gradients; a parameter that had no part in it has gradient 0."""
    module = LossModule(model, NodeClassification()).eval()
    loss, outputs = module(batch)
    parameters = list(model.parameters())
    gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
    zeros = [torch.zeros_like(parameter) for parameter in parameters]
    return [loss, outputs, *(zero if got is None else got for got, zero in zip(gradients, zeros))]


@pytest.mark.in_turn
@pytest.mark.parametrize("backend", installed_backends())
@pytest.mark.parametrize("residual", [False, True], ids=["plain", "residual"])
@pytest.mark.parametrize("conv", ["gcn", "sage", "gin", "rgcn"])
def test_fused_steps_equal_the_others(backend, conv, residual):
    spec = ModelSpec(conv, NUM_FEATURES, 3, hidden_channels=4, residual=residual)
    model = GNN(spec, load_backend(backend)).double()

    @settings(max_examples=8)
    @given(st.integers(1, 30), st.integers(0, 90), st.integers(0, 1000))
    def check(num_nodes, num_edges, seed):
        graph = make_graph(num_nodes, num_edges, seed)
        graph = prepare_graph(graph, self_loops=spec.self_loops, gcn_norm=spec.gcn_norm)
        plain, fused = (make_loader(graph, spec, fuse).epoch(1) for fuse in ("never", "always"))
        for expected, batch in zip(plain, fused):
            assert batch.blocks[1:] != expected.blocks[:1]
            assert batch.blocks[0].num_edges == batch.blocks[0].num_dst == expected.blocks[0].num_dst
            for got, wanted in zip(step(model, batch), step(model, expected)):
                # Some kernels add float64 numbers times float32 edge weights.
                torch.testing.assert_close(got, wanted, rtol=1e-6, atol=1e-6)

    check()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64], ids=str)
def test_stored_types_are_added_up_as_they_are_loaded(dtype):
    graph = make_graph(40, 300, seed=1, dtype=dtype)
    spec = ModelSpec("sage", NUM_FEATURES, 3)
    batch, plain = (next(make_loader(graph, spec, fuse).epoch(0)) for fuse in ("always", "never"))
    block = plain.blocks[0]
    assert batch.x.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    sums = torch.zeros(block.num_dst, NUM_FEATURES, dtype=torch.float64)
    sums.index_add_(0, block.dst, plain.x[block.indices].double())
    mean = sums / block.indptr.diff().clamp(min=1)[:, None]
    torch.testing.assert_close(batch.x[block.num_dst :].double(), mean, rtol=1e-6, atol=1e-6)
    assert torch.equal(batch.x[: block.num_dst], plain.x[: block.num_dst])


@pytest.mark.in_turn
@pytest.mark.parametrize("stored", [torch.float16, torch.bfloat16, torch.float32], ids=str)
@pytest.mark.parametrize("conv", ["gcn", "sage", "graphconv"])
@pytest.mark.parametrize("backend", installed_backends())
def test_in_bfloat16_features_that_are_only_multiplied_come_rounded(backend, conv, stored):
    spec = ModelSpec(conv, NUM_FEATURES, 3, hidden_channels=4)
    graph = make_graph(300, 3000, seed=2, dtype=stored)
    graph = prepare_graph(graph, self_loops=spec.self_loops, gcn_norm=spec.gcn_norm)
    rounded, wide = (make_loader(graph, spec, "always", precision=each).epoch(1) for each in ("bfloat16", "float32"))
    module = LossModule(GNN(spec, load_backend(backend)), NodeClassification()).eval()
    for batch, expected in zip(rounded, wide):
        assert torch.equal(batch.x, expected.x.bfloat16())  # torch's own rounding, and so its step has the same bits.
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert torch.equal(module(batch)[1], module(expected)[1])


@pytest.mark.parametrize("settings_", [{"conv": "gin"}, {"conv": "sage", "residual": True}], ids=str)
def test_features_that_are_added_to_something_stay_as_they_are(settings_):
    spec = ModelSpec.from_dict({"in_channels": NUM_FEATURES, "out_channels": 3, "hidden_channels": 5, **settings_})
    graph = make_graph(30, 90, seed=2, dtype=torch.float32)
    assert next(make_loader(graph, spec, "always", precision="bfloat16").epoch(0)).x.dtype == torch.float32


def test_rounding_is_that_of_torch():
    bits = torch.randint(-(2**31), 2**31, (4000, 9), dtype=torch.int64, generator=torch.Generator().manual_seed(0))
    values = bits.to(torch.int32).view(torch.float32)  # All kinds: subnormal, infinite and no numbers, too.
    values[0] = torch.tensor([0.0, -0.0, 3.4e38, -3.4e38, 1e-45, 1.00390625, 1.01171875, float("inf"), float("nan")])
    out, expected = torch.empty(4000, 9, dtype=torch.bfloat16), values.bfloat16()
    gather_rows(values, torch.arange(4000), out)
    is_number = ~expected.isnan()
    assert torch.equal(out.isnan(), ~is_number) and not is_number.all()
    assert torch.equal(out[is_number].view(torch.int16), expected[is_number].view(torch.int16))


@pytest.mark.parametrize("width", [1, 16, 50, 256])
@pytest.mark.parametrize("stored", [torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.int64], ids=str)
def test_large_tables_are_written_like_small_ones(stored, width):
    """Past the caches, if their rows are whole lines of these."""
    num = 4 * 2**20 // width + 3  # More than the four mebibytes from which that is done, in every type.
    random = torch.Generator().manual_seed(0)
    table = torch.randint(-9, 9, (500, width), generator=random).to(stored)
    rows = torch.randint(0, 500, (num,), generator=random)
    wanted = table[rows].to(torch.float32 if table.element_size() == 2 else stored)
    memory = torch.empty(num * width + 1, dtype=wanted.dtype)
    for out in (memory[:-1].view(num, width), memory[1:].view(num, width)):  # The latter begins within a line.
        gather_rows(table, rows, out)
        assert torch.equal(out, wanted)
    if table.is_floating_point():
        indptr = torch.arange(num // 3 + 1) * 3
        sums = memory[: num // 3 * width].view(num // 3, width)
        reduce_rows(table, None, indptr.numpy(), rows.numpy(), None, False, sums)
        assert torch.equal(sums, wanted[: num // 3 * 3].view(-1, 3, width).sum(1))


def test_a_hub_of_a_million_neighbours_and_seeds_that_come_twice():
    num = 1_000_000
    hub = Graph(
        torch.cat([torch.zeros(1, dtype=torch.int64), torch.full((num + 1,), num)]),
        torch.arange(1, num + 1),
        x=torch.arange(num + 1, dtype=torch.float64)[:, None],
        y=torch.zeros(num + 1, dtype=torch.int64),
    )
    spec = ModelSpec("sage", 1, 2, num_layers=1)
    loader = make_loader(hub, spec, "always", nodes=torch.tensor([0, 0, 5]), fanouts=(-1,))
    batch = next(loader.epoch(0))
    means = batch.x[3:, 0].tolist()
    assert sorted(means) == [0.0, (num + 1) / 2, (num + 1) / 2]
    assert batch.x.shape == (6, 1)


@pytest.mark.parametrize(
    ("settings_", "reason"),
    [
        ({"conv": "gat"}, "does not begin with a sum or mean"),
        ({"conv": "sage", "aggregation": "max"}, "does not begin with a sum or mean"),
        ({"conv": "gcn", "input_dropout": 0.5}, "input dropout of 0.5"),
    ],
)
def test_models_that_do_not_begin_with_a_sum_are_left_alone_or_refused(settings_, reason):
    spec = ModelSpec.from_dict({"in_channels": NUM_FEATURES, "out_channels": 3, **settings_})
    assert input_reduction(spec, "auto") is None
    with pytest.raises(ConfigError, match=reason):
        input_reduction(spec, "always")


def test_the_configuration_decides():
    spec = ModelSpec("gin", NUM_FEATURES, 3)
    graph = make_graph(20, 50, seed=0)
    graph = prepare_graph(graph, self_loops=False, gcn_norm=False)
    for fuse, fused in (("auto", True), ("always", True), ("never", False)):
        config = TrainConfig(fanouts=[2, 2], fuse_first_layer=fuse).resolved(2)
        assert (training_loader(graph, spec, NodeClassification(), config, 0).reduction is not None) == fused
    with pytest.raises(ConfigError, match="fuse_first_layer is 'maybe'"):
        TrainConfig(fuse_first_layer="maybe").resolved(2)


def test_unknown_reductions_are_refused():
    with pytest.raises(ConfigError, match="reduce is 'max', expected one of sum, weighted_sum, mean"):
        InputReduction("max")
