"""Settings that cannot be meant are refused, whoever takes them: NaN, wrong types, and those without any effect."""

from __future__ import annotations

import inspect
import json
import math
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
import pytest
import torch

import gnnkit
from gnnkit.backends import load_backend
from gnnkit.devices import devices
from gnnkit.errors import ConfigError, UnknownNameError
from gnnkit.nn import ALL_OPTIONS, GNN, ModelSpec, model_spec
from gnnkit.nn.effects import EFFECTS as MODEL_EFFECTS
from gnnkit.options import make_options
from gnnkit.runs import recorded_config
from gnnkit.train import TrainConfig, load_config
from gnnkit.train.effects import EFFECTS as TRAIN_EFFECTS
from gnnkit.train.typed_settings import TrainSettings
from tests.graphs import communities

BAD = (math.nan, math.inf, -math.inf)
TRAIN_NUMBERS = [item.name for item in fields(TrainConfig) if "float" in str(item.type) or "int" in str(item.type)]
MODEL_NUMBERS = [item.name for item in fields(ModelSpec) if item.type in ("int", "float")]


@pytest.mark.parametrize("value", BAD)
@pytest.mark.parametrize("name", TRAIN_NUMBERS)
def test_numbers_of_a_training_are_finite(name: str, value: float) -> None:
    given = [value] if "fanouts" in name else value
    with pytest.raises(ConfigError, match=name):
        gnnkit.Trainer(**{"batch_size": 8, name: given})
    text = {math.nan: ".nan", math.inf: ".inf"}.get(value, "-.inf") if not math.isnan(value) else ".nan"
    with pytest.raises(ConfigError, match=name):
        load_config(overrides=["train.batch_size=8", f"train.{name}=" + (f"[{text}]" if "fanouts" in name else text)])


@pytest.mark.parametrize("value", BAD)
@pytest.mark.parametrize("name", MODEL_NUMBERS)
def test_numbers_of_a_model_are_finite(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=name):
        ModelSpec.from_dict({"conv": "gat", "in_channels": 2, "out_channels": 2, name: value})


@pytest.mark.parametrize("value", [*BAD, [1.0, math.nan], {"deep": [math.inf]}])
def test_numbers_of_plugins_and_layers_are_finite(value) -> None:
    @dataclass(frozen=True)
    class Options:
        factor: type(value) = 1.0

    Options.__annotations__["factor"] = type(value)
    with pytest.raises(ConfigError, match="factor.*finite"):
        make_options(Options, {"factor": value}, "device 'car'")
    with pytest.raises(ConfigError, match="k is|k.*finite"):
        ModelSpec("torch_geometric.nn:PNAConv", 2, 2, conv_options={"k": value})
    with pytest.raises(ConfigError, match="homophily"):
        load_config(flags={"dataset": {"name": "synthetic", "options": {"homophily": value}}})


@pytest.mark.parametrize("value", [0, 0.0, -1])
def test_clipping_to_nothing_is_refused(value: float) -> None:
    with pytest.raises(ConfigError, match="clip_norm is .* null turns clipping off"):
        gnnkit.Trainer(clip_norm=value)
    assert gnnkit.Trainer(clip_norm=None) is not None


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"hidden_channels": [64, 32]}, r"hidden_channels is \[64, 32\], expected one whole number"),
        ({"hidden_channels": 1.5}, "one whole number"),
        ({"hidden_channels": "64"}, "one whole number"),
        ({"num_layers": None}, "one whole number"),
        ({"num_layers": True}, "one whole number"),
        ({"dropout": "half"}, "one number"),
        ({"residual": 1}, "True or False"),
        ({"norm": ["batch"]}, "a word"),
    ],
)
def test_models_refuse_values_of_other_types(settings: dict, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        gnnkit.build_model("gcn", communities(), **settings)


def test_numbers_of_numpy_and_torch_are_numbers() -> None:
    graph = communities()
    settings = {"hidden_channels": np.int64(4), "dropout": np.float64(0.25), "num_layers": torch.tensor(2)}
    model = gnnkit.build_model("gcn", graph, **settings)
    assert model.spec == gnnkit.build_model("gcn", graph, hidden_channels=4, dropout=0.25, num_layers=2).spec
    trainer = gnnkit.Trainer(epochs=np.int64(2), fanouts=np.array([2, 2]), lr=np.float32(0.5), progress=False)
    assert len(trainer.fit(model, graph).history) == 2


# A value that is no default, a model without its effect and one with it.
JUMPING = {"num_layers": 1, "jumping_knowledge": "cat"}
MODEL_ROWS = {
    "hidden_channels": (7, [("gcn", {"num_layers": 1})], [("gcn", {}), ("gcn", JUMPING), ("gin", {"num_layers": 1})]),
    "aggregation": ("max", [("gcn", {}), ("gat", {}), ("gin", {})], [("sage", {})]),
    "heads": (3, [("gcn", {}), ("sage", {}), ("gat", {"num_layers": 1})], [("gat", {}), ("gatv2", JUMPING)]),
    "out_heads": (3, [("gcn", {}), ("gat", JUMPING)], [("gat", {}), ("gatv2", {"num_layers": 1})]),
    "attention_dropout": (0.3, [("gcn", {}), ("gin", {})], [("gat", {}), ("gatv2", {"num_layers": 1})]),
    "dropout": (0.3, [("gcn", {"num_layers": 1})], [("gcn", {}), ("sage", JUMPING)]),
    "activation": ("elu", [("gcn", {"num_layers": 1})], [("gcn", {}), ("sage", JUMPING)]),
    "norm": ("layer", [("gcn", {"num_layers": 1})], [("gcn", {}), ("sage", JUMPING)]),
}
MODEL_ALWAYS = {
    "conv",
    "in_channels",
    "out_channels",
    "num_layers",
    "input_dropout",
    "residual",
    "jumping_knowledge",
    "edge_channels",
    "conv_options",
    "num_embeddings",
    "node_categories",
    "encoder_channels",
    # Without an effect these are refused by the specification itself.
    "pooling",
    "virtual_node",
    "head_layers",
    "relational",
    # What the data decide.
    "typed",
}


def spec_of(conv: str, graph: gnnkit.Graph, **settings: Any) -> ModelSpec:
    """A model as records of 0.1 have it: all options among the settings, those without effect, too."""
    widths = {"in_channels": graph.num_features, "out_channels": 3}
    return ModelSpec.from_dict({"conv": conv, **widths, **settings})


def computed(conv: str, settings: dict) -> list[torch.Tensor]:
    """What a model computes while training, and its gradients, from fixed random numbers."""
    graph = communities()
    model = GNN(spec_of(conv, graph, **settings), load_backend("reference"))
    block = gnnkit.data.full_block(gnnkit.data.prepare_graph(graph, self_loops=True, gcn_norm=True))
    torch.manual_seed(0)
    out = model([block] * model.num_layers, graph.x)
    out.square().sum().backward()
    return [out, *(parameter.grad for parameter in model.parameters())]


def is_same(first: list, other: list) -> bool:
    shapes = [[tensor.shape for tensor in each] for each in (first, other)]
    return shapes[0] == shapes[1] and all(torch.equal(a, b) for a, b in zip(first, other))


def test_every_setting_of_a_model_is_in_the_table_or_always_has_an_effect() -> None:
    assert set(MODEL_EFFECTS) <= set(MODEL_ROWS) <= set(MODEL_EFFECTS) | set(ALL_OPTIONS)
    assert {item.name for item in fields(ModelSpec)} == (set(MODEL_ROWS) - set(ALL_OPTIONS)) | MODEL_ALWAYS


@pytest.mark.parametrize("name", MODEL_ROWS)
def test_settings_of_a_model_are_refused_where_they_change_nothing(name: str) -> None:
    value, without, having = MODEL_ROWS[name]
    for conv, context in without:
        with pytest.raises(ConfigError, match=f"^{name} is {value}.*no effect"):
            model_spec(conv, 4, 2, **context, **{name: value})
        with pytest.raises(ConfigError, match=f"^model.{name} is {value}.*no effect"):
            load_config(flags={"model": {"name": conv, **context, name: value}})
        assert is_same(computed(conv, context), computed(conv, {**context, name: value}))
    for conv, context in having:
        assert model_spec(conv, 4, 2, **context, **{name: value}).flat()[name] == value
        assert not is_same(computed(conv, context), computed(conv, {**context, name: value}))


def test_a_default_is_no_mistake() -> None:
    for name in ("gcn", "gat", "sage"):
        config = load_config(overrides=[f"model.name={name}"])
        settings = asdict(config.model)
        del settings["edge_features"], settings["embedding_channels"]
        assert model_spec(**{**settings, "in_channels": 4, "out_channels": 2})


SAMPLED = {"batch_size": 8}
ALL = {"fanouts": [-1, -1]}
TRAIN_ROWS = {
    "replace": (True, [{}, ALL], [SAMPLED, {"fanouts": [2, 2]}, {"evaluation": "sampled", "eval_fanouts": [2, 2]}]),
    "weighted": (True, [{}, ALL], [SAMPLED, {"evaluation": "sampled", "eval_fanouts": [2, 2]}]),
    "shuffle": (False, [{}], [SAMPLED, ALL]),
    "drop_last": (True, [{}], [SAMPLED]),
    "accumulate": (2, [{}], [SAMPLED]),
    "num_threads": (2, [{}], [SAMPLED]),
    "prefetch": (5, [{}, {**SAMPLED, "num_threads": 0}], [SAMPLED]),
    "fuse_first_layer": ("never", [{}, {"evaluation": "layerwise"}], [SAMPLED, {"evaluation": "sampled"}]),
    "packing": ("always", [{}, SAMPLED], []),
    "clusters_per_batch": (2, [{}, SAMPLED], [{"clusters": 4}]),
    "partition": ("metis", [{}, SAMPLED], [{"clusters": 4}]),
    "overflow": ("error", [{}], [SAMPLED]),
    "overflow_rate": (0.1, [{}], [SAMPLED]),
    "eval_fanouts": ([2, 2], [{}, SAMPLED, {"evaluation": "layerwise"}], [{"evaluation": "sampled"}]),
    "eval_batch_size": (7, [{}, {"evaluation": "full"}], [SAMPLED, {"evaluation": "layerwise"}]),
    "eval_memory": (7.0, [{}, {**SAMPLED, "evaluation": "full"}], [SAMPLED, {"evaluation": "sampled"}]),
}
TRAIN_ALWAYS = {
    "optimizer",
    "optimizer_options",
    "schedule_options",
    "warmup",
    "average",
    "epochs",
    "lr",
    "weight_decay",
    "schedule",
    "clip_norm",
    "patience",
    "precision",
    "batch_size",
    "fanouts",
    "clusters",
    "keep_memory",
    "evaluation",
    "eval_every",
    "save_every",
    "save_every_batches",
    "save_every_minutes",
    "keep_last",
    "deterministic",
    "sparse_embeddings",
    # The task decides: tests/tasks/test_graph_tasks.py.
    "packing",
}


def test_every_setting_of_a_training_is_in_the_table_or_always_has_an_effect() -> None:
    assert set(TRAIN_ROWS) == set(TRAIN_EFFECTS)
    assert {item.name for item in fields(TrainConfig)} == set(TRAIN_ROWS) | TRAIN_ALWAYS


@pytest.mark.parametrize("name", TRAIN_ROWS)
def test_settings_of_a_training_are_refused_where_they_change_nothing(name: str) -> None:
    value, without, having = TRAIN_ROWS[name]
    for context in without:
        with pytest.raises(ConfigError, match=f"^{name} is .*no effect"):
            gnnkit.Trainer(**context, **{name: value})
        with pytest.raises(ConfigError, match=f"^train.{name} is .*no effect"):
            load_config(flags={"train": {**context, name: value}})
    for context in having:
        gnnkit.Trainer(**context, **{name: value})
        assert getattr(load_config(flags={"train": {**context, name: value}}).train, name) == value


def test_no_threads_are_right_for_a_whole_graph() -> None:
    assert load_config(overrides=["train.num_threads=0"]).train.num_threads == 0


@pytest.mark.parametrize("how", [{}, SAMPLED, {"evaluation": "sampled"}, {"task": "unsupervised"}], ids=str)
def test_recorded_settings_are_taken_as_they_are(tmp_path, how: dict) -> None:
    graph = communities(60)
    settings = {"out_channels": 8} if how.get("task") else {}
    model = gnnkit.build_model("sage", graph, **settings)
    gnnkit.Trainer(run_dir=tmp_path / "run", progress=False, epochs=1, **how).fit(model, graph)
    recorded = recorded_config(tmp_path / "run")
    again = load_config(tmp_path / "run" / "config.yaml")
    assert load_config(base=recorded) == again
    assert gnnkit.Trainer(task=again.task, task_options=again.task_options, **asdict(again.train)) is not None


@pytest.mark.parametrize("where", ["base", "file"])
def test_tasks_of_older_runs_are_read(tmp_path, where: str) -> None:
    old = {"train": {"task": "unsupervised", "walk_length": 3, "num_negatives": 100, "negative_weight": 2.0}}
    (tmp_path / "old.yaml").write_text(json.dumps(old))
    config = load_config(tmp_path / "old.yaml") if where == "file" else load_config(base=old)
    assert config.task == "unsupervised" and config.train.batch_size == 512
    assert config.task_options == {"walk_length": 3, "num_negatives": 100, "negative_weight": 2.0}
    other = load_config(base={"train": {"task": "node_classification", "walk_length": 5, "lr": 0.5}})
    assert other.task == "node_classification" and other.task_options == {} and other.train.lr == 0.5


def test_settings_of_tasks_are_refused_with_their_new_place() -> None:
    with pytest.raises(UnknownNameError, match="task_options.walk_length"):
        load_config(overrides=["train.walk_length=3"])
    with pytest.raises(UnknownNameError, match="'train.task'.*task"):
        load_config(overrides=["train.task=unsupervised"])
    with pytest.raises(UnknownNameError, match="walk_length"):
        load_config(overrides=["task=unsupervised", "task_options.walk_lenght=3"])
    with pytest.raises(ConfigError, match="expected int"):
        load_config(overrides=["task=unsupervised", "task_options.walk_length=many"])
    with pytest.raises(UnknownNameError, match="class_weights"):
        gnnkit.Trainer(task_options={"class_weight": "balanced"})
    with pytest.raises(ConfigError, match="expected a name"):
        gnnkit.Trainer(task=5)


def test_what_older_runs_recorded_without_effect_is_left_out() -> None:
    recorded = {"model": {"name": "gcn", "heads": 3, "out_heads": 2}, "train": {"prefetch": 9, "walk_length": 2}}
    config = load_config(base=recorded)
    assert config == load_config(overrides=["model.name=gcn"])
    with pytest.raises(ConfigError, match=r"model\.heads"):
        load_config(base=recorded, overrides=["model.heads=3"])


def test_a_run_with_a_setting_without_effect_is_resumed(tmp_path) -> None:
    graph = communities(60)
    old = GNN(spec_of("gcn", graph, heads=3, aggregation="max"), load_backend("reference"))
    gnnkit.Trainer(run_dir=tmp_path / "run", progress=False, epochs=1).fit(old, graph)
    new = GNN(ModelSpec("gcn", graph.num_features, 3), load_backend("reference"))
    result = gnnkit.Trainer(progress=False, epochs=2).fit(new, graph, resume=tmp_path / "run")
    assert len(result.history) == 2


def test_options_of_every_device_are_looked_at() -> None:
    for name in devices.names():
        device = devices.load(name)
        for option in device.describe_options() if device.probe().is_ready else []:
            with pytest.raises(ConfigError):
                device().configure({option.name: math.nan})


def test_editors_know_every_setting_of_the_trainer() -> None:
    settings = {field.name: field.type for field in fields(TrainConfig)}
    named = set(inspect.signature(gnnkit.Trainer).parameters)
    offered = {name: hint.__forward_arg__ for name, hint in TrainSettings.__annotations__.items()}
    assert offered == {name: kind for name, kind in settings.items() if name not in named}
