"""Settings of the devices ``ipu`` and ``ipu-emulator``: the ``device_options`` of a run.

Rules: every setting has one name, one type and one default here, and becomes a call of PopTorch's ``Options`` in
:meth:`IpuOptions.native`. What is wrong is said before anything is compiled.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Mapping, Optional

import torch

from gnnkit.errors import ConfigError, FileError, UnknownNameError
from gnnkit.paths import check_writable, user_path, writing

OUTPUT_MODES = ("all", "final", "sum")
IPU_VERSIONS = (1, 2, 21)
_CACHE = "device_options.executable_cache"


@dataclass(frozen=True)
class IpuOptions:
    """What a user can set for an IPU.

    Attributes:
        device_iterations: Batches that are trained on, one after the other, in one call of the program.
        gradient_accumulation: Batches whose gradients are averaged before the weights are updated.
        replication_factor: Copies of the model on as many IPUs, each with batches of its own.
        max_ipus: IPUs that a run may hold at a time. Where there are enough for training and evaluation, both stay on
            their own and weights travel less; else, and so with 1, they take turns. None: as many as there are.
        broadcast_buffers: Whether replicas keep one set of buffers. Models that change theirs, as batch normalisation
            does, need false: the statistics of the first replica are then kept.
        output_mode: Which losses come back where a call takes several batches: "all"; "final", the last one's, which
            then stands for all; or "sum", whose mean then stands for all.
        executable_cache: Folder in which compiled programs are kept. None keeps none.
        random_seed: Seed of dropout on the device. None takes the run's.
        floating_point_exceptions: Whether to stop at a number that is NaN or infinite.
        ipu_model: Whether to run on the SDK's software model instead of hardware.
        offline_target: Generation of IPUs (1, 2 or 21) to compile for without having one; nothing can run then.
    """

    device_iterations: int = 1
    gradient_accumulation: int = 1
    replication_factor: int = 1
    max_ipus: Optional[int] = None
    broadcast_buffers: bool = True
    output_mode: str = "all"
    executable_cache: Optional[str] = None
    random_seed: Optional[int] = None
    floating_point_exceptions: bool = False
    ipu_model: bool = False
    offline_target: Optional[int] = None

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> IpuOptions:
        """Check what a user gave.

        Args:
            values: Settings by name.

        Raises:
            UnknownNameError: A name that is not here.
            ConfigError: A value of the wrong type or size, or two that contradict each other.

        Example:
            >>> IpuOptions.from_mapping({"device_iterations": 4}).batches_per_call
            4
        """
        known = [field.name for field in fields(cls)]
        for name, value in values.items():
            if name not in known:
                raise UnknownNameError("device option", name, known)
            _check(name, value)
        options = cls(**values)
        if options.executable_cache is not None:
            try:
                check_writable(user_path(options.executable_cache, _CACHE), as_folder=True)
            except FileError as error:
                raise ConfigError(f"{_CACHE}: {error}") from error
        if options.max_ipus is not None and options.max_ipus < options.replication_factor:
            raise ConfigError(
                f"device_options.max_ipus is {options.max_ipus}, but replication_factor takes "
                f"{options.replication_factor} IPUs. Raise the one or lower the other."
            )
        if options.ipu_model and options.offline_target is not None:
            raise ConfigError("device_options.ipu_model and device_options.offline_target exclude each other.")
        if options.offline_target is not None and options.executable_cache is None:
            raise ConfigError(
                "device_options.offline_target compiles and runs nothing; give device_options.executable_cache, the "
                "folder in which the compiled program is to be kept."
            )
        return options

    @property
    def batches_per_call(self) -> int:
        """Batches that one call of the training program takes."""
        return self.device_iterations * self.gradient_accumulation * self.replication_factor

    def native(self, poptorch: Any, *, training: bool) -> Any:
        """A new ``poptorch.Options``; evaluation takes one batch per call, whatever training does.

        Args:
            poptorch: PopTorch or its emulator.
            training: Whether the options are for a training program.
        """
        native = poptorch.Options()
        native.Precision.enableFloatingPointExceptions(self.floating_point_exceptions)
        seed = torch.initial_seed() & 0x7FFFFFFF if self.random_seed is None else self.random_seed
        with torch.random.fork_rng(devices=[]):  # PopTorch seeds torch on the host, too.
            native.randomSeed(seed)
        if self.executable_cache is not None:
            folder = user_path(self.executable_cache, _CACHE)
            with writing(folder):  # Said now, and not after a compilation.
                folder.mkdir(parents=True, exist_ok=True)
            native.enableExecutableCaching(str(folder))
        if self.ipu_model:
            native.useIpuModel(True)
        if self.offline_target is not None:
            native.useOfflineIpuTarget(self.offline_target)
        if training:
            native.deviceIterations(self.device_iterations)
            native.replicationFactor(self.replication_factor)
            native.broadcastBuffers(self.broadcast_buffers)
            native.Training.gradientAccumulation(self.gradient_accumulation)
            modes = poptorch.OutputMode
            native.outputMode({"all": modes.All, "final": modes.Final, "sum": modes.Sum}[self.output_mode])
        return native


def _check(name: str, value: Any) -> None:
    whole = isinstance(value, int) and not isinstance(value, bool)
    accepted, expected = {
        "device_iterations": (whole and value >= 1, "a whole number of at least 1"),
        "gradient_accumulation": (whole and value >= 1, "a whole number of at least 1"),
        "replication_factor": (whole and value >= 1, "a whole number of at least 1"),
        "max_ipus": (value is None or (whole and value >= 1), "a whole number of at least 1"),
        "broadcast_buffers": (isinstance(value, bool), "true or false"),
        "output_mode": (value in OUTPUT_MODES, f"one of {', '.join(OUTPUT_MODES)}"),
        "executable_cache": (value is None or isinstance(value, str), "a folder, as text"),
        "random_seed": (value is None or (whole and 0 <= value < 2**31), "a whole number from 0 to 2147483647"),
        "floating_point_exceptions": (isinstance(value, bool), "true or false"),
        "ipu_model": (isinstance(value, bool), "true or false"),
        "offline_target": (value is None or (whole and value in IPU_VERSIONS), "a generation of IPUs: 1, 2 or 21"),
    }[name]
    if not accepted:
        raise ConfigError(f"device_options.{name} is {value!r}, expected {expected}.")
