"""Wrapped models: weights apart, outputs, the border, options."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from gnnkit_ipu import emulator as poptorch

from .programs import Fn, Net, X, Y, infer, loss, options


@pytest.mark.parametrize(
    "mode, period, rows, losses",
    [
        (None, None, slice(6, 8), []),
        ("Final", None, slice(6, 8), []),
        ("All", None, slice(0, 8), [4]),
        ("EveryN", 2, [2, 3, 6, 7], [2]),
        ("EveryN", 3, [4, 5], []),
    ],
)
def test_output_modes_of_training(mode, period, rows, losses):
    opts = options().deviceIterations(4)
    if mode:
        opts.outputMode(getattr(poptorch.OutputMode, mode), period)
    model = Net()
    wrapped = poptorch.trainingModel(model, opts, torch.optim.SGD(model.parameters(), lr=0.0))
    out, value = wrapped(X, Y)
    assert torch.allclose(out, Net()(X)[rows], atol=1e-6)
    assert list(value.shape) == losses


def test_output_mode_sum_and_replicas():
    opts = options().deviceIterations(2).replicationFactor(2).outputMode(poptorch.OutputMode.Sum)
    model = Fn(lambda m, out, y: out).eval()
    expected = model.lin(X).detach()
    found = poptorch.inferenceModel(model, opts)(X)
    assert torch.allclose(found, expected[:4] + expected[4:], atol=1e-6)


def test_inference_returns_all_by_default():
    model = Fn(lambda m, out, y: out).eval()
    found = poptorch.inferenceModel(model, options().deviceIterations(4))(X)
    assert torch.allclose(found, model.lin(X), atol=1e-6) and not found.requires_grad


def test_weights_travel_only_when_somebody_asks():
    model = Net()
    before = copy.deepcopy(model.state_dict())
    aliases = [parameter.detach() for parameter in model.parameters()]  # Never wrapped.
    first = [alias.clone() for alias in aliases]
    wrapped = poptorch.trainingModel(model, options(), torch.optim.SGD(model.parameters(), lr=0.1))
    with poptorch.counting() as counts:
        wrapped(X, Y)
        wrapped(X, Y)
        assert all(map(torch.equal, aliases, first))
        assert (counts.compilations, counts.executions, counts.to_device, counts.to_host) == (1, 2, 1, 0)
        assert wrapped.copyWeightsToHostIfNeeded() and not wrapped.copyWeightsToHostIfNeeded()
        assert counts.to_host == 1 and not torch.equal(aliases[0], first[0])
    model.load_state_dict(before)
    again = wrapped(X, Y)[1]
    wrapped.load_state_dict(before)
    assert wrapped(X, Y)[1] > again


def test_detach_and_destroy_bring_weights_back():
    model = Net()
    before = copy.deepcopy(model.state_dict())
    wrapped = poptorch.trainingModel(model, options(), torch.optim.SGD(model.parameters(), lr=0.1))
    assert not wrapped.isCompiled() and not wrapped.isAttachedToDevice()
    wrapped(X, Y)
    assert wrapped.isCompiled() and wrapped.isAttachedToDevice()
    wrapped.detachFromDevice()
    assert not wrapped.isAttachedToDevice()
    assert not torch.equal(before["layers.0.weight"], model.state_dict()["layers.0.weight"])
    with pytest.raises(poptorch.Error, match="not attached"):
        wrapped.detachFromDevice()
    wrapped(X, Y)  # takes the device again
    with pytest.raises(poptorch.Error, match="attached already"):
        wrapped.attachToDevice()
    wrapped.destroy()
    assert not wrapped.isCompiled()
    wrapped(X[:4], Y[:4])  # other shapes compile again
    assert wrapped.isCompiled()


def test_inference_sees_training():
    model = Net().train()
    trained = poptorch.trainingModel(model, options(), torch.optim.SGD(model.parameters(), lr=0.5))
    trained(X, Y)
    inference = poptorch.inferenceModel(model, options())
    first = inference(X)
    assert torch.allclose(first, model(X), atol=1e-6)
    trained(X, Y)
    second = inference(X)
    assert not torch.equal(second, first) and torch.allclose(second, model(X), atol=1e-6)
    with torch.no_grad():
        model.layers[0].weight.zero_()  # A change on the host is not noticed.
    assert torch.equal(inference(X), second)
    inference.copyWeightsToDevice()
    assert not torch.equal(inference(X), second)


def test_numbers_are_32_bits_outside():
    def after(m, out, y):
        return {"index": out.argmax(1), "double": out.double(), "pair": (out, None)}

    model = Fn(after).eval().double()
    found = poptorch.inferenceModel(model, options())(X.double())
    assert found["index"].dtype == torch.int32 and found["double"].dtype == torch.float32
    assert found["pair"][0].dtype == torch.float32 and found["pair"][1] is None
    assert model.lin.weight.dtype == torch.float64


def test_running_on_ipu_only_inside():
    seen = []
    infer(lambda m, out, y: seen.append(poptorch.isRunningOnIpu()) or out)
    assert all(seen) and not poptorch.isRunningOnIpu()
    assert not poptorch.ipuHardwareIsAvailable()
    with pytest.raises(AssertionError):
        poptorch.ipuHardwareVersion()


def test_device_has_its_own_random_stream():
    def draw():
        opts = options().randomSeed(7)
        wrapped = poptorch.inferenceModel(Fn(lambda m, out, y: F.dropout(torch.ones_like(out), 0.5, True)).eval(), opts)
        return wrapped(X), wrapped(X), wrapped

    first, second, wrapped = draw()
    torch.manual_seed(99)
    before = torch.get_rng_state()
    again = draw()
    assert torch.equal(first, again[0]) and torch.equal(second, again[1]) and not torch.equal(first, second)
    torch.manual_seed(99)
    wrapped(X)
    assert torch.equal(before, torch.get_rng_state())


def test_floating_point_exceptions():
    opts = options()
    opts.Precision.enableFloatingPointExceptions(True)
    infer(lambda m, out, y: out / out, opts=opts.clone())
    with pytest.raises(poptorch.Error, match="Floating-point exception: an output"):
        infer(lambda m, out, y: out / (out - out), opts=opts)


def test_offline_target_compiles_and_is_not_called():
    wrapped = poptorch.inferenceModel(Fn(lambda m, out, y: out).eval(), options().useOfflineIpuTarget())
    wrapped.compile(X)
    assert wrapped.isCompiled() and not wrapped.isAttachedToDevice()
    with pytest.raises(AssertionError, match="offline"):
        wrapped(X)


def test_executable_cache(tmp_path, capsys):
    for word in ("compiled in", "found in the cache"):
        model = Net()
        wrapped = poptorch.trainingModel(model, poptorch.Options().enableExecutableCaching(str(tmp_path / "cache")))
        wrapped(X, Y)
        message = capsys.readouterr().err
        assert word in message and message.rstrip(".\n").endswith("consistent with the documented restrictions")
        assert wrapped.compilationTime().total_seconds() > 0
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_blocks_are_recorded_and_removed():
    model = Net()
    poptorch.BeginBlock(model.layers[0], ipu_id=0)
    poptorch.BeginBlock(model.layers[2], ipu_id=1)
    with pytest.raises(poptorch.Error, match="a block already"):
        poptorch.BeginBlock(model.layers[2])
    with pytest.raises(poptorch.RestrictionError) as caught:
        poptorch.trainingModel(model, options())(X, Y)
    assert caught.value.number == 34
    poptorch.removeBlocks(model)
    model = Net()
    poptorch.BeginBlock(model.layers[2], ipu_id=1)
    poptorch.removeBlocks(model)
    poptorch.trainingModel(model, options())(X, Y)


def test_recurrent_layers_run():
    wrapped = infer(lambda m, out, y: m.rnn(out.unsqueeze(1))[0], rnn=nn.GRU(3, 4))
    model = wrapped.model
    assert torch.allclose(wrapped(X), model.rnn(model.lin(X).unsqueeze(1))[0], atol=1e-6)


@pytest.mark.parametrize(
    "function",
    [
        lambda t: t.repeat_interleave(3, dim=0),
        lambda t: t.repeat_interleave(2),
        lambda t: t.repeat_interleave(2, dim=-1),
        lambda t: F.one_hot(t.argmax(1), 4),
        lambda t: torch.bincount(t.argmax(1), minlength=5),
        lambda t: torch.bincount(t.argmax(1), t[:, 0], 5),
    ],
)
def test_forms_of_fixed_shape_equal_torchs(function):
    wrapped = infer(lambda m, out, y: function(out))
    expected = function(wrapped.model.lin(X))
    assert torch.allclose(wrapped(X).float(), expected.float(), atol=1e-6)


def test_a_users_error_stays_the_users():
    with pytest.raises(RuntimeError, match="reduction dim|mat1"):
        infer(lambda m, out, y: out @ out)


def test_custom_arguments():
    class Pair:
        def __init__(self, a, b):
            self.a, self.b = a, b

    class Parser(poptorch.ICustomArgParser):
        def yieldTensors(self, struct):  # noqa: N802
            yield struct.a
            yield struct.b

        def reconstruct(self, original_structure, tensor_iterator):
            return Pair(next(tensor_iterator), next(tensor_iterator))

    class Model(nn.Module):
        def forward(self, pair):
            return pair.a + pair.b

    poptorch.registerCustomArgParser(Pair, Parser())
    try:
        assert torch.equal(poptorch.inferenceModel(Model(), options())(Pair(X, X)), 2 * X)
    finally:
        poptorch.registerCustomArgParser(Pair, None)


def test_sets_of_a_module_keep_their_order():
    order = set(range(30))
    for number in range(30):
        if number not in (1, 8):
            order.discard(number)
    assert list(copy.deepcopy(order)) != list(order)

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.order = order

        def forward(self, x):
            for number in self.order:
                x = x * number
            return x

    assert torch.equal(poptorch.inferenceModel(Model().eval(), options())(X), X * 8)


def test_default_optimiser_and_wrong_objects():
    model = Fn(loss)
    wrapped = poptorch.trainingModel(model, options())
    wrapped(X, Y)
    with pytest.raises(poptorch.Error, match="torch.nn.Module"):
        poptorch.inferenceModel(lambda x: x)
    with pytest.raises(poptorch.Error, match="Options"):
        poptorch.inferenceModel(Net(), {"deviceIterations": 2})
    foreign = poptorch.trainingModel(Net(), options(), torch.optim.SGD(Net().parameters(), lr=0.1))
    with pytest.raises(poptorch.Error, match="has not"):
        foreign(X, Y)
