"""Faults planted in copies of the reference backend, the device cpu and tasks, each with the checks that find it."""

from __future__ import annotations

from typing import Dict

from tests.testing.mutants import device, formulas, task, use
from tests.testing.mutants.planting import Mutant, narrowed

MUTANTS: Dict[str, Mutant] = {
    **{name: Mutant(narrowed(cls, conv), frozenset(points)) for name, conv, cls, points in formulas.FAULTS},
    **{name: Mutant(narrowed(cls, conv), frozenset(points), words) for name, conv, cls, points, words in use.FAULTS},
}
"""Backends with a fault, by its name."""

DEVICE_MUTANTS: Dict[str, Mutant] = {
    name: Mutant(cls, frozenset(points), words) for name, cls, points, words in device.FAULTS
}
"""Devices with a fault, by its name."""

TASK_MUTANTS: Dict[str, Mutant] = {
    name: Mutant(cls, frozenset(points), words) for name, cls, points, words in task.FAULTS
}
"""Tasks with a fault, by its name."""

__all__ = ["DEVICE_MUTANTS", "MUTANTS", "TASK_MUTANTS", "Mutant", "narrowed"]
