"""Cross-validation over whole graphs: one run for each fold, and what they say together.

Rules: the validation part of a fold picks its epoch, never the test part. A fold is a run like any other: its
configuration names it (``task_options.fold``), so it can be opened and repeated by itself.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

from gnnkit.errors import ConfigError
from gnnkit.io.files import write_text
from gnnkit.paths import user_path
from gnnkit.runs import RunResult
from gnnkit.runs.run_folder import check_free
from gnnkit.strict_json import to_json
from gnnkit.tasks import task_class
from gnnkit.train.assembling import assemble, load_data
from gnnkit.train.config import RunConfig

SUMMARY = "folds.json"
"""The file in the summary folder that holds :meth:`FoldsResult.summary`."""


@dataclass(frozen=True)
class FoldRun:
    """One fold.

    Attributes:
        repeat: Number of the repeat, from 0.
        fold: Number of the fold, from 0.
        result: Its training.
    """

    repeat: int
    fold: int
    result: RunResult


@dataclass(frozen=True)
class FoldsResult:
    """What all folds say together.

    Attributes:
        runs: One for each fold of each repeat, in order.
        asked: How many there are to be.
        run_dir: The summary folder; None if none was asked for.
    """

    runs: List[FoldRun]
    asked: int
    run_dir: Optional[Path] = None

    def over_folds(self, split: str = "test") -> Dict[str, Tuple[float, float]]:
        """Mean and sample standard deviation over all runs of each metric, by name.

        Args:
            split: "test" or "valid".
        """
        metrics: List[Mapping[str, float]] = [getattr(run.result, split) for run in self.runs]
        return {name: _mean_and_deviation([each[name] for each in metrics]) for name in metrics[0]}

    @property
    def best_epoch_over_folds(self) -> Dict[str, Any]:
        """The best mean over folds of the validation metric at one epoch that is the same for all of them.

        This is how Xu et al. (2019) report: the epoch is picked by the very numbers that are reported, so it is too
        good by a few points and no result. Epochs without evaluation, or that a fold did not reach, do not count.
        """
        curves = [
            {record.epoch: record.valid_metric for record in run.result.history if record.valid_metric is not None}
            for run in self.runs
        ]
        shared = set(curves[0]).intersection(*curves[1:])
        if not shared:
            return {}
        over = {epoch: _mean_and_deviation([curve[epoch] for curve in curves]) for epoch in sorted(shared)}
        sign = 1 if self.runs[0].result.higher_is_better else -1
        best = max(over, key=lambda epoch: sign * over[epoch][0])
        return {"epoch": best, "mean": over[best][0], "deviation": over[best][1]}

    def summary(self) -> Dict[str, Any]:
        """Plain values, as ``gnnkit run --folds --json`` prints them."""
        first = self.runs[0].result
        values: Dict[str, Any] = {
            "backend": first.backend,
            "device": first.device,
            "dataset": first.dataset,
            "model": first.model.spec.name,
            "metric": first.metric,
            "runs": len(self.runs),
            "complete": len(self.runs) == self.asked,
        }
        for split in ("valid", "test"):
            for name, (mean, deviation) in self.over_folds(split).items():
                values[f"{split}_{name}"] = {"mean": mean, "deviation": deviation}
        values["best_epoch_over_folds"] = self.best_epoch_over_folds
        values["folds"] = [
            {
                "repeat": run.repeat,
                "fold": run.fold,
                "best_epoch": run.result.best_epoch,
                "valid": run.result.valid,
                "test": run.result.test,
                "seconds": run.result.seconds,
                "run_dir": None if run.result.run_dir is None else str(run.result.run_dir),
            }
            for run in self.runs
        ]
        values["run_dir"] = None if self.run_dir is None else str(self.run_dir)
        return values


def run_folds(
    config: RunConfig,
    num_folds: int,
    *,
    folds: Optional[Sequence[int]] = None,
    repeats: int = 1,
    report: Callable[[FoldRun], None] = lambda run: None,
) -> FoldsResult:
    """Train on all folds but one, and test that one, for each of them.

    Folds are those of the data (``Graph.graph_data["fold"]``), else graphs are dealt by the seed, classes in equal
    shares.

    Args:
        config: As :func:`gnnkit.train.load_config` gives it, for a task about graphs. ``run_dir`` is the summary
            folder, in which each run has one of its own.
        num_folds: How many folds there are.
        folds: Which of them to run. None: all.
        repeats: How often; each repeat has the next seed.
        report: Called after each run.

    Raises:
        ConfigError: The task is not about graphs, or there are no such folds.
        GnnkitError: As :func:`gnnkit.train.assembling.assemble` and :meth:`gnnkit.Trainer.fit`.

    Example:
        >>> from gnnkit.train import load_config
        >>> config = load_config(overrides=["task=graph_classification", "dataset.name=TU-MUTAG"])
        >>> result = run_folds(config, 10)  # doctest: +SKIP
        >>> result.over_folds()["accuracy"]  # doctest: +SKIP
        (0.86, 0.07)
    """
    if task_class(config.task).level != "graphs":
        raise ConfigError(f"Folds are for tasks about graphs, and the task is {config.task!r}.")
    wanted = list(range(num_folds)) if folds is None else list(folds)
    if not wanted or min(wanted) < 0 or max(wanted) >= num_folds or repeats < 1:
        expected = f"some of 0 to {num_folds - 1}, at least once"
        raise ConfigError(f"Received folds {wanted} of {num_folds}, {repeats} times; expected {expected}.")
    home = None if config.run_dir is None else user_path(config.run_dir, "run_dir")
    if home is not None:
        check_free(home)
    runs: List[FoldRun] = []
    asked = repeats * len(wanted)
    for repeat in range(repeats):
        data = load_data(replace(config, seed=config.seed + repeat), split=False)
        for fold in wanted:
            name = f"fold-{fold}" if repeats == 1 else f"repeat-{repeat}-fold-{fold}"
            each = replace(
                config,
                seed=config.seed + repeat,
                run_dir=None if home is None else str(home / name),
                task_options={**config.task_options, "folds": num_folds, "fold": fold},
            )
            trainer, model, graph = assemble(each, data=data)
            runs.append(FoldRun(repeat, fold, trainer.fit(model, graph)))
            report(runs[-1])
            if home is not None:
                write_text(home / SUMMARY, to_json(FoldsResult(runs, asked, home).summary(), indent=2) + "\n")
    return FoldsResult(runs, asked, home)


def _mean_and_deviation(values: Sequence[float]) -> Tuple[float, float]:
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else 0.0
