"""The devices ``ipu`` and ``ipu-emulator``: one class, with PopTorch or with its emulator below.

Rules: several programs (training, evaluation) share a device; :mod:`.seats` says which of them are attached. Batches
stay in host memory; PopTorch copies them when a program is called.
"""

from __future__ import annotations

import logging
from typing import Any, Callable, ClassVar, ContextManager, Dict, Mapping, Optional, Type

import torch
from torch import nn
from torch.optim import Optimizer

from gnnkit.availability import READY, Availability
from gnnkit.data import Batch
from gnnkit.devices import Device, DeviceCapabilities, StepOptions, deterministic_torch
from gnnkit.errors import DataError
from gnnkit_ipu import poptorch
from gnnkit_ipu.optimizer import OPTIMIZERS
from gnnkit_ipu.options import IpuOptions
from gnnkit_ipu.program import Program
from gnnkit_ipu.seats import Seats

_LOG = logging.getLogger(__name__)
_INT32 = torch.iinfo(torch.int32)


class IpuDevice(Device):
    """Graphcore's IPUs, by PopTorch.

    Raises:
        NotInstalledError: PopTorch is not installed.
        BrokenPluginError: PopTorch cannot be imported.
    """

    name: ClassVar[str] = "ipu"
    api_version: ClassVar[int] = 1
    priority: ClassVar[int] = 20
    capabilities: ClassVar[DeviceCapabilities] = DeviceCapabilities(
        "ipu", dtypes=frozenset({"float32"}), static_shapes=True, optimizers=OPTIMIZERS
    )
    options_class: ClassVar[Type[Any]] = IpuOptions
    resolve: ClassVar[Callable[[], Any]] = staticmethod(poptorch.hardware)

    def __init__(self) -> None:
        self.options = IpuOptions()
        self._poptorch = type(self).resolve()
        self._seats = Seats(self._poptorch)

    @classmethod
    def probe(cls) -> Availability:
        """See :class:`gnnkit.devices.Device`."""
        return poptorch.probe_hardware()

    @classmethod
    def runs_without_hardware(cls, options: Mapping[str, Any]) -> bool:
        """See :class:`gnnkit.devices.Device`."""
        chosen = IpuOptions.from_mapping(options)
        return chosen.ipu_model or chosen.offline_target is not None

    @classmethod
    def batches_per_call(cls, options: Mapping[str, Any]) -> int:
        """See :class:`gnnkit.devices.Device`."""
        return IpuOptions.from_mapping(options).batches_per_call

    def configure(self, options: Mapping[str, Any]) -> None:
        """See :class:`gnnkit.devices.Device` and :class:`gnnkit_ipu.options.IpuOptions`."""
        self.options = IpuOptions.from_mapping(options)
        self._seats.most = self.options.max_ipus

    def put(self, batch: Batch) -> Batch:
        """Check that labels fit into the 32 bits that an IPU gives a whole number.

        Raises:
            DataError: One does not.
        """
        y = None if batch.targets is None else batch.targets.y
        if y is not None and y.dtype == torch.int64 and y.numel():
            outside = (y < _INT32.min) | (y > _INT32.max)
            if bool(outside.any()):
                row = int(outside.nonzero()[0, 0])
                raise DataError(
                    "y",
                    f"the label {int(y.reshape(-1)[outside.reshape(-1)][0])} does not fit into 32 bits, as an IPU has.",
                    row=row,
                    fix="Number the classes from 0.",
                )
        return batch

    def prepare(self, module: nn.Module, optimizer: Optional[Optimizer], options: StepOptions) -> Program:
        """See :class:`gnnkit.devices.Device`; the program is compiled at its first batch.

        Raises:
            CapabilityError: The IPU does not have the precision, the optimiser or the clipping.
        """
        program = Program(self._poptorch, module, optimizer, options, self.options, self._seats)
        self._seats.programs.append(program)
        return program

    def synchronize(self) -> None:
        """Run batches that still wait for a call to be full."""
        for program in self._seats.programs:
            program.flush()

    def compile_seconds(self) -> float:
        """See :class:`gnnkit.devices.Device`."""
        return sum(program.seconds for program in self._seats.programs)

    def describe(self) -> Dict[str, Any]:
        """Version of PopTorch."""
        return {"poptorch": poptorch.version()}

    def close(self) -> None:
        """Detach, whatever has happened."""
        for program in self._seats.programs:
            try:
                program.close()
            except Exception as error:  # An error before this one matters more; it must not be lost.
                _LOG.warning("Detaching from the IPU failed: %s", error)
        self._seats.programs.clear()


class IpuEmulatorDevice(IpuDevice):
    """PopTorch's documented restrictions, enforced on the processor. What passes is consistent with them, no more."""

    name: ClassVar[str] = "ipu-emulator"
    priority: ClassVar[int] = 1
    capabilities: ClassVar[DeviceCapabilities] = DeviceCapabilities(
        "ipu", dtypes=frozenset({"float32"}), static_shapes=True, stands_in_for="ipu", optimizers=OPTIMIZERS
    )
    resolve: ClassVar[Callable[[], Any]] = staticmethod(poptorch.emulator)

    @classmethod
    def probe(cls) -> Availability:
        """See :class:`gnnkit.devices.Device`."""
        return Availability(
            READY, f"the documented restrictions of PopTorch {poptorch.SDK_RELEASE}, on the processor; no IPU is used"
        )

    def deterministic(self, report: Callable[[str], None]) -> ContextManager[None]:
        """See :class:`gnnkit.devices.Device`; the emulator computes with torch on the processor."""
        return deterministic_torch(report)

    def describe(self) -> Dict[str, Any]:
        """What is emulated."""
        return {"emulates": f"PopTorch {poptorch.SDK_RELEASE}", "torch": torch.__version__}
