"""What the checks of a device share: the device under test, the backend that computes on it, single steps."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any, ClassVar, Iterator, Optional

import torch
from torch import Tensor
from torch.optim import SGD, Optimizer

from gnnkit.backends import Backend, backends, load_backend
from gnnkit.data import Batch
from gnnkit.devices import Device, Step, StepOptions, devices, load_device
from gnnkit.devices.base import UPDATES
from gnnkit.errors import CapabilityError, GnnkitError
from gnnkit.nn import GNN
from gnnkit.tasks import LossModule, tasks
from gnnkit.tasks.base import NEEDS
from gnnkit.testing.backend_base import DTYPES
from gnnkit.testing.plugin import PluginSuite
from gnnkit.testing.training import model_for, task


class DeviceBase(PluginSuite):
    """The part of :class:`DeviceSuite` that its checks need.

    Attributes:
        backend: Name of the backend that computes; None takes ``reference`` where it runs on the device.
    """

    kind: ClassVar[str] = "device"
    registry = devices
    backend: Optional[str] = None

    def make_device(self) -> Device:
        """A new device. Override it for one that is made with arguments."""
        return load_device(self.name)

    def plugin_class(self) -> Any:
        """See :class:`PluginSuite`."""
        return type(self.make_device())

    def make_backend(self) -> Backend:
        """The backend that computes."""
        if self.backend is not None:
            return load_backend(self.backend)
        wanted = self.make_device().capabilities.torch_device
        for name in ("reference", *backends.names()):
            try:
                found = load_backend(name)
            except GnnkitError:
                continue
            taken = self.make_device().capabilities.backends
            if wanted in found.capabilities.devices and (not taken or name in taken):
                return found
        raise CapabilityError(f"No installed backend runs on {wanted!r}, so that device {self.name!r} has no use.")

    def lacks(self, need: str, case: str) -> str:
        """See :class:`Suite`."""
        declared = self.make_device().capabilities.dtypes & self.make_backend().capabilities.dtypes
        if need in DTYPES:
            return "" if need in declared else need
        if need in UPDATES:
            return "" if need in self.make_device().capabilities.updates else need
        if need == "what the task needs":
            lacking = tasks.load(case).needs - self.make_device().capabilities.offers
            return f"{', '.join(sorted(lacking))}, for task {case}" if lacking else ""
        if need == "what it does not offer":
            return "" if NEEDS - self.make_device().capabilities.offers else f"nothing to refuse: there is not {need}"
        if need == "an undeclared precision":
            return f"nothing to refuse: there is not {need}" if "bfloat16" in declared else ""
        return super().lacks(need, case)

    @contextmanager
    def device(self) -> Iterator[Device]:
        """A device that is closed afterwards."""
        device = self.make_device()
        try:
            yield device
        finally:
            device.close()

    def model(self, **settings: Any) -> GNN:
        """A model of two layers on the backend."""
        return model_for("sage mean", self.make_backend(), **settings)

    def training_step(
        self, device: Device, model: GNN, optimizer: Optional[Optimizer] = None, precision: str = "float32"
    ) -> Step:
        """A step that trains a model on the communities, by gradient descent with learning rate 0.1 if not told."""
        optimizer = SGD(model.parameters(), lr=0.1) if optimizer is None else optimizer
        return device.prepare(LossModule(model, task()), optimizer, StepOptions(precision))

    def evaluating_step(self, device: Device, model: GNN, precision: str = "float32") -> Step:
        """A step that computes outputs."""
        return device.prepare(LossModule(model, task()), None, StepOptions(precision))


def loss_of(device: Device, step: Step, batch: Batch) -> float:
    """Run a step to its end; its loss."""
    result = step(device.put(batch))
    device.synchronize()
    return float(result.loss)


def evaluated(device: Device, step: Step, batch: Batch) -> Tensor:
    """Run a step to its end; outputs of the real nodes, in host memory."""
    result = step(device.put(batch))
    device.synchronize()
    return result.outputs.to(torch.float64 if result.outputs.dtype == torch.float64 else torch.float32).cpu()[
        batch.nodes >= 0
    ]
