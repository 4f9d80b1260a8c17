"""A configuration becomes data, model, backend, device and Trainer in one place."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Iterator, Tuple

import pytest

import gnnkit
from gnnkit.data import random_graph_split
from gnnkit.datasets import save_graph
from gnnkit.errors import CapabilityError, ConfigError, UnknownNameError
from gnnkit.train import load_config
from gnnkit.train.assembling import assemble, load_data, make_model

CORE = Path(gnnkit.__file__).parent
SMALL = ["dataset.name=karate", "model.name=sage", "model.hidden_channels=8", "train.epochs=2", "device=cpu"]


def calls(name: str) -> Iterator[Tuple[str, int]]:
    """Where core calls a function of that name, as (file, line)."""
    for file in sorted(CORE.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) == name:
                yield file.relative_to(CORE).as_posix(), node.lineno


@pytest.mark.parametrize("name", ["load_dataset", "build_model"])
def test_data_and_models_of_a_configuration_are_made_in_one_place(name: str) -> None:
    # The kit makes data sets and models of its own, which no configuration describes.
    callers = {file for file, _ in calls(name) if not file.startswith("testing/")}
    assert callers == {"train/assembling.py"}


def test_an_assembled_training_is_what_the_configuration_says() -> None:
    trainer, model, graph = assemble(load_config(overrides=[*SMALL, "seed=3", "train.lr=0.5"]))
    assert graph.name == "karate"
    assert (model.spec.conv, model.spec.hidden_channels, model.seed) == ("sage", 8, 3)
    assert trainer.seed == 3
    result = trainer.fit(model, graph)
    assert len(result.history) == 2
    assert result.history[0].lr == 0.5


def test_its_parts_are_the_same_alone() -> None:
    config = load_config(overrides=[*SMALL, "seed=3"])
    _, model, _ = assemble(config)
    alone = make_model(config, load_data(config))
    assert all(value.equal(model.canonical_state()[name]) for name, value in alone.canonical_state().items())


@pytest.mark.parametrize(
    "override, error",
    [("backend=none-such", UnknownNameError), ("train.average=0.9", CapabilityError)],
)
def test_what_cannot_be_had_is_told_before_data_are_loaded(override: str, error: type, tmp_path: Path) -> None:
    place = ["backend=ipu", "device=ipu-emulator", f"dataset.name={tmp_path / 'missing'}"]
    with pytest.raises(error):
        assemble(load_config(overrides=[*SMALL, *place, override]))


def test_shares_are_refused_where_the_data_bring_a_split_of_graphs(tmp_path: Path) -> None:
    graph = random_graph_split(gnnkit.load_dataset("motifs", num_graphs=20))
    save_graph(graph, tmp_path / "split")
    told = ["task=graph_classification", f"dataset.name={tmp_path / 'split'}", "task_options.valid_share=0.2"]
    with pytest.raises(ConfigError, match=r"valid_share has no effect: .* brings graphs for each split"):
        load_data(load_config(overrides=told))
    assert load_data(load_config(overrides=told[:2])).graph_splits.keys() == graph.graph_splits.keys()
    folds = [*told, "task_options.folds=5", "task_options.fold=0"]
    assert len(load_data(load_config(overrides=folds)).graph_splits["test"]) == 4
