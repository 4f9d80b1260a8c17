"""Options of a model: what a step repeats, returns, caches and seeds.

Rules: every setter checks its value and returns the object; reading goes through the name in snake case
(``options.device_iterations``); an object that a model or loader uses is frozen. What changes no result on a CPU is
checked and kept, without effect. Everything wrong here is restriction 24.
"""

# ruff: noqa: N802 - the names are PopTorch's.
from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any, Dict, Iterable, List, NoReturn, Optional, Tuple, Type, TypeVar, Union

import torch

from . import enums
from .errors import FrozenOptionError, NotEmulatedError, OptionError
from .restrictions import refuse

_Self = TypeVar("_Self", bound="OptionsDict")


class ConfigFileError(Exception):
    """A line of an options file cannot be applied."""


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
        self._unknown(name, "is not assigned to, it is a call")

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
            refuse(24, "accumulationAndReplicationReductionType takes Mean or Sum, received NoReduction",
                   error=OptionError)
        return self._set("accumulation_and_replication_reduction_type", kind)

    def setMeanAccumulationAndReplicationReductionStrategy(
        self, mean_reduction_strategy: enums.MeanReductionStrategy
    ) -> _TrainingOptions:
        """Where a mean is divided; changes rounding only, kept without effect."""
        name = "setMeanAccumulationAndReplicationReductionStrategy"
        return self._set("mean_accumulation_and_replication_reduction_strategy",
                         _member(name, mean_reduction_strategy, enums.MeanReductionStrategy))

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
            refuse(24, f"option {option or '_Popart'} was changed after a model took the options",
                   error=FrozenOptionError)

    def set(self, key: str, value: Any) -> _PopartOptions:
        """Keep one setting."""
        return self._set(_typed("_Popart.set", key, str, "a name"), value)

    def setEngineOptions(self, engine_options: Dict[str, Any]) -> _PopartOptions:
        """Keep settings of the engine."""
        return self._set("engine_options", _typed("setEngineOptions", engine_options, dict, "a dictionary"))

    def setPatterns(self, patterns: Dict[str, bool], level: int = 2) -> _PopartOptions:
        """Keep switches of compiler patterns."""
        return self._set("patterns", (_typed("setPatterns", patterns, dict, "a dictionary"), level))


class Options(OptionsDict):
    """All settings of a model. Setters return the object, so that they chain.

    Example:
        >>> options = Options().deviceIterations(2)
        >>> options.Training.gradientAccumulation(4).gradient_accumulation
        4
    """

    def __init__(self) -> None:
        super().__init__(
            device_iterations=1,
            replication_factor=1,
            output_mode=enums.OutputMode.Default,
            output_return_period=1,
            random_seed=None,
            cache_path=None,
            ipu_model=False,
            offline_ipu_version=None,
            auto_round_num_ipus=False,
            broadcast_buffers=True,
            connection_type=enums.ConnectionType.Always,
            show_compilation_progress_bar=True,
            updatable_named_buffers=[],
        )
        for name, part in (("Training", _TrainingOptions()), ("Precision", _PrecisionOptions()),
                           ("Distributed", _DistributedOptions()), ("Jit", _JitOptions()),
                           ("_Popart", _PopartOptions())):
            object.__setattr__(self, f"_part_{name}", part)

    @property
    def Training(self) -> _TrainingOptions:
        """Options of training."""
        return self.__dict__["_part_Training"]  # type: ignore[no-any-return]

    @property
    def Precision(self) -> _PrecisionOptions:
        """Options of numerics."""
        return self.__dict__["_part_Precision"]  # type: ignore[no-any-return]

    @property
    def Distributed(self) -> _DistributedOptions:
        """Options of several processes."""
        return self.__dict__["_part_Distributed"]  # type: ignore[no-any-return]

    @property
    def Jit(self) -> _JitOptions:
        """Obsolete options of tracing."""
        return self.__dict__["_part_Jit"]  # type: ignore[no-any-return]

    @property
    def _Popart(self) -> _PopartOptions:
        return self.__dict__["_part__Popart"]  # type: ignore[no-any-return]

    def _freeze(self) -> None:
        super()._freeze()
        for part in (self.Training, self.Precision, self.Distributed, self.Jit, self._Popart):
            part._freeze()

    def clone(self) -> Options:
        """Return a copy that is not frozen."""
        other = Options()
        other._values.update(copy.deepcopy(self._values))
        for name in ("Training", "Precision", "Distributed", "Jit", "_Popart"):
            getattr(other, name)._values.update(copy.deepcopy(getattr(self, name)._values))
        return other

    def deviceIterations(self, device_iterations: int) -> Options:
        """Steps that one call makes."""
        return self._set("device_iterations", _count("deviceIterations", device_iterations))

    def replicationFactor(self, replication_factor: int) -> Options:
        """Copies of the model that share each step's data."""
        return self._set("replication_factor", _count("replicationFactor", replication_factor))

    def outputMode(self, output_mode: enums.OutputMode, output_return_period: Optional[int] = None) -> Options:
        """Which micro-batches' outputs come back. ``EveryN`` needs its period."""
        mode = _member("outputMode", output_mode, enums.OutputMode)
        if mode is enums.OutputMode.EveryN:
            self._set("output_return_period", _count("outputMode(EveryN, output_return_period)", output_return_period))
        return self._set("output_mode", mode)

    def defaultOutputMode(self) -> bool:
        """Whether the output mode is still unset."""
        return bool(self.output_mode is enums.OutputMode.Default)

    def enableExecutableCaching(self, path: Optional[str]) -> Options:
        """Folder in which compiled programs are remembered; None switches it off."""
        return self._set("cache_path", _typed("enableExecutableCaching", path, (str, Path, type(None)), "a folder"))

    def randomSeed(self, random_seed: int) -> Options:
        """Seed of the device's random numbers; seeds torch as well."""
        self._set("random_seed", _typed("randomSeed", random_seed, int, "a whole number"))
        torch.manual_seed(random_seed)
        return self

    def useIpuModel(self, use_model: bool) -> Options:
        """Ask for the software model of an IPU; kept without effect."""
        return self._set("ipu_model", _flag("useIpuModel", use_model))

    def useOfflineIpuTarget(self, ipu_version: int = 2) -> Options:
        """Compile without attaching: calling the model then fails."""
        if ipu_version not in (1, 2, 21):
            refuse(24, f"useOfflineIpuTarget takes 1, 2 or 21, received {ipu_version!r}", error=OptionError)
        return self._set("offline_ipu_version", ipu_version)

    def autoRoundNumIPUs(self, auto_round_num_ipus: bool = True) -> Options:
        """Reserve the next power of two of IPUs."""
        return self._set("auto_round_num_ipus", _flag("autoRoundNumIPUs", auto_round_num_ipus))

    def broadcastBuffers(self, broadcast_buffers: bool = True) -> Options:
        """Whether replicas share their buffers."""
        return self._set("broadcast_buffers", _flag("broadcastBuffers", broadcast_buffers))

    def connectionType(self, connection_type: enums.ConnectionType) -> Options:
        """When to attach to hardware; kept without effect."""
        return self._set("connection_type", _member("connectionType", connection_type, enums.ConnectionType))

    def showCompilationProgressBar(self, show: bool = True) -> Options:
        """Whether a line reports on compilation."""
        return self._set("show_compilation_progress_bar", _flag("showCompilationProgressBar", show))

    def updatableNamedBuffers(self, buffers: List[str]) -> Options:
        """Names of the buffers that ``copyNamedBuffersToDevice`` refreshes."""
        return self._set("updatable_named_buffers", list(_typed("updatableNamedBuffers", buffers, list, "a list")))

    def setAvailableMemoryProportion(self, available_memory_proportion: Dict[str, float]) -> Options:
        """Fraction of memory for temporaries, by IPU; kept without effect."""
        name = "setAvailableMemoryProportion"
        return self._set("available_memory_proportion", dict(_typed(name, available_memory_proportion, dict, "a dict")))

    def enableProfiling(self, profile_dir: Optional[str] = None) -> Options:
        """Folder for profiles; kept without effect."""
        return self._set("profile_dir", _typed("enableProfiling", profile_dir, (str, Path, type(None)), "a folder"))

    def enableStableNorm(self, enabled: bool) -> Options:
        """More accurate normalisation; kept without effect."""
        return self._set("stable_norm", _flag("enableStableNorm", enabled))

    def disableModuleNamescope(self) -> Options:
        """Shorter operator names; kept without effect."""
        return self._set("module_namescope", False)

    def modelName(self, name: str) -> Options:
        """Name in profiles; kept without effect."""
        return self._set("model_name", _typed("modelName", name, str, "a name"))

    def logDir(self, log_dir: str) -> Options:
        """Folder for logs; kept without effect."""
        return self._set("log_dir", _typed("logDir", log_dir, (str, Path), "a folder"))

    def maxRepeatLogs(self, max_lines: int) -> Options:
        """Cap on repeated log lines; kept without effect."""
        return self._set("max_repeat_logs", _count("maxRepeatLogs", max_lines, 0))

    def relaxOptimizerAttributesChecks(self, relax: bool = True) -> Options:
        """Be quiet about unknown attributes of optimisers; kept without effect."""
        return self._set("relax_optimizer_checks", _flag("relaxOptimizerAttributesChecks", relax))

    def syncPattern(self, sync_pattern: enums.SyncPattern) -> Options:
        """How IPUs wait for each other; kept without effect."""
        return self._set("sync_pattern", _member("syncPattern", sync_pattern, enums.SyncPattern))

    def useIpuId(self, ipu_id: int) -> Options:
        """Which hardware to take; kept without effect."""
        return self._set("ipu_id", _count("useIpuId", ipu_id, 0))

    def appendToLocationExcludes(self, *excludes: str) -> Options:
        """Paths to hide in compiler messages; kept without effect."""
        return self._set("location_excludes", list(self._values.get("location_excludes", [])) + list(excludes))

    def sourceLocationExcludes(self, excludes: Iterable[str]) -> Options:
        """Paths to hide in compiler messages; kept without effect."""
        return self._set("location_excludes", list(excludes))

    def anchorTensor(self, short_name: str, long_name: str, output_mode: Optional[enums.OutputMode] = None,
                     output_return_period: int = 1) -> Options:
        """Return a tensor from inside the program: not emulated."""
        raise NotEmulatedError("Options.anchorTensor", "Return the tensor from forward.")

    def logCycleCount(self, log_cycle_count: bool) -> Options:
        """Count cycles: not emulated."""
        if _flag("logCycleCount", log_cycle_count):
            raise NotEmulatedError("Options.logCycleCount", "Only hardware has cycles.")
        return self

    def enableSyntheticData(self, enabled: bool) -> Options:
        """Make data on the device: not emulated."""
        if _flag("enableSyntheticData", enabled):
            raise NotEmulatedError("Options.enableSyntheticData")
        return self

    def inputReplicaGrouping(self, input_group_size: int, input_group_type: enums.CommGroupType) -> Options:
        """Share inputs among replicas: not emulated."""
        raise NotEmulatedError("Options.inputReplicaGrouping")

    def setExecutionStrategy(self, strategy: Any) -> Options:
        """Choose another execution than the pipeline: not emulated."""
        raise NotEmulatedError("Options.setExecutionStrategy", "The pipeline (the default) is what is emulated.")

    def from_json(self, string: str) -> Options:
        """Apply settings of a JSON object, from dotted names of setters to their values.

        Example:
            >>> Options().from_json('{"Training.gradientAccumulation": 4}').Training.gradient_accumulation
            4
        """
        for name, value in json.loads(string).items():
            target: Any = self
            for part in name.split("."):
                target = getattr(target, part)
            target(*value) if isinstance(value, list) else target(value)
        return self

    def toDict(self) -> Dict[str, Any]:
        """All values in one dictionary."""
        merged = dict(self._values)
        for part in (self.Training, self.Precision, self.Distributed):
            merged.update(part._values)
        return merged
