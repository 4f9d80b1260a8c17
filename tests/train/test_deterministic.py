"""Two deterministic runs are equal to the last bit, and leave torch's settings as they were."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import warnings

import pytest
import torch

import gnnkit
from gnnkit.devices import Device, DeviceCapabilities, deterministic_torch
from tests.graphs import communities

SAMPLED = {"fanouts": [5, 5], "batch_size": 32}


def fit(backend="reference", model="gat", device="cpu", **settings):
    graph = communities()
    net = gnnkit.build_model(model, graph, dropout=0.5, attention_dropout=0.0, norm="batch")
    options = {"epochs": 3, "deterministic": True, "progress": False, **settings}
    return gnnkit.Trainer(backend, "ipu-emulator" if backend == "ipu" else device, **options).fit(net, graph)


def bits(result):
    """Everything that a run computes."""
    curve = [(r.train_loss, r.valid_loss, r.valid_metric) for r in result.history]
    return curve, {name: value.numpy().tobytes() for name, value in result.model.canonical_state().items()}


@pytest.mark.in_turn
@pytest.mark.parametrize("how", [{}, SAMPLED], ids=["full", "sampled"])
@pytest.mark.parametrize("model", ["gcn", "gat", "gin"])
def test_any_number_of_threads_gives_the_same_bits(backend_name, model, how):
    expected = bits(fit(backend_name, model, num_threads=0, **how))
    for num_threads in (0, 1, 2) if "fanouts" in how else (0,):
        result = fit(backend_name, model, num_threads=num_threads, **how)
        assert bits(result) == expected
        assert result.nondeterministic == []


def digest(result):
    return hashlib.sha256(repr(bits(result)).encode()).hexdigest()


def test_another_process_gives_the_same_bits():
    code = (
        "import tests.train.test_deterministic as t; print(t.digest(t.fit(model='sage', num_threads=2, **t.SAMPLED)))"
    )
    environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    other = subprocess.check_output([sys.executable, "-c", code], text=True, env=environment)
    assert other.strip() == digest(fit(model="sage", num_threads=2, **SAMPLED))


def test_settings_are_put_back():
    def settings():
        return (
            torch.are_deterministic_algorithms_enabled(),
            torch.is_deterministic_algorithms_warn_only_enabled(),
            getattr(getattr(torch.utils, "deterministic", None), "fill_uninitialized_memory", None),
            warnings.showwarning,
            list(warnings.filters),
        )

    before, inside = settings(), []

    class Look(gnnkit.train.Callback):
        def on_batch(self, index):
            inside.append(torch.are_deterministic_algorithms_enabled())

    class Fail(gnnkit.train.Callback):
        def on_epoch(self, record):
            raise RuntimeError("stop")

    fit(callbacks=[Look()])
    assert inside == [True] * 3
    assert settings() == before
    with pytest.raises(RuntimeError, match="stop"):
        fit(callbacks=[Fail()])
    assert settings() == before


def test_an_operation_without_a_deterministic_version_is_reported_once():
    sentences = []
    with deterministic_torch(sentences.append):
        for _ in range(2):
            torch.zeros(3).put_(torch.tensor([0, 0]), torch.tensor([1.0, 2.0]))
        with pytest.warns(UserWarning, match="something else"):
            warnings.warn("something else", stacklevel=1)
    assert len(sentences) == 1
    assert sentences[0].startswith("put_ does not have a deterministic implementation")


def test_a_device_that_does_not_promise_it_says_so(tmp_path, monkeypatch, caplog):
    from gnnkit.devices.cpu import CpuDevice

    class Vague(CpuDevice):
        name = "vague"
        capabilities = DeviceCapabilities("cpu")
        deterministic = Device.deterministic

    result = fit(device=Vague(), run_dir=tmp_path / "run")
    assert result.nondeterministic == ["Device 'vague' does not promise to repeat its numbers bit by bit."]
    assert "Device 'vague' does not promise" in caplog.text
    recorded = json.loads((tmp_path / "run" / "manifest.json").read_text())["result"]
    assert recorded["nondeterministic"] == result.nondeterministic


def test_a_run_that_was_not_asked_to_be_says_nothing():
    assert fit(deterministic=False).nondeterministic is None
