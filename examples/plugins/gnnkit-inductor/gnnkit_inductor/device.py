"""The device ``inductor``: each step is compiled once for fixed shapes, by torch's own compiler, for the processor.

Rules: a compiled step sees the tensors of a batch and nothing else; it is compiled at its first batch, as one whole
(``fullgraph=True``) and for that batch's shapes alone (``dynamic=False``); a batch of other shapes is refused. The
update of the weights is torch's own.
"""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import dataclass
from types import FunctionType
from typing import Any, Callable, ClassVar, Dict, List, Optional, Tuple, Type

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from gnnkit.availability import BROKEN, NOT_INSTALLED, READY, Availability
from gnnkit.data import Batch, BatchLayout
from gnnkit.devices import (
    Device,
    DeviceCapabilities,
    OptimizerState,
    StepOptions,
    StepResult,
    compiling,
    load_optimizer_state,
    optimizer_state,
)
from gnnkit.errors import CapabilityError


@dataclass(frozen=True)
class InductorOptions:
    """What a user can set for the compiler.

    Attributes:
        eager_random: Whether dropout draws the same numbers as without a compiler; else the compiler draws its own,
            which is faster.
    """

    eager_random: bool = True


class InductorDevice(Device):
    """The processor, by ``torch.compile``. It must be asked for: "auto" prefers the device ``cpu``."""

    name: ClassVar[str] = "inductor"
    api_version: ClassVar[int] = 1
    priority: ClassVar[int] = -10
    # torch.compile does not look into what DGL and the sparse products of PyG call; backends of others are refused
    # until somebody has tried them.
    capabilities: ClassVar[DeviceCapabilities] = DeviceCapabilities(
        "cpu", dtypes=frozenset({"float32"}), static_shapes=True, backends=frozenset({"reference", "ipu"})
    )
    options_class: ClassVar[Type[Any]] = InductorOptions

    def __init__(self) -> None:
        self.options = InductorOptions()
        self._steps: List[CompiledStep] = []

    @classmethod
    def probe(cls) -> Availability:
        """Ask torch whether it compiles with this Python, and look for the C++ compiler that it will call."""
        try:
            torch.compile(nn.Identity())  # Compiles nothing yet, but torch refuses here what it does not support.
        except ImportError as error:
            return Availability(BROKEN, f"torch {torch.__version__}: {error}", "install torch again, with its needs.")
        except RuntimeError as error:
            return Availability(BROKEN, f"torch {torch.__version__}: {error}", "install a later torch.")
        compiler = os.environ.get("CXX", "g++")
        if shutil.which(compiler) is None:
            return Availability(
                NOT_INSTALLED, f"no C++ compiler {compiler!r} was found.", "install g++, or name one in CXX."
            )
        return Availability(READY, f"torch {torch.__version__}, {compiler}")

    def put(self, batch: Batch) -> Batch:
        """The batch itself, which is where it is needed."""
        return batch

    def prepare(self, module: nn.Module, optimizer: Optional[Optimizer], options: StepOptions) -> CompiledStep:
        """See :class:`gnnkit.devices.Device`; the step is compiled at its first batch."""
        if options.precision not in self.capabilities.dtypes:
            raise CapabilityError(f"Device {self.name!r} has no precision {options.precision!r}; take float32.")
        step = CompiledStep(module, optimizer, options.clip_norm, self.options)
        self._steps.append(step)
        return step

    def compile_seconds(self) -> float:
        """See :class:`gnnkit.devices.Device`; the first run of each step is part of it."""
        return sum(step.seconds for step in self._steps)

    def describe(self) -> Dict[str, Any]:
        """See :class:`gnnkit.devices.Device`."""
        return {"compiler": os.environ.get("CXX", "g++"), "compilations": [step.compilations for step in self._steps]}


class CompiledStep:
    """Forward, loss and backward as compiled programs, then the update.

    Args:
        module: ``forward(batch) -> (loss, outputs)``.
        optimizer: Updates the module's parameters; None only evaluates.
        clip_norm: Gradients are scaled to at most this norm; None leaves them.
        options: Settings of the device.

    Attributes:
        compilations: How often something was compiled: 0, or 1 after the first batch.
        seconds: How long that took, with the first run.
    """

    def __init__(
        self, module: nn.Module, optimizer: Optional[Optimizer], clip_norm: Optional[float], options: InductorOptions
    ) -> None:
        self.compilations = 0
        self.seconds = 0.0
        self._module = module
        self._optimizer = optimizer
        self._clip_norm = clip_norm
        self._options = options
        self._compiled: Optional[Callable[[Tuple[Tensor, ...]], Tuple[Tensor, Tensor]]] = None
        self._shapes: Tuple[Any, ...] = ()

    def __call__(self, batch: Batch) -> StepResult:
        """See :class:`gnnkit.devices.Step`.

        Raises:
            CapabilityError: The batch has other shapes than the first, or the compiler does not understand the model.
        """
        tensors, layout = batch.flatten(), batch.layout
        shapes = (layout, tuple((tensor.shape, tensor.dtype) for tensor in tensors))
        if self._compiled is not None and shapes == self._shapes:
            return self._run(tensors, batch.num_targets)
        if self._compiled is not None:
            raise CapabilityError(
                "The batch has other shapes than the one that the step was compiled for; on a device with fixed "
                "shapes bring all batches to one size with gnnkit.loading.pad_batch."
            )
        start = time.perf_counter()
        self._compiled, self._shapes = self._compile(layout), shapes
        try:
            with compiling():
                return self._run(tensors, batch.num_targets)
        except torch._dynamo.exc.TorchDynamoException as error:
            raise CapabilityError(
                f"torch.compile does not understand the model: {str(error).splitlines()[0]}. Layers of plain torch "
                "operations compile: take backend reference."
            ) from error
        finally:
            self.seconds = time.perf_counter() - start

    def pull(self) -> None:
        """Nothing to do: the module's weights are the device's."""

    def state_dict(self) -> OptimizerState:
        """See :class:`gnnkit.devices.Step`."""
        return {} if self._optimizer is None else optimizer_state(self._module, self._optimizer)

    def load_state_dict(self, state: OptimizerState) -> None:
        """See :class:`gnnkit.devices.Step`."""
        assert self._optimizer is not None, "only a training step has an optimiser"
        load_optimizer_state(self._module, self._optimizer, state)

    def _run(self, tensors: Tuple[Tensor, ...], num_targets: int) -> StepResult:
        assert self._compiled is not None
        training = self._optimizer is not None
        self._module.train(training)
        with torch.set_grad_enabled(training):
            loss, outputs = self._compiled(tensors)
        if self._optimizer is not None:
            self._optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
            if self._clip_norm is not None:
                nn.utils.clip_grad_norm_(self._module.parameters(), self._clip_norm)
            self._optimizer.step()
        return StepResult(loss.detach(), outputs.detach(), num_targets)

    def _compile(self, layout: BatchLayout) -> Callable[[Tuple[Tensor, ...]], Tuple[Tensor, Tensor]]:
        module = self._module

        def program(tensors: Tuple[Tensor, ...]) -> Any:
            return module(layout.unflatten(tensors))

        # torch counts the programs made of one piece of code and gives up at the eighth; every step gets its own copy.
        code = program.__code__.replace()
        program = FunctionType(code, program.__globals__, program.__name__, None, program.__closure__)
        compiled: Any = torch.compile(program, fullgraph=True, dynamic=False, backend=self._inductor)
        return compiled  # type: ignore[no-any-return]

    def _inductor(self, graph: Any, inputs: Any) -> Any:
        self.compilations += 1
        return torch._inductor.compile(graph, inputs, options={"fallback_random": self._options.eager_random})
