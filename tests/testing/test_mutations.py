"""The kit catches faults: every planted one makes a plugin not conformant, by a check that points at it."""

from __future__ import annotations

from typing import Iterable

import pytest

from gnnkit.backends import backends
from gnnkit.backends.reference import ReferenceBackend
from gnnkit.devices import Device, DeviceCapabilities, load_device
from gnnkit.devices.cpu import CpuDevice
from gnnkit.testing import BackendSuite, DeviceSuite, Report, TaskSuite
from tests.testing.mutants import DEVICE_MUTANTS, MUTANTS, TASK_MUTANTS, Mutant, narrowed
from tests.testing.mutants.device import RunsReferenceOnly

# Trainings take most of the time; a backend without a fault makes all of them in the tests of its own suite.
SLOW = {"losses", "repeated", "saved", "resumed", "learns", "missing_library", "many_passes"}
QUICK = [item.name for item in BackendSuite.checks() if item.name not in SLOW]


def examine(backend_class, checks: Iterable[str]) -> Report:
    class Planted(BackendSuite):
        name = "mutant"

        def make_backend(self):
            return backend_class()

        def make_device(self) -> Device:
            return load_device("cpu")

    return Planted().run(only=list(checks))


def examine_device(device_class, checks: Iterable[str]) -> Report:
    class Planted(DeviceSuite):
        name = "cpu"

        def make_device(self):
            return device_class()

    return Planted().run(only=list(checks))


def points_at_it(report: Report, mutant: Mutant) -> None:
    assert not report.is_conformant
    assert {result.check for result in report.failed} == mutant.points_at_it, report.problems
    assert any(mutant.words in problem for problem in report.problems), report.problems


@pytest.mark.parametrize("name", MUTANTS)
def test_fault_is_caught_and_pointed_at(name: str) -> None:
    points_at_it(examine(MUTANTS[name].plugin, MUTANTS[name].points_at_it), MUTANTS[name])


@pytest.mark.parametrize("name", DEVICE_MUTANTS)
def test_fault_of_a_device_is_caught_and_pointed_at(name: str) -> None:
    points_at_it(examine_device(DEVICE_MUTANTS[name].plugin, DEVICE_MUTANTS[name].points_at_it), DEVICE_MUTANTS[name])


@pytest.mark.parametrize("name", TASK_MUTANTS)
def test_fault_of_a_task_is_caught_and_pointed_at(name: str) -> None:
    class Planted(TaskSuite):
        def task_class(self):
            return TASK_MUTANTS[name].plugin

    suite = Planted()
    suite.name = "mutant"
    points_at_it(suite.run(only=list(TASK_MUTANTS[name].points_at_it)), TASK_MUTANTS[name])


LONG = [pytest.param(conv, marks=pytest.mark.long) for conv in ("gcn", "gatv2", "gin")]


@pytest.mark.parametrize("conv", ["sage", "gat", *LONG])
def test_without_a_fault_the_copy_is_conformant(conv: str) -> None:
    report = examine(narrowed(ReferenceBackend, conv), QUICK)
    assert report.is_conformant, report.problems


@pytest.mark.skipif("pyg" not in backends.names(), reason="needs a second backend")
def test_a_device_on_which_a_backend_does_not_run_says_so() -> None:
    (problem,) = examine_device(RunsReferenceOnly, ["backends"]).problems
    assert "does not run here, with NotImplementedError: layers of plain torch only" in problem

    class Says(RunsReferenceOnly):
        capabilities = DeviceCapabilities("cpu", backends=frozenset({"reference"}))

    assert examine_device(Says, ["backends"]).is_conformant


def test_a_device_with_fixed_shapes_is_padded_for_and_conformant() -> None:
    class Device(CpuDevice):
        capabilities = DeviceCapabilities("cpu", static_shapes=True)

    slow = ("missing_library", "learns", "bfloat16")
    report = examine_device(Device, [item.name for item in DeviceSuite.checks() if item.name not in slow])
    assert report.is_conformant, report.problems
