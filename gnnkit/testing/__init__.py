"""The conformance kit: checks that every plugin of gnnkit has to pass, for plugin authors to run on theirs.

Subclass :class:`BackendSuite`, :class:`DeviceSuite`, :class:`DatasetSuite` or :class:`TaskSuite` in a plugin's own
tests, or run :func:`conform`, which is ``gnnkit conform`` on the command line. Graphs that hurt and the formulas of the
standard convolutions are here too.
"""

from gnnkit.testing.backend import BackendSuite
from gnnkit.testing.conform import SUITES, conform
from gnnkit.testing.dataset import DatasetSuite
from gnnkit.testing.device import DeviceSuite
from gnnkit.testing.formulas import CONV_SPECS, dense_conv, random_parameters
from gnnkit.testing.graphs import ALL_HARD, HARD_BLOCKS, coded_record, communities, full_record
from gnnkit.testing.report import CheckResult, Report
from gnnkit.testing.suite import Check, Suite, Undeclared, check
from gnnkit.testing.task import TaskSuite

__all__ = [
    "ALL_HARD",
    "CONV_SPECS",
    "HARD_BLOCKS",
    "SUITES",
    "BackendSuite",
    "Check",
    "CheckResult",
    "DatasetSuite",
    "DeviceSuite",
    "Report",
    "Suite",
    "TaskSuite",
    "Undeclared",
    "check",
    "coded_record",
    "communities",
    "conform",
    "dense_conv",
    "full_record",
    "random_parameters",
]
