"""Devices: where a step runs, and who owns it."""

from gnnkit.devices.base import Device, DeviceCapabilities, Step, StepOptions, StepResult
from gnnkit.devices.eager import EagerDevice
from gnnkit.devices.registry import choose_device, devices, load_device

__all__ = [
    "Device",
    "DeviceCapabilities",
    "EagerDevice",
    "Step",
    "StepOptions",
    "StepResult",
    "choose_device",
    "devices",
    "load_device",
]
