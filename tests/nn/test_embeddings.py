"""Learnt embeddings in a model: looked up by the first layer, alike everywhere, and untouched by padding."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import gnnkit
from gnnkit.backends import load_backend
from gnnkit.data import full_block
from gnnkit.errors import ConfigError, DataError
from gnnkit.loading import NeighborLoader, PadSpec, pad_batch
from gnnkit.loading.padding import batch_sizes
from gnnkit.nn import GNN, ModelSpec, node_ids_as_features
from gnnkit.sampling import NeighborSampler
from gnnkit.tasks import LossModule, make_task
from tests.graphs import communities, featureless

KINDS = ("gcn", "sage", "gat", "gin")


def spec(conv: str, num_nodes: int, **more) -> ModelSpec:
    return ModelSpec.from_dict(
        {
            "conv": conv,
            "in_channels": 6,
            "out_channels": 3,
            "hidden_channels": 4,
            "dropout": 0.0,
            "num_embeddings": num_nodes,
            **more,
        }
    )


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("conv", KINDS)
def test_it_computes_what_a_model_computes_from_the_table_as_features(backend, conv: str, residual: bool) -> None:
    own = spec(conv, 240, residual=residual, input_dropout=0.3)
    graph = own.prepare(node_ids_as_features(featureless()))
    model = GNN(own, backend, seed=3)
    plain = GNN(replace(own, num_embeddings=None), backend, seed=3)
    blocks = [full_block(graph)] * 2
    table = model.canonical_state()["embedding.weight"]
    torch.manual_seed(0)
    outputs = model.train()(blocks, graph.x)
    torch.manual_seed(0)
    torch.testing.assert_close(outputs, plain.train()(blocks, table), rtol=0, atol=0)


def test_the_table_is_drawn_by_seed_and_name_on_every_backend(backend) -> None:
    first = GNN(spec("gcn", 50), load_backend("reference"), seed=4).canonical_state()["embedding.weight"]
    model = GNN(spec("sage", 50, num_layers=1), backend, seed=4)
    assert torch.equal(model.canonical_state()["embedding.weight"], first)
    assert model.parameters_by_name()["embedding.weight"].shape == (50, 6)
    assert first.abs().max() <= (6 / 56) ** 0.5 and first.std() > 0.1
    model.load_canonical({**model.canonical_state(), "embedding.weight": first + 1})
    assert torch.equal(model.embedding.weight.detach(), first + 1)


def test_specifications_of_models_without_embeddings_stay_readable() -> None:
    values = ModelSpec("gcn", 4, 2).to_dict()
    del values["num_embeddings"]
    assert ModelSpec.from_dict(values) == ModelSpec("gcn", 4, 2)
    own = spec("gcn", 9)
    assert ModelSpec.from_dict(own.to_dict()) == own


def gradient(backend, own: ModelSpec, batch, graph) -> torch.Tensor:
    module = LossModule(GNN(own, backend, seed=1), make_task("node_classification", graph))
    module(batch)[0].backward()
    found = module.model.embedding.weight.grad
    assert found is not None
    return found


@settings(max_examples=15)
@given(
    data=st.data(),
    conv=st.sampled_from([*KINDS, "pna", "appnp"]),
    more=st.sampled_from([{}, {"norm": "batch"}, {"jumping_knowledge": "cat", "residual": True}]),
    spare=st.integers(1, 40),
)
def test_padding_gives_no_node_a_gradient(backend, data, conv: str, more, spare: int) -> None:
    if conv not in backend.capabilities.convs:
        return
    options = {"delta": 1.2} if conv == "pna" else {}
    own = spec(conv, 240, **options, **({} if conv == "appnp" else more))
    graph = own.prepare(node_ids_as_features(featureless()))
    seeds = data.draw(st.lists(st.integers(1, 239), min_size=2, max_size=12, unique=True))
    sampler = NeighborSampler(graph, [2, 2], keep_self_loops=own.self_loops)
    (batch,) = NeighborLoader(graph, torch.tensor(seeds), sampler, batch_size=len(seeds), shuffle=False).epoch(1)
    least = PadSpec.least(batch_sizes(batch.blocks, batch.targets))
    roomy = replace(
        least,
        num_nodes=tuple(num + spare for num in least.num_nodes),
        num_edges=tuple(num + spare for num in least.num_edges),
    )
    padded = pad_batch(batch, roomy)
    expected, found = (gradient(backend, own, each, graph) for each in (batch, padded))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)
    absent = torch.ones(240, dtype=torch.bool)
    absent[batch.x[:, 0]] = False
    assert not found[absent].any()  # Exactly: padding reads the embedding of node 0.


def test_what_is_no_table_is_refused() -> None:
    with pytest.raises(DataError, match="embedding_channels=64"):
        gnnkit.build_model("gcn", featureless())
    with pytest.raises(ConfigError, match="has 8 features, which it would not read"):
        gnnkit.build_model("gcn", communities(), embedding_channels=4)
    with pytest.raises(ConfigError, match="embedding_channels is 0"):
        gnnkit.build_model("gcn", featureless(), embedding_channels=0)
    with pytest.raises(ConfigError, match="num_embeddings is 0"):
        spec("gcn", 0)
    model = gnnkit.build_model("gcn", featureless(), embedding_channels=4)
    with pytest.raises(ConfigError, match=r"reads node ids, \[nodes, 1\] integers, received \[240, 8\]"):
        model([full_block(communities())] * 2, communities().x)
