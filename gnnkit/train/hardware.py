"""Loading the backend and the device of a run, or saying which installed ones would do."""

from __future__ import annotations

from typing import Any, Mapping, Tuple

from gnnkit.availability import first_excluded
from gnnkit.backends import Backend, backends, load_backend
from gnnkit.devices import Device, choose_device, devices
from gnnkit.errors import CapabilityError
from gnnkit.probing import probe, probe_all
from gnnkit.tasks import task_class
from gnnkit.train.capabilities import check_capabilities, check_updates, combinations
from gnnkit.train.config import RunConfig
from gnnkit.train.optimizers import short_name


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
            spec=config.model.sketch(),
            precision=config.train.precision,
            task=task_class(config.task),
        )
    except CapabilityError as error:
        raise CapabilityError(f"{error} {_who_can(config)}") from error
    check_updates(device, short_name(config.train.optimizer), config.train)  # No other backend would change that.
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
    precision, spec, task = config.train.precision, config.model.sketch(), task_class(config.task)
    excludes = [*backend["excludes"], *device["excludes"]]
    return (
        all(":" in kind or kind in backend["convs"] for kind in spec.kinds)
        and ("sage" not in spec.kinds or spec.conv_options["aggregation"] in backend["aggregations"])
        and precision in backend["dtypes"]
        and precision in device["dtypes"]
        and device["torch_device"] in backend["devices"]
        and (not device["backends"] or name in device["backends"])
        and task.needs <= set(device["offers"])
        and all(
            first_excluded(excludes, wanted) is None
            for wanted in combinations(name, device_name, spec=spec, precision=precision, task=task.name)
        )
    )
