"""What a suite of checks is, for pytest and for ``gnnkit conform`` alike.

Rules: a check is a method ``test_...`` under :func:`check` whose docstring gives its title and says what it proves;
the documentation shows both. It ends well or raises; nothing is left out but by a capability that the plugin does not
declare, which is counted. pytest is not imported: pytest finds the methods by itself, parametrises them through
``pytest_generate_tests`` and takes ``unittest.SkipTest`` for a skip.
"""

from __future__ import annotations

import fnmatch
import functools
import inspect
import time
import unittest
import warnings
from dataclasses import dataclass
from typing import Any, Callable, ClassVar, List, Sequence, Tuple, TypeVar

from gnnkit.errors import CapabilityError
from gnnkit.testing.global_state import restored_settings
from gnnkit.testing.places import place_of, whole_traceback
from gnnkit.testing.report import FAILED, PASSED, SKIPPED, CheckResult, Report

F = TypeVar("F", bound=Callable[..., None])


class Undeclared(unittest.SkipTest):
    """A check needs what the plugin does not declare."""


@dataclass(frozen=True)
class Check:
    """What is known of a check without running it.

    Attributes:
        name: Name in reports; the method is called ``test_`` and then this.
        title: What must hold: the first line of the method's docstring.
        proves: The rest of the docstring: what a plugin that passes has been shown to do.
        needs: Capabilities without which it is skipped; see :meth:`Suite.lacks`.
        over: Cases that it is made for, one after the other. Empty: it is made once.
    """

    name: str
    title: str
    proves: str
    needs: Tuple[str, ...]
    over: Tuple[str, ...]

    def matches(self, wanted: str, case: str) -> bool:
        """Whether a name, a name with a case, or a pattern means this check of a case."""
        if wanted in (self.name, f"{self.name}[{case}]") or fnmatch.fnmatchcase(self.name, wanted):
            return True
        # Brackets are part of the words here, and not a set of letters.
        return fnmatch.fnmatchcase(f"{self.name}[{case}]", wanted.replace("[", "[[]"))


def check(*, needs: Sequence[str] = (), over: Sequence[str] = ()) -> Callable[[F], F]:
    """Turn a method ``test_...(self)``, or with cases ``test_...(self, case)``, into a check.

    Args:
        needs: Capabilities that it needs.
        over: Names of cases.

    Example:
        >>> class Tidy(Suite):
        ...     @check()
        ...     def test_summary(self):
        ...         '''There is a summary.'''
        >>> [(item.name, item.title) for item in Tidy.checks()]
        [('summary', 'There is a summary')]
    """

    def decorate(function: F) -> F:
        title, _, proves = (inspect.getdoc(function) or "").partition("\n")
        name = function.__name__[len("test_") :]
        facts = Check(name, title.rstrip("."), " ".join(proves.split()), tuple(needs), tuple(over))

        @functools.wraps(function)
        def checked(self: Suite, *args: Any, **kwargs: Any) -> None:
            case = kwargs.get("case", args[0] if args else "")
            for need in facts.needs:
                missing = self.lacks(need, case)
                if missing:
                    raise Undeclared(missing)
            with restored_settings():  # What one check finds out must not spoil the next.
                function(self, *args, **kwargs)

        checked.facts = facts  # type: ignore[attr-defined]
        return checked  # type: ignore[return-value]

    return decorate


class Suite:
    """Base of the suites. Subclass :class:`BackendSuite`, :class:`DeviceSuite` or :class:`DatasetSuite` instead.

    Attributes:
        kind: What kind of plugin is checked.
        floor: How many checks must have passed for a plugin to be conformant.
        name: Name of the plugin.
    """

    kind: ClassVar[str] = ""
    floor: ClassVar[int] = 1
    name: str = ""

    def lacks(self, need: str, case: str) -> str:
        """Say what the plugin does not declare.

        Args:
            need: A capability that a check names.
            case: The case that it is to be made for.

        Returns:
            The undeclared capability in words; empty if it is declared.

        Raises:
            CapabilityError: The suite does not know the capability, so that it cannot tell.
        """
        raise CapabilityError(
            f"A check of {type(self).__name__} needs {need!r}, which the suite cannot look up. "
            "Define lacks(need, case) for it, and hand on to super() what it does not know."
        )

    @classmethod
    def checks(cls) -> List[Check]:
        """All checks in order: those of a class after those of its bases, of several bases the last one's first.

        What a subclass sets to None is no check.
        """
        bases = reversed(cls.__mro__)
        seen = dict.fromkeys(key for base in bases for key in vars(base) if key.startswith("test_"))
        methods = (getattr(cls, key) for key in seen)
        return [method.facts for method in methods if hasattr(method, "facts")]

    def run(self, only: Sequence[str] = ()) -> Report:
        """Make all checks without pytest.

        Args:
            only: Which checks to make: names, names with a case ("outputs[gat]"), or patterns of either ("*grad*").
                Empty: all; with fewer the floor is not applied.
        """
        results = [
            self._result(item, case)
            for item in self.checks()
            for case in item.over or ("",)
            if not only or any(item.matches(wanted, case) for wanted in only)
        ]
        return Report(self.kind, self.name, tuple(results), 0 if only else self.floor)

    def _result(self, item: Check, case: str) -> CheckResult:
        method = getattr(self, f"test_{item.name}")
        start = time.perf_counter()
        status, message = PASSED, ""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Those of the libraries below are theirs.
                method(*([case] if case else []))
        except Undeclared as error:
            status, message = SKIPPED, str(error)
        except (Exception, SystemExit) as error:
            # A stranger's code may raise anything; the report goes on and names it.
            seconds = time.perf_counter() - start
            is_finding = isinstance(error, AssertionError)
            message = str(error) if is_finding else f"it raised {type(error).__name__}: {error}"
            where = place_of(error, self.plugin_file(), is_finding)
            message = message or "an assertion failed"
            return CheckResult(item.name, case, FAILED, message, seconds, where, whole_traceback(error))
        return CheckResult(item.name, case, status, message, time.perf_counter() - start)

    def plugin_file(self) -> str:
        """The folder of the plugin's package, or the file of its module; what fails in it is pointed at."""
        return ""

    def pytest_generate_tests(self, metafunc: Any) -> None:
        """Called by pytest: make a check with cases once for each of them."""
        facts = getattr(metafunc.function, "facts", None)
        if facts is not None and facts.over:
            metafunc.parametrize("case", facts.over)
