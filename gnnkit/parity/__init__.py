"""The same model on several backends, and the same run again: compared number by number."""

from gnnkit.parity.comparison import BackendReport, Comparison, compare
from gnnkit.parity.reproduce import Verdict, compare_curves

__all__ = [
    "BackendReport",
    "Comparison",
    "Verdict",
    "compare",
    "compare_curves",
]
