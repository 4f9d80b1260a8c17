"""A step as one compiled program: forward, loss, backward and update behind a single call.

Rules: a program sees tensors only, in the order of ``Batch.flatten``; it is compiled at its first batch, and later
batches must have that batch's layout and shapes. Weights live on the device; they reach the host by ``pull``, or when
another program is about to run.
"""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from functools import partial
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from gnnkit.data import IGNORED_LABEL, Batch, BatchLayout
from gnnkit.devices import OptimizerState, StepOptions, StepResult, compiling
from gnnkit.errors import CapabilityError, ConfigError, GnnkitError, UnavailableError
from gnnkit_ipu.optimizer import learning_rate, native_optimizer, read_state, write_state
from gnnkit_ipu.options import IpuOptions
from gnnkit_ipu.poptorch import numbers_state
from gnnkit_ipu.seats import Seats

_LOG = logging.getLogger(__name__)


class FlatModule(nn.Module):
    """A module that takes the tensors of a batch instead of the batch.

    Args:
        module: ``forward(batch) -> (loss, outputs)``.
        layout: How the tensors are put together.
        mark: Marks the loss; None leaves the loss out.
        with_outputs: Whether outputs are returned beside a loss.
    """

    def __init__(
        self, module: nn.Module, layout: BatchLayout, mark: Optional[Callable[[Tensor], Tensor]], with_outputs: bool
    ) -> None:
        super().__init__()
        self.module = module
        self.layout = layout
        self.mark = mark
        self.with_outputs = with_outputs

    def forward(self, tensors: Tuple[Tensor, ...]) -> Any:
        """Loss and outputs, or one of them."""
        loss, outputs = self.module(self.layout.unflatten(tensors))
        if self.mark is None:
            return outputs
        return (self.mark(loss), outputs) if self.with_outputs else self.mark(loss)


class Program:
    """One prepared step; see :class:`gnnkit.devices.Step`.

    Where a call of the device takes several batches, a step keeps its batch until there are enough of them; its loss is
    filled in then, or by :meth:`flush`, and its outputs are left out (shape [0]).

    Args:
        poptorch: PopTorch or its emulator.
        module: ``forward(batch) -> (loss, outputs)``.
        optimizer: Updates the module's parameters; None makes a program that only evaluates.
        step: Precision and clipping.
        options: Settings of the device.
        seats: The programs of the device.

    Raises:
        CapabilityError: The IPU does not have the precision, the optimiser or the clipping.
    """

    def __init__(
        self,
        poptorch: Any,
        module: nn.Module,
        optimizer: Optional[Optimizer],
        step: StepOptions,
        options: IpuOptions,
        seats: Seats,
    ) -> None:
        if step.precision != "float32":
            raise CapabilityError(f"Precision {step.precision!r} is not offered on IPUs; take float32.")
        self.seconds = 0.0
        self._poptorch = poptorch
        self._module = module
        self._optimizer = optimizer
        self._options = options
        self._seats = seats
        self._native_optimizer: Any = None
        if optimizer is not None:
            self._native_optimizer = native_optimizer(poptorch, optimizer, step.clip_norm)
        self._lr = 0.0 if optimizer is None else learning_rate(optimizer)
        self._flat: Optional[FlatModule] = None
        self._executor: Any = None
        # PopTorch fetches all weights from the device when an attribute of a parameter that it wrapped is read. These
        # share memory and the count of changes with the weights and are never wrapped.
        self._aliases = [tensor.detach() for tensor in [*module.parameters(), *module.buffers()]]
        self._host: Tuple[int, ...] = ()
        self._is_ahead = False
        self._has_run = self._has_warned = False
        self._waiting: List[Tuple[Batch, StepResult]] = []
        self._random_state: Optional[List[int]] = None

    @property
    def num_ipus(self) -> int:
        """IPUs that the program runs on."""
        return 1 if self._optimizer is None else self._options.replication_factor

    @property
    def _group(self) -> int:
        return 1 if self._optimizer is None else self._options.batches_per_call

    def __call__(self, batch: Batch) -> StepResult:
        """See :class:`gnnkit.devices.Step`."""
        if self._group > 1:
            result = StepResult(torch.zeros(()), torch.empty(0), batch.num_targets)
            self._waiting.append((batch, result))
            if len(self._waiting) == self._group:
                self._run_group()
            return result
        out = self._run([batch])
        if self._optimizer is None:
            return StepResult(torch.zeros(()), out, batch.num_targets)
        loss, outputs = out
        return StepResult(loss.detach().reshape(()), outputs.detach(), batch.num_targets)

    @property
    def num_waiting(self) -> int:
        """See :class:`gnnkit.devices.GroupingStep`."""
        return len(self._waiting)

    def drop(self) -> None:
        """See :class:`gnnkit.devices.GroupingStep`."""
        self._waiting = []

    def flush(self) -> None:
        """Make a call with the batches that wait, filled up with batches without targets.

        Raises:
            ConfigError: The options ask for more batches in a call than there ever are.
        """
        if not self._waiting:
            return
        if not self._has_run:
            raise ConfigError(
                f"A call takes {self._group} batches (device_iterations x gradient_accumulation x replication_factor), "
                f"but an epoch has only {len(self._waiting)}. Lower one of them, or take smaller batches."
            )
        if not self._has_warned:
            self._has_warned = True
            _LOG.warning(
                "A call takes %d batches and the last one of an epoch has %d: it is filled up with batches without "
                "targets, which count in averages, momentum and weight decay. Choose device options whose product "
                "divides the number of batches; 'gnnkit plan' shows both.",
                *(self._group, len(self._waiting)),
            )
        self._run_group()

    def _run_group(self) -> None:
        waiting, self._waiting = self._waiting, []
        # In front, so that the last loss is a real one.
        batches = [_without_targets(waiting[0][0])] * (self._group - len(waiting)) + [batch for batch, _ in waiting]
        losses = self._run(batches).detach().reshape(-1)
        if self._options.output_mode == "sum":
            values = [losses.sum() / len(waiting)] * len(waiting)
        elif self._options.output_mode == "final":
            values = [losses.mean()] * len(waiting)
        else:
            values = list(losses[-len(waiting) :])
        for (_, result), value in zip(waiting, values):
            result.loss.copy_(value)

    def _run(self, batches: Sequence[Batch]) -> Any:
        tensors = self._tensors(batches)
        self._seats.take(self)
        try:
            if self._executor is None:
                self._compile(batches[0].layout, tensors)
            self._bring_up_to_date()
            assert self._flat is not None
            self._flat.train(self._optimizer is not None)
            with torch.set_grad_enabled(self._optimizer is not None):  # Whatever the caller's mode is.
                out = self._executor(tensors)
        except self._poptorch.Error as error:
            if isinstance(error, GnnkitError):
                raise
            raise CapabilityError(f"PopTorch refuses the program: {error}{self._advice()}") from error
        if self._optimizer is not None:
            self._is_ahead = True
        self._has_run = True
        return out

    def _advice(self) -> str:
        if not any(other.is_attached for other in self._seats.programs if other is not self):
            return ""
        return " If others hold the IPUs that it lacks, device_options.max_ipus=1 lets programs take turns."

    def _tensors(self, batches: Sequence[Batch]) -> Tuple[Tensor, ...]:
        if self._flat is not None and batches[0].layout != self._flat.layout:
            raise CapabilityError(
                "The batch has another layout than the one that the program was compiled for; on a device with fixed "
                "shapes bring all batches to one size with gnnkit.loading.pad_batch."
            )
        if len(batches) == 1:
            return batches[0].flatten()
        return tuple(torch.cat(parts) for parts in zip(*(batch.flatten() for batch in batches)))

    def _compile(self, layout: BatchLayout, tensors: Tuple[Tensor, ...]) -> None:
        start = time.perf_counter()
        poptorch, training = self._poptorch, self._optimizer is not None
        mark = partial(poptorch.identity_loss, reduction="none") if training else None
        flat = FlatModule(self._module, layout, mark, with_outputs=self._group == 1).train(training)
        native = self._options.native(poptorch, training=training)
        classes = self._classes()
        if self._optimizer is not None:
            # Changes nothing without gradients on the host, and tells torch's schedules that a step was made. Later it
            # would fetch the weights, as whatever reads an attribute of a wrapped parameter.
            self._optimizer.zero_grad(set_to_none=True)
            self._optimizer.step()
        if training:
            executor = poptorch.trainingModel(flat, options=native, optimizer=self._native_optimizer)
        else:
            executor = poptorch.inferenceModel(flat, options=native)
        try:
            with compiling():
                executor.compile(tensors)
        except BaseException:
            self._give_back_classes(classes)
            raise
        finally:
            self.seconds += time.perf_counter() - start
        self._flat, self._executor = flat, executor
        if self._random_state is not None:
            executor.rng_state = self._random_state
        self._host = self._host_versions()
        if self._options.offline_target is not None:
            raise UnavailableError(
                f"The program is compiled for an IPU of generation {self._options.offline_target} and kept in "
                f"{self._options.executable_cache}; with offline_target nothing can run. Run without it on an IPU."
            )

    def _classes(self) -> List[Tuple[Tensor, type]]:
        return [(tensor, type(tensor)) for tensor in [*self._module.parameters(), *self._module.buffers()]]

    @staticmethod
    def _give_back_classes(classes: List[Tuple[Tensor, type]]) -> None:
        """Undo what PopTorch does to weights before it compiles, and leaves when that fails.

        Buffers could not be wrapped again.
        """
        for tensor, own in classes:
            tensor.__class__ = own

    def _bring_up_to_date(self) -> None:
        """Attach, and hand over weights and learning rate that changed on the host."""
        if not self._executor.isAttachedToDevice():
            self._executor.attachToDevice()  # Takes the host's weights along.
        elif self._host_versions() != self._host:
            self._executor.copyWeightsToDevice()
        self._host = self._host_versions()
        if self._optimizer is not None and learning_rate(self._optimizer) != self._lr:
            self._lr = learning_rate(self._optimizer)
            self._native_optimizer.param_groups[0]["lr"] = self._lr
            self._executor.setOptimizer(self._native_optimizer)

    def _host_versions(self) -> Tuple[int, ...]:
        """How often weights came to the host, and torch's counts of changes of every tensor."""
        return (self._seats.fetched, *(tensor._version for tensor in self._aliases))

    def pull(self) -> None:
        """See :class:`gnnkit.devices.Step`."""
        self.flush()
        self.fetch()

    def fetch(self) -> None:
        """Bring weights to the host if they are ahead of the host's; batches that wait go on waiting."""
        if self._is_ahead and self.is_attached:
            self._executor.copyWeightsToHost()
            self._seats.fetched += 1
            self._host = self._host_versions()
        self._is_ahead = False

    @property
    def is_attached(self) -> bool:
        """Whether the program holds IPUs."""
        return self._executor is not None and bool(self._executor.isAttachedToDevice())

    def state_dict(self) -> Dict[str, Dict[str, Tensor]]:
        """See :class:`gnnkit.devices.Step`."""
        if self._native_optimizer is None:
            return {}
        return read_state(self._module, self._native_optimizer)

    def random_state(self) -> Optional[Tensor]:
        """See :class:`gnnkit.devices.RandomStep`."""
        state = self._random_state if self._executor is None else self._executor.rng_state
        return None if state is None else torch.tensor(state, dtype=torch.int64)

    def load_random_state(self, state: Tensor) -> None:
        """See :class:`gnnkit.devices.RandomStep`."""
        self._random_state = state.tolist()

    def load_state_dict(self, state: OptimizerState) -> None:
        """See :class:`gnnkit.devices.Step`.

        Raises:
            CapabilityError: The state comes from another kind of device.
        """
        assert self._native_optimizer is not None and self._executor is None
        write_state(self._module, self._native_optimizer, state, numbered=numbers_state(self._poptorch))

    def release(self) -> None:
        """Leave the device to another program; weights that are ahead of the host's come along."""
        self.fetch()
        if self.is_attached:
            self._executor.detachFromDevice()

    def close(self) -> None:
        """Leave the device for good."""
        if self._executor is not None:
            self.release()
            self._executor.destroy()
            self._executor = self._flat = None


def _without_targets(batch: Batch) -> Batch:
    assert batch.targets is not None, "a batch to train on has targets"
    y, mask = batch.targets.y, batch.targets.mask
    none = replace(
        batch.targets,
        y=None if y is None else torch.full_like(y, IGNORED_LABEL),
        mask=None if mask is None else torch.zeros_like(mask),
        num=0,
    )
    return replace(batch, targets=none)
