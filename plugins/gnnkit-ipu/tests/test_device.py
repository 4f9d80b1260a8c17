"""The device: calls of several batches, and mistakes."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn

import gnnkit
from gnnkit.backends import build_model
from gnnkit.data import Batch, Block, Targets
from gnnkit.devices import StepOptions
from gnnkit.errors import CapabilityError, ConfigError, DataError
from gnnkit.runs import read_state
from gnnkit_ipu.backend import IpuBackend
from gnnkit_ipu.device import IpuEmulatorDevice
from gnnkit_ipu.emulator import RestrictionError
from tests.graphs import communities

from .steps import PLAIN, Regression, make_batch, make_step


def by_hand(groups, lr=0.1):
    """Losses and final weights of plain SGD; the batches of a group share an update."""
    module, losses = Regression(), []
    optimizer = torch.optim.SGD(module.parameters(), lr=lr)
    for group in groups:
        optimizer.zero_grad()
        for value in group:
            loss = module(make_batch(value))[0]
            losses.append(loss.item())
            (loss / len(group)).backward()
        optimizer.step()
    return losses, module.linear.weight.detach()


def run(options, values):
    device, module, step = make_step(options)
    results = [step(device.put(make_batch(value))) for value in values]
    device.synchronize()
    step.pull()
    device.close()
    return [float(result.loss) for result in results], module.linear.weight.detach()


@pytest.mark.parametrize(
    "options, groups",
    [
        ({}, [[1.0], [2.0], [0.3], [0.7]]),
        ({"device_iterations": 2}, [[1.0], [2.0], [0.3], [0.7]]),
        ({"gradient_accumulation": 2}, [[1.0, 2.0], [0.3, 0.7]]),
        ({"replication_factor": 2}, [[1.0, 2.0], [0.3, 0.7]]),
        ({"device_iterations": 2, "gradient_accumulation": 2}, [[1.0, 2.0], [0.3, 0.7]]),
    ],
)
def test_batches_of_a_call_are_combined_as_asked(options, groups):
    losses, weight = run(options, [1.0, 2.0, 0.3, 0.7])
    expected, expected_weight = by_hand(groups)
    assert losses == pytest.approx(expected, abs=1e-6)
    torch.testing.assert_close(weight, expected_weight)


def test_a_call_that_is_not_full_is_filled_up():
    losses, weight = run({"device_iterations": 2}, [1.0, 2.0, 0.3])
    expected, expected_weight = by_hand([[1.0], [2.0], [0.3]])
    assert losses == pytest.approx(expected, abs=1e-6)
    torch.testing.assert_close(weight, expected_weight)


@pytest.mark.parametrize("mode, of", [("final", lambda a, b: [b, b]), ("sum", lambda a, b: [(a + b) / 2] * 2)])
def test_output_mode(mode, of):
    values = [1.0, 2.0, 0.3, 0.7]
    every, _ = run({"device_iterations": 2}, values)
    losses, _ = run({"device_iterations": 2, "output_mode": mode}, values)
    assert losses == pytest.approx(of(*every[:2]) + of(*every[2:]), abs=1e-6)


def test_more_batches_in_a_call_than_there_are_is_refused():
    device, _, step = make_step({"device_iterations": 8})
    step(make_batch(1.0))
    with pytest.raises(ConfigError, match="takes 8 batches .* has only 1"):
        device.synchronize()
    device.close()


def test_an_error_detaches(monkeypatch):
    closed = []
    close = IpuEmulatorDevice.close

    def spy(self):
        executors = [program._executor for program in self._seats.programs if program._executor is not None]
        close(self)
        closed.append([executor.isAttachedToDevice() for executor in executors])

    monkeypatch.setattr(IpuEmulatorDevice, "close", spy)

    class Stop(gnnkit.train.Callback):
        def on_epoch(self, record):
            raise KeyboardInterrupt

    model = build_model("sage", communities(), **PLAIN)
    with pytest.raises(KeyboardInterrupt):
        gnnkit.Trainer("ipu", "ipu-emulator", epochs=3, callbacks=[Stop()], progress=False).fit(model, communities())
    assert closed == [[False, False]]


@pytest.mark.parametrize(
    "optimizer, clip_norm, text",
    [
        (torch.optim.Adagrad, None, "no optimiser Adagrad; they have SGD, Adam, AdamW, RMSprop"),
        (lambda p: torch.optim.Adam(p, amsgrad=True), None, "no amsgrad"),
        (torch.optim.RMSprop, 1.0, "RMSprop does not clip"),
        (
            lambda p: torch.optim.SGD([{"params": [q]} for q in [*p, nn.Parameter(torch.ones(1))]], lr=1.0),
            None,
            "2 gro",
        ),
    ],
)
def test_optimisers_that_the_ipu_lacks(optimizer, clip_norm, text):
    module = Regression()
    with pytest.raises(CapabilityError, match=text):
        IpuEmulatorDevice().prepare(module, optimizer(module.parameters()), StepOptions(clip_norm=clip_norm))


def test_precision_that_the_ipu_lacks():
    with pytest.raises(CapabilityError, match="bfloat16"):
        gnnkit.Trainer("ipu", "ipu-emulator", precision="bfloat16").fit(
            build_model("gcn", communities(), **PLAIN), communities()
        )


def test_labels_that_do_not_fit():
    block = Block(torch.tensor([0, 1]), torch.tensor([0]), 1)
    batch = Batch((block,), torch.ones(1, 2), Targets(torch.tensor([2**40]), num=1), torch.tensor([0]))
    with pytest.raises(DataError, match=r"y, row 0: the label 1099511627776 does not fit into 32 bits"):
        IpuEmulatorDevice().put(batch)


def test_a_batch_of_another_shape():
    device, _, step = make_step()
    step(make_batch(1.0))
    block = Block(torch.tensor([0, 1]), torch.tensor([0]), 1)
    with pytest.raises(CapabilityError, match="another layout"):
        step(Batch((block, block), torch.ones(1, 2), Targets(torch.ones(1, 1), num=1), torch.tensor([0])))
    device.close()


class Shared(Regression):
    """One layer under two names, and one weight in two layers."""

    def __init__(self):
        super().__init__()
        self.again = self.linear
        self.tied = nn.Linear(2, 1, bias=False)
        self.tied.weight = self.linear.weight

    def forward(self, batch):
        out = self.linear(batch.x) + 0.5 * self.again(batch.x) + self.tied(batch.x)
        return (out - batch.targets.y).square().mean(), out


def test_shared_layers_and_weights_stay_shared():
    device, module, step = make_step(module=Shared(), lr=0.01)
    ours = [float(step(make_batch(1.0)).loss) for _ in range(5)]
    device.close()
    plain, theirs = Shared(), []
    optimizer = torch.optim.SGD(plain.parameters(), lr=0.01)
    for _ in range(5):
        optimizer.zero_grad()
        loss = plain(make_batch(1.0))[0]
        loss.backward()
        optimizer.step()
        theirs.append(loss.item())
    assert ours == pytest.approx(theirs, abs=1e-6)
    torch.testing.assert_close(module.linear.weight, plain.linear.weight)


class BooleanMask(nn.Module):
    def forward(self, h):
        return h - h[h > 0].sum()


class Item(nn.Module):
    def forward(self, h):
        return h * h.sum().item()


class Unsupported(nn.Module):
    def __init__(self):
        super().__init__()
        from torch_geometric.nn import ChebConv

        self.conv = ChebConv(8, 8, K=2)

    def forward(self, h):
        nodes = torch.arange(h.shape[0], device=h.device)
        return h + self.conv(h.expand(-1, 8) if h.shape[1] == 1 else h, torch.stack([nodes, nodes]))


@pytest.mark.parametrize("layer", [BooleanMask, Item, Unsupported])
def test_a_model_that_breaks_a_restriction_fails_with_a_consistent_run_folder(layer, tmp_path):
    class Wrapped(nn.Module):
        def __init__(self, conv):
            super().__init__()
            self.conv, self.extra = conv, layer()

        def forward(self, lowered, h_src, h_dst):
            return self.conv(lowered, h_src, self.extra(h_dst))

    class Broken(IpuBackend):
        def conv(self, spec):
            return Wrapped(super().conv(spec))

        def parameter_map(self, spec):
            from dataclasses import replace

            return {k: replace(v, name=f"conv.{v.name}") for k, v in super().parameter_map(spec).items()}

    model = build_model("sage", communities(), **PLAIN)
    with pytest.raises(RestrictionError, match="IPU restriction"):
        gnnkit.Trainer(Broken(), "ipu-emulator", run_dir=tmp_path / "run", progress=False).fit(model, communities())
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert manifest["status"] == "failed" and "IPU restriction" in manifest["error"]
    assert [file.name for file in (tmp_path / "run" / "checkpoints").iterdir()] == ["last.safetensors"]
    assert (read_state(tmp_path / "run").epoch, read_state(tmp_path / "run").position) == (0, None)


def test_sizes_that_do_not_divide_are_warned_of_once(caplog):
    run({"device_iterations": 2}, [1.0, 2.0, 0.3])
    assert caplog.text.count("A call takes 2 batches and the last one of an epoch has 1") == 1
    caplog.clear()
    run({"device_iterations": 2}, [1.0, 2.0])
    assert "A call takes" not in caplog.text
