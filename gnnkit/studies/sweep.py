"""What a sweep is asked to do, and what it found.

Rules: a sweep's file is a configuration of ``gnnkit run`` with one section more. Points are judged by validation alone,
by the metric that picks the best epoch; the test part is never looked at.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence

from gnnkit.errors import ConfigError
from gnnkit.io.yaml_files import read_yaml
from gnnkit.options import make_options
from gnnkit.paths import PathLike, user_path
from gnnkit.studies.space import Axis, Choice, grid, nested, read_space
from gnnkit.train.config import RunConfig, load_config
from gnnkit.train.merging import parsed

SWEEP, BEST = "sweep.yaml", "best.yaml"
"""Files in the folder of a sweep: what was asked for, and the best configuration."""


@dataclass(frozen=True)
class SweepOptions:
    """The section "sweep" of a sweep's file.

    Attributes:
        space: What varies: by the dotted name of a setting a list of values, or "low" and "high", with "step" or "log".
        trials: How many trainings; those that are pruned count. None: 20, for a grid all of its points.
        sampler: Who proposes: "grid" takes all points in order, "random" and others are Optuna's, such as "tpe", "gp",
            "cmaes" and "qmc".
        sampler_options: Arguments of that sampler.
        pruner: Who ends trainings early that are worse than others at the same epoch: "none", or Optuna's, such as
            "median", "hyperband" and "successivehalving".
        pruner_options: Arguments of that pruner.
        seeds: How many seeds each point is trained with; their mean counts.
        folds: How many folds each point is trained on, for tasks about graphs; their mean counts. None: no folds.
        seed: Seed of the sampler.
    """

    space: Dict[str, Any] = field(default_factory=dict)
    trials: Optional[int] = None
    sampler: str = "tpe"
    sampler_options: Dict[str, Any] = field(default_factory=dict)
    pruner: str = "none"
    pruner_options: Dict[str, Any] = field(default_factory=dict)
    seeds: int = 1
    folds: Optional[int] = None
    seed: int = 0


@dataclass(frozen=True)
class Sweep:
    """What a sweep is asked to do.

    Attributes:
        base: The configuration without what varies, in sections.
        options: The section "sweep".
        space: The space that it describes.
    """

    base: Mapping[str, Any]
    options: SweepOptions
    space: Mapping[str, Axis]

    def to_dict(self) -> Dict[str, Any]:
        """The content of a sweep's file."""
        return {**self.base, "sweep": asdict(self.options)}

    @property
    def num_trials(self) -> int:
        """How many trials there are to be."""
        points = len(grid(self.space)) if self.options.sampler == "grid" else None
        asked = self.options.trials
        if points is None:
            return 20 if asked is None else asked
        return points if asked is None else min(asked, points)

    @property
    def first(self) -> Dict[str, Any]:
        """A point of the space: first values, and low ends."""
        return {name: axis.values[0] if isinstance(axis, Choice) else axis.low for name, axis in self.space.items()}

    def config(self, values: Mapping[str, Any]) -> RunConfig:
        """The configuration of a point of the space.

        Args:
            values: By dotted name.
        """
        return load_config(self.base, nested(values))


@dataclass(frozen=True)
class Trial:
    """One point of the space that was trained.

    Attributes:
        number: From 0.
        values: What it took, by dotted name.
        state: "complete", "pruned" or "failed".
        score: What the metric says, of validation. None for one that failed.
        problem: Why it failed.
    """

    number: int
    values: Mapping[str, Any]
    state: str
    score: Optional[float]
    problem: Optional[str] = None


@dataclass(frozen=True)
class SweepResult:
    """What a sweep found.

    Attributes:
        trials: All trials that have ended, by number.
        best: The best of them; None if none is complete.
        folder: Where it is kept.
        higher_is_better: Whether a larger score is a better one.
    """

    trials: List[Trial]
    best: Optional[Trial]
    folder: Path
    higher_is_better: bool = True

    @property
    def ranked(self) -> List[Trial]:
        """The complete trials, the best first."""
        complete = [trial for trial in self.trials if trial.state == "complete"]
        sign = -1 if self.higher_is_better else 1
        return sorted(complete, key=lambda trial: sign * (trial.score or 0.0))

    def summary(self) -> Dict[str, Any]:
        """Plain values, as ``gnnkit sweep --json`` prints them."""
        best = self.best
        return {
            "folder": str(self.folder),
            "trials": [vars(trial) for trial in self.trials],
            "best": None if best is None else {"number": best.number, "values": dict(best.values), "score": best.score},
            "best_config": None if best is None else str(self.folder / BEST),
        }


def read_sweep(file: PathLike, overrides: Sequence[str] = ()) -> Sweep:
    """Read a sweep's file: a configuration of ``gnnkit run`` with a section "sweep".

    Args:
        file: The file.
        overrides: Settings such as ``"train.epochs=50"`` or ``"sweep.trials=10"``, which win over it.

    Raises:
        ConfigError: It is none, or says what cannot be done.
        UnknownNameError: A setting, a sampler or a pruner that does not exist.
    """
    path = user_path(file)
    given = laid_over(read_yaml(path), parsed(overrides))
    section = given.pop("sweep", None)
    if not isinstance(section, dict):
        raise ConfigError(f'{path} has no section "sweep". Say there what varies: sweep.space.')
    options = make_options(SweepOptions, section, "a sweep")
    sweep = Sweep(given, options, read_space(options.space))
    _check(sweep)
    return sweep


def laid_over(below: Mapping[str, Any], above: Mapping[str, Any]) -> Dict[str, Any]:
    """Sections with others over them, which win.

    Example:
        >>> laid_over({"train": {"lr": 0.1}}, {"train": {"epochs": 5}})
        {'train': {'lr': 0.1, 'epochs': 5}}
    """
    both = dict(below)
    for name, value in above.items():
        is_section = isinstance(value, dict) and isinstance(both.get(name), dict)
        both[name] = laid_over(both[name], value) if is_section else value
    return both


def _check(sweep: Sweep) -> None:
    """Refuse what would fail in every trial."""
    options = sweep.options
    for name, value in (("trials", options.trials), ("seeds", options.seeds), ("folds", options.folds)):
        if value is not None and value < 1:
            raise ConfigError(f"sweep.{name} is {value}, expected at least 1.")
    if "run_dir" in sweep.space or ("seed" in sweep.space and options.seeds > 1):
        raise ConfigError("sweep.space cannot vary run_dir, nor seed beside sweep.seeds. Leave it out.")
    if options.sampler == "grid":
        grid(sweep.space)
    for name, axis in sweep.space.items():
        for value in axis.values if isinstance(axis, Choice) else (axis.low, axis.high):
            sweep.config({**sweep.first, name: value})
