"""Convolutions of all relations computed together, and a first layer on features as they are: the same values."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

import gnnkit
from gnnkit.backends import load_backend
from gnnkit.data import Block, Graph, TypedInputs, full_block
from gnnkit.loading import NeighborLoader
from gnnkit.nn import ConvSpec, dense_relational
from gnnkit.nn.relational import RelationalConv
from gnnkit.nn.typed import TypedInput
from gnnkit.sampling import NeighborSampler
from gnnkit.tasks.node_types import with_labels_of_type
from tests.conftest import installed_backends
from tests.typed_graphs import papers

BACKENDS = [name for name in installed_backends("rgcn") if name != "ipu"]


def with_features() -> Graph:
    """Features of all types, also of ghosts, of whom there are none."""
    graph = papers()
    assert graph.typed is not None
    random = torch.Generator().manual_seed(3)
    counts = graph.typed.num_nodes
    x = {"author": torch.randn(counts["author"], 7, generator=random), "ghost": torch.zeros(0, 2)}
    return replace(graph, typed=replace(graph.typed, x={**graph.typed.x, **x}))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("relational", ["sum", "mean"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("kind", "options"), [("sage", {}), ("sage", {"bias": False}), ("graphconv", {})])
def test_together_is_the_formula(
    backend: str, relational: str, kind: str, options: dict[str, bool], weighted: bool
) -> None:
    graph = papers()
    assert graph.typed is not None
    block = full_block(graph)
    if weighted:
        block = replace(block, edge_weight=torch.rand(block.num_edges, dtype=torch.float64) + 0.5)
    spec = ConvSpec(kind, 5, 4, options, schema=graph.typed.schema, relational=relational)
    library = load_backend(backend)
    conv = RelationalConv(spec, library).double()
    assert conv.is_together
    random = torch.Generator().manual_seed(0)
    for parameter in conv.parameters():
        torch.nn.init.uniform_(parameter, -1, 1, generator=random)
    values = gnnkit.nn.native_parameters(spec, library)
    own = {
        name: native.to_canonical(conv.get_parameter(native.name).detach(), spec.parameters[name].shape)
        for name, native in values.items()
    }
    h = torch.randn(graph.num_nodes, 5, generator=random, dtype=torch.float64)
    out = conv(library.lower(block), h, h)
    assert torch.allclose(out, dense_relational(spec, own, block, h), atol=1e-10)


@pytest.mark.parametrize("backend", [name for name in BACKENDS if name != "reference"])
@pytest.mark.parametrize("relational", ["sum", "mean"])
@pytest.mark.parametrize("is_full", [True, False])
def test_features_projected_later_give_the_same(backend: str, relational: str, is_full: bool) -> None:
    graph = with_labels_of_type(with_features(), None)
    model = gnnkit.build_model(
        "sage", graph, backend=backend, relational=relational, hidden_channels=6, dropout=0.0, seed=2
    ).double()
    assert graph.typed is not None
    if is_full:
        blocks, x = (full_block(graph),) * 2, gnnkit.loading.inputs.whole_inputs(graph.typed)
    else:
        sampler = NeighborSampler(graph, {"*": [2, 2]}, seed=0)
        loader = NeighborLoader(graph, graph.splits["train"], sampler, batch_size=9, shuffle=True)
        batch = next(iter(loader.epoch(0)))
        blocks, x = batch.blocks, batch.x
    x = x.double()

    def gradients(out: Tensor) -> dict[str, Tensor]:
        model.zero_grad()
        out.square().sum().backward()
        return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}

    conv = model.convs[0]
    assert conv.projects_later(model.lower(blocks[0]), x)
    found = model.layer(0, blocks[0], x)
    mine = gradients(found)
    h = model.input(x)
    expected = conv(model.lower(blocks[0]), h, h[: blocks[0].num_dst])
    expected = torch.relu(expected)
    assert torch.allclose(found, expected, atol=1e-10)
    theirs = gradients(expected)
    assert list(mine) == list(theirs)
    for name, grad in theirs.items():
        assert torch.allclose(mine[name], grad, atol=1e-9), name
    # Another order of the same rows, with the same block: nothing is kept of the first.
    other = replace(x, tables=tuple(table.flip(0) for table in x.tables))
    moved = TypedInputs(other.tables, flipped(x))
    assert torch.allclose(model.layer(0, blocks[0], moved), found, atol=1e-10)


def flipped(x: TypedInputs) -> Tensor:
    """The rows of tables whose order is turned around."""
    rows = torch.empty_like(x.rows)
    start = 0
    for size in x.sizes:
        own = (x.rows >= start) & (x.rows < start + size)
        rows[own] = 2 * start + size - 1 - x.rows[own]
        start += size
    return rows


def test_what_has_embeddings_or_dropout_is_projected_first() -> None:
    block = Block(torch.tensor([0, 0]), torch.tensor([], dtype=torch.int64), 1)
    for graph, settings in ((papers(), {}), (with_features(), {"aggregation": "max"})):
        model = gnnkit.build_model("sage", graph, relational="sum", hidden_channels=6, dropout=0.0, **settings)
        x = gnnkit.loading.inputs.whole_inputs(graph.typed)
        assert not model.convs[0].projects_later(model.lower(block), x)


def test_reordered_inputs_have_the_gradient_of_a_choice() -> None:
    graph = with_features()
    assert graph.typed is not None
    whole = gnnkit.loading.inputs.whole_inputs(graph.typed)
    assert whole.is_permutation and not whole[:3].is_permutation
    model = gnnkit.build_model("sage", graph, relational="sum", hidden_channels=6)
    inputs = model.input
    assert isinstance(inputs, TypedInput)
    weights = torch.arange(whole.num_nodes, dtype=torch.float32)[:, None]
    grads = []
    for x in (whole, replace(whole, is_permutation=False)):
        inputs.zero_grad()
        (inputs(x) * weights).sum().backward()
        grads.append([p.grad.clone() for p in inputs.parameters()])
    assert all(torch.allclose(a, b, rtol=1e-5) for a, b in zip(*grads))
