"""The checks of a device: its step is the plain torch step, wherever and however it runs.

Rules: trainings are compared with those on ``cpu`` with the reference backend, from the same weights and seeds.
"""

from __future__ import annotations

import json
import time
from typing import Any, ClassVar, List

import torch

from gnnkit.backends import backends, load_backend, move_model
from gnnkit.devices import Device, DeviceCapabilities, load_device
from gnnkit.devices.base import UPDATES
from gnnkit.errors import CapabilityError, GnnkitError
from gnnkit.tasks.base import NEEDS
from gnnkit.testing.backend_base import DTYPES
from gnnkit.testing.compare import compare_states, expect_error
from gnnkit.testing.device_base import DeviceBase, loss_of
from gnnkit.testing.global_state import unchanged_settings
from gnnkit.testing.plugin import check_excludes
from gnnkit.testing.step_checks import StepChecks
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
)
from gnnkit.testing.update_checks import UpdateChecks


class _DeclarationChecks(DeviceBase):
    """What the device says of itself."""

    @check()
    def test_declaration(self) -> None:
        """The declaration is sound.

        Name and interface version are right; priority is a whole number; float32, and precisions, offers,
        updates and combinations that gnnkit knows are declared.
        """
        self.check_identity()
        cls = self.plugin_class()
        capabilities = cls.capabilities
        assert issubclass(cls, Device), f"the plugin is {cls!r}, expected a Device."
        assert isinstance(capabilities, DeviceCapabilities), f"capabilities are {capabilities!r}."
        assert isinstance(cls.priority, int), f"priority is {cls.priority!r}, expected a whole number."
        for what, known in (("dtypes", DTYPES), ("offers", NEEDS), ("updates", UPDATES)):
            declared = getattr(capabilities, what)
            unknown = sorted(set(declared) - set(known))
            assert not unknown, f"{what} {unknown} are declared, known are {sorted(known)}."
        check_excludes(capabilities.excludes)
        assert "float32" in capabilities.dtypes, "float32 is not declared, which all training starts from."
        assert capabilities.torch_device, "no torch_device is declared."

    @check()
    def test_backends(self) -> None:
        """Every backend that it takes runs on it.

        A training step and an evaluation with each of gnnkit's own backends that is ready here, that declares the
        device's ``torch_device`` and that the device takes. A device whose compiler does not understand the layers of
        some of them says in its capabilities which it takes.
        """
        on = self.make_device().capabilities
        for name in backends.names():
            if not backends.is_ours(name) or (on.backends and name not in on.backends):
                continue
            try:
                backend = load_backend(name)
            except GnnkitError:
                continue  # Nothing can be run on a backend that is not ready.
            if on.torch_device not in backend.capabilities.devices:
                continue
            with self.device() as device:
                model = model_for("sage mean", backend)
                try:
                    (batch,) = batches(model, device, "full graph", 1)
                    loss_of(device, self.training_step(device, model), batch)
                    outputs(model, device)
                except Exception as error:
                    raise AssertionError(
                        f"backend {name!r} declares {on.torch_device!r} and does not run here, with "
                        f"{type(error).__name__}: {error} Declare in the device's capabilities which backends it takes."
                    ) from error


class _TrainingChecks(DeviceBase):
    """Whole trainings, and what the device says about them."""

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

        Where bfloat16 is declared, the losses of three epochs are within 5% of those in float32, and not equal to them:
        products are computed in bfloat16.
        """
        full = losses(fit(self.model(), self.make_device()))
        result = fit(self.model(), self.make_device(), precision="bfloat16")
        compare_losses("the training in bfloat16", losses(result), full, 0.05)
        off = max(abs(ours - theirs) for ours, theirs in zip(losses(result), full))
        assert off > 1e-5, f"the losses are those of float32, to {off:.1g}: bfloat16 is declared and not computed in."
        dtypes = {value.dtype for value in result.model.canonical_state().values()}
        assert dtypes == {torch.float32}, f"weights are {dtypes}, expected torch.float32."

    @check(needs=["what the task needs"], over=["node_classification", "unsupervised"])
    def test_tasks(self, case: str) -> None:
        """Tasks are done whose needs are offered.

        A training of three epochs on samples, for each of these tasks, has the losses of the same training on ``cpu``
        to 1e-3.
        """
        received = losses(fit(self.model(), self.make_device(), task=case, **SAMPLED))
        reference = move_model(self.model(), load_backend("reference"))
        expected = losses(fit(reference, load_device("cpu"), task=case, **SAMPLED))
        compare_losses(f"the training for {case}", received, expected, 1e-3)

    @check()
    def test_deterministic(self) -> None:
        """Deterministic trainings repeat their bits, or say what cannot.

        In the context of ``deterministic`` a training runs; without a word from it, two of them give the same weights
        bit by bit. Afterwards all settings of the process are as they were.
        """
        with self.device() as device:
            sentences: List[Any] = []
            with unchanged_settings("the context of deterministic()"), device.deterministic(sentences.append):
                pass
        results = [fit(self.model(), self.make_device(), deterministic=True, **SAMPLED) for _ in range(2)]
        sentences += [sentence for result in results for sentence in result.nondeterministic or ()]
        wrong = [sentence for sentence in sentences if not isinstance(sentence, str) or not sentence]
        assert not wrong, f"deterministic() reports {wrong[0]!r}, expected a sentence."
        if not sentences:
            first, second = (result.model.canonical_state() for result in results)
            compare_states(second, first, "after the second of two deterministic trainings", 0.0)

    @check()
    def test_compile_seconds(self) -> None:
        """Compiling is no training, and training no compiling.

        ``compile_seconds`` lies between 0 and the time that has passed, never falls, and stands still while steps run
        on shapes that they have met: else epochs would seem shorter than they are.
        """
        with self.device() as device:
            start = time.perf_counter()
            model = self.model()
            (batch,) = batches(model, device, "full graph", 1)
            train, evaluate = self.training_step(device, model), self.evaluating_step(device, model)
            for step in (train, evaluate, train, evaluate):
                loss_of(device, step, batch)
            first, passed = device.compile_seconds(), time.perf_counter() - start
            assert 0 <= first <= passed, f"compile_seconds is {first:.3g} after {passed:.3g} s."
            for _ in range(20):
                loss_of(device, train, batch)
                loss_of(device, evaluate, batch)
            second, passed = device.compile_seconds(), time.perf_counter() - start - passed
        assert second >= first, f"compile_seconds fell from {first:.3g} to {second:.3g}."
        assert second - first < 0.1 * passed, (
            f"compile_seconds grew by {second - first:.3g} s in {passed:.3g} s of steps that were compiled before: "
            "time of training counts as compiling."
        )

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
    def test_settle(self) -> None:
        """What the device decides itself can be recorded and decided again.

        ``settle`` gives options that ``configure`` takes, the same ones when asked twice, and the same ones on a new
        device that is told what the first one answered or said of itself.
        """
        with self.device() as device:
            settled = device.settle({})
            again, facts = device.settle({}), device.describe()
        assert json.dumps(settled) == json.dumps(again), f"settle gave {settled}, then {again}."
        for recorded in (settled, facts):
            with self.device() as other:
                found = other.settle(recorded)
            assert found == settled, f"settle gave {found} after {recorded}, and {settled} before."
        with self.device() as device:
            device.configure(settled)

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
                loss_of(device, self.training_step(device, model), batch)


class DeviceSuite(_TrainingChecks, UpdateChecks, StepChecks, _DeclarationChecks):
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

    floor: ClassVar[int] = 15
