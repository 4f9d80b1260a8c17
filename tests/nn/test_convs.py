"""Kinds of convolution: options find their place, kinds stand together in one model, edge features are read."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

import gnnkit
from gnnkit.backends import BackendCapabilities, load_backend
from gnnkit.backends.reference import ReferenceBackend
from gnnkit.data import full_block
from gnnkit.errors import CapabilityError, ConfigError, UnknownNameError
from gnnkit.nn import CONVS, GNN, ModelSpec, model_spec
from gnnkit.parity import compare
from gnnkit.runs import load_model, save_weights
from gnnkit.train import load_config
from tests.graphs import communities


def trainer(backend="reference", **settings):
    device = "ipu-emulator" if getattr(backend, "name", backend) == "ipu" else "cpu"
    return gnnkit.Trainer(backend, device, progress=False, **{"epochs": 2, **settings})


def test_options_find_their_place() -> None:
    by_name, nested = model_spec("gat", 4, 2, heads=3), model_spec("gat", 4, 2, conv_options={"heads": 3})
    assert by_name == nested
    assert ModelSpec.from_dict(by_name.to_dict()) == by_name
    config = load_config(overrides=["model.name=gat", "model.heads=3", "model.conv_options.out_heads=2"])
    assert (config.model.conv_options["heads"], config.model.conv_options["out_heads"]) == (3, 2)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"heads": 0}, ConfigError, "heads is 0, expected at least 1"),
        ({"heads": "two"}, ConfigError, "'heads' of model 'gat' is 'two', expected int"),
        ({"attention_dropout": 1.0}, ConfigError, "attention_dropout is 1.0, expected a probability"),
        ({"alpha": 0.2}, ConfigError, "alpha is 0.2, which has no effect on this model of 'gat': it is for 'appnp'"),
        ({"conv_options": {"alpha": 0.2}}, UnknownNameError, "option of model 'gat'"),
        ({"head": 2}, UnknownNameError, "Did you mean 'heads'"),
    ],
)
def test_options_that_cannot_be_meant(options: dict, error: type, words: str) -> None:
    with pytest.raises(error, match=words):
        model_spec("gat", 4, 2, **options)


def test_another_kind_in_each_layer_trains_alike_on_every_backend(backend) -> None:
    graph = communities(60)
    model = gnnkit.build_model("gat,gcn", graph, hidden_channels=4, heads=2, dropout=0.0)
    found = compare(model, graph, ["reference", backend.name], epochs=2)
    assert found.is_within, found.problems
    assert model.spec.kinds == ("gat", "gcn")


def test_a_model_of_several_kinds_is_saved_and_configured(tmp_path) -> None:
    graph = communities(60)
    result = trainer(run_dir=tmp_path / "run").fit(gnnkit.build_model(["sage", "gine", "pna"], graph), graph)
    again = gnnkit.open_run(tmp_path / "run", graph=graph)
    assert again.model.spec == result.model.spec
    assert again.model.spec.conv_options["delta"] == pytest.approx(graph.in_degrees.double().log1p().mean().item())
    config = load_config(overrides=["model.name=[sage,gine,pna]"])
    assert config.model.num_layers == 3
    assert load_config(flags={"model": {"name": "sage,gine,pna"}}).model.sketch() == config.model.sketch()


@pytest.mark.parametrize(
    ("kinds", "settings", "words"),
    [
        ("gcn,sage", {}, "'gcn' asks for a self-loop at every node of the graph, which 'sage'"),
        ("gcn,sage", {"num_layers": 3}, "num_layers is 3, but conv names 2 kinds"),
        ("appnp,gcn", {}, "steps of one propagation"),
        ("appnp", {"residual": True}, "steps of one propagation"),
        ("gine", {}, "'gine' needs edge features"),
        ("sage", {"edge_channels": 3}, "'sage' reads no edge features"),
    ],
)
def test_what_does_not_stand_together(kinds: str, settings: dict, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        model_spec(kinds, 4, 2, **settings)


@pytest.mark.in_turn
@pytest.mark.parametrize("kind", [kind for kind, conv in CONVS.items() if conv.reads_edges])
def test_edge_features_count_wherever_a_model_computes(backend, kind: str) -> None:
    graph = communities(60)
    other = replace(graph, edge_attr=graph.edge_attr + 1.0)
    settings = {"hidden_channels": 8, "norm": "layer"}
    curves = []
    for data in (graph, other):
        model = gnnkit.build_model(kind, data, seed=1, **settings)
        assert model.spec.edge_channels == 3
        for how in ({}, {"fanouts": [3, 3], "batch_size": 20, "evaluation": "layerwise"}):
            history = trainer(backend, seed=1, **how).fit(model, data).history
            curves.append([(record.train_loss, record.valid_loss) for record in history])
    assert curves[0] != curves[2] and curves[1] != curves[3]


def test_edge_features_can_be_left_out_and_must_fit() -> None:
    graph = communities(60)
    assert not gnnkit.build_model("gatv2", graph, edge_channels=None).spec.reads_edges
    model = gnnkit.build_model("gatv2", graph)
    bare = replace(graph, edge_attr=None)
    with pytest.raises(ConfigError, match="reads 3 features of every edge, the graph has no edge_attr"):
        trainer().fit(model, bare)
    with pytest.raises(ConfigError, match="the block has none"):
        model([full_block(model.spec.prepare(graph))] * 2, graph.x)


class WithoutEdges(ReferenceBackend):
    name = "without-edges"
    capabilities = BackendCapabilities()


def test_a_backend_that_declares_no_edge_features_is_not_asked_for_them() -> None:
    graph = communities(60)
    GNN(model_spec("gatv2", 8, 3), WithoutEdges())
    with pytest.raises(CapabilityError, match="'without-edges' has no 'gatv2' with edge features"):
        gnnkit.build_model("gatv2", graph, backend=WithoutEdges())


def test_steps_of_appnp_are_those_of_personalised_pagerank(backend) -> None:
    """Ten layers equal ten products with the normalised adjacency of the MLP's output."""
    graph = communities(60)
    model = gnnkit.build_model("appnp", graph, backend=backend, hidden_channels=6, alpha=0.2).eval()
    ready = model.spec.prepare(graph)
    matrix = torch.zeros(60, 60).index_put((ready.dst, ready.indices), ready.edge_weight, accumulate=True)
    p = {name.split(".", 2)[2]: value for name, value in model.canonical_state().items()}
    start = torch.relu(graph.x @ p["mlp.0.weight"].T + p["mlp.0.bias"]) @ p["mlp.2.weight"].T + p["mlp.2.bias"]
    h = start
    for _ in range(10):
        h = 0.8 * matrix @ h + 0.2 * start
    with torch.no_grad():
        outputs = model([full_block(ready)] * 10, ready.x)
    torch.testing.assert_close(outputs, h, rtol=1e-5, atol=1e-5)


def test_a_checkpoint_of_version_0_1_0_is_read(tmp_path) -> None:
    model = gnnkit.build_model("gat", communities(60), heads=2)
    values = model.spec.flat()
    del values["edge_channels"], values["negative_slope"]
    old = {**values, "aggregation": "mean", "conv_options": {}}
    assert ModelSpec.from_dict(old) == model.spec
    save_weights(model, tmp_path / "weights.safetensors")
    assert load_model(tmp_path / "weights.safetensors", load_backend("reference")).spec == model.spec
