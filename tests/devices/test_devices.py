"""Devices: choosing one, the eager step, and CUDA where there is a GPU."""

from __future__ import annotations

from typing import Tuple

import pytest
import torch
from torch import nn

from gnnkit.availability import NO_HARDWARE
from gnnkit.backends import load_backend
from gnnkit.backends.reference import ReferenceBackend
from gnnkit.data import Batch, Block, Targets
from gnnkit.devices import StepOptions, TimedStep, choose_device, devices, load_device
from gnnkit.errors import CapabilityError, UnavailableError, UnknownNameError

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")


class Regression(nn.Module):
    """Mean squared error of a linear map; what a device knows of a module is forward(batch)."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(2, 1, bias=False)

    def forward(self, batch: Batch) -> Tuple[torch.Tensor, torch.Tensor]:
        outputs = self.linear(batch.x)
        return ((outputs - batch.targets.y) ** 2).mean(), outputs


def batch() -> Batch:
    block = Block(torch.tensor([0, 1]), torch.tensor([0]), 1)
    return Batch((block, block), torch.tensor([[1.0, 2.0]]), Targets(torch.tensor([[3.0]]), num=1), torch.tensor([0]))


def test_auto_takes_the_best_that_is_ready() -> None:
    expected = "cuda" if torch.cuda.is_available() else "cpu"
    assert choose_device("auto", load_backend("reference")).name == expected


def test_a_device_that_the_backend_lacks_is_refused() -> None:
    from gnnkit.backends import BackendCapabilities

    class OnlyCuda(ReferenceBackend):
        capabilities = BackendCapabilities(devices=frozenset({"cuda"}))

    with pytest.raises(CapabilityError, match="does not run on device 'cpu'; it runs on cuda"):
        choose_device("cpu", OnlyCuda())


def test_unknown_device() -> None:
    with pytest.raises(UnknownNameError, match="'cuda'"):
        load_device("cudaa")


@pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA GPU is here")
def test_missing_gpu_says_what_was_looked_for() -> None:
    assert devices.load("cuda").probe().status == NO_HARDWARE
    with pytest.raises(UnavailableError, match=r"torch .* To use it,"):
        load_device("cuda")


@pytest.mark.parametrize("name", ["cpu", pytest.param("cuda", marks=[needs_gpu, pytest.mark.cuda])])
def test_a_step_does_forward_loss_backward_and_update(name: str) -> None:
    device, module = load_device(name), Regression()
    weight = module.linear.weight.detach().clone()
    step = device.prepare(module, torch.optim.SGD(module.parameters(), lr=0.1), StepOptions())
    result = step(device.put(batch()))
    x = torch.tensor([[1.0, 2.0]])
    error = x @ weight.T - 3
    torch.testing.assert_close(result.loss.cpu(), (error**2).mean())
    torch.testing.assert_close(result.outputs.cpu(), x @ weight.T)
    torch.testing.assert_close(module.linear.weight.detach().cpu(), weight - 0.1 * 2 * error * x)
    assert result.num_targets == 1


def test_clipping_bounds_the_update() -> None:
    device, module = load_device("cpu"), Regression()
    weight = module.linear.weight.detach().clone()
    step = device.prepare(module, torch.optim.SGD(module.parameters(), lr=1.0), StepOptions(clip_norm=0.01))
    step(device.put(batch()))
    assert (module.linear.weight.detach() - weight).norm().item() == pytest.approx(0.01, rel=1e-3)


def test_an_evaluating_step_changes_nothing() -> None:
    device, module = load_device("cpu"), Regression()
    weight = module.linear.weight.detach().clone()
    result = device.prepare(module, None, StepOptions())(device.put(batch()))
    assert torch.equal(module.linear.weight, weight)
    assert not module.training
    assert not result.outputs.requires_grad


@pytest.mark.parametrize("training", [True, False])
def test_a_step_puts_every_module_into_its_mode(training: bool) -> None:
    device, module = load_device("cpu"), Regression()
    step = device.prepare(module, torch.optim.SGD(module.parameters(), lr=0.1) if training else None, StepOptions())
    for _ in range(2):
        module.linear.train(not training)  # The whole stays as it was, one of its modules does not.
        step(device.put(batch()))
        assert all(each.training is training for each in module.modules())


def test_put_on_cpu_copies_nothing_and_a_shared_block_stays_one() -> None:
    host = batch()
    assert load_device("cpu").put(host) is host
    moved = host.map(torch.clone)
    assert moved.blocks[0] is moved.blocks[1]


@pytest.mark.cuda
@needs_gpu
@pytest.mark.parametrize("how", [{}, {"fanouts": [5, 5], "batch_size": 32}], ids=["full", "sampled"])
@pytest.mark.parametrize("model", ["gcn", "sage", "gat", "gatv2", "gin"])
def test_cuda_gives_the_losses_of_the_cpu(backend, model: str, how: dict) -> None:
    import gnnkit
    from tests.conftest import need
    from tests.graphs import communities

    need(backend.name, "cuda")
    graph = communities()
    # Each device has a random stream of its own, so no dropout.
    settings = {"dropout": 0.0, "input_dropout": 0.0, "attention_dropout": 0.0}
    net = gnnkit.build_model(model, graph, **settings)
    results = [
        gnnkit.Trainer(backend, device, epochs=5, progress=False, **how).fit(net, graph) for device in ("cpu", "cuda")
    ]
    on_cpu, on_cuda = ([record.train_loss for record in result.history] for result in results)
    assert on_cuda == pytest.approx(on_cpu, rel=1e-3)


@pytest.mark.parametrize("clip_norm", [None, 0.01])
def test_a_timed_step_is_the_step(clip_norm) -> None:
    device, weights = load_device("cpu"), []
    for is_timed in (False, True):
        torch.manual_seed(0)
        module = Regression()
        step = device.prepare(module, torch.optim.SGD(module.parameters(), lr=0.1), StepOptions(clip_norm=clip_norm))
        assert isinstance(step, TimedStep)
        for _ in range(3):
            if is_timed:
                assert list(step.timed(batch(), device.synchronize)) == ["forward", "backward", "update"]
            else:
                step(batch())
        weights.append(module.linear.weight.detach().clone())
        evaluating = device.prepare(module, None, StepOptions())
        assert list(evaluating.timed(batch(), device.synchronize)) == ["forward"]
        assert torch.equal(module.linear.weight, weights[-1])
    assert torch.equal(*weights)
