"""What a run learned is kept in its folder and in files of weights, as JSON that every reader takes."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

import gnnkit
from gnnkit.errors import OtherDataError
from gnnkit.runs import EpochRecord, Learned, RunFolder, load_model, read_learned, read_run, save_weights
from tests.graphs import communities


def strictly(text: str) -> dict:
    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    return json.loads(text, parse_constant=refuse)


def test_numbers_that_json_lacks_become_null(tmp_path) -> None:
    graph = communities()
    graph_facts = {"name": "karate", "parts": {}}
    model = {"conv": "gcn", "in_channels": 34, "out_channels": 4}
    device = {"name": "cpu", "largest": float("inf")}
    facts = {"data": graph_facts, "device": device, "backend": {"name": "reference"}, "model": model}
    folder = RunFolder(tmp_path / "run", {"seed": 0}, facts)
    folder.on_start(gnnkit.build_model("gcn", graph), 2, 1)
    folder.on_epoch(EpochRecord(1, float("nan"), 0.1, 1.0, 0.1, float("inf"), float("nan")))
    values = strictly((tmp_path / "run" / "metrics.jsonl").read_text())
    assert (values["train_loss"], values["valid_loss"], values["valid_metric"]) == (None, None, None)
    assert strictly((tmp_path / "run" / "manifest.json").read_text())["device"] == {**device, "largest": None}
    assert read_run(tmp_path / "run").history[0].train_loss is None


def test_a_file_of_weights_says_what_was_learned(tmp_path, backend) -> None:
    model = gnnkit.build_model("gcn", communities(), backend=backend)
    learned = Learned("labels", ("cat", "dög", "eel"), tuple("abcdefgh"))
    save_weights(model, tmp_path / "named.safetensors", learned)
    save_weights(model, tmp_path / "plain.safetensors")
    assert read_learned(tmp_path / "named.safetensors") == learned
    assert read_learned(tmp_path / "plain.safetensors") is None
    assert load_model(tmp_path / "named.safetensors", backend).spec == model.spec


def test_features_of_other_names_are_other_data(tmp_path) -> None:
    graph = replace(communities(), feature_names=tuple("abcdefgh"))
    other = replace(graph, feature_names=tuple("bacdefgh"))

    def fit(graph, epochs, **more):
        trainer = gnnkit.Trainer(device="cpu", epochs=epochs, progress=False, run_dir=tmp_path / str(epochs))
        return trainer.fit(gnnkit.build_model("gcn", graph), graph, **more)

    fit(graph, 1)
    with pytest.raises(OtherDataError, match="what differs: names of features"):
        fit(other, 2, resume=tmp_path / "1")
    assert not (tmp_path / "2").exists()
    assert len(fit(graph, 3, resume=tmp_path / "1").history) == 3
    assert len(fit(replace(graph, feature_names=()), 4, resume=tmp_path / "1").history) == 4
