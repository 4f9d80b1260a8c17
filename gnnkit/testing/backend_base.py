"""What the checks of a backend share: the backend under test, the device to measure on, what is declared.

Rules: a backend is measured on one device. That is ``cpu`` where its layers run there and nowhere else but on GPUs; a
backend made for other hardware is measured on that, or on what stands in for it.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import asdict
from functools import cached_property, lru_cache
from typing import Any, ClassVar, Iterator, List, Optional, Tuple, Type

import torch

from gnnkit.availability import first_excluded
from gnnkit.backends import Backend, BackendCapabilities, backends, load_backend
from gnnkit.devices import Device, DeviceCapabilities, devices, load_device
from gnnkit.errors import CapabilityError, GnnkitError
from gnnkit.nn import AGGREGATIONS, CONVS, ConvSpec, ModelSpec
from gnnkit.probing import harmless
from gnnkit.testing.formulas import CONV_SPECS
from gnnkit.testing.lab import Lab
from gnnkit.testing.plugin import PluginSuite
from gnnkit.testing.training import model_for
from gnnkit.train.capabilities import combinations

DTYPES = ("float32", "bfloat16", "float64")
"""Precisions that a backend can declare."""

OPTIONAL_PARTS = ("ops", "to_native", "from_native")
"""Methods that a backend may leave out."""

_TORCH_DEVICES = {"cpu", "cuda"}


class BackendBase(PluginSuite):
    """The part of :class:`BackendSuite` that its checks need.

    Attributes:
        device: Name of the device to measure on; None takes the one that the backend is made for.
    """

    kind: ClassVar[str] = "backend"
    registry = backends
    device: Optional[str] = None

    def make_backend(self) -> Backend:
        """The backend under test. Override it for one that is made with arguments."""
        return load_backend(self.name)

    def make_device(self) -> Device:
        """A new device to measure on. Override it for one that is made with arguments."""
        return load_device(self.device or _home_of(self.make_backend()))

    @contextmanager
    def lab(self, dtype: torch.dtype = torch.float32, precision: str = "float32") -> Iterator[Lab]:
        """The backend on its device, which is closed afterwards."""
        device = self.make_device()
        try:
            yield Lab(self.make_backend(), device, dtype, precision)
        finally:
            device.close()

    def plugin_class(self) -> Any:
        """See :class:`PluginSuite`."""
        return type(self.make_backend())

    def offers(self, part: str) -> bool:
        """Whether the backend defines one of ``OPTIONAL_PARTS``."""
        return getattr(self.plugin_class(), part) is not getattr(Backend, part)

    @cached_property
    def declared(self) -> BackendCapabilities:
        """What the backend declares here."""
        return self.make_backend().capabilities

    @cached_property
    def declared_by_device(self) -> DeviceCapabilities:
        """What the device declares."""
        return self.make_device().capabilities

    def lacks(self, need: str, case: str) -> str:
        """See :class:`Suite`."""
        if need == "the convolution":
            return self._lacks_conv(case, "float32")
        if need in DTYPES:
            owners = {"the backend": self.declared.dtypes, "the device": self.declared_by_device.dtypes}
            missing = [owner for owner, dtypes in owners.items() if need not in dtypes]
            return f"{need}, by {' and '.join(missing)}" if missing else self._lacks_conv(case, need) if case else ""
        if need == "eager steps":
            return "steps with free shapes, by the device" if self.declared_by_device.static_shapes else ""
        if need == "message-passing primitives":
            return "" if self.offers("ops") else "message-passing primitives: ops()"
        if need == "a graph object of its own":
            return "" if self.offers("to_native") else "a graph object of its own: to_native()"
        refusable = {
            "an undeclared convolution": set(CONVS) - self.declared.convs,
            "an undeclared aggregation": (set(AGGREGATIONS) if "sage" in self.declared.convs else set())
            - self.declared.aggregations,
            "an undeclared precision": {"bfloat16"} - self.declared.dtypes,
            "an undeclared device": unsuitable_devices(self.declared),
            "a missing optional part": [part for part in OPTIONAL_PARTS if not self.offers(part)],
        }
        if need in refusable:
            return "" if refusable[need] else f"nothing to refuse: there is not {need}"
        return super().lacks(need, case)

    def _lacks_conv(self, case: str, precision: str) -> str:
        """What is not declared of a case's convolution in a precision."""
        spec = _conv_of(case)
        kind = spec.kind
        if kind not in self.declared.convs:
            return f"convolution {kind}"
        if kind == "sage" and spec.options.aggregation not in self.declared.aggregations:
            return f"aggregation {spec.options.aggregation} of convolution sage"
        if spec.edge_channels is not None and kind not in self.declared.edge_convs:
            return f"edge features of convolution {kind}"
        device, on = self.make_device().name, self.declared_by_device
        options = asdict(spec.options)
        model = ModelSpec(kind, 1, 1, edge_channels=spec.edge_channels, conv_options=options)
        task = "node_classification"
        (wanted,) = combinations(self.make_backend().name, device, spec=model, precision=precision, task=task)
        excluded = first_excluded([*self.declared.excludes, *on.excludes], wanted)
        return "" if excluded is None else "the combination " + ", ".join(excluded.values())


def _conv_of(case: str) -> ConvSpec:
    """The convolution of a case: a convolution, a model, or a model and a way to train it."""
    if case in CONV_SPECS:
        return CONV_SPECS[case]
    return model_for(case.split(", ")[0], load_backend("reference")).spec.conv_spec(0)


def _home_of(backend: Backend) -> str:
    """Name of the device that a backend is made for."""
    declared = backend.capabilities.devices
    if declared <= _TORCH_DEVICES and "cpu" in declared:
        return "cpu"
    ready = [cls for cls in ready_devices() if cls.capabilities.torch_device in declared]
    special = [cls for cls in ready if cls.capabilities.torch_device not in _TORCH_DEVICES]
    if ready:
        return str(max(special or ready, key=lambda cls: cls.priority).name)
    raise CapabilityError(f"No device is ready that backend {backend.name!r} declares. See 'gnnkit doctor'.")


def unsuitable_devices(declared: BackendCapabilities) -> List[str]:
    """Names of ready devices that a backend does not declare."""
    return [cls.name for cls in ready_devices() if cls.capabilities.torch_device not in declared.devices]


@lru_cache(maxsize=None)  # Strangers are probed in processes of their own, which takes seconds.
def ready_devices() -> Tuple[Type[Device], ...]:
    """Installed devices that work here."""
    found = []
    for name in harmless(devices):
        try:
            cls = devices.load(name)
        except GnnkitError:
            continue  # A device that cannot be loaded is none to measure on; `gnnkit doctor` tells about it.
        if cls.probe().is_ready:
            found.append(cls)
    return tuple(found)
