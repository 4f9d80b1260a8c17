"""Padding changes no loss, no gradient and no real output; it keeps to its sizes or says what is too large."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gnnkit.backends import load_backend
from gnnkit.data import Batch, Block, Targets, from_edge_index, full_block, prepare_graph
from gnnkit.data.targets import count_targets
from gnnkit.errors import BatchOverflowError, ConfigError
from gnnkit.loading import BatchSizes, PadSpec, batch_sizes, pad_batch
from gnnkit.nn import GNN, ModelSpec
from gnnkit.nn.norm import MaskedBatchNorm
from gnnkit.sampling import NeighborSampler
from gnnkit.tasks import LossModule, NodeClassification
from tests.conftest import installed_backends

MODELS = {
    "gcn": {"conv": "gcn"},
    "sage": {"conv": "sage"},
    "sage, max": {"conv": "sage", "aggregation": "max"},
    "gat": {"conv": "gat", "heads": 2},
    "gatv2": {"conv": "gatv2", "heads": 2},
    "gin": {"conv": "gin"},
}


def make_spec(name, **options):
    options = {"hidden_channels": 4, "num_layers": 2, "dropout": 0.0, **options}
    return ModelSpec.from_dict({"in_channels": 3, "out_channels": 4, **MODELS[name], **options})


def make_batch(kind, num_nodes, num_edges, num_seeds, seed, *, full=False, multi_label=False, num_layers=2):
    """A batch in float64 of a random graph, some nodes of which have no label."""
    generator = torch.Generator().manual_seed(seed)
    edges = torch.randint(0, num_nodes, (2, num_edges), generator=generator)
    x = torch.randn(num_nodes, 3, generator=generator)
    y = torch.randint(0, 4, (num_nodes,), generator=generator)
    y[torch.rand(num_nodes, generator=generator) < 0.2] = -100
    if multi_label:
        y = torch.where(
            torch.rand(num_nodes, 4, generator=generator) < 0.8, (y[:, None] == torch.arange(4)).double(), -100
        )
    graph = prepare_graph(
        from_edge_index(edges, num_nodes, x=x, y=y), self_loops=kind.self_loops, gcn_norm=kind.gcn_norm
    )
    if full:
        blocks, nodes, sources = (full_block(graph),) * num_layers, torch.arange(num_nodes), torch.arange(num_nodes)
    else:
        nodes = torch.randperm(num_nodes, generator=generator)[:num_seeds]
        sampler = NeighborSampler(
            graph, [2] * num_layers, seed=seed, keep_self_loops=kind.self_loops, rescale=kind.gcn_norm
        )
        sampled = sampler.sample(nodes, epoch=0, batch=0)
        blocks, sources = sampled.blocks, sampled.nodes
    batch = Batch(blocks, graph.x[sources], Targets.of_labels(graph.y[nodes]), nodes)
    return batch.map(lambda tensor: tensor.double() if tensor.is_floating_point() else tensor)


def roomy(batch, extra):
    """Sizes with ``extra[i]`` slots more than the least that are allowed, kept in order."""
    sizes = batch_sizes(batch.blocks)
    levels, edges = [], [have + 1 + extra[-1 - i] for i, have in enumerate(sizes.num_edges)]
    for i, have in reversed(list(enumerate(sizes.num_nodes))):
        levels.append(max(have + 1 + extra[i], levels[-1] if levels else 0))
    return PadSpec(tuple(reversed(levels)), tuple(edges))


def learn(module, batch):
    """Loss, real outputs, gradients and running statistics of one training step."""
    module.zero_grad()
    loss, outputs = module(batch)
    loss.backward()
    # A library may leave out what a batch without any edges cannot move; that is a gradient of 0.
    values = {name: torch.zeros_like(p) if p.grad is None else p.grad for name, p in module.named_parameters()}
    values.update(module.named_buffers())
    return {"loss": loss, "outputs": outputs[batch.nodes >= 0], **{name: v.clone() for name, v in values.items()}}


def assert_padding_changes_nothing(backend, spec, batch, pad, multi_label=False):
    results = []
    padded = pad_batch(batch, pad)
    for each in (batch, padded):
        model = GNN(spec, backend, seed=1).double().train()
        results.append(learn(LossModule(model, NodeClassification(multi_label=multi_label)), each))
    plain, other = results
    assert plain.keys() == other.keys()
    for name, value in plain.items():
        torch.testing.assert_close(other[name], value, rtol=1e-6, atol=1e-6, msg=lambda m, n=name: f"{n}: {m}")
    model.eval()
    assert torch.allclose(model(padded.blocks, padded.x)[: len(batch.nodes)], model(batch.blocks, batch.x), atol=1e-6)
    assert_well_formed(batch, padded, pad)


def assert_well_formed(batch, padded, pad):
    assert batch_sizes(padded.blocks).values == pad.values
    assert padded.num_targets == batch.num_targets == count_targets(padded.targets.y, padded.targets.mask)
    assert padded.x.shape[0] == pad.num_nodes[0] and padded.nodes.numel() == pad.num_targets
    assert bool((padded.x[batch.x.shape[0] :] == 0).all())
    for old, new in zip(batch.blocks, padded.blocks):
        assert int(new.indices.min()) >= 0 and int(new.indices.max()) == new.num_src - 1
        assert int(new.indptr[0]) == 0 and int(new.indptr[-1]) == new.num_edges and bool((new.indptr.diff() >= 0).all())
        assert new.dst_mask.sum() == old.num_dst < new.num_dst and new.edge_mask.sum() == old.num_edges < new.num_edges
        assert torch.equal(new.indices[new.edge_mask], old.indices) and torch.equal(new.dst[new.edge_mask], old.dst)
        assert set(new.indices[~new.edge_mask].tolist()) == {new.num_src - 1}
        assert set(new.dst[~new.edge_mask].tolist()) == {new.num_dst - 1}
        if old.edge_weight is not None:
            assert torch.equal(new.edge_weight[new.edge_mask], old.edge_weight)
            assert not new.edge_weight[~new.edge_mask].any()


@pytest.mark.in_turn
@pytest.mark.parametrize("name", MODELS)
def test_padding_changes_nothing(backend, name):
    kind = make_spec(name)

    @settings(max_examples=12, derandomize=True)
    @given(data=st.data())
    def check(data):
        num_nodes = data.draw(st.integers(1, 20))
        options = {"full": data.draw(st.booleans()), "multi_label": data.draw(st.booleans())}
        num_edges, num_seeds = data.draw(st.integers(0, 40)), data.draw(st.integers(1, num_nodes))
        batch = make_batch(kind, num_nodes, num_edges, num_seeds, data.draw(st.integers(0, 99)), **options)
        pad = roomy(batch, data.draw(st.lists(st.integers(0, 9), min_size=5, max_size=5)))
        norm = data.draw(st.sampled_from(["none", "batch", "layer"]))
        jumping = data.draw(st.sampled_from(["none", "cat", "max"]))
        spec = make_spec(name, norm=norm, residual=data.draw(st.booleans()), jumping_knowledge=jumping)
        assert_padding_changes_nothing(backend, spec, batch, pad, options["multi_label"])

    check()


HARD = {
    "exactly full": (10, 30, 4, [0] * 5),
    "one node": (1, 0, 1, [0] * 5),
    "one node, much padding": (1, 0, 1, [9, 5, 3, 20, 20]),
    "no edges": (6, 0, 3, [1, 2, 0, 0, 7]),
    "nodes full, edges not": (10, 30, 4, [0, 0, 0, 11, 12]),
    "edges full, nodes not": (10, 30, 4, [12, 5, 3, 0, 0]),
    "partial last batch": (20, 60, 1, [30, 12, 8, 40, 30]),
}


@pytest.mark.in_turn
@pytest.mark.parametrize("hard", HARD)
@pytest.mark.parametrize("name", MODELS)
def test_hard_batches(backend, name, hard):
    num_nodes, num_edges, num_seeds, extra = HARD[hard]
    spec = make_spec(name, norm="batch")
    batch = make_batch(spec, num_nodes, num_edges, num_seeds, seed=3)
    assert_padding_changes_nothing(backend, spec, batch, roomy(batch, extra))


def test_layers_that_shared_a_block_share_it_still():
    batch = make_batch(make_spec("gcn"), 7, 12, 0, seed=0, full=True)
    same = pad_batch(batch, PadSpec((9, 9, 9), (40, 40)))
    assert same.blocks[0] is same.blocks[1]
    other = pad_batch(batch, PadSpec((10, 9, 8), (40, 40)))
    assert other.blocks[0] is not other.blocks[1]


def test_many_padding_edges_do_not_grow_from_layer_to_layer():
    spec = make_spec("gin", num_layers=6)
    batch = make_batch(spec, 4, 4, 4, seed=0, full=True, num_layers=6)
    padded = pad_batch(batch, PadSpec((5,) * 7, (10_000,) * 6))
    model = GNN(spec, load_backend("reference"), seed=1).double()
    layers, h = [], padded.x
    for i, block in enumerate(padded.blocks):
        h = model.layer(i, block, h)
        layers.append(h[-1].abs().max())
    assert max(layers) == 0


def test_unlabelled_batch_can_be_padded():
    block = Block(torch.tensor([0, 1]), torch.tensor([0]), 1)
    padded = pad_batch(Batch((block,), torch.ones(1, 2), None, torch.tensor([5])), PadSpec((4, 3), (2,)))
    assert padded.targets is None and padded.nodes.tolist() == [5, -1, -1]


def test_what_does_not_fit_is_refused_with_margins():
    batch = make_batch(make_spec("sage"), 10, 30, 4, seed=3)
    sizes = batch_sizes(batch.blocks)
    exact = roomy(batch, [0] * 5)
    assert exact.fits(sizes)
    for i, name in enumerate(exact.names):
        values = list(exact.values)
        values[i] -= 1
        try:
            small = PadSpec(tuple(values[:3]), tuple(values[3:]))
        except ConfigError:
            continue
        with pytest.raises(
            BatchOverflowError, match=rf"{name}: {sizes.values[i]} of {values[i] - 1} \(margin -1\)"
        ) as info:
            pad_batch(batch, small)
        assert info.value.excess == {name: 1}


@pytest.mark.parametrize(
    "nodes, edges, text",
    [
        ((4, 4), (), "one level more"),
        ((4,), (4,), "one level more"),
        ((4, 1), (4,), "at least 2 nodes"),
        ((4, 2), (0,), "1 edge"),
        ((4, 5), (4,), "none may be larger"),
    ],
)
def test_bad_sizes(nodes, edges, text):
    with pytest.raises(ConfigError, match=text):
        PadSpec(nodes, edges)


def test_sizes_for_another_number_of_layers():
    batch = make_batch(make_spec("sage"), 10, 30, 4, seed=3)
    with pytest.raises(ConfigError, match="for 1 blocks, the batch has 2"):
        pad_batch(batch, PadSpec((40, 20), (50,)))


@settings(max_examples=30)
@given(st.integers(2, 20), st.integers(0, 10), st.integers(0, 50))
def test_masked_batch_norm_equals_torch_on_real_rows(num, padding, seed):
    torch.manual_seed(seed)
    ours, theirs = MaskedBatchNorm(5).double(), torch.nn.BatchNorm1d(5).double()
    for _ in range(3):
        h = torch.randn(num + padding, 5, dtype=torch.float64) * 3 + 2
        mine, their = h.clone().requires_grad_(), h[:num].clone().requires_grad_()
        got, expected = ours(mine, torch.arange(num + padding) < num)[:num], theirs(their)
        weights = torch.randn(num, 5, dtype=torch.float64)
        (got * weights).sum().backward()
        (expected * weights).sum().backward()
        torch.testing.assert_close(got, expected)
        torch.testing.assert_close(mine.grad[:num], their.grad)
        assert not mine.grad[num:].any()
    for (name, mine), their in zip(ours.state_dict().items(), theirs.state_dict().values()):
        torch.testing.assert_close(mine, their, msg=name)
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    torch.testing.assert_close(ours.eval()(h), theirs.eval()(h))


def test_masked_batch_norm_of_one_row_is_the_bias():
    norm = MaskedBatchNorm(3)
    torch.nn.init.constant_(norm.bias, 2.0)
    assert norm(torch.randn(1, 3)).tolist() == [[2.0] * 3]
    assert norm(torch.randn(4, 3), torch.tensor([True, False, False, False]))[0].tolist() == [2.0] * 3


@pytest.mark.parametrize("full", [True, False])
@pytest.mark.parametrize("name", ["gcn", "sage"])
def test_flatten_and_back(name, full):
    spec = make_spec(name, norm="batch")
    batch = make_batch(spec, 12, 30, 5, seed=2, full=full)
    padded = pad_batch(batch, roomy(batch, [3, 2, 1, 4, 4]) if not full else PadSpec((16,) * 3, (80,) * 2))
    for each in (batch, padded):
        tensors = each.flatten()
        assert len(tensors) == each.layout.num_tensors
        again = each.layout.unflatten([tensor.clone() for tensor in tensors])
        module = LossModule(GNN(spec, load_backend("reference"), seed=0).double(), NodeClassification())
        assert torch.equal(module(each)[1], module(again)[1])
        assert torch.equal(again.blocks[0].dst, each.blocks[0].dst)
        assert (again.blocks[0] is again.blocks[1]) == full
    assert padded.layout != batch.layout and hash(padded.layout) == hash(padded.layout)
    unlabelled = replace(padded, targets=None)
    assert unlabelled.layout.unflatten(unlabelled.flatten()).targets is None


def test_every_installed_backend_takes_part():
    assert {"reference"} <= set(installed_backends())


def test_sizes_are_compared_by_value():
    assert BatchSizes((3, 2), (4,)) == BatchSizes((3, 2), (4,))
