"""Devices: where a step runs, and who owns it."""

from gnnkit.devices.base import (
    Device,
    DeviceCapabilities,
    GroupingStep,
    OptimizerState,
    RandomStep,
    Step,
    StepOptions,
    StepResult,
    TimedStep,
    UpdatingStep,
)
from gnnkit.devices.compiling import compiling
from gnnkit.devices.deterministic import deterministic_torch
from gnnkit.devices.eager import EagerDevice
from gnnkit.devices.optimizer_state import load_optimizer_state, optimizer_state, parameter_names
from gnnkit.devices.optimizers import eager_class, torch_class
from gnnkit.devices.registry import choose_device, device_name, devices, load_device
from gnnkit.devices.sparse import JoinedOptimizer, optimizer_parts

__all__ = [
    "Device",
    "DeviceCapabilities",
    "EagerDevice",
    "GroupingStep",
    "JoinedOptimizer",
    "OptimizerState",
    "RandomStep",
    "Step",
    "StepOptions",
    "StepResult",
    "TimedStep",
    "UpdatingStep",
    "choose_device",
    "compiling",
    "deterministic_torch",
    "device_name",
    "devices",
    "eager_class",
    "load_device",
    "load_optimizer_state",
    "optimizer_parts",
    "optimizer_state",
    "parameter_names",
    "torch_class",
]
