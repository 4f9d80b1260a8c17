"""The device ``cpu``."""

from __future__ import annotations

import platform
import resource
import sys
from dataclasses import dataclass
from typing import Any, ClassVar, ContextManager, Dict, Mapping, Type

import torch

from gnnkit.availability import READY, Availability
from gnnkit.devices.base import DeviceCapabilities, StepOptions
from gnnkit.devices.eager import EAGER_TASKS, EagerDevice
from gnnkit.devices.products import OneDnnProducts, has_onednn, onednn_is_faster
from gnnkit.errors import ConfigError

PRODUCTS = ("auto", "torch", "onednn")


@dataclass(frozen=True)
class CpuOptions:
    """What a user can set for the processor.

    Attributes:
        products: Who multiplies large matrices in float32: "torch" as torch does by itself, "onednn", or "auto": oneDNN
            where torch would leave AVX-512 unused, on processors that are not Intel's. Results differ by rounding.
    """

    products: str = "auto"


class CpuDevice(EagerDevice):
    """The processor. Always there."""

    name: ClassVar[str] = "cpu"
    capabilities: ClassVar[DeviceCapabilities] = DeviceCapabilities("cpu", tasks=EAGER_TASKS, uses_host=True)
    options_class: ClassVar[Type[Any]] = CpuOptions
    options: CpuOptions = CpuOptions()

    @classmethod
    def probe(cls) -> Availability:
        """See :class:`Device`."""
        return Availability(READY, f"{torch.get_num_threads()} threads, torch {torch.__version__}")

    def configure(self, options: Mapping[str, Any]) -> None:
        """See :class:`Device`."""
        super().configure(options)
        if self.options.products not in PRODUCTS:
            raise ConfigError(f"products is {self.options.products!r}; expected one of {', '.join(PRODUCTS)}.")
        if self.options.products == "onednn" and not has_onednn():
            raise ConfigError(
                f"products is 'onednn', but torch {torch.__version__} cannot multiply with it; leave it at 'auto'."
            )

    def forward_mode(self, options: StepOptions) -> ContextManager[Any]:
        """See :class:`EagerDevice`."""
        takes_onednn = onednn_is_faster() if self.options.products == "auto" else self.options.products == "onednn"
        if takes_onednn and options.precision == "float32":
            return OneDnnProducts()
        return super().forward_mode(options)

    def memory(self) -> Dict[str, int]:
        """Peak resident memory of this process, in bytes."""
        unit = 1 if sys.platform == "darwin" else 1024
        return {"peak_resident": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit}

    def describe(self) -> Dict[str, Any]:
        """See :class:`Device`."""
        return {"processor": platform.processor() or platform.machine(), "threads": torch.get_num_threads()}
