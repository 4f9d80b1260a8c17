"""Weight files: what is written comes back, what is damaged or foreign is refused."""

from __future__ import annotations

import pickle

import pytest
import safetensors.torch
import torch

import gnnkit
from gnnkit.backends import load_backend
from gnnkit.errors import CheckpointError
from gnnkit.runs import load_model, read_weights, save_weights
from tests.graphs import communities


@pytest.fixture
def model():
    return gnnkit.build_model("gat", communities(), seed=4, norm="batch")


def test_round_trip(model, tmp_path) -> None:
    file = tmp_path / "weights.safetensors"
    save_weights(model, file)
    spec, values, seed = read_weights(file)
    assert (spec, seed) == (model.spec, 4)
    assert all(torch.equal(values[name], value) for name, value in model.canonical_state().items())
    assert load_model(file, load_backend("reference")).spec == model.spec
    assert [path.name for path in tmp_path.iterdir()] == ["weights.safetensors"]


def test_missing_cut_short_foreign_and_pickled_files_are_refused(model, tmp_path) -> None:
    file = tmp_path / "weights.safetensors"
    backend = load_backend("reference")
    with pytest.raises(CheckpointError, match=r"weights\.safetensors"):
        load_model(file, backend)
    save_weights(model, file)
    file.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(CheckpointError, match="Cannot read"):
        load_model(file, backend)
    safetensors.torch.save_file({"a": torch.zeros(2)}, file)
    with pytest.raises(CheckpointError, match="as gnnkit writes it"):
        load_model(file, backend)
    file.write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(CheckpointError, match="Cannot read"):
        load_model(file, backend)


def test_a_model_comes_by_path_alone(backend, tmp_path) -> None:
    graph = communities()
    net = gnnkit.build_model("gcn", graph, backend=backend)
    trainer = gnnkit.Trainer(backend, "cpu", epochs=2, run_dir=tmp_path / "run", progress=False)
    best = trainer.fit(net, graph).model.canonical_state()
    for loaded in (load_model(tmp_path / "run"), load_model(str(tmp_path / "run"), "reference")):
        assert all(torch.equal(best[name], value) for name, value in loaded.canonical_state().items())
    assert load_model(tmp_path / "run").backend.name == backend.name
    save_weights(net, tmp_path / "file")
    assert load_model(tmp_path / "file").backend.name == "reference"
    with pytest.raises(gnnkit.GnnkitError, match="expected text or a path"):
        load_model(3)
    with pytest.raises(gnnkit.GnnkitError, match="Unknown backend 'referense'"):
        load_model(tmp_path / "file", "referense")
