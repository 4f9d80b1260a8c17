"""Checks of a backend inside whole models and trainings, against the reference backend on the processor."""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch

from gnnkit.backends import load_backend, move_model
from gnnkit.devices import StepOptions, load_device
from gnnkit.runs import load_model, save_weights
from gnnkit.tasks import LossModule
from gnnkit.testing.backend_base import BackendBase
from gnnkit.testing.compare import compare, compare_states
from gnnkit.testing.suite import check
from gnnkit.testing.training import (
    HOW,
    MODELS,
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

_CONV = ["the convolution"]
_EVERY_WAY = [f"{model}, {how}" for model in MODELS for how in HOW]


class ModelChecks(BackendBase):
    """Checks of models."""

    @check(needs=_CONV, over=list(MODELS))
    def test_start(self, case: str) -> None:
        """The same start everywhere.

        For the same seed a model has the reference backend's initial weights, bit for bit, under the same names.
        """
        received = model_for(case, self.make_backend()).canonical_state()
        compare_states(received, model_for(case, load_backend("reference")).canonical_state(), "at the start", 0.0)

    @check(needs=_CONV, over=_EVERY_WAY)
    def test_optimizer_step(self, case: str) -> None:
        """One optimiser step equals the reference's.

        One step of a model of two layers, on the full graph and on a sampled batch, gives the loss and the weights that
        plain torch with the reference backend gives.
        """
        name, how = case.split(", ")
        device, model = self.make_device(), model_for(name, self.make_backend())
        reference = model_for(name, load_backend("reference"))
        (batch,) = batches(model, load_device("cpu"), how, 1)
        (ours,) = batches(model, device, how, 1)
        optimizers = [torch.optim.SGD(m.parameters(), lr=0.5) for m in (model, reference)]
        step = device.prepare(LossModule(model, task()), optimizers[0], StepOptions())
        result = step(device.put(ours))
        device.synchronize()
        step.pull()
        loss, _ = plain_step(reference, optimizers[1], batch)
        received = float(result.loss)
        state = model.canonical_state()
        device.close()
        assert abs(received - loss) < 1e-4 * max(1.0, loss), f"the loss is {received:.6g}, expected {loss:.6g}."
        compare_states(state, reference.canonical_state(), "after one step", 1e-4)

    @check(needs=_CONV, over=_EVERY_WAY)
    def test_losses(self, case: str) -> None:
        """The same losses from the same seed.

        Training and validation losses of three epochs, on the full graph and sampled, equal those of the reference
        backend to 1e-3: batches, order and weights are the same everywhere.
        """
        name, how = case.split(", ")
        received = losses(fit(model_for(name, self.make_backend()), self.make_device(), **HOW[how]))
        expected = losses(fit(model_for(name, load_backend("reference")), load_device("cpu"), **HOW[how]))
        compare_losses("the training", received, expected, 1e-3)

    @check(needs=_CONV, over=list(MODELS))
    def test_repeated(self, case: str) -> None:
        """The same run twice.

        With dropout, a training from the same seed gives the same losses again.
        """
        model = model_for(case, self.make_backend(), dropout=0.3, input_dropout=0.2, attention_dropout=0.3)
        first, second = (losses(fit(model, self.make_device(), epochs=2)) for _ in range(2))
        compare_losses("the second training", second, first, 1e-5)

    @check(needs=_CONV, over=list(MODELS))
    def test_saved(self, case: str) -> None:
        """Saved weights come back.

        Trained weights, saved and loaded, give the same outputs, on this backend and on the reference one.
        """
        backend, cpu = self.make_backend(), load_device("cpu")
        trained = fit(model_for(case, backend), self.make_device()).model
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "weights.safetensors"
            save_weights(trained, file)
            again, reference = load_model(file, backend), load_model(file, load_backend("reference"))
        compare_states(again.canonical_state(), trained.canonical_state(), "after loading", 0.0)
        expected = outputs(move_model(trained, load_backend("reference")), cpu)
        compare("an output of the reference backend", outputs(reference, cpu), expected, 1e-6)
        device = self.make_device()
        received = outputs(again, device)
        device.close()
        compare("an output of the loaded model", received, expected, 1e-4)

    @check(needs=_CONV, over=list(MODELS))
    def test_resumed(self, case: str) -> None:
        """Save and resume equal an uninterrupted run.

        On samples, two epochs that are saved and two after resuming give the losses and the weights of four in one go:
        nothing that counts is outside the canonical weights and the optimiser's state. Dropout is on where the device
        takes batches of any shape; one with fixed shapes may have random numbers of its own.
        """
        model = model_for(case, self.make_backend(), **dropout_on(self.declared_by_device))
        compare_resumed(model, self.make_device, **SAMPLED)

    @check(needs=_CONV, over=list(MODELS))
    def test_learns(self, case: str) -> None:
        """Training learns.

        On planted communities 30 epochs reach a test accuracy of at least 0.7; from the features alone it is 0.54.
        """
        accuracy = learnt_accuracy(case, self.make_backend(), self.make_device())
        assert accuracy >= 0.7, f"the test accuracy is {accuracy:.3f} after 30 epochs, expected at least 0.7."
