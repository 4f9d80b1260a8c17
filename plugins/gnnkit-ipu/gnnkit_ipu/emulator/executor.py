"""Wrapped models: compile once, then run steps on the emulated device.

Rules: the host's weights change by ``copyWeightsToHost`` and what calls it: detach, destroy, and whoever reads a weight
of a module that is trained (:mod:`.wrapping`). An inference model reads the host's weights when it is compiled or
attached, on ``copyWeightsToDevice``, and when a training has brought new ones to the host.
"""

# ruff: noqa: N802, SIM905 - PopTorch's names; lists of names read better as text.
from __future__ import annotations

import datetime
import hashlib
import inspect
import json
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Tuple

import torch
from torch import nn

from gnnkit.paths import writing

from . import device_optim, optim
from .counting import count
from .dataloader import micro_batches, split
from .device import EmulatedDevice
from .enums import ConnectionType
from .errors import Error, NotEmulatedError, OfflineTargetError, UnknownBufferError
from .factories import forced_factories
from .inputs import Signature, check_inputs, check_parameters, check_same, in_order, leaves_of, named_arguments
from .layout import check_layout, in_modes, modes_of
from .options import Options
from .restrictions import refuse
from .structure import as_output, map_tensors, rebuild, tensors_of
from .tracing import Program, trace
from .wrapping import is_wrapped, unwrap, wrap

#: All that a compilation can claim.
SUCCESS = "consistent with the documented restrictions"


class PoplarExecutor:
    """A wrapped model; made by :func:`.models.trainingModel` and :func:`.models.inferenceModel`.

    Unknown attributes are those of the wrapped module.
    """

    def __init__(
        self,
        model: nn.Module,
        options: Optional[Options],
        training: bool,
        poptorch_version: str,
        optimizer: Optional[torch.optim.Optimizer] = None,
        user_model: Optional[nn.Module] = None,
    ) -> None:
        if not isinstance(model, nn.Module):
            raise Error(f"A model is a torch.nn.Module, received {type(model).__name__}.")
        if options is not None and not isinstance(options, Options):
            refuse(24, f"options are an Options object, received {type(options).__name__}", where="")
        self._user_model = model
        self._options = options or Options()
        self._training = training
        self._busy = 0
        if training:
            device_optim.check_optimizer(optimizer)
        elif self._options.Training.gradient_accumulation != 1:
            refuse(25, f"gradientAccumulation is {self._options.Training.gradient_accumulation}", where="")
        self._options._freeze()
        self._optimizer = optimizer
        self._hyper = device_optim.hyper_parameters(optimizer) if optimizer is not None else []
        self._modes = modes_of(model)
        self._seconds, self._host_version = 0.0, 0
        self._forget()
        if training:
            wrap(model, self)

    def _forget(self) -> None:
        self._program: Optional[Program] = None
        self._device: Optional[EmulatedDevice] = None
        self._signature: Optional[Signature] = None
        self._arguments: Dict[str, Any] = {}
        self._attached = False
        self._host_is_stale = False

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or "_user_model" not in self.__dict__:
            raise AttributeError(name)
        if name in _NOT_EMULATED:
            raise NotEmulatedError(f"PoplarExecutor.{name}")
        return getattr(self._user_model, name)

    @property
    def model(self) -> nn.Module:
        """The wrapped module."""
        return self._user_model

    @property
    def options(self) -> Options:
        """The frozen options."""
        return self._options

    @property
    def rng_state(self) -> List[int]:
        """Seed and state of the device's random numbers."""
        device = self._compiled("rng_state")
        return [device.random_seed, *device.random_state.tolist()]

    @rng_state.setter
    def rng_state(self, state: List[int]) -> None:
        device = self._compiled("rng_state")
        device.random_seed, device.random_state = state[0], torch.tensor(state[1:], dtype=torch.uint8)

    @contextmanager
    def _working(self) -> Iterator[None]:
        """A context in which reading weights fetches nothing, because the model itself handles them."""
        self._busy += 1
        try:
            yield
        finally:
            self._busy -= 1

    def _fetch(self) -> None:
        """What a weight on the host does before it is read."""
        if not self._busy:
            self.copyWeightsToHostIfNeeded()

    # Compilation

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Compile for arguments of these shapes, without running.

        Raises:
            RestrictionError: The program breaks a restriction.
        """
        self._compile(named_arguments(self._user_model, args, kwargs))

    def _compile(self, arguments: Dict[str, Any]) -> None:
        started = time.perf_counter()
        if self._training and not is_wrapped(self._user_model):
            wrap(self._user_model, self)  # Again after destroy.
        self._copy_from_training()
        self._check_modes()
        parts = micro_batches(self._options)
        with self._working():
            signature = check_inputs(leaves_of(arguments), parts)
            check_parameters(self._user_model)
            first = rebuild(arguments, [split(t, parts)[0] for t in tensors_of(arguments)])
            with forced_factories():
                program = trace(self._user_model, *self._call_form(first), self._training)
            check_layout(program, self._options, self._training)
            self._device = EmulatedDevice(
                self._user_model, program, self._options, self._optimizer if self._training else None
            )
        count("compilations")
        if isinstance(self._optimizer, optim.Optimizer):
            self._optimizer._device = self._device
        self._program, self._signature, self._arguments = program, signature, arguments
        self._modes = modes_of(self._user_model)
        self._attached = not self._is_offline
        if self._attached:
            count("to_device")
        cached = self._remember(program, signature)
        self._seconds = time.perf_counter() - started
        if self._options.show_compilation_progress_bar:
            how = "found in the cache" if cached else f"compiled in {self._seconds:.2f} s"
            print(
                f"Graph compilation (emulated): {how}, {len(program.operators)} operators, {SUCCESS}.", file=sys.stderr
            )

    @property
    def _is_offline(self) -> bool:
        options = self._options
        return options.offline_ipu_version is not None or options.connection_type is ConnectionType.Never

    def _copy_from_training(self) -> bool:
        """Bring the weights of the module's training to the host; whether there are others since the last time."""
        if self._training or not is_wrapped(self._user_model):
            return False
        self._user_model.copyWeightsToHostIfNeeded()  # type: ignore[operator]
        version, self._host_version = self._host_version, self._user_model._host_version()  # type: ignore[operator]
        return bool(version != self._host_version)

    def _remember(self, program: Program, signature: Signature) -> bool:
        """Write a record of the program into the cache folder; whether it was there."""
        if self._options.cache_path is None:
            return False
        folder = Path(self._options.cache_path)
        text = repr((program.operators, signature, self._training, sorted(map(str, self._options.toDict().items()))))
        path = folder / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.emulated.json"
        if path.exists():
            return True
        with writing(path):
            path.write_text(json.dumps({"operators": program.operators, "claim": SUCCESS}, indent=1), encoding="utf-8")
        return False

    def _call_form(self, arguments: Dict[str, Any]) -> Tuple[Tuple[Any, ...], Dict[str, Any]]:
        bound = inspect.BoundArguments(inspect.signature(self._user_model.forward), arguments)
        return bound.args, bound.kwargs

    def isCompiled(self) -> bool:
        """Whether the model is compiled."""
        return self._program is not None

    def compilationTime(self) -> datetime.timedelta:
        """How long compilation took."""
        self._compiled("compilationTime")
        if not self._options.show_compilation_progress_bar:
            raise Error("compilationTime is known with showCompilationProgressBar(True) only.")
        return datetime.timedelta(seconds=self._seconds)

    def _compiled(self, what: str) -> EmulatedDevice:
        if self._device is None:
            refuse(27, f"{what} was used before compilation", where="")
        return self._device

    def _check_modes(self) -> None:
        if self._modes != modes_of(self._user_model):
            now = "train" if self._user_model.training else "eval"
            refuse(
                28,
                f"{type(self._user_model).__name__} or a layer of it was switched after wrapping and is in {now}() now",
                where="",
            )

    # Running

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run one call: compile on first use, check the arguments, step.

        Returns:
            What forward returns, joined as the output mode says; 64-bit numbers as 32-bit ones.
        """
        if self._is_offline:
            raise OfflineTargetError("The model is for an offline target: it can be compiled, and cannot be called.")
        with self._working():
            arguments = named_arguments(self._user_model, args, kwargs)
        if self._program is None:
            self._compile(arguments)
        else:
            assert self._signature is not None
            check_same(self._signature, check_inputs(leaves_of(arguments), 1))
            arguments = in_order(arguments, self._arguments)
        if self._training and device_optim.have_changed(self._hyper, self._optimizer):
            refuse(23, "the optimiser's hyper-parameters changed since the last setOptimizer", where="")
        if not self._attached:
            self.attachToDevice()
        if self._copy_from_training():
            self.copyWeightsToDevice()
        with self._working(), in_modes(self._user_model, self._modes):
            out = self._compiled("a call").run(arguments, self._call_form)
        count("executions")
        self._host_is_stale = self._training
        return map_tensors(as_output, out)

    def setOptimizer(self, optimizer: torch.optim.Optimizer) -> None:
        """Take over the hyper-parameters of an optimiser of the same kind; the state stays on the device.

        Raises:
            RestrictionError: A value that is compiled in differs, or the optimiser is of another kind.
        """
        device_optim.check_optimizer(optimizer)
        if self._device is not None:
            if type(optimizer) is not type(self._optimizer):
                refuse(
                    23,
                    f"the optimiser was {type(self._optimizer).__name__} and is {type(optimizer).__name__}",
                    where="",
                )
            name = device_optim.changed_constant(self._optimizer, self._hyper, optimizer)
            if name:
                refuse(23, f"{name!r} is compiled in as a constant", where="")
            self._device.set_hyper_parameters(optimizer)
            if isinstance(optimizer, optim.Optimizer):
                optimizer._device = self._device
        self._optimizer = optimizer
        self._hyper = device_optim.hyper_parameters(optimizer)

    # Weights

    def copyWeightsToHost(self) -> None:
        """Copy parameters and buffers from the device into the module."""
        device = self._compiled("copyWeightsToHost")
        self._host_is_stale = False
        with self._working():
            device.download()
        self._host_version += 1
        count("to_host")

    def copyWeightsToHostIfNeeded(self) -> bool:
        """Copy the weights only if the device's are newer; whether it did."""
        stale = self._host_is_stale
        if stale:
            self.copyWeightsToHost()
        return stale

    def copyWeightsToDevice(self) -> None:
        """Copy the module's parameters and buffers to the device."""
        device = self._compiled("copyWeightsToDevice")
        self._host_is_stale = False
        device.upload()
        count("to_device")

    def copyNamedBuffersToDevice(self) -> None:
        """Copy the buffers named in ``Options.updatableNamedBuffers`` to the device."""
        device = self._compiled("copyNamedBuffersToDevice")
        names, known = self._options.updatable_named_buffers, dict(self._user_model.named_buffers())
        if not names:
            raise Error("copyNamedBuffersToDevice needs the names in Options.updatableNamedBuffers.")
        unknown = [name for name in names if name not in known]
        if unknown:
            raise UnknownBufferError(
                f"updatableNamedBuffers has {', '.join(unknown)}; the model has {', '.join(known)}."
            )
        self._host_is_stale = False
        device.upload_buffers(names)

    def state_dict(
        self, *args: Any, destination: Any = None, prefix: str = "", keep_vars: bool = False
    ) -> Dict[str, Any]:
        """State of the module, after the device's weights were fetched."""
        self.copyWeightsToHostIfNeeded()
        settings = {"destination": destination, "prefix": prefix, "keep_vars": keep_vars}
        return self._user_model.state_dict(*args, **settings)

    def load_state_dict(self, state_dict: Dict[str, Any], strict: bool = True) -> Any:
        """Load a state into the module and onto the device."""
        result = self._user_model.load_state_dict(state_dict, strict)
        if self._device is not None:
            self.copyWeightsToDevice()
        return result

    def parameters(self, recurse: bool = True) -> Any:
        """Parameters of the module, on the host."""
        return self._user_model.parameters(recurse)

    def train(self, mode: bool = True) -> PoplarExecutor:
        """Switch the module; a wrapped model refuses to run in another mode than it was wrapped in."""
        self._user_model.train(mode)
        return self

    def eval(self) -> PoplarExecutor:
        """Switch the module to evaluation; see ``train``."""
        return self.train(False)

    # Devices

    def isAttachedToDevice(self) -> bool:
        """Whether the model holds a device."""
        return self._attached

    def attachToDevice(self) -> None:
        """Take the device again, with the host's weights.

        Raises:
            Error: The model is attached already, or its target is offline.
        """
        device = self._compiled("attachToDevice")
        if self._attached or self._is_offline:
            raise Error("attachToDevice: the model is attached already, or its target is offline.")
        self._host_is_stale = False
        device.upload()
        count("to_device")
        self._attached = True

    def detachFromDevice(self) -> None:
        """Fetch the weights and let the device go.

        Raises:
            Error: The model is not attached.
        """
        self._compiled("detachFromDevice")
        if not self._attached:
            raise Error("detachFromDevice: the model is not attached.")
        self.copyWeightsToHostIfNeeded()
        self._attached = False

    def destroy(self) -> None:
        """Fetch the weights, forget the program and unwrap the module; it can be wrapped or compiled again.

        Before a compilation it does nothing: the module stays wrapped.
        """
        if not self.isCompiled():
            return
        self.copyWeightsToHostIfNeeded()
        if isinstance(self._optimizer, optim.Optimizer) and self._device is not None:
            self._optimizer._loaded_state = self._device.optimizer_state()
            self._optimizer._device = None
        self._forget()
        if self._training:
            unwrap(self._user_model)


_NOT_EMULATED = frozenset(
    "compileAndExport cycleCount getAnchoredTensor getComputeLatency getHostIpuLatency getIpuHostLatency getLatency "
    "getPerfCounters getTensorNames loadExecutable save".split()
)
