"""``conform``: the checks of a plugin by its name, without pytest."""

from __future__ import annotations

import logging
import os
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any, Iterator, Mapping, Optional, Sequence, Set, Type

from gnnkit.backends import backends
from gnnkit.datasets import datasets
from gnnkit.devices import devices
from gnnkit.errors import ConfigError, UnknownNameError
from gnnkit.testing.backend import BackendSuite
from gnnkit.testing.dataset import DatasetSuite
from gnnkit.testing.device import DeviceSuite
from gnnkit.testing.report import Report
from gnnkit.testing.suite import Suite

SUITES: Mapping[str, Type[Suite]] = {"backend": BackendSuite, "device": DeviceSuite, "dataset": DatasetSuite}
"""The suite of each kind of plugin."""

_REGISTRIES: Mapping[str, Any] = {"backend": backends, "device": devices, "dataset": datasets}


def conform(name: str, *, kind: Optional[str] = None, device: Optional[str] = None, only: Sequence[str] = ()) -> Report:
    """Check an installed plugin.

    Args:
        name: The plugin's name, or ``name@distribution`` where several share it; of a family of data sets the whole
            one, "ogbn-arxiv".
        kind: "backend", "device" or "dataset". None: the first of them that has a plugin of that name.
        device: Measure a backend on this device instead of the one that it is made for.
        only: Names of the checks to make. Empty: all.

    Returns:
        The results; ``report.is_conformant`` sums them up.

    Raises:
        UnknownNameError: No plugin has the name, or there is no such kind or check.
        ConfigError: ``device`` is given for what is no backend.
        GnnkitError: The plugin cannot be loaded; the message says why.

    Example:
        >>> conform("karate", only=["loads", "same"]).verdict
        'conformant'
    """
    kind = _kind(name) if kind is None else kind
    if kind not in SUITES:
        raise UnknownNameError("kind of plugin", kind, SUITES)
    if device is not None and kind != "backend":
        raise ConfigError(f"{name!r} is a {kind}; only a backend is measured on a device of choice.")
    suite = SUITES[kind]()
    suite.name = name
    if isinstance(suite, BackendSuite):
        suite.device = device
    names = [item.name for item in suite.checks()]
    for wanted in only:
        if wanted not in names:
            raise UnknownNameError(f"check of a {kind}", wanted, names)
    if kind != "dataset" or datasets.claims(name):
        _REGISTRIES[kind].load(name)  # What cannot be loaded at all is an error with a fix, not a list of failures.
    with _quiet():
        return suite.run(only)


def _kind(name: str) -> str:
    """The first kind that has a plugin of that name."""
    found = [kind for kind, registry in _REGISTRIES.items() if registry.claims(name)]
    if not found and any(name.startswith(f"{family}-") for family in datasets.names()):
        found = ["dataset"]
    if not found:
        everything: Set[str] = {known for registry in _REGISTRIES.values() for known in registry.names()}
        if name in backends.official:
            backends.load(name)  # Raises with the line that installs it.
        raise UnknownNameError("plugin", name, everything)
    return found[0]


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what plugins log and print, of which every check would make its own."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
            yield
    finally:
        logging.disable(before)
