"""Whether a backend and a device declare what a training needs. Asked before any work starts."""

from __future__ import annotations

from typing import FrozenSet

from gnnkit.backends import Backend
from gnnkit.devices import Device
from gnnkit.errors import CapabilityError
from gnnkit.nn import check_named_layer


def check_capabilities(backend: Backend, device: Device, *, conv: str, precision: str, task: str) -> None:
    """Refuse what is not declared.

    Args:
        backend: Computes the convolutions.
        device: Runs the steps; that the backend runs on it is checked where it is chosen.
        conv: Kind of convolution, or a layer by name.
        precision: Computing precision.
        task: Name of the task.

    Raises:
        CapabilityError: Something is not declared; the message says what is.
        ConfigError: A layer by name that the backend cannot have.
    """
    has, on = backend.capabilities, device.capabilities
    note = f" {has.note}" if has.note else ""
    if ":" in conv:  # A layer of one's own needs primitives besides, which GNN asks for.
        check_named_layer(conv, backend)
    elif conv not in has.convs:
        raise CapabilityError(f"Backend {backend.name!r} has no model {conv!r}; it has {_list(has.convs)}.{note}")
    if task not in on.tasks:
        raise CapabilityError(f"Device {device.name!r} does not do {task!r}; it does {_list(on.tasks)}.")
    if precision not in has.dtypes & on.dtypes:
        raise CapabilityError(
            f"Precision {precision!r} is not offered by backend {backend.name!r} on device {device.name!r}, "
            f"which offer {_list(has.dtypes & on.dtypes)}.{note}"
        )


def _list(names: FrozenSet[str]) -> str:
    return ", ".join(sorted(names)) or "nothing"
