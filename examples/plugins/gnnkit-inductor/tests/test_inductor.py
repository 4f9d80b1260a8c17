"""Compiled steps: how often they are compiled, and that they compute what steps compute without a compiler."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

import gnnkit
from gnnkit.backends import load_backend
from gnnkit.data import full_block
from gnnkit.devices import StepOptions, load_device
from gnnkit.errors import CapabilityError, ConfigError
from gnnkit_inductor.device import InductorDevice

SAMPLED = {"fanouts": [3, 3], "batch_size": 2, "eval_batch_size": 16, "epochs": 3}


def losses(result):
    return [(record.train_loss, record.valid_loss) for record in result.history]


@pytest.mark.parametrize("evaluation", ["auto", "sampled"])
def test_a_training_compiles_once_per_phase_and_equals_the_processor(evaluation):
    graph = gnnkit.load_dataset("karate")
    model = gnnkit.build_model("sage", graph, hidden_channels=8, dropout=0.0)
    device = InductorDevice()
    settings = {**SAMPLED, "evaluation": evaluation}
    result = gnnkit.Trainer(device=device, **settings).fit(model, graph)
    assert [step.compilations for step in device._steps] == [1, 1]
    assert 0 < result.compile_seconds <= result.seconds
    expected = gnnkit.Trainer(device="cpu", **settings).fit(model, graph)
    torch.testing.assert_close(losses(result), losses(expected), rtol=0, atol=1e-5)


class Noise(torch.nn.Module):
    """Dropout of the features, squared."""

    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(()))

    def forward(self, batch):
        out = torch.nn.functional.dropout(batch.x, 0.5, self.training) * self.scale
        return (out**2).sum(), out


def one_batch(width=3):
    graph = gnnkit.from_edge_index([[0, 1], [1, 0]])
    return gnnkit.Batch((full_block(graph),), torch.ones(2, width), None, torch.arange(2))


def prepared(device):
    module = Noise()
    return device.prepare(module, torch.optim.SGD(module.parameters(), lr=0.1), StepOptions())


def test_dropout_draws_the_numbers_of_the_processor_unless_told_otherwise():
    outputs = {}
    for name, options in (("cpu", {}), ("inductor", {}), ("inductor", {"eager_random": False})):
        device = load_device("cpu") if name == "cpu" else InductorDevice()
        device.configure(options)
        step, seen = prepared(device), []
        torch.manual_seed(0)
        for _ in range(8):
            seen.append(step(one_batch()).outputs)
        outputs[name, bool(options)] = torch.stack(seen)
    torch.testing.assert_close(outputs["inductor", False], outputs["cpu", False])
    assert not torch.equal(outputs["inductor", True], outputs["cpu", False])


def test_other_shapes_are_refused():
    step = prepared(InductorDevice())
    step(one_batch())
    with pytest.raises(CapabilityError, match="other shapes"):
        step(one_batch(width=4))


def test_what_the_compiler_does_not_understand_is_refused_in_words():
    class Talks(Noise):
        def forward(self, batch):
            torch._dynamo.graph_break()
            return super().forward(batch)

    step = InductorDevice().prepare(Talks(), None, StepOptions())
    with pytest.raises(CapabilityError, match="does not understand the model.*take backend reference"):
        step(one_batch())


def test_options_are_checked():
    with pytest.raises(ConfigError, match="'eager_random' of device 'inductor' is 'yes', expected bool"):
        InductorDevice().configure({"eager_random": "yes"})


def test_a_missing_compiler_is_told(monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    answer = InductorDevice.probe()
    assert not answer.is_ready and "no-such-compiler" in answer.detail and "CXX" in answer.fix


FACEBOOK = {"fanouts": [10, 10], "batch_size": 1024, "progress": False}


@pytest.fixture(scope="module")
def facebook(tmp_path_factory):
    """The graph, and a GraphSAGE for it without dropout, whose masks would have the shape of padded batches."""
    folder = Path(os.environ.get("GNNKIT_DATA", ""))
    if not os.environ.get("GNNKIT_DATA") or not folder.is_dir():
        pytest.skip("real data needed: set GNNKIT_DATA to their folder")
    cache = tmp_path_factory.mktemp("cache")
    graph = gnnkit.load_dataset("facebook_large", data_dir=folder, cache_dir=cache, download=False)
    return graph, gnnkit.build_model("sage", graph, backend=load_backend("reference"), dropout=0.0)


@pytest.mark.long
@pytest.mark.parametrize("settings", [{"epochs": 5}, {"epochs": 3, "lr": 0.001}], ids=["own rate", "small rate"])
def test_a_whole_training_on_facebook_large_has_the_losses_of_the_processor(settings, facebook):
    graph, model = facebook
    device = InductorDevice()
    result = gnnkit.Trainer(device=device, **settings, **FACEBOOK).fit(model, graph)
    assert [step.compilations for step in device._steps] == [1, 1]
    expected = gnnkit.Trainer(device="cpu", **settings, **FACEBOOK).fit(model, graph)
    torch.testing.assert_close(losses(result), losses(expected), rtol=0, atol=1e-4)
