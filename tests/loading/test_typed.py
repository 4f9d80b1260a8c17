"""Batches of typed graphs: features by type find their nodes, and padding changes nothing."""

from __future__ import annotations

import pytest
import torch

import gnnkit
from gnnkit.loading import ClusterLoader, FullGraphLoader, NeighborLoader, plan_padding
from gnnkit.sampling import NeighborSampler
from gnnkit.tasks import LossModule, arranged, make_task
from tests.typed_graphs import papers

GRAPH = arranged("node_classification", papers(), {}, 0)
MODELS = {
    "rgcn": {"num_bases": 2},
    "rgat": {"heads": 2},
    "hgt": {"heads": 2, "hidden_channels": 8},
}


def loader_of(kind, pad=None):
    nodes = GRAPH.splits["train"]
    if kind == "full":
        return FullGraphLoader(GRAPH, nodes, num_layers=2, pad=pad)
    if kind == "clusters":
        parts = torch.arange(GRAPH.num_nodes) % 3
        return ClusterLoader(GRAPH, nodes, parts, num_layers=2, per_batch=2, pad=pad)
    sampler = NeighborSampler(GRAPH, [3, 2])
    return NeighborLoader(GRAPH, nodes, sampler, batch_size=6, shuffle=True, num_threads=0, pad=pad)


def input_nodes(batch, kind):
    """Ids of the input nodes, from what the batch says of them."""
    typed = GRAPH.typed
    ends = torch.tensor(batch.x.sizes).cumsum(0)
    found = []
    for row, kind_of_node in zip(batch.x.rows.tolist(), batch.blocks[0].src_type.tolist()):
        assert int(torch.bucketize(row, ends, right=True)) == kind_of_node
        found.append((kind_of_node, row - int(ends[kind_of_node]) + batch.x.sizes[kind_of_node]))
    return found, typed


@pytest.mark.parametrize("kind", ["full", "sampled", "clusters"])
def test_every_node_has_the_features_of_its_type(kind):
    for batch in loader_of(kind).epoch(0):
        found, typed = input_nodes(batch, kind)
        names = typed.schema.node_types
        if kind == "sampled":
            last = batch.blocks[-1].num_dst
            for (number, row), node in zip(found[:last], batch.nodes.tolist()):
                assert names[number] == "paper"
                own = typed.x["paper"][int(typed.rows[node])]
                assert torch.equal(batch.x.tables[number][row], own)
        else:
            for (number, row), node in zip(found, batch.nodes.tolist()):
                assert number == int(typed.node_type[node])
                table, own_row = batch.x.tables[number], int(typed.rows[node])
                x = typed.x.get(names[number])
                assert torch.equal(table[row], torch.tensor([own_row]) if x is None else x[own_row])


@pytest.mark.parametrize("kind", ["full", "sampled", "clusters"])
def test_a_flattened_batch_comes_back(kind):
    batch = next(iter(loader_of(kind).epoch(0)))
    again = batch.layout.unflatten(batch.flatten())
    assert all(first is second for first, second in zip(again.x.tensors, batch.x.tensors))
    assert again.blocks[0].edge_type is batch.blocks[0].edge_type
    assert torch.equal(again.targets.y, batch.targets.y)


@pytest.mark.parametrize("backend", ["reference", "pyg", "dgl", "ipu"])
@pytest.mark.parametrize("name", list(MODELS))
def test_padding_changes_no_loss_and_no_gradient(backend, name):
    """Of batches with fixed slots for every type."""
    task = make_task("node_classification", GRAPH, {})
    model = gnnkit.build_model(name, GRAPH, backend=backend, dropout=0.0, **MODELS[name])
    module = LossModule(model, task)
    spec = plan_padding(loader_of("sampled"), overflow_rate=0, epochs=range(1, 2)).spec
    assert len(spec.num_inputs) == 4
    pairs = zip(loader_of("sampled").epoch(1), loader_of("sampled", spec).epoch(1))
    for batch, padded in pairs:
        assert padded.x.sizes == spec.num_inputs
        results = []
        for each in (batch, padded):
            module.zero_grad()
            loss, outputs = module(each)
            loss.backward()
            gradients = {key: value.grad for key, value in module.named_parameters()}
            results.append((loss.detach(), outputs[: batch.blocks[-1].num_dst].detach(), gradients))
        (loss, outputs, gradients), (other_loss, other_outputs, other_gradients) = results
        torch.testing.assert_close(other_loss, loss)
        torch.testing.assert_close(other_outputs, outputs, atol=2e-5, rtol=1e-4)
        for key, value in gradients.items():
            zero = torch.zeros_like(dict(module.named_parameters())[key])
            first, second = (zero if each is None else each for each in (value, other_gradients[key]))
            torch.testing.assert_close(second, first, atol=2e-5, rtol=1e-3, msg=key)
