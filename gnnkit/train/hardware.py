"""Loading the backend and the device of a run, or saying which installed ones would do."""

from __future__ import annotations

from typing import Callable, Dict, Mapping, Tuple, TypeVar

from gnnkit.backends import Backend, BackendCapabilities, backends, load_backend
from gnnkit.devices import Device, DeviceCapabilities, choose_device, devices
from gnnkit.errors import CapabilityError
from gnnkit.probing import PluginReport, probe, probe_all
from gnnkit.tasks import task_class
from gnnkit.train.capabilities import Declared, check_capabilities, check_updates, undeclared
from gnnkit.train.config import RunConfig
from gnnkit.train.optimizers import short_name

C = TypeVar("C")


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
    on, has = _declared(candidates, DeviceCapabilities), _declared(probe_all(backends), BackendCapabilities)
    spec, precision, task = config.model.sketch(), config.train.precision, task_class(config.task)

    def suit(declared: Declared) -> bool:
        runs = declared.on.torch_device in declared.has.devices
        return runs and undeclared(declared, spec=spec, precision=precision, task=task) is None

    can = [name for name in has if any(suit(Declared(name, has[name], device, on[device])) for device in on)]
    place = "" if config.device == "auto" else f" on device {config.device!r}"
    if not can:
        return f"No installed backend can{place}; see 'gnnkit backends --capabilities'."
    return f"Installed backends that can{place}: {', '.join(can)}."


def _declared(reports: Mapping[str, PluginReport], record: Callable[..., C]) -> Dict[str, C]:
    """What plugins that are ready declare, by name; their sets come back from other processes as lists."""
    found = {}
    for name, report in reports.items():
        if report.availability.is_ready:
            values = dict(report.capabilities)
            excludes = tuple(values.pop("excludes"))
            sets = {key: frozenset(value) if isinstance(value, list) else value for key, value in values.items()}
            found[name] = record(**sets, excludes=excludes)
    return found
