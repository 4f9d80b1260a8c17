"""Encoders: categories are sums of embeddings, in front of any model; edges' categories are columns of 0 and 1."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.nn import functional

import gnnkit
from gnnkit.backends import load_backend
from gnnkit.data import categories_as_columns, full_block
from gnnkit.errors import ConfigError
from gnnkit.loading import GraphLoader
from gnnkit.nn import GNN, ModelSpec
from gnnkit.testing import dense_conv
from gnnkit.testing.graphs import many_graphs

NODES, EDGES = (4, 3), (2, 5)


def molecules():
    """Graphs whose nodes and edges have categories."""
    graph = many_graphs(12)
    generator = torch.Generator().manual_seed(3)

    def codes(num, sizes):
        return torch.stack([torch.randint(size, (num,), generator=generator) for size in sizes], dim=1)

    return replace(
        graph,
        x=codes(graph.num_nodes, NODES),
        edge_attr=codes(graph.num_edges, EDGES),
        node_categories=NODES,
        edge_categories=EDGES,
    )


def model_of(graph, backend, **settings):
    spec = {"hidden_channels": 8, "num_layers": 2, "out_channels": 3, "pooling": "sum", "dropout": 0.0, **settings}
    return gnnkit.build_model("gine", graph, backend=backend, seed=1, **spec)


@pytest.mark.parametrize("width", [None, 6])
def test_categories_are_sums_of_embeddings(backend, width) -> None:
    graph = molecules()
    model = model_of(graph, backend, encoder_channels=width, norm="none")
    assert model.spec.node_categories == NODES and model.spec.edge_channels == sum(EDGES)
    prepared = model.spec.prepare(graph)
    loader = GraphLoader(prepared, torch.arange(12), num_layers=2, batch_size=12, shuffle=False, edge_features=True)
    batch = next(loader.epoch(0))
    assert batch.x.dtype == torch.int64
    out = model(batch.blocks, batch.x, batch.graphs)
    values = {name: value.double().requires_grad_() for name, value in model.canonical_state().items()}
    columns = torch.cat([functional.one_hot(batch.x[:, i], size) for i, size in enumerate(NODES)], 1).double()
    h = columns @ values["encoder.weight"]
    block = replace(batch.blocks[0], edge_attr=batch.blocks[0].edge_attr.double())
    for i in range(2):
        own = {name.split(".", 2)[2]: value for name, value in values.items() if name.startswith(f"convs.{i}.")}
        h = dense_conv(model.spec.conv_spec(i), own, block, h).relu()
    pooled = torch.stack([rows.sum(0) for rows in h.split(batch.graphs.indptr.diff().tolist())])
    expected = functional.linear(pooled, values["head.weight"], values["head.bias"])
    scale = max(1.0, float(expected.detach().abs().max()))
    torch.testing.assert_close(out.double() / scale, expected / scale, rtol=0, atol=1e-5)
    out.sum().backward()
    expected.sum().backward()
    gradient, found = values["encoder.weight"].grad, model.encoder.weight.grad
    torch.testing.assert_close(
        found.double() / gradient.abs().max(), gradient / gradient.abs().max(), rtol=0, atol=1e-4
    )


def test_a_linear_encoder_is_a_linear_layer(backend) -> None:
    graph = many_graphs(12)
    model = model_of(graph, backend, encoder_channels=5)
    assert model.canonical_state()["encoder.weight"].shape == (5, 8)
    assert model.spec.conv_spec(0).in_channels == 5


def test_an_encoder_stands_before_a_model_of_nodes_too(backend) -> None:
    spec = ModelSpec("gcn", 2, 3, dropout=0.0, node_categories=NODES, hidden_channels=8)
    graph = spec.prepare(molecules())
    model = GNN(spec, backend, seed=1).eval()
    out = model([full_block(graph)] * 2, graph.x)
    reference = GNN(spec, load_backend("reference"), seed=1).eval()
    torch.testing.assert_close(out, reference([full_block(graph)] * 2, graph.x), rtol=1e-4, atol=1e-5)


def test_padding_of_categories_is_0() -> None:
    graph = molecules()
    columns = categories_as_columns(graph)
    assert columns.edge_attr.shape == (graph.num_edges, sum(EDGES))
    assert columns.edge_attr.sum(1).eq(len(EDGES)).all()


def test_numbers_are_no_categories() -> None:
    model = model_of(molecules(), "reference")
    with pytest.raises(ConfigError, match="reads 2 categories.*received"):
        model.encoder(torch.rand(3, 2))
    with pytest.raises(ConfigError, match="reads 2 categories"):
        model.encoder(torch.zeros(3, 1, dtype=torch.int64))
