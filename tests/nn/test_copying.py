"""What is trained is what was given: classes, modules, hooks and frozen parameters."""

from __future__ import annotations

import copy
import pickle
from dataclasses import replace

import pytest
import torch
from torch import nn

import gnnkit
from gnnkit.backends import load_backend, move_model
from gnnkit.errors import CheckpointError, ConfigError
from gnnkit.nn import GNN, MessagePassing, frozen_parameters, model_spec
from gnnkit.parity import compare
from tests.conftest import installed_backends
from tests.graphs import communities

SAMPLED = {"fanouts": [3, 3], "batch_size": 64}

# One that knows edges and one that is made of primitives everywhere, besides the first five.
CONVS_HERE = ["gcn", "sage", "gat", "gatv2", "gin", "gine", "pna"]


class Scaled(GNN):
    """Outputs of its own: the GNN's, scaled by a parameter that no specification knows."""

    calls = 0

    def __init__(self, spec, backend, seed=0) -> None:
        super().__init__(spec, backend, seed)
        self.scale = nn.Parameter(torch.tensor(0.5))

    def forward(self, blocks, x):
        type(self).calls += 1
        return super().forward(blocks, x) * self.scale


class Forward(GNN):
    """Another forward with the same parameters."""

    def forward(self, blocks, x):
        return -super().forward(blocks, x)


class Mean(MessagePassing):
    def __init__(self, ops, in_channels, out_channels) -> None:
        super().__init__(ops)
        self.lin = nn.Linear(in_channels, out_channels)

    def forward(self, lowered, h_src, h_dst):
        return self.lin(self.ops.aggregate(lowered, h_src, "mean"))


def make(cls, graph, backend, **settings):
    return cls(model_spec("sage", graph.num_features, graph.num_classes, **settings), backend)


def trainer(**settings):
    return gnnkit.Trainer(progress=False, **{"epochs": 3, "lr": 0.05, "weight_decay": 0.1, **settings})


@pytest.mark.parametrize("how", [{}, SAMPLED, {**SAMPLED, "evaluation": "sampled"}], ids=["full", "auto", "sampled"])
def test_a_class_of_ones_own_is_trained_on_its_backend(backend, how: dict) -> None:
    graph = communities()
    model, Scaled.calls = make(Scaled, graph, backend), 0
    result = trainer(**how).fit(model, graph)
    assert Scaled.calls > 0
    assert type(result.model) is Scaled
    assert result.model.scale.item() != 0.5 == model.scale.item()


@pytest.mark.parametrize("how", [{}, SAMPLED], ids=["full", "sampled"])
def test_a_forward_of_ones_own_gives_losses_and_scores(backend, how: dict) -> None:
    graph = communities()
    plain, own = (make(cls, graph, backend, dropout=0.0) for cls in (GNN, Forward))
    first, other = (trainer(**how).fit(model, graph).history[0] for model in (plain, own))
    assert first.train_loss != other.train_loss
    assert first.valid_loss != other.valid_loss


def test_layerwise_evaluation_is_refused_for_a_forward_of_ones_own() -> None:
    graph = communities()
    with pytest.raises(ConfigError, match="layerwise.*'full' or 'sampled'"):
        trainer(evaluation="layerwise").fit(make(Forward, graph, load_backend("reference")), graph)


def changed_class(model, graph):
    return make(Scaled, graph, model.backend)


def changed_module(model, graph):
    model.convs[0] = Mean(model.backend.ops(), graph.num_features, 64)
    return model


def changed_forward(model, graph):
    model.forward = lambda blocks, x: -GNN.forward(model, blocks, x)
    return model


def changed_hook(model, graph):
    model.convs[0].register_forward_hook(lambda module, arguments, out: out * 2)
    return model


def changed_more(model, graph):
    model.extra = nn.Linear(2, 2)
    return model


CHANGES = [changed_class, changed_module, changed_forward, changed_hook, changed_more]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize(("source", "target"), [("reference", b) for b in installed_backends() if b != "reference"])
def test_what_cannot_move_is_refused_before_training(source: str, target: str, change) -> None:
    graph = communities()
    model = change(make(GNN, graph, load_backend(source)), graph)
    with pytest.raises(ConfigError, match=f"backend '{target}'|a convolution 'sage'"):
        trainer(backend=target).fit(model, graph)


@pytest.mark.parametrize("change", CHANGES)
def test_a_run_folder_is_refused_for_what_cannot_be_opened(tmp_path, change) -> None:
    graph = communities()
    model = change(make(GNN, graph, load_backend("reference")), graph)
    with pytest.raises(ConfigError, match="run folder|a convolution 'sage'"):
        trainer(run_dir=tmp_path / "run").fit(model, graph)
    assert not (tmp_path / "run").exists()
    with pytest.raises(ConfigError, match="compared"):
        compare(model, graph, ["reference", "reference"], epochs=0)


def test_weights_of_a_class_of_ones_own_are_not_written_as_a_gnn(tmp_path) -> None:
    with pytest.raises(ConfigError, match="Forward"):
        gnnkit.save_weights(make(Forward, communities(), load_backend("reference")), tmp_path / "file.safetensors")
    assert not list(tmp_path.iterdir())


def test_a_hook_runs_in_training() -> None:
    graph, seen = communities(), []
    model = make(GNN, graph, load_backend("reference"))
    model.convs[0].register_forward_hook(lambda module, arguments, out: seen.append(len(out)))
    trainer().fit(model, graph)
    assert seen


def test_a_replaced_convolution_is_refused_with_its_parameters() -> None:
    graph = communities()
    model = changed_module(make(GNN, graph, load_backend("reference")), graph)
    with pytest.raises(ConfigError, match=r"convs\.0\.lin\.weight"):
        trainer().fit(model, graph)


@pytest.mark.in_turn
@pytest.mark.parametrize("how", [{}, SAMPLED, {"clip_norm": 0.1}], ids=["full", "sampled", "clipped"])
@pytest.mark.parametrize("conv, source", [*((conv, "reference") for conv in CONVS_HERE), ("gat", "same")])
def test_frozen_parameters_keep_their_bits(backend, conv: str, source: str, how: dict) -> None:
    graph = communities()
    model = gnnkit.build_model(conv, graph, backend="reference" if source == "reference" else backend)
    names = [name for name in model.parameters_by_name() if name.startswith("convs.0.")]
    for name in names:
        model.parameters_by_name()[name].requires_grad_(False)
    result = trainer(backend=backend, **how).fit(model, graph)
    before, after = model.canonical_state(), result.model.canonical_state()
    assert frozen_parameters(result.model) == names
    for name, value in before.items():
        assert torch.equal(value, after[name]) == (name in names)


def test_a_frozen_run_goes_on_and_is_not_resumed_by_mistake(tmp_path) -> None:
    graph = communities()

    def frozen():
        model = gnnkit.build_model("gcn", graph)
        model.convs[0].requires_grad_(False)
        return model

    whole = trainer(epochs=6).fit(frozen(), graph)
    trainer(run_dir=tmp_path / "first").fit(frozen(), graph)
    rest = trainer(epochs=6).fit(frozen(), graph, resume=tmp_path / "first")
    assert [r.train_loss for r in rest.history] == [r.train_loss for r in whole.history]
    with pytest.raises(CheckpointError, match=r"convs\.0\.bias"):
        trainer(epochs=6).fit(gnnkit.build_model("gcn", graph), graph, resume=tmp_path / "first")


def test_frozen_parameters_are_frozen_in_a_comparison() -> None:
    graph = communities()
    model = gnnkit.build_model("gcn", graph, dropout=0.0, input_dropout=0.0)
    model.convs[0].requires_grad_(False)
    found = compare(model, graph, ["reference", "reference"], epochs=4, lr=0.5)
    assert found.backends[0].losses == [
        record.train_loss for record in trainer(epochs=4, lr=0.5, weight_decay=5e-4).fit(model, graph).history
    ]


def test_a_model_that_is_frozen_whole_is_refused() -> None:
    graph = communities()
    with pytest.raises(ConfigError, match="frozen"):
        trainer().fit(gnnkit.build_model("gcn", graph).requires_grad_(False), graph)


def pickled(model):
    return pickle.loads(pickle.dumps(model))


@pytest.mark.in_turn
@pytest.mark.parametrize(
    "conv, way", [*((conv, pickled) for conv in [*CONVS_HERE, Mean]), ("gat", copy.deepcopy), (Mean, copy.deepcopy)]
)
def test_models_can_be_copied_and_pickled(backend, conv, way) -> None:
    graph = communities()
    model = gnnkit.build_model(conv, graph, backend=backend, dropout=0.0, input_dropout=0.0, seed=4)
    twin = way(model)
    assert twin.spec == model.spec
    assert twin.backend.name == backend.name
    losses = [trainer(backend=None).fit(each, graph).history[-1].train_loss for each in (model, twin)]
    assert losses[0] == losses[1]
    trained = way(trainer().fit(model, graph).model)
    assert type(trained) is GNN


def test_a_copy_has_weights_of_its_own(backend) -> None:
    model = gnnkit.build_model("gcn", communities(), backend=backend)
    moved = move_model(model, backend)
    with torch.no_grad():
        for parameter in moved.parameters():
            parameter.add_(1.0)
    assert all(not torch.equal(value, moved.canonical_state()[name]) for name, value in model.canonical_state().items())


class Sources(MessagePassing):
    """A row for each source."""

    def __init__(self, ops, in_channels, out_channels) -> None:
        super().__init__(ops)
        self.lin = nn.Linear(in_channels, out_channels)

    def forward(self, lowered, h_src, h_dst):
        return self.lin(h_src)


class Adds(Sources):
    """Adds sources to destinations, which a whole graph allows."""

    def forward(self, lowered, h_src, h_dst):
        return self.lin(self.ops.aggregate(lowered, h_src, "sum") + h_src)


class Wide(Sources):
    """Another width than asked for."""

    def forward(self, lowered, h_src, h_dst):
        return torch.cat([self.lin(h_dst)] * 2, dim=1)


@pytest.mark.parametrize("how", [{}, SAMPLED], ids=["full", "sampled"])
@pytest.mark.parametrize(("layer", "says"), [(Sources, r"\[3, 64\].*\[2, 64\]"), (Wide, r"\[2, 128\].*\[2, 64\]")])
def test_a_layer_with_other_rows_than_destinations_is_refused(backend, layer, says: str, how: dict) -> None:
    graph = communities()
    model = gnnkit.build_model(layer, graph, backend=backend)
    with pytest.raises(ConfigError, match=f"Layer 0 .*{layer.__name__}.*{says}"):
        trainer(**how).fit(model, graph)


def test_a_layer_for_whole_graphs_alone_is_refused_where_it_would_fail(backend) -> None:
    graph = communities()
    model = gnnkit.build_model(Adds, graph, backend=backend)
    trainer(evaluation="full").fit(model, graph)
    for how in (SAMPLED, {"evaluation": "layerwise"}):
        with pytest.raises(ConfigError, match="Layer 0 .*Adds.*fewer destinations"):
            trainer(**how).fit(model, graph)


def test_a_layer_put_in_by_hand_is_looked_at() -> None:
    graph = communities()

    class Rows(GNN):
        def _conv(self, conv):
            layer = super()._conv(conv)
            layer.forward = lambda lowered, h_src, h_dst: h_src[:, : conv.out_channels]
            return layer

    with pytest.raises(ConfigError, match="Layer 0 "):
        trainer().fit(make(Rows, graph, load_backend("reference"), hidden_channels=2), graph)


def test_weighted_graphs_are_tried_with_weights(backend) -> None:
    class Weighted(Mean):
        def forward(self, lowered, h_src, h_dst):
            weight = self.ops.edge_weight(lowered)
            assert weight is not None
            return self.lin(self.ops.aggregate(lowered, h_src, "sum", weight))

    graph = communities()
    graph = replace(graph, edge_weight=torch.ones(graph.num_edges))
    assert trainer(**SAMPLED).fit(gnnkit.build_model(Weighted, graph, backend=backend), graph).history
