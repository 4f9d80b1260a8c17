"""Several runs of one configuration: seeds, folds, sweeps, and what they say together."""

from gnnkit.studies.folds import FoldsResult, run_folds
from gnnkit.studies.seeds import SeedsResult, run_seeds
from gnnkit.studies.spread import Spread, spread
from gnnkit.studies.sweep import BEST, SWEEP, Sweep, SweepOptions, SweepResult, Trial, read_sweep
from gnnkit.studies.together import SUMMARY, Member, Together
from gnnkit.studies.trials import importances, read_result, run_sweep

__all__ = [
    "BEST",
    "SUMMARY",
    "SWEEP",
    "FoldsResult",
    "Member",
    "SeedsResult",
    "Spread",
    "Sweep",
    "SweepOptions",
    "SweepResult",
    "Together",
    "Trial",
    "importances",
    "read_result",
    "read_sweep",
    "run_folds",
    "run_seeds",
    "run_sweep",
    "spread",
]
