"""The device: options, calls of several batches, who holds the device, and mistakes."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn

import gnnkit
from gnnkit.backends import build_model
from gnnkit.data import Batch, Block, Targets
from gnnkit.devices import StepOptions, load_device
from gnnkit.errors import CapabilityError, ConfigError, DataError, GnnkitError, UnavailableError, UnknownNameError
from gnnkit_ipu import emulator
from gnnkit_ipu.backend import IpuBackend
from gnnkit_ipu.device import IpuEmulatorDevice
from gnnkit_ipu.emulator import RestrictionError
from tests.graphs import communities

PLAIN = {"hidden_channels": 8, "dropout": 0.0, "input_dropout": 0.0}


class Regression(nn.Module):
    """Mean squared error of a linear map of the targets that are not ignored."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(2, 1, bias=False)
        nn.init.ones_(self.linear.weight)

    def forward(self, batch):
        outputs = self.linear(batch.x)
        if batch.targets is None:
            return outputs.new_zeros(()), outputs
        y = batch.targets.y
        kept = (y != -100).to(outputs.dtype)
        return ((outputs - y) ** 2 * kept).sum() / kept.sum().clamp(min=1), outputs


def make_batch(value, y=True):
    block = Block(torch.tensor([0, 1, 2]), torch.tensor([0, 1]), 2)
    x = torch.tensor([[value, 1.0], [0.5, value]])
    return Batch((block, block), x, Targets(torch.tensor([[1.0], [-1.0]]), num=2) if y else None, torch.tensor([0, 1]))


def make_step(options=None, lr=0.1, module=None):
    device = IpuEmulatorDevice()
    device.configure(options or {})
    module = module or Regression()
    return device, module, device.prepare(module, torch.optim.SGD(module.parameters(), lr=lr), StepOptions())


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


def test_training_and_evaluation_take_turns_and_share_weights():
    device, module, train = make_step()
    evaluate = device.prepare(module, None, StepOptions())
    for value in (1.0, 2.0, 0.3):
        train(make_batch(value))
        train.pull()
        out = evaluate(make_batch(value, y=False)).outputs
        torch.testing.assert_close(out, make_batch(value).x @ module.linear.weight.detach().T)
        attached = [program._executor.isAttachedToDevice() for program in (train, evaluate)]
        assert attached == [False, True]
    with torch.no_grad():
        module.linear.weight.fill_(2.0)  # As when the best weights are loaded: the device must follow.
    torch.testing.assert_close(evaluate(make_batch(1.0, y=False)).outputs, make_batch(1.0).x.sum(1, keepdim=True) * 2)
    train.pull()
    assert float(module.linear.weight.detach().min()) == 2.0, "old weights came back from the device"
    device.close()


def test_weights_stay_on_the_device_until_pulled():
    device, module, step = make_step()
    memory = module.linear.weight.detach()  # A look at the weight itself would fetch it.
    with emulator.counting() as counts:
        for _ in range(3):
            step(make_batch(1.0))
        assert torch.equal(memory, torch.ones(1, 2)) and counts.to_host == 0
        step.pull()
        assert not torch.equal(memory, torch.ones(1, 2)) and counts.to_host == 1
    device.close()


def test_compiles_once_for_training_and_once_for_evaluation(capsys):
    model = build_model("sage", communities(), **PLAIN)
    settings = {"fanouts": [4, 4], "batch_size": 32, "progress": False, "epochs": 3}
    gnnkit.Trainer("ipu", "ipu-emulator", **settings).fit(model, communities())
    assert capsys.readouterr().err.count("Graph compilation (emulated)") == 2


def test_an_error_detaches(monkeypatch):
    closed = []
    close = IpuEmulatorDevice.close

    def spy(self):
        executors = [program._executor for program in self._programs if program._executor is not None]
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


def test_executables_are_cached(tmp_path, capsys):
    for _ in range(2):
        device, _, step = make_step({"executable_cache": str(tmp_path / "cache"), "random_seed": 3})
        step(make_batch(1.0))
        device.close()
    lines = capsys.readouterr().err.strip().splitlines()
    assert "found in the cache" not in lines[0] and "found in the cache" in lines[1]
    assert list((tmp_path / "cache").iterdir())


def test_the_seed_of_the_device_decides_dropout():
    class Dropped(Regression):
        def forward(self, batch):
            x = nn.functional.dropout(batch.x, 0.5, self.training)
            return self.linear(x).square().mean(), x

    def outputs(seed):
        device, _, step = make_step({"random_seed": seed}, module=Dropped())
        found = [step(make_batch(1.0)).outputs for _ in range(4)]
        device.close()
        return torch.stack(found)

    assert torch.equal(outputs(1), outputs(1)) and not torch.equal(outputs(1), outputs(2))


def test_options_do_not_touch_torchs_random_numbers():
    torch.manual_seed(5)
    expected = torch.rand(3)
    device, _, step = make_step({"random_seed": 1})
    torch.manual_seed(5)
    step(make_batch(1.0))
    device.close()
    assert torch.equal(torch.rand(3), expected)


def test_floating_point_exceptions():
    bad = float("inf")
    device, _, step = make_step({"floating_point_exceptions": True})
    with pytest.raises(GnnkitError, match="Floating-point exception"):
        step(make_batch(bad))
    device.close()


def test_offline_target_compiles_and_says_that_nothing_runs(tmp_path):
    device, _, step = make_step({"offline_target": 2, "executable_cache": str(tmp_path / "cache")})
    with pytest.raises(UnavailableError, match="compiled for an IPU of generation 2"):
        step(make_batch(1.0))
    assert list((tmp_path / "cache").iterdir())
    device.close()


@pytest.mark.parametrize(
    "options, error, text",
    [
        ({"device_iteration": 2}, UnknownNameError, "Did you mean 'device_iterations'"),
        ({"device_iterations": "two"}, ConfigError, "'two', expected a whole number of at least 1"),
        ({"gradient_accumulation": 0}, ConfigError, "at least 1"),
        ({"replication_factor": True}, ConfigError, "True, expected a whole number"),
        ({"output_mode": "every"}, ConfigError, "all, final, sum"),
        ({"output_mode": ["all"]}, ConfigError, "all, final, sum"),
        ({"executable_cache": 3}, ConfigError, "a folder"),
        ({"random_seed": -1}, ConfigError, "from 0"),
        ({"floating_point_exceptions": 1}, ConfigError, "true or false"),
        ({"ipu_model": "yes"}, ConfigError, "true or false"),
        ({"offline_target": 7}, ConfigError, "1, 2 or 21"),
        ({"offline_target": 2}, ConfigError, "executable_cache"),
        ({"offline_target": 2, "executable_cache": "x", "ipu_model": True}, ConfigError, "exclude each other"),
    ],
)
def test_bad_options(options, error, text):
    with pytest.raises(error, match=text):
        load_device("ipu-emulator", options)


def test_options_reach_the_device_from_the_configuration():
    config = gnnkit.train.load_config(overrides=["device_options.device_iterations=2"])
    assert config.device_options == {"device_iterations": 2}
    with pytest.raises(UnknownNameError, match="device 'cpu'"):
        gnnkit.Trainer(device="cpu", device_options={"device_iterations": 2}).fit(
            build_model("gcn", communities(), **PLAIN), communities()
        )


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
    assert not list((tmp_path / "run" / "checkpoints").iterdir())


def test_replicas_with_batch_normalisation_need_their_own_buffers():
    class Normed(Regression):
        def __init__(self):
            super().__init__()
            self.norm = nn.BatchNorm1d(2)

        def forward(self, batch):
            outputs = self.linear(self.norm(batch.x))
            return outputs.square().mean(), outputs

    for broadcast in (True, False):
        options = {"replication_factor": 2, "broadcast_buffers": broadcast}
        device, module, step = make_step(options, module=Normed())
        step(make_batch(1.0))
        if broadcast:
            with pytest.raises(RestrictionError, match="restriction 36"):
                step(make_batch(2.0))
        else:
            step(make_batch(2.0))
            step.pull()
            assert int(module.norm.num_batches_tracked) == 1
        device.close()


def test_sizes_that_do_not_divide_are_warned_of_once(caplog):
    run({"device_iterations": 2}, [1.0, 2.0, 0.3])
    assert caplog.text.count("A call takes 2 batches and the last one of an epoch has 1") == 1
    caplog.clear()
    run({"device_iterations": 2}, [1.0, 2.0])
    assert "A call takes" not in caplog.text


def test_a_cache_that_cannot_be_written_is_refused_before_tracing(tmp_path, monkeypatch):
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with pytest.raises(GnnkitError, match="Permission|permission|denied"):
        make_step({"executable_cache": str(tmp_path)})
