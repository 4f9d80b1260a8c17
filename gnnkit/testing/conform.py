"""``conform``: the checks of a plugin by its name, without pytest."""

from __future__ import annotations

import logging
import os
import sys
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from typing import Any, Iterator, Mapping, Optional, Sequence, Set, Type

from gnnkit.backends import backends
from gnnkit.datasets import datasets
from gnnkit.devices import devices
from gnnkit.errors import ConfigError, UnknownNameError
from gnnkit.tasks import tasks
from gnnkit.testing.backend import BackendSuite
from gnnkit.testing.dataset import DatasetSuite
from gnnkit.testing.device import DeviceSuite
from gnnkit.testing.report import Report
from gnnkit.testing.suite import Suite
from gnnkit.testing.task import TaskSuite

SUITES: Mapping[str, Type[Suite]] = {
    "backend": BackendSuite,
    "device": DeviceSuite,
    "dataset": DatasetSuite,
    "task": TaskSuite,
}
"""The suite of each kind of plugin."""

_REGISTRIES: Mapping[str, Any] = {"backend": backends, "device": devices, "dataset": datasets, "task": tasks}


def conform(
    name: str,
    *,
    kind: Optional[str] = None,
    device: Optional[str] = None,
    only: Sequence[str] = (),
    show_output: bool = False,
) -> Report:
    """Check an installed plugin.

    Args:
        name: The plugin's name, or ``name@distribution`` where several share it; of a family of data sets the whole
            one, "ogbn-arxiv".
        kind: "backend", "device", "dataset" or "task". None: the first of them that has a plugin of that name.
        device: Measure a backend on this device instead of the one that it is made for.
        only: Which checks to make: names, names with a case ("outputs[gat]"), or patterns of either ("*grad*").
            Empty: all.
        show_output: Whether what the plugin prints and logs meanwhile goes to the standard error stream, or nowhere.

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
    checks = suite.checks()
    for wanted in only:
        if not any(item.matches(wanted, case) for item in checks for case in item.over or ("",)):
            raise UnknownNameError(f"check of a {kind}", wanted, [item.name for item in checks])
    with _own_output(show_output):
        if kind != "dataset" or datasets.claims(name):
            _REGISTRIES[kind].load(name)  # What cannot be loaded at all is an error with a fix, not a list of failures.
        return suite.run(only)


def _kind(name: str) -> str:
    """The first kind that has a plugin of that name."""
    found = [kind for kind, registry in _REGISTRIES.items() if registry.claims(name) or registry.refused(name)]
    if not found and any(name.startswith(f"{family}-") for family in datasets.names()):
        found = ["dataset"]
    if not found:
        everything: Set[str] = {known for registry in _REGISTRIES.values() for known in registry.names()}
        if name in backends.official:
            backends.load(name)  # Raises with the line that installs it.
        raise UnknownNameError("plugin", name, everything)
    return found[0]


@contextmanager
def _own_output(show: bool) -> Iterator[None]:
    """Keep standard output for the caller: what plugins, their libraries and their processes print goes elsewhere.

    Args:
        show: Whether it goes to the standard error stream; else nowhere, and what is logged is left out, too.
    """
    before = logging.root.manager.disable
    if not show:
        logging.disable(logging.WARNING)
    try:
        with ExitStack() as stack:
            nowhere = stack.enter_context(open(os.devnull, "w"))
            stack.enter_context(redirect_stdout(sys.stderr if show else nowhere))
            stack.enter_context(_descriptor(1, 2 if show else nowhere.fileno()))
            if not show:
                stack.enter_context(redirect_stderr(nowhere))
                stack.enter_context(_descriptor(2, nowhere.fileno()))
            yield
    finally:
        logging.disable(before)


@contextmanager
def _descriptor(number: int, other: int) -> Iterator[None]:
    """Have a file descriptor mean another one, for those who do not print through Python."""
    for stream in (sys.__stdout__, sys.__stderr__):
        if stream is not None:
            stream.flush()
    try:
        kept = os.dup(number)
    except OSError:  # It is closed: there is nothing that could be printed on.
        yield
        return
    try:
        os.dup2(other, number)
        yield
    finally:
        os.dup2(kept, number)
        os.close(kept)
