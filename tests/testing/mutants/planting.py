"""How a fault is planted in a copy of a backend or a device."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Callable, Dict, FrozenSet, Type

from torch import nn

from gnnkit.backends import BackendCapabilities
from gnnkit.backends.reference import ReferenceBackend, ReferenceOps
from gnnkit.data import Block
from gnnkit.devices.cpu import CpuDevice
from gnnkit.devices.eager import EagerStep
from gnnkit.nn import NativeParameter


@dataclass(frozen=True)
class Mutant:
    """A plugin with one fault; a backend has one kind of convolution only, so that its checks are quick.

    Attributes:
        plugin: Its class.
        points_at_it: Names of the checks that must fail, all of them.
        words: What the message of one of them must say.
    """

    plugin: Type[Any]
    points_at_it: FrozenSet[str]
    words: str = ""


def with_ops(ops: Type[ReferenceOps]) -> Type[ReferenceBackend]:
    return type("OpsMutant", (ReferenceBackend,), {"ops": lambda self: ops()})


def with_conv(conv: Type[nn.Module]) -> Type[ReferenceBackend]:
    return type("ConvMutant", (ReferenceBackend,), {"conv": lambda self, spec: conv(spec, self.ops())})


def with_lowering(lower: Callable[[Block], Block]) -> Type[ReferenceBackend]:
    return type("LoweringMutant", (ReferenceBackend,), {"lower": lambda self, block: lower(block)})


def with_map(change: Callable[[Dict[str, NativeParameter]], Any]) -> Type[ReferenceBackend]:
    def parameter_map(self, spec):
        return change(dict(ReferenceBackend.parameter_map(self, spec)))

    return type("MapMutant", (ReferenceBackend,), {"parameter_map": parameter_map})


def with_step(step: Type[EagerStep]) -> Type[CpuDevice]:
    def prepare(self, module, optimizer, options):
        # Entered anew for every step, as the device's own mode may be one for products alone.
        mode = self.forward_mode(options) if options.precision == "bfloat16" else nullcontext()
        return step(module, optimizer, options, mode)

    return type("StepMutant", (CpuDevice,), {"prepare": prepare})


def narrowed(backend: Type[ReferenceBackend], conv: str) -> Type[ReferenceBackend]:
    declared = {"name": "mutant", "capabilities": BackendCapabilities(convs=frozenset({conv}))}
    return type("Mutant", (backend,), declared)
