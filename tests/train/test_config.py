"""Merging a configuration: order, types, and keys that do not exist."""

from __future__ import annotations

import pytest

from gnnkit.errors import ConfigError, UnknownNameError
from gnnkit.runs import recorded_config
from gnnkit.train import load_config


def test_later_layers_win(tmp_path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("model: {name: gat, dropout: 0.1}\ntrain: {lr: 0.1, epochs: 7}\n")
    config = load_config(file, {"train": {"epochs": 8}}, ["train.lr=0.2", "train.fanouts=[5,3]"])
    assert (config.model.name, config.model.conv_options["heads"], config.model.dropout) == ("gat", 8, 0.1)
    assert (config.train.lr, config.train.epochs, config.train.fanouts) == (0.2, 8, [5, 3])


def test_defaults_depend_on_how_training_goes() -> None:
    full = load_config().train.resolved(2)
    sampled = load_config(overrides=["train.batch_size=64"]).train.resolved(3)
    assert (full.epochs, full.evaluation, full.fanouts) == (200, "full", None)
    assert (sampled.epochs, sampled.evaluation, sampled.fanouts) == (20, "layerwise", [10, 10, 10])


def test_evaluation_is_one_program_on_devices_with_fixed_shapes_unless_asked_otherwise() -> None:
    def evaluation(*overrides: str) -> str:
        config = load_config(overrides=["train.batch_size=64", *overrides])
        return config.train.resolved(2, static_shapes=True).evaluation

    assert evaluation() == "full"
    assert evaluation("train.evaluation=layerwise") == "layerwise"


@pytest.mark.parametrize(
    ("overrides", "error", "message"),
    [
        (["train.epoch=3"], UnknownNameError, "'train.epochs'"),
        (["trian.epochs=3"], UnknownNameError, "'train'"),
        (["model.name=gcm"], UnknownNameError, "'gcn'"),
        (["train.epochs=three"], ConfigError, "train.epochs"),
        (["epochs"], ConfigError, "key=value"),
        (["train=5"], ConfigError, "train"),
        (["task.options.metrics=[auc]"], ConfigError, r"'task' .* its options as task_options.KEY=VALUE\.$"),
        (["backend.name=pyg"], ConfigError, r"'backend' has one value .* Write it as backend=VALUE"),
        (["train.lr.x=1"], ConfigError, "expected a number"),
    ],
)
def test_mistakes(overrides: list, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        load_config(overrides=overrides)


@pytest.mark.parametrize(
    ("text", "message"),
    [("model: [", "not valid YAML"), ("- a\n- b\n", "holds a list"), ("modle: {}\n", "'model'")],
)
def test_bad_files(text: str, message: str, tmp_path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text(text)
    with pytest.raises((ConfigError, UnknownNameError), match=message):
        load_config(file)
    with pytest.raises(ConfigError, match="Cannot read"):
        load_config(tmp_path / "absent.yaml")


def test_options_of_a_data_set_are_free() -> None:
    assert load_config(overrides=["dataset.options.num_nodes=50"]).dataset.options == {"num_nodes": 50}


def test_what_loads_the_data() -> None:
    settings = ["dataset.name=synthetic", "dataset.data_dir=here", "dataset.options.num_nodes=50", "seed=3"]
    config = load_config(overrides=settings)
    expected = {"name": "synthetic", "data_dir": "here", "download": True, "seed": 3, "num_nodes": 50}
    assert config.dataset.arguments(config.seed) == expected
    assert config.dataset.arguments(config.seed, "there") == {**expected, "data_dir": "there"}


@pytest.mark.parametrize("key, place", [("seed", "seed"), ("download", r"dataset\.download")])
def test_settings_among_the_options_of_a_data_set(key: str, place: str) -> None:
    config = load_config(overrides=[f"dataset.options.{key}=1"])
    with pytest.raises(ConfigError, match=f"'dataset.options.{key}' is no option of a data set. Give '{place}'"):
        config.dataset.arguments(config.seed)


def test_a_configuration_of_version_0_1_0_reads_the_same(tmp_path) -> None:
    text = "dataset:\n  name: karate\n  data_dir: null\n  options: {}\nmodel:\n  name: gat\n  heads: 8\n"
    (tmp_path / "config.yaml").write_text(text + "train:\n  lr: 0.005\n  fanouts:\n  - 10\n  - 10\nseed: 3\n")
    config = load_config(base=recorded_config(tmp_path))
    assert (config.train.fanouts, config.train.lr, config.model.conv_options["heads"], config.seed) == (
        [10, 10],
        0.005,
        8,
        3,
    )


@pytest.mark.parametrize("text, fanouts", [("10,5", [10, 5]), ("[10,5]", [10, 5]), ("-1, 5", [-1, 5]), ("7", [7])])
def test_fanouts_without_brackets(text: str, fanouts: list) -> None:
    assert load_config(overrides=[f"train.fanouts={text}"]).train.fanouts == fanouts
    sampled = {"train": {"evaluation": "sampled", "eval_fanouts": text}}
    assert load_config(flags=sampled).train.eval_fanouts == fanouts
