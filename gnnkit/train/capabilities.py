"""What a training or an evaluation needs of backend and device, compared with what they declare.

Rules: this is asked before anything is prepared; what is wrong is said with what there is instead.
"""

from __future__ import annotations

from typing import FrozenSet, List, NamedTuple, Optional, Type

from gnnkit.availability import Combination, first_excluded
from gnnkit.backends import Backend, BackendCapabilities
from gnnkit.devices import Device, DeviceCapabilities
from gnnkit.devices.base import ACCUMULATE, AVERAGE, SPARSE
from gnnkit.errors import CapabilityError
from gnnkit.nn import ModelSpec, check_convolutions, undeclared_convolution
from gnnkit.tasks import Task
from gnnkit.train.settings import TrainConfig


def check_capabilities(
    backend: Backend,
    device: Device,
    *,
    spec: Optional[ModelSpec],
    precision: str,
    task: Optional[Type[Task]] = None,
) -> None:
    """Refuse what is not declared.

    Args:
        backend: Computes the convolutions.
        device: Runs the steps; that the backend runs on it is checked where it is chosen.
        spec: The model. None: a custom module, which needs none of the backend's convolutions.
        precision: Computing precision.
        task: What is learned. None: nothing, the model is only used.

    Raises:
        CapabilityError: Something is not declared; the message says what is.
        ConfigError: A layer class that the backend cannot have.
    """
    if spec is not None:
        check_convolutions(spec, backend)
    declared = Declared(backend.name, backend.capabilities, device.name, device.capabilities)
    problem = undeclared(declared, spec=spec, precision=precision, task=task)
    if problem is not None:
        raise CapabilityError(problem)


class Declared(NamedTuple):
    """What a backend and a device declare, by name; neither has to be loaded."""

    backend: str
    has: BackendCapabilities
    device: str
    on: DeviceCapabilities


def undeclared(
    declared: Declared, *, spec: Optional[ModelSpec], precision: str, task: Optional[Type[Task]] = None
) -> Optional[str]:
    """A sentence about the first thing that is wanted and not declared; None if all is.

    Args:
        declared: By backend and device.
        spec: As for :func:`check_capabilities`.
        precision: Likewise.
        task: Likewise.
    """
    backend, has, device, on = declared
    note = f" {has.note}" if has.note else ""
    problem = None if spec is None else undeclared_convolution(spec, backend, has)
    if problem is not None:
        return problem
    lacking = frozenset() if task is None else task.needs - on.offers
    if task is not None and lacking:
        return (
            f"Device {device!r} does not do task {task.name!r}, whose loss needs {_list(lacking)}; it offers "
            f"{_list(on.offers)}."
        )
    if on.backends and backend not in on.backends:
        return f"Device {device!r} does not take backend {backend!r}; it takes {_list(on.backends)}."
    if precision not in has.dtypes & on.dtypes:
        return (
            f"Precision {precision!r} is not offered by backend {backend!r} on device {device!r}, "
            f"which offer {_list(has.dtypes & on.dtypes)}.{note}"
        )
    name = None if task is None else task.name
    for wanted in combinations(backend, device, spec=spec, precision=precision, task=name):
        for owner, excludes in ((f"Backend {backend!r}", has.excludes), (f"Device {device!r}", on.excludes)):
            excluded = first_excluded(excludes, wanted)
            if excluded is not None:
                words = " with ".join(f"{key} {value!r}" for key, value in excluded.items())
                return f"{owner} does not do {words}, though it does each of them.{note}"
    return None


def check_updates(device: Device, optimizer: str, config: TrainConfig) -> None:
    """Refuse updates of weights that a device does not declare.

    Args:
        device: Runs the steps.
        optimizer: Name of the optimiser, or ``module:Class``.
        config: Settings.

    Raises:
        CapabilityError: It does not declare them; the message says what it does.
    """
    on = device.capabilities
    if on.optimizers is not None and optimizer not in on.optimizers:
        raise CapabilityError(
            f"Device {device.name!r} does not update with optimiser {optimizer!r}, only with {_list(on.optimizers)}."
        )
    if config.accumulate > 1 and ACCUMULATE not in on.updates:
        own = [option.name for option in device.describe_options() if ACCUMULATE[:5] in option.name]
        instead = f" Its own option is device_options.{own[0]}." if own else ""
        raise CapabilityError(
            f"Device {device.name!r} does not take train.accumulate, received {config.accumulate}.{instead}"
        )
    if config.average is not None and AVERAGE not in on.updates:
        raise CapabilityError(
            f"Device {device.name!r} keeps no moving average of weights, received train.average={config.average}. "
            "Leave it out, or take another device."
        )
    if config.sparse_embeddings and SPARSE not in on.updates:
        raise CapabilityError(
            f"Device {device.name!r} has no sparse gradients, received train.sparse_embeddings=True. Set it to false, "
            "or take another device."
        )


def combinations(
    backend: str, device: str, *, spec: Optional[ModelSpec], precision: str, task: Optional[str]
) -> List[Combination]:
    """What is wanted, as ``excludes`` of capabilities name it: one for each kind of convolution.

    Only "sage" has an aggregation.
    """
    values = {"backend": backend, "device": device, "precision": precision, **({} if task is None else {"task": task})}
    if spec is None:
        return [values]
    found: List[Combination] = []
    for kind in dict.fromkeys(spec.kinds):
        more = {"aggregation": spec.conv_options["aggregation"]} if kind == "sage" else {}
        found.append({**values, "conv": kind, **more})
    return found


def _list(names: FrozenSet[str]) -> str:
    return ", ".join(sorted(names)) or "nothing"
