"""Groups of options below :class:`Options`, and what all groups have in common.

Rules: every setter checks its value and returns the object; reading goes through the name in snake case
(``options.device_iterations``); an object that a model or loader uses is frozen. What changes no result on a CPU is
checked and kept, without effect. Everything wrong here is restriction 24.
"""

# ruff: noqa: N802 - the names are PopTorch's.
from __future__ import annotations

from typing import Any, Dict, NoReturn, Optional, Tuple, Type, TypeVar, Union

import torch

from . import enums
from .errors import FrozenOptionError, NotEmulatedError, OptionError
from .restrictions import refuse

_Self = TypeVar("_Self", bound="OptionsDict")


class OptionsDict:
    """Values by name that can be frozen.

    Raises:
        FrozenOptionError: An unknown name is read, a name is assigned, or a frozen object is changed.
    """

    _values: Dict[str, Any]
    _frozen: bool

    def __init__(self, **values: Any) -> None:
        object.__setattr__(self, "_values", dict(values))
        object.__setattr__(self, "_frozen", False)

    def __getattr__(self, name: str) -> Any:
        values = self.__dict__.get("_values", {})
        if name in values:
            return values[name]
        if name.startswith("__") or "_values" not in self.__dict__:
            raise AttributeError(name)
        return self._unknown(name)

    def __setattr__(self, name: str, value: Any) -> None:
        """Assign a value, as ``options.replication_factor = 2``; its type stays that of the one that was there."""
        if name not in self._values:
            self._unknown(name)
        old = self._values[name]
        if old is not None and type(value) is not type(old):
            refuse(24, f"{name} takes a {type(old).__name__}, received {value!r}", error=OptionError)
        self._set(name, value)

    def _unknown(self, name: str, why: str = "is not an option") -> NoReturn:
        known = ", ".join(sorted(n for n in dir(type(self)) if not n.startswith("_")))
        refuse(24, f"{name!r} {why}. Known: {known}", error=FrozenOptionError)

    def _set(self: _Self, name: str, value: Any) -> _Self:
        if self._frozen:
            refuse(24, f"option {name!r} was changed after a model or loader took the options", error=FrozenOptionError)
        self._values[name] = value
        return self

    def _freeze(self) -> None:
        object.__setattr__(self, "_frozen", True)


def _typed(option: str, value: Any, kind: Union[type, Tuple[type, ...]], what: str) -> Any:
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is int):
        refuse(24, f"{option} takes {what}, received {value!r} of type {type(value).__name__}", error=OptionError)
    return value


def _count(option: str, value: Any, least: int = 1) -> int:
    _typed(option, value, int, "a whole number")
    if value < least:
        refuse(24, f"{option} takes a whole number of at least {least}, received {value}", error=OptionError)
    return int(value)


def _flag(option: str, value: Any) -> bool:
    return bool(_typed(option, value, bool, "True or False"))


def _member(option: str, value: Any, kind: Type[Any]) -> Any:
    return _typed(option, value, kind, f"a member of {kind.__name__}")


class _TrainingOptions(OptionsDict):
    """Options of training."""

    def __init__(self) -> None:
        super().__init__(
            gradient_accumulation=1,
            accumulation_and_replication_reduction_type=enums.ReductionType.Mean,
            mean_accumulation_and_replication_reduction_strategy=enums.MeanReductionStrategy.Post,
            auto_loss_scaling=False,
            convolution_dithering=False,
        )

    def gradientAccumulation(self, gradient_accumulation: int) -> _TrainingOptions:
        """Micro-batches whose gradients are joined before an update."""
        return self._set("gradient_accumulation", _count("gradientAccumulation", gradient_accumulation))

    def accumulationAndReplicationReductionType(self, reduction_type: enums.ReductionType) -> _TrainingOptions:
        """Mean (default) or sum of the gradients of micro-batches and replicas."""
        kind = _member("accumulationAndReplicationReductionType", reduction_type, enums.ReductionType)
        if kind is enums.ReductionType.NoReduction:
            refuse(
                24, "accumulationAndReplicationReductionType takes Mean or Sum, received NoReduction", error=OptionError
            )
        return self._set("accumulation_and_replication_reduction_type", kind)

    def setMeanAccumulationAndReplicationReductionStrategy(
        self, mean_reduction_strategy: enums.MeanReductionStrategy
    ) -> _TrainingOptions:
        """Where a mean is divided; changes rounding only, kept without effect."""
        name = "setMeanAccumulationAndReplicationReductionStrategy"
        return self._set(
            "mean_accumulation_and_replication_reduction_strategy",
            _member(name, mean_reduction_strategy, enums.MeanReductionStrategy),
        )

    def setAutomaticLossScaling(self, enabled: bool) -> _TrainingOptions:
        """Loss scaling for float16; kept without effect."""
        return self._set("auto_loss_scaling", _flag("setAutomaticLossScaling", enabled))

    def setConvolutionDithering(self, enabled: bool) -> _TrainingOptions:
        """Placement of convolutions; kept without effect."""
        return self._set("convolution_dithering", _flag("setConvolutionDithering", enabled))


class _PrecisionOptions(OptionsDict):
    """Options of numerics."""

    def __init__(self) -> None:
        super().__init__(floating_point_exceptions=False, stochastic_rounding=False, partials_type=torch.float32)

    def enableFloatingPointExceptions(self, enabled: bool) -> _PrecisionOptions:
        """Stop where a loss, a gradient or an output is NaN or infinite."""
        return self._set("floating_point_exceptions", _flag("enableFloatingPointExceptions", enabled))

    def enableStochasticRounding(self, enabled: bool) -> _PrecisionOptions:
        """Random rounding to float16; kept without effect."""
        return self._set("stochastic_rounding", _flag("enableStochasticRounding", enabled))

    def setPartialsType(self, dtype: torch.dtype) -> _PrecisionOptions:
        """float32 or float16 sums in products; kept without effect."""
        if dtype not in (torch.float32, torch.float16):
            refuse(24, f"setPartialsType takes torch.float or torch.half, received {dtype!r}", error=OptionError)
        return self._set("partials_type", dtype)


class _DistributedOptions(OptionsDict):
    """Options of several processes: the emulator is one process."""

    def __init__(self) -> None:
        super().__init__(num_distributed_processes=1, distributed_process_id=0)

    @property
    def numProcesses(self) -> int:
        """Number of processes."""
        return 1

    @property
    def processId(self) -> int:
        """Index of this process."""
        return 0

    def disable(self) -> _DistributedOptions:
        """Use one process."""
        return self

    def configureProcessId(self, process_id: int, num_processes: int) -> _DistributedOptions:
        """Use several processes: not emulated."""
        if (process_id, num_processes) != (0, 1):
            raise NotEmulatedError("Options.Distributed.configureProcessId", "Use one process.")
        return self


class _JitOptions(OptionsDict):
    """Obsolete options of tracing."""

    def traceModel(self, trace_model: bool) -> _JitOptions:
        """Accept False only."""
        if trace_model is not False:
            refuse(24, f"Jit.traceModel takes False only, received {trace_model!r}", error=OptionError)
        return self


class _PopartOptions(OptionsDict):
    """Raw settings of the compiler, kept without effect."""

    def checkIsFrozen(self, option: Optional[str] = None) -> None:
        """Raise if the options are in use."""
        if self._frozen:
            refuse(
                24, f"option {option or '_Popart'} was changed after a model took the options", error=FrozenOptionError
            )

    def set(self, key: str, value: Any) -> _PopartOptions:
        """Keep one setting."""
        return self._set(_typed("_Popart.set", key, str, "a name"), value)

    def setEngineOptions(self, engine_options: Dict[str, Any]) -> _PopartOptions:
        """Keep settings of the engine."""
        return self._set("engine_options", _typed("setEngineOptions", engine_options, dict, "a dictionary"))

    def setPatterns(self, patterns: Dict[str, bool], level: int = 2) -> _PopartOptions:
        """Keep switches of compiler patterns."""
        return self._set("patterns", (_typed("setPatterns", patterns, dict, "a dictionary"), level))
