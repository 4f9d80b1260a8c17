"""Checks that every plugin which can be probed has to pass: backends and devices."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import Any, ClassVar

from gnnkit.availability import BROKEN, COMBINED, NO_HARDWARE, NOT_INSTALLED, READY, Availability
from gnnkit.registry import API_VERSION, Registry
from gnnkit.testing.places import file_of
from gnnkit.testing.suite import Suite, check

PROBE_SECONDS = 20.0
"""A probe that takes longer than this is not quick, the first import of its library included."""

# In a new interpreter, everything but gnnkit, its plugins and what gnnkit itself needs is made impossible to import
# before the plugin is loaded and probed: this is what a missing or broken library looks like.
_WITHOUT_LIBRARIES = """
import json, sys, gnnkit.{group}, gnnkit.testing
registry = gnnkit.{group}.{group}
registry.load({known!r})  # Brings in what finding plugins needs.
plugins = {{point.value.split(":")[0].split(".")[0] for point in registry.entry_points()}}
kept = {{module.split(".")[0] for module in sys.modules}} | plugins | set(getattr(sys, "stdlib_module_names", ()))

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] not in kept:
            raise ModuleNotFoundError("No module named " + repr(name), name=name)

sys.meta_path.insert(0, Missing())
answer = registry.load({name!r}).probe()
print("\\nanswer:" + json.dumps([type(answer).__name__, answer.status, answer.detail, answer.fix]))
"""


class PluginSuite(Suite):
    """Checks of what a plugin says about itself. Subclasses give ``registry`` and ``plugin_class``."""

    registry: ClassVar[Registry[Any]]

    def plugin_class(self) -> Any:
        """The class under test."""
        return self.registry.load(self.name)

    def plugin_file(self) -> str:
        """See :class:`Suite`."""
        try:
            return file_of(self.plugin_class())
        except Exception:  # One that cannot even be made has no file; the check says what is wrong with it.
            return ""

    @property
    def is_registered(self) -> bool:
        """Whether an entry point leads to the class under test."""
        return len(self.registry.claims(self.name)) == 1 and self.registry.load(self.name) is self.plugin_class()

    @check()
    def test_probe(self) -> None:
        """Probing is quick and never raises.

        ``probe`` answers an ``Availability`` that says ready, twice the same, within 20 seconds at first and in less
        than one second afterwards.
        """
        cls = self.plugin_class()
        answers, seconds = [], []
        for _ in range(2):
            start = time.perf_counter()
            answers.append(cls.probe())
            seconds.append(time.perf_counter() - start)
        for answer in answers:
            assert isinstance(answer, Availability), f"probe returned {answer!r}, expected an Availability."
        assert answers[0].status == answers[1].status, f"probe answered {answers[0].status}, then {answers[1].status}."
        assert answers[0].status == READY, f"probe answered {answers[0].status}: {answers[0].detail}"
        limits = (PROBE_SECONDS, 1.0)
        for took, limit in zip(seconds, limits):
            assert took < limit, f"probe took {took:.1f} s, expected less than {limit:g} s."

    @check(needs=["an entry point"])
    def test_missing_library(self) -> None:
        """A missing library is told, not raised.

        With every library hidden that gnnkit itself does not need, the plugin's module still imports and ``probe``
        still answers: ready if it needs none of them, else not installed or broken with a fix.
        """
        known = "reference" if self.kind == "backend" else "cpu"
        script = _WITHOUT_LIBRARIES.format(group=f"{self.kind}s", known=known, name=self.name)
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)
        lines = [line for line in done.stdout.splitlines() if line.startswith("answer:")]
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        assert lines, f"without its libraries the plugin cannot be probed: {last}"
        kind, status, _, fix = json.loads(lines[-1][len("answer:") :])
        assert kind == "Availability", f"probe returned a {kind}, expected an Availability."
        assert status in (READY, NOT_INSTALLED, BROKEN, NO_HARDWARE), f"probe answered {status!r}."
        assert status == READY or fix, f"probe answered {status} and no fix."

    def check_identity(self) -> None:
        """Refuse a class whose name or interface version is not what it should be."""
        cls = self.plugin_class()
        assert isinstance(cls.name, str) and cls.name, f"name is {cls.name!r}, expected a word."
        point = self.name.split("@")[0]  # Of several with one name, name@distribution is under test.
        assert cls.name == point, f"the class is named {cls.name!r}, its entry point {point!r}."
        assert cls.api_version == API_VERSION, f"api_version is {cls.api_version!r}, this is version {API_VERSION}."

    def lacks(self, need: str, case: str) -> str:
        """See :class:`Suite`."""
        if need == "an entry point":
            return "" if self.is_registered else "no entry point"
        return super().lacks(need, case)


def check_excludes(excludes: Any) -> None:
    """Refuse excluded combinations that gnnkit would not understand, or that exclude everything.

    Raises:
        AssertionError: With the first that is wrong.
    """
    for combination in excludes:
        unknown = sorted(set(combination) - set(COMBINED))
        assert not unknown, f"excludes names {unknown}, known are {list(COMBINED)}."
        assert combination, "excludes has a combination that names nothing, which excludes everything."
