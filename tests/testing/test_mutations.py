"""The kit catches faults: every planted one makes a backend not conformant, by a check that points at it."""

from __future__ import annotations

from typing import Iterable

import pytest

from gnnkit.backends.reference import ReferenceBackend
from gnnkit.devices import Device, load_device
from gnnkit.testing import BackendSuite, Report
from tests.testing.mutants import MUTANTS, narrowed

# Trainings take most of the time; a backend without a fault makes all of them in the tests of its own suite.
SLOW = {"losses", "repeated", "saved", "resumed", "learns", "missing_library"}
QUICK = [item.name for item in BackendSuite.checks() if item.name not in SLOW]


def examine(backend_class, checks: Iterable[str]) -> Report:
    class Planted(BackendSuite):
        name = "mutant"

        def make_backend(self):
            return backend_class()

        def make_device(self) -> Device:
            return load_device("cpu")

    return Planted().run(only=list(checks))


def test_there_are_enough() -> None:
    assert len(MUTANTS) >= 15


@pytest.mark.parametrize("name", MUTANTS)
def test_fault_is_caught_and_pointed_at(name: str) -> None:
    report = examine(MUTANTS[name].backend, MUTANTS[name].points_at_it)
    assert not report.is_conformant
    assert {result.check for result in report.failed} == MUTANTS[name].points_at_it, report.problems


@pytest.mark.parametrize("conv", ["gcn", "sage", "gat", "gatv2", "gin"])
def test_without_a_fault_the_copy_is_conformant(conv: str) -> None:
    report = examine(narrowed(ReferenceBackend, conv), QUICK)
    assert report.is_conformant, report.problems
