"""Loading the backend and the device of a run, or saying which installed ones would do."""

from __future__ import annotations

from typing import Any, Mapping, Tuple

from gnnkit.availability import first_excluded
from gnnkit.backends import Backend, backends, load_backend
from gnnkit.devices import Device, choose_device, devices
from gnnkit.errors import CapabilityError
from gnnkit.probing import probe, probe_all
from gnnkit.tasks import task_class
from gnnkit.train.capabilities import check_capabilities, check_updates, combination
from gnnkit.train.config import RunConfig


def choose_hardware(config: RunConfig) -> Tuple[Backend, Device]:
    """Load backend and device, and check that they declare what the run needs.

    Raises:
        CapabilityError: They do not; the message lists the installed backends that do.
        GnnkitError: One of them cannot be used.
    """
    backend = load_backend(config.backend, config.backend_options)
    try:
        device = choose_device(config.device, backend, config.device_options)
        check_capabilities(
            backend,
            device,
            conv=config.model.name,
            aggregation=config.model.aggregation,
            precision=config.train.precision,
            task=task_class(config.task),
        )
        check_updates(device, config.train.optimizer, config.train)
    except CapabilityError as error:
        raise CapabilityError(f"{error} {_who_can(config)}") from error
    return backend, device


def _who_can(config: RunConfig) -> str:
    """A sentence with the installed backends that declare what the run needs."""
    candidates = probe_all(devices) if config.device == "auto" else probe(devices, [config.device])
    on = {name: report.capabilities for name, report in candidates.items() if report.availability.is_ready}
    can = [
        name
        for name, report in probe_all(backends).items()
        if report.availability.is_ready
        and any(_suit(name, report.capabilities, device, declared, config) for device, declared in on.items())
    ]
    place = "" if config.device == "auto" else f" on device {config.device!r}"
    if not can:
        return f"No installed backend can{place}; see 'gnnkit backends --capabilities'."
    return f"Installed backends that can{place}: {', '.join(can)}."


def _suit(
    name: str, backend: Mapping[str, Any], device_name: str, device: Mapping[str, Any], config: RunConfig
) -> bool:
    precision, conv, task = config.train.precision, config.model.name, task_class(config.task)
    wanted = combination(
        name, device_name, conv=conv, aggregation=config.model.aggregation, precision=precision, task=task.name
    )
    return (
        (":" in conv or conv in backend["convs"])
        and (conv != "sage" or config.model.aggregation in backend["aggregations"])
        and precision in backend["dtypes"]
        and precision in device["dtypes"]
        and device["torch_device"] in backend["devices"]
        and (not device["backends"] or name in device["backends"])
        and task.needs <= set(device["offers"])
        and first_excluded([*backend["excludes"], *device["excludes"]], wanted) is None
    )
