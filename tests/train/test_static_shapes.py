"""Training on a device with fixed shapes gives the numbers of the same training without."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch

import gnnkit
from gnnkit.devices import DeviceCapabilities
from gnnkit.devices.cpu import CpuDevice
from gnnkit.devices.eager import EagerStep
from gnnkit.errors import BatchOverflowError, ConfigError
from tests.graphs import communities

SAMPLED = {"fanouts": [4, 4], "batch_size": 32}


class TensorsOnly(torch.nn.Module):
    """Takes tensors as a compiled program does, and refuses shapes other than the first."""

    def __init__(self, module):
        super().__init__()
        self.module = module
        self.expected = None

    def forward(self, batch):
        layout, tensors = batch.layout, batch.flatten()
        shapes = layout, [(tuple(tensor.shape), tensor.dtype) for tensor in tensors]
        self.expected = self.expected or shapes
        assert shapes == self.expected, "a batch of another shape"
        return self.module(layout.unflatten(tensors))


class StaticDevice(CpuDevice):
    """The processor, with the shapes of the first batch for ever."""

    name = "static"
    capabilities = DeviceCapabilities("cpu", static_shapes=True)
    steps = 0

    def prepare(self, module, optimizer, options):
        type(self).steps += 1
        return EagerStep(TensorsOnly(module), optimizer, options, nullcontext())


@pytest.fixture
def static(monkeypatch):
    monkeypatch.setattr("gnnkit.train.job.choose_device", lambda name, backend, options: StaticDevice())
    StaticDevice.steps = 0


def fit(backend="reference", model="sage", graph=None, **settings):
    graph = communities() if graph is None else graph
    # Not batch normalisation: it makes gradients of the biases before it pure rounding, which Adam scales up to steps.
    spec = {"dropout": 0.0, "input_dropout": 0.0, "attention_dropout": 0.0, "norm": "layer", **settings.pop("spec", {})}
    net = gnnkit.build_model(model, graph, seed=0, **spec)
    return gnnkit.Trainer(backend, "cpu", progress=False, epochs=4, **settings).fit(net, graph)


def assert_same(first, second):
    for a, b in zip(first.history, second.history):
        assert a.train_loss == pytest.approx(b.train_loss, rel=1e-4)
        assert a.valid_loss == pytest.approx(b.valid_loss, rel=1e-4)
    assert first.test == pytest.approx(second.test)


@pytest.mark.in_turn
@pytest.mark.parametrize("model", ["gcn", "sage", "gat", "gin"])
@pytest.mark.parametrize("how", [{}, {**SAMPLED, "overflow_rate": 0.0}], ids=["full", "sampled"])
def test_static_shapes_change_no_number(backend, how, model, request):
    expected = fit(backend, model, **how)
    request.getfixturevalue("static")
    assert_same(fit(backend, model, **how), expected)
    assert StaticDevice.steps >= 2


@pytest.mark.parametrize("evaluation", ["full", "layerwise", "sampled"])
def test_every_evaluation_works(evaluation, request):
    how = {**SAMPLED, "evaluation": evaluation, "overflow_rate": 0.0}
    how.update({} if evaluation == "full" else {"eval_batch_size": 50})
    how["spec"] = {"jumping_knowledge": "cat"}
    expected = fit(**how)
    request.getfixturevalue("static")
    assert_same(fit(**how), expected)


class Count(gnnkit.train.Callback):
    """Counts the batches that were trained on."""

    num = 0

    def on_batch(self, batch):
        self.num += 1


def test_without_overflow_no_batch_of_the_training_is_split(static):
    count = Count()
    fit(graph=communities(1000), overflow_rate=0.0, overflow="error", callbacks=[count], **SAMPLED)
    assert count.num == 4 * 16, "500 nodes are 16 batches in each of 4 epochs"


def test_batches_that_are_too_large_are_trained_on_in_parts(static):
    count = Count()
    result = fit(graph=communities(1000), overflow_rate=0.6, callbacks=[count], **SAMPLED)
    assert count.num > 4 * 16
    assert result.history[-1].train_loss < result.history[0].train_loss


def test_overflow_can_stop_the_run(static):
    with pytest.raises(BatchOverflowError, match="margin -"):
        fit(graph=communities(1000), overflow_rate=0.6, overflow="error", **SAMPLED)


@pytest.mark.parametrize("settings, text", [({"overflow": "drop"}, "carry, error"), ({"overflow_rate": 1.5}, "1.5")])
def test_bad_settings(settings, text):
    with pytest.raises(ConfigError, match=text):
        fit(**settings)
