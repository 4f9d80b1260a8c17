"""The checks of a device: its step is the plain torch step, wherever and however it runs.

Rules: a step is compared with forward, loss, backward and update in plain torch on the host, from the same weights and
the same batches; on a device with fixed shapes the batches are padded.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import Any, Callable, ClassVar, Dict, Iterator, List, Mapping, Optional, Tuple

import torch
from torch import Tensor
from torch.optim import SGD, Adam, Optimizer

from gnnkit.backends import Backend, backends, load_backend, move_model
from gnnkit.data import Batch
from gnnkit.devices import Device, DeviceCapabilities, Step, StepOptions, devices, load_device
from gnnkit.errors import CapabilityError, GnnkitError
from gnnkit.nn import GNN
from gnnkit.tasks import LossModule
from gnnkit.testing.compare import compare, compare_states, expect_error
from gnnkit.testing.plugin import PluginSuite
from gnnkit.testing.suite import check
from gnnkit.testing.training import (
    HOW,
    SAMPLED,
    batches,
    compare_losses,
    compare_resumed,
    dropout_on,
    fit,
    learnt_accuracy,
    losses,
    model_for,
    outputs,
    plain_step,
    task,
)

_DTYPES = {"float32", "bfloat16", "float64"}

# Adam divides by the root of the squared gradient, which scales rounding up where a gradient is nearly 0; a larger eps
# keeps that from hiding what is compared.
_OPTIMIZERS: Mapping[str, Tuple[Callable[[Any], Optimizer], Optional[float]]] = {
    "sgd": (lambda parameters: SGD(parameters, lr=0.5), None),
    "sgd, clipped": (lambda parameters: SGD(parameters, lr=0.5), 0.05),
    "adam": (lambda parameters: Adam(parameters, lr=0.01, eps=1e-3), None),
    "adam, weight decay": (lambda parameters: Adam(parameters, lr=0.01, eps=1e-3, weight_decay=0.1), None),
}


class DeviceSuite(PluginSuite):
    """Checks of a device. Subclass it in a plugin's tests and give its name; pytest does the rest.

    Where a name is not enough, override ``make_device``.

    Attributes:
        name: Name of the entry point.
        backend: Name of the backend that computes; None takes ``reference`` where it runs on the device.

    Example:
        >>> class TestMine(DeviceSuite):
        ...     name = "cpu"
        >>> TestMine().run(only=["put"]).verdict
        'conformant'
    """

    kind: ClassVar[str] = "device"
    floor: ClassVar[int] = 15
    registry = devices
    backend: Optional[str] = None

    def make_device(self) -> Device:
        """A new device. Override it for one that is made with arguments."""
        return load_device(self.name)

    def plugin_class(self) -> Any:
        """See :class:`PluginSuite`."""
        return type(self.make_device())

    def make_backend(self) -> Backend:
        """The backend that computes."""
        if self.backend is not None:
            return load_backend(self.backend)
        wanted = self.make_device().capabilities.torch_device
        for name in ("reference", *backends.names()):
            try:
                found = load_backend(name)
            except GnnkitError:
                continue
            if wanted in found.capabilities.devices:
                return found
        raise CapabilityError(f"No installed backend runs on {wanted!r}, so that device {self.name!r} has no use.")

    def lacks(self, need: str, case: str) -> str:
        """See :class:`Suite`."""
        declared = self.make_device().capabilities.dtypes & self.make_backend().capabilities.dtypes
        if need in _DTYPES:
            return "" if need in declared else need
        if need == "an undeclared precision":
            return f"nothing to refuse: there is not {need}" if "bfloat16" in declared else ""
        return super().lacks(need, case)

    @contextmanager
    def device(self) -> Iterator[Device]:
        """A device that is closed afterwards."""
        device = self.make_device()
        try:
            yield device
        finally:
            device.close()

    def model(self, **settings: Any) -> GNN:
        """A model of two layers on the backend."""
        return model_for("sage mean", self.make_backend(), **settings)

    @check()
    def test_declaration(self) -> None:
        """The declaration is sound.

        Name and interface version are right; priority is a whole number; float32 and precisions that gnnkit knows are
        declared.
        """
        self.check_identity()
        cls = self.plugin_class()
        capabilities = cls.capabilities
        assert issubclass(cls, Device), f"the plugin is {cls!r}, expected a Device."
        assert isinstance(capabilities, DeviceCapabilities), f"capabilities are {capabilities!r}."
        assert isinstance(cls.priority, int), f"priority is {cls.priority!r}, expected a whole number."
        unknown = sorted(set(capabilities.dtypes) - _DTYPES)
        assert not unknown, f"dtypes {unknown} are declared, known are {sorted(_DTYPES)}."
        assert "float32" in capabilities.dtypes, "float32 is not declared, which all training starts from."
        assert capabilities.torch_device, "no torch_device is declared."

    @check(over=list(HOW))
    def test_put(self, case: str) -> None:
        """A batch arrives as it was sent.

        ``put`` changes no value, no shape and not the order of blocks; layers that share a block share one still; the
        host's batch stays as it was and can be put again.
        """
        with self.device() as device:
            (batch,) = batches(self.model(), device, case, 1)
            before = [tensor.clone() for tensor in batch.flatten()]
            for _ in range(2):
                arrived = device.put(batch)
                assert arrived.layout.order == batch.layout.order, "blocks that were shared are not, or in other order."
                for i, (ours, theirs) in enumerate(zip(arrived.flatten(), before)):
                    compare(f"array {i} of the batch", ours, theirs, 0.0)
                assert arrived.num_targets == batch.num_targets, "num_targets has changed."
                compare("a node id", arrived.nodes, batch.nodes, 0.0)
            for ours, theirs in zip(batch.flatten(), before):
                compare("an array of the host's batch", ours, theirs, 0.0)

    @check(over=[f"{optimizer}; {how}" for optimizer in _OPTIMIZERS for how in HOW])
    def test_steps(self, case: str) -> None:
        """A step is the plain torch step.

        Three training steps in a row give the losses, outputs and, after ``pull``, the weights that plain torch gives,
        with gradient descent, clipped or not, and Adam, with weight decay or not.
        """
        name, how = case.split("; ")
        make, clip = _OPTIMIZERS[name]
        with self.device() as device:
            model, reference = self.model(), move_model(self.model(), load_backend("reference"))
            step = device.prepare(LossModule(model, task()), make(model.parameters()), StepOptions(clip_norm=clip))
            plain = make(reference.parameters())
            for i, batch in enumerate(batches(model, device, how, 3)):
                result = step(device.put(batch))
                device.synchronize()
                loss, out = plain_step(reference, plain, batch, clip)
                assert result.loss.numel() == 1, f"the loss has shape {list(result.loss.shape)}, expected a scalar."
                assert not result.loss.requires_grad, "the loss is not detached."
                assert result.num_targets == batch.num_targets, f"num_targets is {result.num_targets}."
                compare(f"the loss of step {i + 1}", result.loss.reshape(()), torch.tensor(loss), 1e-4)
                real = batch.nodes >= 0
                compare(f"an output of step {i + 1}", result.outputs.detach().cpu()[real], out[real], 1e-3)
            step.pull()
            compare_states(model.canonical_state(), reference.canonical_state(), "after three steps", 1e-3)

    @check()
    def test_evaluating(self) -> None:
        """Evaluating changes nothing.

        A step without an optimiser gives the outputs of the model with dropout off, twice the same, and leaves
        weights and running statistics as they were.
        """
        model = self.model(dropout=0.5, input_dropout=0.5, norm="batch")
        before = model.canonical_state()
        with self.device() as device:
            first, second = outputs(model, device), outputs(model, device)
        compare_states(model.canonical_state(), before, "after evaluating", 0.0)
        compare("an output of the second evaluation", second, first, 1e-6)
        plain = move_model(model, load_backend("reference"))
        compare("an output", first, outputs(plain, load_device("cpu")), 1e-4)

    @check()
    def test_pull(self) -> None:
        """Training, evaluation and the host see the same weights.

        After ``pull`` an evaluating step, made before the training, uses the trained weights; weights that the host
        sets afterwards are used by the next evaluation and by the next training step.
        """
        with self.device() as device:
            model = self.model()
            start = model.canonical_state()
            (batch,) = batches(model, device, "full graph", 1)
            evaluate = device.prepare(LossModule(model, task()), None, StepOptions())
            train = device.prepare(LossModule(model, task()), SGD(model.parameters(), lr=0.5), StepOptions())
            untrained = _evaluated(device, evaluate, batch)
            losses_of = [_loss(device, train, batch)]
            train.pull()
            trained = _evaluated(device, evaluate, batch)
            compare("an output after training", trained, outputs(model, load_device("cpu")), 1e-4)
            assert not torch.allclose(trained, untrained, atol=1e-4), "evaluation does not see the trained weights."
            model.load_canonical(start)
            compare("an output with weights set", _evaluated(device, evaluate, batch), untrained, 1e-4)
            losses_of.append(_loss(device, train, batch))
        compare_losses("training from weights set", losses_of[1:], losses_of[:1], 1e-4)

    @check()
    def test_learning_rate(self) -> None:
        """A learning rate that changes counts.

        With the optimiser's learning rate set to 0 between two steps, the weights stay where they are.
        """
        with self.device() as device:
            model = self.model()
            optimizer = SGD(model.parameters(), lr=0.5)
            (batch,) = batches(model, device, "full graph", 1)
            step = device.prepare(LossModule(model, task()), optimizer, StepOptions())
            states: List[Dict[str, Tensor]] = []
            for rate in (0.5, 0.0):
                optimizer.param_groups[0]["lr"] = rate
                _loss(device, step, batch)
                step.pull()
                states.append(model.canonical_state())
        compare_states(states[1], states[0], "after a step with learning rate 0", 1e-7)

    @check(over=list(HOW))
    def test_losses(self, case: str) -> None:
        """The same losses as on cpu.

        A training of three epochs, on the full graph and sampled, has the losses of the same training on ``cpu`` with
        the reference backend to 1e-3, padding included where the device asks for fixed shapes.
        """
        received = losses(fit(self.model(), self.make_device(), **HOW[case]))
        reference = move_model(self.model(), load_backend("reference"))
        compare_losses("the training", received, losses(fit(reference, load_device("cpu"), **HOW[case])), 1e-3)

    @check(over=["layerwise", "sampled"])
    def test_evaluation(self, case: str) -> None:
        """Every way to evaluate gives the numbers of cpu.

        Test metrics of a sampled training, evaluated layer by layer or on samples, are those on ``cpu``.
        """
        how = {**HOW["sampled"], "evaluation": case, "eval_batch_size": 60}
        received = fit(self.model(), self.make_device(), **how)
        expected = fit(move_model(self.model(), load_backend("reference")), load_device("cpu"), **how)
        compare_losses("the training", losses(received), losses(expected), 1e-3)

    @check()
    def test_resumed(self) -> None:
        """Save and resume equal an uninterrupted run.

        With Adam and on samples, two epochs that are saved and two after resuming on a new device give the losses and
        the weights of four in one go: the step hands out the optimiser's whole state and takes it back. Dropout is on
        where the device takes batches of any shape; one with fixed shapes may have random numbers of its own.
        """
        compare_resumed(self.model(**dropout_on(self.plugin_class().capabilities)), self.make_device, **SAMPLED)

    @check(needs=["bfloat16"])
    def test_bfloat16(self) -> None:
        """In bfloat16 losses stay close and weights stay float32.

        Where bfloat16 is declared, the losses of three epochs are within 5% of those in float32.
        """
        full = losses(fit(self.model(), self.make_device()))
        result = fit(self.model(), self.make_device(), precision="bfloat16")
        compare_losses("the training in bfloat16", losses(result), full, 0.05)
        dtypes = {value.dtype for value in result.model.canonical_state().values()}
        assert dtypes == {torch.float32}, f"weights are {dtypes}, expected torch.float32."

    @check(needs=["an undeclared precision"])
    def test_undeclared_dtypes(self) -> None:
        """An undeclared precision is refused clearly.

        Training in bfloat16 where it is not declared raises a ``CapabilityError`` that names it.
        """
        expect_error(CapabilityError, lambda: fit(self.model(), self.make_device(), precision="bfloat16"), "bfloat16")

    @check()
    def test_unknown_options(self) -> None:
        """An unknown device option is refused clearly.

        ``configure`` refuses a name that the device does not have with a ``GnnkitError`` that names it.
        """
        with self.device() as device:
            expect_error(GnnkitError, lambda: device.configure({"no_such_option": 1}), "no_such_option")

    @check()
    def test_learns(self) -> None:
        """Training learns.

        On planted communities 30 epochs reach a test accuracy of at least 0.7; from the features alone it is 0.54.
        """
        accuracy = learnt_accuracy("sage mean", self.make_backend(), self.make_device())
        assert accuracy >= 0.7, f"the test accuracy is {accuracy:.3f} after 30 epochs, expected at least 0.7."

    @check()
    def test_facts(self) -> None:
        """What the device says of itself can be written down.

        ``describe`` gives the same JSON values twice, ``memory`` whole numbers of bytes, ``compile_seconds`` a number.
        """
        with self.device() as device:
            fit(self.model(), device, epochs=1)
        with self.device() as device:
            facts = [json.dumps(device.describe(), sort_keys=True) for _ in range(2)]
            memory, seconds = device.memory(), device.compile_seconds()
        assert facts[0] == facts[1], f"describe gave {facts[0]}, then {facts[1]}."
        whole = all(isinstance(value, int) and value >= 0 for value in memory.values())
        assert whole, f"memory is {memory!r}, expected whole numbers of bytes."
        assert seconds >= 0, f"compile_seconds is {seconds!r}."

    @check()
    def test_close(self) -> None:
        """A device can be closed at any time.

        ``close`` works on a device that was never used, twice in a row and after training, and another device can be
        used afterwards.
        """
        device = self.make_device()
        device.synchronize()
        device.close()
        device.close()
        for _ in range(2):
            with self.device() as device:
                (batch,) = batches(self.model(), device, "full graph", 1)
                model = self.model()
                _loss(
                    device,
                    device.prepare(LossModule(model, task()), SGD(model.parameters(), 0.1), StepOptions()),
                    batch,
                )


def _loss(device: Device, step: Step, batch: Batch) -> float:
    result = step(device.put(batch))
    device.synchronize()
    return float(result.loss)


def _evaluated(device: Device, step: Step, batch: Batch) -> Tensor:
    """Outputs of the real nodes, in host memory."""
    result = step(device.put(batch))
    device.synchronize()
    return result.outputs.float().cpu()[batch.nodes >= 0]
