"""The device ``cpu``."""

from __future__ import annotations

import platform
import resource
import sys
from typing import Any, ClassVar, Dict

import torch

from gnnkit.availability import READY, Availability
from gnnkit.devices.base import DeviceCapabilities
from gnnkit.devices.eager import EAGER_TASKS, EagerDevice


class CpuDevice(EagerDevice):
    """The processor. Always there."""

    name: ClassVar[str] = "cpu"
    capabilities: ClassVar[DeviceCapabilities] = DeviceCapabilities("cpu", tasks=EAGER_TASKS, uses_host=True)

    @classmethod
    def probe(cls) -> Availability:
        """See :class:`Device`."""
        return Availability(READY, f"{torch.get_num_threads()} threads, torch {torch.__version__}")

    def memory(self) -> Dict[str, int]:
        """Peak resident memory of this process, in bytes."""
        unit = 1 if sys.platform == "darwin" else 1024
        return {"peak_resident": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit}

    def describe(self) -> Dict[str, Any]:
        """See :class:`Device`."""
        return {"processor": platform.processor() or platform.machine(), "threads": torch.get_num_threads()}
