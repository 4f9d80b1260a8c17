"""The device ``cpu``."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Callable, ClassVar, ContextManager, Dict, Iterator, Mapping, Optional, Sequence, Type

import torch
from torch import nn
from torch.optim import Adam, Optimizer

from gnnkit.availability import READY, Availability
from gnnkit.devices.base import UPDATES, DeviceCapabilities, StepOptions, Way
from gnnkit.devices.denormals import flushing_denormals
from gnnkit.devices.eager import EAGER_OFFERS, EagerDevice, EagerStep
from gnnkit.devices.optimizers import eager_class
from gnnkit.devices.processor import processor_name
from gnnkit.devices.product_choice import MIXED, ONEDNN, TORCH, WIDENED, product_choice
from gnnkit.devices.products import OneDnnProducts, has_onednn, has_packing, onednn_products
from gnnkit.devices.resident import peak_resident
from gnnkit.devices.sparse import optimizer_parts
from gnnkit.devices.widened import WidenedProducts, widened_products
from gnnkit.errors import ConfigError
from gnnkit.io.memory import available_memory
from gnnkit.nn.dropout import masks_on_host
from gnnkit.nn.packed import packing

AUTO = "auto"
PRODUCTS = {
    "products": (AUTO, TORCH, ONEDNN, MIXED),
    "bfloat16_products": (AUTO, TORCH, WIDENED),
}
"""Options that say how matrices are multiplied, and their values."""


@dataclass(frozen=True)
class CpuOptions:
    """What a user can set for the processor.

    Attributes:
        products: Who multiplies large matrices in float32: "torch" as torch does by itself, "onednn", "mixed", which
            takes oneDNN for layers of wide features, or "auto", the fastest: the first run on a machine measures that
            in half a second. Results differ by rounding. A run's configuration records which it was.
        bfloat16_products: How matrices are multiplied with ``precision="bfloat16"``: by "torch", "widened" to float32,
            which is many times faster on processors without instructions for bfloat16, or "auto", the faster one,
            measured and recorded in the same way.
    """

    products: str = AUTO
    bfloat16_products: str = AUTO

    def __post_init__(self) -> None:
        for name, known in PRODUCTS.items():
            value = getattr(self, name)
            if value not in known:
                raise ConfigError(f"{name} is {value!r}; expected one of {', '.join(known)}.")
        if not _can_multiply(self.products):
            problem = f"products is {self.products!r}, but torch {torch.__version__} cannot multiply with it"
            raise ConfigError(f"{problem}; take device_options.products=auto.")


class CpuDevice(EagerDevice):
    """The processor. Always there."""

    name: ClassVar[str] = "cpu"
    capabilities: ClassVar[DeviceCapabilities] = DeviceCapabilities(
        "cpu", offers=EAGER_OFFERS, uses_host=True, updates=UPDATES
    )
    options_class: ClassVar[Type[Any]] = CpuOptions
    # Else a comparison of backends would be one of libraries of matrix products, which round in other ways.
    comparable_options: ClassVar[Mapping[str, Any]] = {"products": "torch"}

    def __init__(self) -> None:
        super().__init__()
        self._settled: Dict[str, str] = {}

    def configure(self, options: Mapping[str, Any]) -> None:
        """See :class:`Device`; what was settled under other options no longer holds."""
        super().configure(options)
        self._settled = {}

    @classmethod
    def probe(cls) -> Availability:
        """See :class:`Device`."""
        return Availability(READY, f"{torch.get_num_threads()} threads, torch {torch.__version__}")

    def prepare(self, module: nn.Module, optimizer: Optional[Optimizer], options: StepOptions) -> EagerStep:
        """See :class:`Device`. Adam updates in one pass over each parameter, unless its maker chose another way.

        So does AdamW in releases of torch in which it is derived from Adam.
        """
        first = None if optimizer is None else optimizer_parts(optimizer)[0]
        if isinstance(first, Adam) and has_fused_adam():
            for group in first.param_groups:
                if group["foreach"] is None and group["fused"] is None and not group["differentiable"]:
                    group["fused"] = True
        return super().prepare(module, optimizer, options)

    def forward_mode(self, options: StepOptions) -> ContextManager[Any]:
        """See :class:`EagerDevice`."""
        name = {"float32": "products", "bfloat16": "bfloat16_products"}.get(options.precision)
        if name is None:
            return super().forward_mode(options)
        if not self._settled:
            self.settle({})
        mode = _MODES.get(self._settled[name])
        return super().forward_mode(options) if mode is None else mode()

    def settle(self, recorded: Mapping[str, Any]) -> Dict[str, Any]:
        """See :class:`Device`: how matrices are multiplied."""
        # There are no options before configure(), and a device that inherits from this one may have others.
        has_options = isinstance(self.options, CpuOptions)
        for name, known in PRODUCTS.items():
            chosen = getattr(self.options, name) if has_options else AUTO
            if chosen == AUTO:
                named = recorded.get(name, AUTO)
                can_repeat = named in known and named != AUTO and _can_multiply(named)
                chosen = named if can_repeat else product_choice().chosen[name]
            self._settled[name] = chosen
        return dict(self._settled) if has_options else {}

    @contextmanager
    def training(self, precision: str) -> Iterator[None]:
        """See :class:`Device`. Denormal numbers are zeros, but not in float64; a kernel draws masks of dropout."""
        with nullcontext() if precision == "float64" else flushing_denormals(), masks_on_host():
            yield

    def product_ways(self, precision: str) -> Sequence[Way]:
        """See :class:`Device`; torch can multiply in two ways here (:mod:`gnnkit.devices.products`)."""
        ways = super().product_ways(precision)
        if precision == "bfloat16":  # The other way may take a minute, and is known to be slower.
            return (widened_products,) if product_choice().bfloat16 == WIDENED else ways
        return (*ways, onednn_products) if precision == "float32" and has_onednn() else ways

    def memory(self) -> Dict[str, int]:
        """Peak resident memory of this process, in bytes."""
        return {"peak_resident": peak_resident()}

    def free_memory(self) -> Optional[int]:
        """See :class:`Device`."""
        return available_memory()

    def describe(self) -> Dict[str, Any]:
        """See :class:`Device`."""
        facts: Dict[str, Any] = {"processor": processor_name(), "threads": torch.get_num_threads()}
        return {**facts, **self._settled}


_MODES: Mapping[str, Callable[[], ContextManager[Any]]] = {
    ONEDNN: OneDnnProducts,
    MIXED: packing,
    WIDENED: WidenedProducts,
}
"""What holds while outputs are computed, by how matrices are multiplied."""


def _can_multiply(products: str) -> bool:
    """Whether this torch has these products."""
    return has_onednn() if products == ONEDNN else has_packing() if products == MIXED else True


@lru_cache(maxsize=None)
def has_fused_adam() -> bool:
    """Whether this torch has Adam's update as one operation on the processor: releases before 2.4 do not."""
    make: Any = eager_class(Adam)
    try:
        make([nn.Parameter(torch.zeros(1))], fused=True)
    except RuntimeError:
        return False
    return True
