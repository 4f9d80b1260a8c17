"""Choosing a device by name, or the best one for a backend."""

from __future__ import annotations

import logging
from typing import Any, Mapping, Type, Union

import torch

from gnnkit.availability import BROKEN, NO_HARDWARE, Availability
from gnnkit.backends import Backend
from gnnkit.devices.base import Device
from gnnkit.errors import BrokenPluginError, CapabilityError, ConfigError, GnnkitError, UnavailableError
from gnnkit.probing import harmless
from gnnkit.registry import Registry

devices: Registry[Device] = Registry(
    "gnnkit.devices",
    "device",
    Device,  # type: ignore[type-abstract]
    official={"ipu": "gnnkit-ipu", "ipu-emulator": "gnnkit-ipu"},
)
"""All installed devices."""


_LOG = logging.getLogger(__name__)
_NO_OPTIONS: Mapping[str, Any] = {}


def device_name(given: Union[str, torch.device]) -> str:
    """The name of the device that somebody means by a name, by torch's device or by its text.

    Args:
        given: "cuda", ``torch.device("cuda")`` or "cuda:0".

    Raises:
        ConfigError: It is something else, or not the first device of its kind.

    Example:
        >>> device_name(torch.device("cpu")), device_name("cuda:0")
        ('cpu', 'cuda')
    """
    text = str(given) if isinstance(given, torch.device) else given
    if not isinstance(text, str):
        raise ConfigError(
            f"The device is {given!r}, expected a name ({', '.join(['auto', *devices.names()])}), a torch.device, or a "
            "loaded device."
        )
    kind, _, number = text.partition(":")
    if number.isdigit() and int(number) > 0:
        raise ConfigError(
            f"The device is {text!r}; {kind!r} is the first of its kind that torch sees. To take another GPU, set "
            f"CUDA_VISIBLE_DEVICES={number} before Python starts, and give the device {kind!r}."
        )
    return kind if number.isdigit() else text


def load_device(name: Union[str, torch.device], options: Mapping[str, Any] = _NO_OPTIONS) -> Device:
    """Load a device by name.

    Args:
        name: The device's name.
        options: Settings of the device itself.

    Raises:
        UnknownNameError: Nobody registered the name.
        UnavailableError: The hardware is not there; the message says what was looked for.
        BrokenPluginError: It is installed but cannot be used.
        ConfigError: An option has a value that cannot be used.
    """
    name = device_name(name)
    cls = devices.load(name)
    answer = cls.probe()
    if answer.status == BROKEN:
        raise BrokenPluginError(f"Device {name!r}", answer.detail, answer.fix)
    if not _is_usable(cls, answer, options):
        raise UnavailableError(f"Device {name!r} is not available: {answer.detail} To use it, {answer.fix}")
    return _configured(cls, options)


def choose_device(name: Union[str, torch.device], backend: Backend, options: Mapping[str, Any] = _NO_OPTIONS) -> Device:
    """The device of that name, or for "auto" the ready device of the highest priority that suits the backend.

    Where that is a stand-in for a device that is not ready, a line is logged that says which and why.

    Args:
        name: The device's name, or "auto".
        backend: What will compute on it.
        options: Settings of the device itself.

    Raises:
        CapabilityError: The backend cannot run on the device.
        GnnkitError: As :func:`load_device`.
    """
    name = device_name(name)
    if name != "auto":
        device = load_device(name, options)
        taken = device.capabilities.backends
        if taken and backend.name not in taken:
            raise CapabilityError(
                f"Device {name!r} does not take backend {backend.name!r}; it takes {', '.join(sorted(taken))}."
            )
        if not _suits(type(device), backend):
            can = ", ".join(sorted(backend.capabilities.devices))
            raise CapabilityError(
                f"Backend {backend.name!r} does not run on device {name!r}; it runs on {can}. "
                f"{backend.capabilities.note}".rstrip()
            )
        return device
    ready = []
    for candidate in harmless(devices):
        try:
            cls = devices.load(candidate)
            if _suits(cls, backend) and _is_usable(cls, cls.probe(), options):
                ready.append(cls)
        except GnnkitError:
            continue  # A device that cannot be loaded is none to choose from; `gnnkit doctor` tells about it.
    if not ready:
        raise UnavailableError(f"No device is ready that suits backend {backend.name!r}. See 'gnnkit doctor'.")
    chosen = max(ready, key=lambda cls: cls.priority)
    if chosen.capabilities.stands_in_for is not None:
        _tell_about_stand_in(chosen.name, chosen.capabilities.stands_in_for)
    return _configured(chosen, options)


def _is_usable(device: Type[Device], answer: Availability, options: Mapping[str, Any]) -> bool:
    return answer.is_ready or (answer.status == NO_HARDWARE and device.runs_without_hardware(options))


def _configured(cls: Type[Device], options: Mapping[str, Any]) -> Device:
    device = cls()
    device.configure(options)
    return device


def _tell_about_stand_in(name: str, missing: str) -> None:
    try:
        reason = devices.load(missing).probe().detail
    except GnnkitError as error:
        reason = str(error)
    _LOG.warning("Device %r is not available: %s Using its stand-in %r.", missing, reason, name)


def _suits(device: Type[Device], backend: Backend) -> bool:
    takes = device.capabilities.backends
    return device.capabilities.torch_device in backend.capabilities.devices and (not takes or backend.name in takes)
