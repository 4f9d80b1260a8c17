"""Asking plugins what they can do, each in a process of its own, so that none can take others down.

Rules: whatever a plugin does in its process (raise, exit, crash, hang, leave processes behind) becomes one answer; a
process that is late is killed with all that it has started. Nothing of a plugin is imported here.

Run as ``python -m gnnkit.probing GROUP NAME FILE`` this module answers for one plugin by writing JSON into a file.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Deque, Dict, List, Mapping, Sequence

from gnnkit.availability import AMBIGUOUS, BROKEN, NOT_ASKED, NOT_INSTALLED, READY, Availability
from gnnkit.errors import BrokenPluginError, ConfigError, GnnkitError
from gnnkit.options import Option
from gnnkit.registry import Registry, name_is_taken, pick_one

DEFAULT_SECONDS = 30.0
"""Seconds that a plugin may take to answer, unless the environment variable GNNKIT_PROBE_SECONDS says otherwise."""

_AT_ONCE = 2
_NOT_ASKED = Availability(NOT_ASKED)
_REPORT = "report it to its authors, or uninstall it."


@dataclass(frozen=True)
class PluginReport:
    """What a plugin answered.

    Attributes:
        availability: Whether it can work here.
        capabilities: What it declares, by field of its capabilities; sets are sorted lists.
        options: Its own options.
        summary: One line about it; empty if it gives none.
    """

    availability: Availability
    capabilities: Mapping[str, Any] = field(default_factory=dict)
    options: Sequence[Option] = ()
    summary: str = ""


def seconds_allowed() -> float:
    """Seconds that a plugin may take to answer.

    Raises:
        ConfigError: GNNKIT_PROBE_SECONDS is no positive number.
    """
    text = os.environ.get("GNNKIT_PROBE_SECONDS", "")
    try:
        seconds = float(text) if text else DEFAULT_SECONDS
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise ConfigError(f"GNNKIT_PROBE_SECONDS is {text!r}, expected a positive number of seconds.")
    return seconds


def probe_all(registry: Registry[Any]) -> Dict[str, PluginReport]:
    """Probe every installed plugin of a group, and name the official ones that are not installed.

    Of plugins that share a name none is loaded; each is reported as ambiguous under ``name@distribution``. Our own of a
    group that has no probe, such as tasks, are ready once they are imported; that is done here.

    Args:
        registry: The group, for example ``gnnkit.backends.backends``.

    Returns:
        One answer per name, sorted by name.
    """
    names = registry.names()
    here = [] if hasattr(registry.base, "probe") else [name for name in names if registry.is_ours(name)]
    reports = probe(registry, [name for name in names if not (name in here or _is_ambiguous(name))])
    reports.update({name: _answer(registry, name, _ask) for name in here})
    for name in filter(_is_ambiguous, names):
        refused = registry.refused(name)
        if refused:
            reports[name] = PluginReport(Availability(BROKEN, *name_is_taken(refused[0])))
        else:
            claims = registry.claims(name.split("@")[0])
            detail = f"{len(claims)} distributions claim this name; none is loaded."
            reports[name] = PluginReport(Availability(AMBIGUOUS, detail, pick_one(claims)))
    installed = {plugin.name for plugin in registry.plugins()}
    for name, distribution in registry.official.items():
        if name not in installed:
            reports[name] = PluginReport(Availability(NOT_INSTALLED, "", f"pip install {distribution}"))
    return dict(sorted(reports.items()))


def overview(registry: Registry[Any]) -> Dict[str, PluginReport]:
    """What installed plugins say about themselves, quickly: our own are imported here, and not probed.

    Args:
        registry: The group.
    """
    ours = [name for name in registry.names() if registry.is_ours(name)]
    others = [name for name in registry.names() if not (registry.is_ours(name) or _is_ambiguous(name))]
    reports = {name: _answer(registry, name, ask=lambda cls: _NOT_ASKED) for name in ours}
    return dict(sorted({**reports, **probe(registry, others)}.items()))


def harmless(registry: Registry[Any]) -> List[str]:
    """Names of plugins that can be imported here without harm: our own, and those that answered in their own process.

    Args:
        registry: The group.
    """
    ours = [name for name in registry.names() if registry.is_ours(name)]
    others = [name for name in registry.names() if not (registry.is_ours(name) or _is_ambiguous(name))]
    answered = [name for name, report in probe(registry, others).items() if report.availability.status != BROKEN]
    return sorted([*ours, *answered])


def probe(registry: Registry[Any], names: Sequence[str]) -> Dict[str, PluginReport]:
    """Probe some plugins of a group, two at a time.

    Args:
        registry: The group.
        names: Whom to ask.
    """
    seconds, waiting, reports = seconds_allowed(), deque(names), {}
    running: List[_Process] = []
    with tempfile.TemporaryDirectory(prefix="gnnkit-probe-") as folder:
        try:
            while waiting or running:
                _start(registry.group, waiting, running, Path(folder))
                time.sleep(0.01)
                for process in [process for process in running if process.is_over(seconds)]:
                    running.remove(process)
                    process.kill()
                    reports[process.name] = process.report(seconds)
        finally:
            for process in running:
                process.kill()
    return reports


def _start(group: str, waiting: Deque[str], running: List[_Process], folder: Path) -> None:
    while waiting and len(running) < _AT_ONCE:
        running.append(_Process(group, waiting.popleft(), folder))


class _Process:
    """A plugin's own process, in a session of its own so that what it starts can be ended with it."""

    def __init__(self, group: str, name: str, folder: Path) -> None:
        self.name = name
        self._is_late = False
        # Files, not pipes: a pipe that a left-over process holds open would never end.
        place = Path(tempfile.mkdtemp(dir=folder))
        self._said, self._answer = place / "said.txt", place / "answer.json"
        command = [sys.executable, "-m", "gnnkit.probing", group, name, str(self._answer)]
        with self._said.open("wb") as said:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT, start_new_session=True
            )
        self._start = time.monotonic()

    def is_over(self, seconds: float) -> bool:
        """Whether it has answered, ended or is late."""
        self._is_late = time.monotonic() - self._start > seconds
        return self._is_late or self._answer.exists() or self._process.poll() is not None

    def kill(self) -> None:
        """End it and whatever it has started; without effect if all that has ended."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def report(self, seconds: float) -> PluginReport:
        """What it answered, or why there is no answer."""
        try:
            return _from_json(json.loads(self._answer.read_text(encoding="utf-8")))
        except (OSError, ValueError):
            return PluginReport(Availability(BROKEN, f"{self._reason(seconds)}{self._last_words()}.", _REPORT))

    def _reason(self, seconds: float) -> str:
        code = self._process.returncode
        if self._is_late:
            return f"no answer within {seconds:g} s"
        if code < 0:
            return f"the interpreter crashed with {signal.Signals(-code).name}"
        return f"it ended the interpreter with code {code}"

    def _last_words(self) -> str:
        lines = self._said.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return f"; it last said: {lines[-1].strip().rstrip('.')}" if lines else ""


def _is_ambiguous(name: str) -> bool:
    return "@" in name


def _from_json(values: Dict[str, Any]) -> PluginReport:
    return PluginReport(
        availability=Availability(**values["availability"]),
        capabilities=values["capabilities"],
        options=[Option(**option) for option in values["options"]],
        summary=values["summary"],
    )


def _answer(registry: Registry[Any], name: str, ask: Callable[[Any], Availability]) -> PluginReport:
    """Load a plugin into this process and ask it."""
    try:
        cls = registry.load(name)
        return _report(cls, ask(cls))
    except BrokenPluginError as error:
        return PluginReport(Availability(BROKEN, error.cause, error.fix))
    except GnnkitError as error:
        return PluginReport(Availability(BROKEN, str(error)))
    except (Exception, SystemExit) as error:  # A stranger's class may raise anything, though it must not.
        return PluginReport(Availability(BROKEN, f"its probe raised {type(error).__name__}: {error}", _REPORT))


def _ask(cls: Any) -> Availability:
    answer = cls.probe() if hasattr(cls, "probe") else Availability(READY)  # Data sets are not probed.
    if not isinstance(answer, Availability):
        raise BrokenPluginError(cls.name, f"its probe answered {answer!r}, not an Availability.", _REPORT)
    return answer


def _report(cls: Any, answer: Availability) -> PluginReport:
    narrowed = answer.is_ready and hasattr(cls, "capabilities_here")
    capabilities = cls.capabilities_here() if narrowed else getattr(cls, "capabilities", None)
    return PluginReport(
        availability=answer,
        capabilities={} if capabilities is None else _plain(dataclasses.asdict(capabilities)),
        options=cls.describe_options(),
        summary=getattr(cls, "summary", ""),
    )


def _plain(values: Dict[str, Any]) -> Dict[str, Any]:
    return {name: sorted(value) if isinstance(value, frozenset) else value for name, value in values.items()}


def main(arguments: List[str]) -> None:
    """Answer for one plugin."""
    group, name, file = arguments
    # Each group has a package of its name, with the registry under the last word of it.
    registry = getattr(importlib.import_module(group), group.rpartition(".")[2])
    report = _answer(registry, name, _ask)
    partial = Path(file).with_suffix(".part")
    partial.write_text(json.dumps(dataclasses.asdict(report)), encoding="utf-8")
    partial.replace(file)


if __name__ == "__main__":
    main(sys.argv[1:])
