"""What a training costs on the device: compilations, copies of weights, and nothing beside a compilation."""

from __future__ import annotations

import threading
import time

import pytest
import torch
from torch import nn

import gnnkit
from gnnkit.backends import build_model
from gnnkit.devices import StepOptions, compiling, load_device
from gnnkit_ipu import emulator
from gnnkit_ipu.device import IpuDevice
from tests.graphs import communities

from .steps import PLAIN, Regression, make_batch, make_step

SAMPLED = {"fanouts": [5, 5], "batch_size": 32, "progress": False}


def fit(epochs, **settings):
    model = build_model("sage", communities(), **PLAIN)
    trainer = gnnkit.Trainer("ipu", "ipu-emulator", epochs=epochs, **{**SAMPLED, **settings})
    with emulator.counting() as counts:
        result = trainer.fit(model, communities())
    return result, counts


@pytest.mark.parametrize("settings", [{}, {"fanouts": None, "batch_size": None}, {"evaluation": "sampled"}])
def test_one_compilation_a_phase_and_two_copies_an_epoch(settings):
    _, few = fit(2, **settings)
    _, many = fit(7, **settings)
    assert few.compilations == many.compilations == 2
    # For each epoch: weights come to the host, and go to the program that evaluates. The other has kept its own.
    assert many.to_host - few.to_host == 5 and many.to_device - few.to_device == 5


def test_a_single_ipu_loads_weights_once_more_an_epoch():
    alone = {"device_options": {"max_ipus": 1}}
    few, many, beside = fit(2, **alone), fit(7, **alone), fit(7)
    assert many[1].to_host - few[1].to_host == 5 and many[1].to_device - few[1].to_device == 10
    assert [r.train_loss for r in many[0].history] == [r.train_loss for r in beside[0].history]
    assert many[0].test == beside[0].test and many[1].compilations == 2


def test_without_evaluation_they_come_once_an_epoch_to_be_looked_at():
    _, counts = fit(9, eval_every=9, save_every=9)
    assert counts.to_host <= 10 and counts.to_device <= 4


def test_loaders_threads_wait_for_compilations(caplog):
    for seed in range(5):  # Threads make tensors at once; the emulator refuses that while it compiles.
        result, counts = fit(2, num_threads=3, prefetch=4, seed=seed, evaluation="sampled")
        assert len(result.history) == 2 and counts.compilations == 2


def test_a_compilation_waits_for_what_is_being_made():
    from gnnkit.loading.prefetch import prefetch

    order, began = [], threading.Event()

    def produce(item):
        began.set()
        time.sleep(0.05)
        order.append(f"made {item}")
        return item

    items = prefetch(produce, 8, num_threads=2, ahead=2)
    assert next(items) == 0
    with compiling():
        order.append("compiling")
        time.sleep(0.15)
        order.append("compiled")
    assert list(items) == list(range(1, 8))
    assert order.index("compiled") == order.index("compiling") + 1


def test_a_failed_compilation_leaves_weights_plain():
    class Broken(Regression):
        bad = True

        def __init__(self):
            super().__init__()
            self.norm = nn.BatchNorm1d(2)

        def forward(self, batch):
            loss, outputs = super().forward(batch)
            self.norm(batch.x)
            return (loss * loss.item() if self.bad else loss), outputs

    module = Broken()
    device = load_device("ipu-emulator")
    for _ in range(2):
        step = device.prepare(module, torch.optim.SGD(module.parameters(), lr=0.1), StepOptions())
        with pytest.raises(emulator.RestrictionError):
            step(make_batch(1.0))
        assert type(module.linear.weight) is nn.Parameter and type(module.norm.running_mean) is torch.Tensor
    module.bad = False
    step(make_batch(1.0))
    device.close()
    assert type(module.linear.weight) is nn.Parameter
    assert not torch.equal(module.linear.weight.detach(), torch.ones(1, 2))


def test_betas_may_be_a_list():
    module, device = Regression(), load_device("ipu-emulator")
    optimizer = torch.optim.Adam(module.parameters(), lr=0.1)
    optimizer.param_groups[0]["betas"] = [0.8, 0.9]
    step = device.prepare(module, optimizer, StepOptions())
    assert float(step(make_batch(1.0)).loss) > 0
    device.close()


@pytest.mark.parametrize("options, has_both", [({}, True), ({"max_ipus": 2}, True), ({"max_ipus": 1}, False)])
def test_training_and_evaluation_share_weights(options, has_both):
    device, module, train = make_step(options)
    evaluate = device.prepare(module, None, StepOptions())
    for value in (1.0, 2.0, 0.3):
        train(make_batch(value))
        train.pull()
        out = evaluate(make_batch(value, y=False)).outputs
        torch.testing.assert_close(out, make_batch(value).x @ module.linear.weight.detach().T)
        attached = [program._executor.isAttachedToDevice() for program in (train, evaluate)]
        assert attached == [has_both, True]
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


def test_replicas_need_ipus_of_their_own():
    """Two replicas that train and a program that evaluates hold three IPUs."""
    for most, has_both in ((3, True), (2, False)):
        device, module, train = make_step({"replication_factor": 2, "max_ipus": most})
        evaluate = device.prepare(module, None, StepOptions())
        for value in (1.0, 2.0):
            train(make_batch(value))
        out = evaluate(make_batch(1.0, y=False)).outputs  # Weights come along although nobody has pulled them.
        torch.testing.assert_close(out, make_batch(1.0).x @ module.linear.weight.detach().T)
        assert train.is_attached == has_both
        device.close()


@pytest.mark.parametrize("replicas, has_both", [(1, True), (2, False)])
def test_hardware_says_how_many_ipus_there_are(replicas, has_both, poptorch_here):
    poptorch_here(add="def ipuHardwareIsAvailable(num_ipus=1):\n    return num_ipus in (1, 2)")  # In powers of two.
    device, module = IpuDevice(), Regression()
    device.configure({"replication_factor": replicas})
    train = device.prepare(module, torch.optim.SGD(module.parameters(), lr=0.1), StepOptions())
    evaluate = device.prepare(module, None, StepOptions())
    for _ in range(replicas):
        train(make_batch(1.0))
    evaluate(make_batch(1.0, y=False))
    assert (train.is_attached, evaluate.is_attached) == (has_both, True)
    device.close()
