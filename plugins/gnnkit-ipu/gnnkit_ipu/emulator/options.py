"""Options of a model: what a step repeats, returns, caches and seeds.

Rules: as in ``option_groups``, which holds the nested groups.
"""

# ruff: noqa: N802 - the names are PopTorch's.
from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any, Dict, Iterable, List, Optional

import torch

from . import enums
from .errors import MemoryKeyError, NotEmulatedError, OptionError
from .option_groups import (
    OptionsDict,
    _count,
    _DistributedOptions,
    _flag,
    _JitOptions,
    _member,
    _PopartOptions,
    _PrecisionOptions,
    _TrainingOptions,
    _typed,
)
from .restrictions import refuse
from .strategies import PipelinedExecution


class ConfigFileError(Exception):
    """A line of an options file cannot be applied."""


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
            _auto_stage=enums.AutoStage.SameAsIpu,
        )
        for name, part in (
            ("Training", _TrainingOptions()),
            ("Precision", _PrecisionOptions()),
            ("Distributed", _DistributedOptions()),
            ("Jit", _JitOptions()),
            ("_Popart", _PopartOptions()),
        ):
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
        for key in available_memory_proportion:
            if not str(key).startswith("IPU") or not str(key)[3:].isdigit():
                refuse(24, f"{name} takes names such as 'IPU0', received {key!r}", error=MemoryKeyError)
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

    def anchorTensor(
        self,
        short_name: str,
        long_name: str,
        output_mode: Optional[enums.OutputMode] = None,
        output_return_period: int = 1,
    ) -> Options:
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
        """Choose how the program is spread over IPUs; of the strategies the pipeline is emulated."""
        if not isinstance(strategy, PipelinedExecution):
            refuse(24, f"setExecutionStrategy takes a PipelinedExecution(), received {strategy!r}", where="")
        return self._set("_auto_stage", strategy._auto_stage)

    def loadFromFile(self, filepath: str) -> Options:
        """Apply settings from a file: a call a line, such as ``deviceIterations(4)``, without ``options.`` before it.

        Raises:
            ConfigFileError: A line is no such call.
        """
        from gnnkit_ipu import emulator

        lines = Path(filepath).read_text(encoding="utf-8").splitlines()
        for number, line in enumerate(map(str.strip, lines), start=1):
            if line and not line.startswith("#"):
                try:
                    code = compile(f"options.{line}", filepath, "eval")
                except SyntaxError as error:
                    raise ConfigFileError(f"Line {number} of {filepath} is no setting: {line!r}.") from error
                eval(code, {"poptorch": emulator, "options": self})
        return self

    @property
    def TensorLocations(self) -> Any:
        """Where tensors lie: not emulated."""
        raise NotEmulatedError("Options.TensorLocations", "Leave it out: it decides about memory, not about numbers.")

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
