"""Eager execution on a torch device: what ``cpu`` and ``cuda`` have in common."""

from __future__ import annotations

import time
from contextlib import nullcontext
from typing import Any, Callable, ClassVar, ContextManager, Dict, List, Optional, Sequence, Tuple

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from gnnkit.data import Batch
from gnnkit.devices.average import STATE_KEY, MovingAverage
from gnnkit.devices.base import Device, OptimizerState, StepOptions, StepResult, Way
from gnnkit.devices.deterministic import deterministic_torch
from gnnkit.devices.optimizer_state import load_optimizer_state, optimizer_state
from gnnkit.devices.processes import sparse_tables, sum_gradients, whole_batch
from gnnkit.devices.sparse import clip_gradients
from gnnkit.errors import CapabilityError

EAGER_OFFERS = frozenset({"free_shapes"})
"""What a device offers that can run any torch operation."""


class EagerDevice(Device):
    """A torch device that runs each operation as it comes. Subclasses give name, priority and capabilities.

    Attributes:
        torch_device: The torch device.
    """

    api_version: ClassVar[int] = 1

    def __init__(self) -> None:
        self.torch_device = torch.device(self.capabilities.torch_device)

    def put(self, batch: Batch) -> Batch:
        """See :class:`Device`."""
        return batch.to(self.torch_device)

    def prepare(self, module: nn.Module, optimizer: Optional[Optimizer], options: StepOptions) -> EagerStep:
        """See :class:`Device`."""
        module = module.to(self.torch_device)
        kind = EagerStep if options.world.size == 1 or optimizer is None else SharedStep
        return kind(module, optimizer, options, self.forward_mode(options))

    def seed(self, seed: int) -> None:
        """See :class:`Device`."""
        # torch.manual_seed would note a stack trace for every kind of accelerator, which takes half a millisecond.
        torch.default_generator.manual_seed(seed)

    def product_ways(self, precision: str) -> Sequence[Way]:
        """See :class:`Device`."""
        return (torch_products,)

    def forward_mode(self, options: StepOptions) -> ContextManager[Any]:
        """What holds while a step computes its outputs; entered again and again."""
        if options.precision == "bfloat16":
            return torch.autocast(self.torch_device.type, dtype=torch.bfloat16)
        return nullcontext()

    def deterministic(self, report: Callable[[str], None]) -> ContextManager[None]:
        """See :class:`Device`; torch says by itself which of its operations cannot repeat their bits."""
        return deterministic_torch(report)


def torch_products(x: Tensor, w: Tensor, y: Tensor, passes_gradient: bool) -> None:
    """The products of a linear layer as torch computes them; see :data:`gnnkit.devices.base.Way`."""
    torch.mm(x, w.t())
    torch.mm(y.t(), x)
    if passes_gradient:
        torch.mm(y, w)


class EagerStep:
    """Forward, loss, backward and update, one operation at a time.

    Args:
        module: ``forward(batch) -> (loss, outputs)``, already on the device.
        optimizer: Updates the module's parameters; None only evaluates.
        options: Precision and clipping.
        forward_mode: Entered for each forward pass, :meth:`EagerDevice.forward_mode`.
    """

    def __init__(
        self, module: nn.Module, optimizer: Optional[Optimizer], options: StepOptions, forward_mode: ContextManager[Any]
    ) -> None:
        self.module = module
        self.optimizer = optimizer
        self.options = options
        self.forward_mode = forward_mode
        self._average: Optional[MovingAverage] = None
        if optimizer is not None and options.average is not None:
            self._average = MovingAverage(module, options.average)
        # Batches whose gradients wait for an update, and their targets.
        self.num_waiting = 0
        self._num_targets = 0
        self._buffers: List[Tensor] = []
        self._what = "gradients"
        self._gradient_norm: Optional[Tensor] = None

    def __call__(self, batch: Batch) -> StepResult:
        """See :class:`gnnkit.devices.Step`."""
        loss, outputs = self._forward(batch)
        if self.optimizer is not None:
            self._backward(loss, self.optimizer, batch.num_targets)
            self._update(self.optimizer)
        return StepResult(loss.detach(), outputs.detach(), batch.num_targets, self._gradient_norm)

    def timed(self, batch: Batch, synchronize: Callable[[], None]) -> Dict[str, float]:
        """See :class:`gnnkit.devices.TimedStep`."""
        marks = [time.perf_counter()]

        def mark() -> None:
            synchronize()
            marks.append(time.perf_counter())

        loss, _ = self._forward(batch)
        mark()
        if self.optimizer is not None:
            self._backward(loss, self.optimizer, batch.num_targets)
            mark()
            self._update(self.optimizer)
            mark()
        return {part: end - start for part, start, end in zip(("forward", "backward", "update"), marks, marks[1:])}

    def _forward(self, batch: Batch) -> Tuple[Tensor, Tensor]:
        training = self.optimizer is not None
        if training and self.options.accumulate > 1 and not self.num_waiting:
            self._buffers = [buffer.clone() for buffer in self.module.buffers()]
        # To change the mode of every module takes a twentieth of a small step; to look takes a tenth of that.
        if any(module.training is not training for module in self.module.modules()):
            self.module.train(training)
        with torch.set_grad_enabled(training), self.forward_mode:
            loss, outputs = self.module(batch)
        return loss, outputs

    def _backward(self, loss: Tensor, optimizer: Optimizer, num_targets: int) -> None:
        if not self.num_waiting:
            optimizer.zero_grad(set_to_none=True)
        if self.options.accumulate == 1:
            loss.backward()  # type: ignore[no-untyped-call]
            return
        (loss * num_targets).backward()  # type: ignore[no-untyped-call]
        self.num_waiting += 1
        self._num_targets += num_targets

    def _update(self, optimizer: Optimizer) -> None:
        if self.options.accumulate == 1:
            self._change_weights(optimizer)
        elif self.num_waiting == self.options.accumulate:
            self.finish()

    def finish(self) -> None:
        """See :class:`gnnkit.devices.UpdatingStep`."""
        if not self.num_waiting or self.optimizer is None:
            return
        for group in self.optimizer.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.grad.div_(max(self._num_targets, 1))
        self.num_waiting = self._num_targets = 0
        self._change_weights(self.optimizer)

    def drop(self) -> None:
        """See :class:`gnnkit.devices.GroupingStep`."""
        if self.num_waiting:
            with torch.no_grad():
                for buffer, before in zip(self.module.buffers(), self._buffers):
                    buffer.copy_(before)
        self.num_waiting = self._num_targets = 0

    def averaged(self) -> ContextManager[None]:
        """See :class:`gnnkit.devices.UpdatingStep`."""
        return nullcontext() if self._average is None else self._average.applied()

    def _change_weights(self, optimizer: Optimizer) -> None:
        if self.options.clip_norm is not None:
            self._gradient_norm = clip_gradients(self.module.parameters(), self.options.clip_norm)
        optimizer.step()
        if self._average is not None:
            self._average.update()

    def pull(self) -> None:
        """Nothing to do: the module's weights are the device's."""

    def state_dict(self) -> Dict[str, Dict[str, Tensor]]:
        """See :class:`gnnkit.devices.Step`."""
        state = {} if self.optimizer is None else optimizer_state(self.module, self.optimizer)
        if self._average is not None:
            for name, value in self._average.state().items():
                state.setdefault(name, {})[STATE_KEY] = value
        return state

    def load_state_dict(self, state: OptimizerState) -> None:
        """See :class:`gnnkit.devices.Step`."""
        assert self.optimizer is not None, "only a training step has an optimiser"
        averages = {name: tensors[STATE_KEY] for name, tensors in state.items() if STATE_KEY in tensors}
        if self._average is not None:
            self._average.load(averages)
        own = {
            name: {key: value for key, value in tensors.items() if key != STATE_KEY} for name, tensors in state.items()
        }
        load_optimizer_state(self.module, self.optimizer, {name: tensors for name, tensors in own.items() if tensors})


class SharedStep(EagerStep):
    """A training step of several processes, each with a part of every batch.

    Each weighs its loss by its part of what the whole batch's loss is a mean over; gradients are then added up.
    """

    def __call__(self, batch: Batch) -> StepResult:
        """See :class:`gnnkit.devices.Step`."""
        assert self.optimizer is not None, "a step that evaluates needs nobody"
        loss, outputs = self._forward(batch)
        weight: float = self.module.weight(batch) if batch.num_targets else 0.0  # type: ignore[operator]
        name = f"epoch {batch.key.epoch}, batch {batch.key.number}"
        whole = whole_batch(self.options.world, loss, weight, batch.num_targets, f"the loss of {name}")
        if not self.num_waiting:
            self.optimizer.zero_grad(set_to_none=True)
        counts = whole.num_targets if self.options.accumulate > 1 else 1
        if weight > 0:  # The loss of nothing may be anything, so it is not even multiplied by 0.
            (loss * (counts * weight / whole.weight)).backward()  # type: ignore[no-untyped-call]
        elif not whole.weight:  # It is 0, and gradients are 0 and not missing, as in one process.
            loss.backward()  # type: ignore[no-untyped-call]
        self.num_waiting += 1
        self._num_targets += counts
        self._what = f"gradients of {name}"
        if self.num_waiting == self.options.accumulate:
            self.finish()
        return StepResult(whole.loss, outputs.detach(), whole.num_targets, self._gradient_norm)

    def timed(self, batch: Batch, synchronize: Callable[[], None]) -> Dict[str, float]:
        """Refused: what a step of several processes takes is mostly waiting for the others.

        Raises:
            CapabilityError: Always.
        """
        raise CapabilityError("The parts of a step of several processes are not timed. Take one process.")

    def finish(self) -> None:
        """See :class:`gnnkit.devices.UpdatingStep`."""
        if not self.num_waiting or self.optimizer is None:
            return
        parameters = [each for group in self.optimizer.param_groups for each in group["params"]]
        sum_gradients(self.options.world, parameters, self._what, sparse_tables(self.module))
        if self.options.accumulate > 1:
            for parameter in parameters:
                if parameter.grad is not None:
                    parameter.grad.div_(max(self._num_targets, 1))
        self.num_waiting = self._num_targets = 0
        self._change_weights(self.optimizer)
