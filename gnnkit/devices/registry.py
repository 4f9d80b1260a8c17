"""Choosing a device by name, or the best one for a backend."""

from __future__ import annotations

from typing import Type

from gnnkit.backends import Backend
from gnnkit.devices.base import Device
from gnnkit.errors import BrokenPluginError, CapabilityError, GnnkitError, UnavailableError
from gnnkit.registry import Registry

devices: Registry[Device] = Registry("gnnkit.devices", "device", Device)  # type: ignore[type-abstract]
"""All installed devices."""


def load_device(name: str) -> Device:
    """Load a device by name.

    Raises:
        UnknownNameError: Nobody registered the name.
        UnavailableError: The hardware is not there; the message says what was looked for.
        BrokenPluginError: It is installed but cannot be used.
    """
    cls = devices.load(name)
    answer = cls.probe()
    if answer.status == "broken":
        raise BrokenPluginError(f"Device {name!r}", answer.detail, answer.fix)
    if not answer.is_ready:
        raise UnavailableError(f"Device {name!r} is not available: {answer.detail} To use it, {answer.fix}")
    return cls()


def choose_device(name: str, backend: Backend) -> Device:
    """The device of that name, or for "auto" the ready device of the highest priority that suits the backend.

    Raises:
        CapabilityError: The backend cannot run on the device.
        GnnkitError: As :func:`load_device`.
    """
    if name != "auto":
        device = load_device(name)
        if not _suits(type(device), backend):
            can = ", ".join(sorted(backend.capabilities.devices))
            raise CapabilityError(
                f"Backend {backend.name!r} does not run on device {name!r}; it runs on {can}. "
                f"{backend.capabilities.note}".rstrip()
            )
        return device
    ready = []
    for candidate in devices.names():
        try:
            cls = devices.load(candidate)
            if _suits(cls, backend) and cls.probe().is_ready:
                ready.append(cls)
        except GnnkitError:
            continue  # A device that cannot be loaded is none to choose from; `gnnkit doctor` tells about it.
    if not ready:
        raise UnavailableError(f"No device is ready that suits backend {backend.name!r}. See 'gnnkit doctor'.")
    return max(ready, key=lambda cls: cls.priority)()


def _suits(device: Type[Device], backend: Backend) -> bool:
    return device.capabilities.torch_device in backend.capabilities.devices
