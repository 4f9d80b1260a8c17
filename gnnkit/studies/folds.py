"""Cross-validation over whole graphs: one run for each fold, and what they say together.

Rules: the validation part of a fold picks its epoch, never the test part. The configuration of a fold's run names it
(``task_options.fold``).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Callable, ClassVar, Dict, List, Optional, Sequence

from gnnkit.errors import ConfigError
from gnnkit.studies.spread import spread
from gnnkit.studies.together import Member, Together, member_name, summary_folder, train_one
from gnnkit.tasks import task_class
from gnnkit.train.assembling import load_data
from gnnkit.train.config import RunConfig


@dataclass(frozen=True)
class FoldsResult(Together):
    """What all folds say together."""

    kind: ClassVar[str] = "folds"

    @property
    def best_epoch_over_folds(self) -> Dict[str, Any]:
        """The best mean over folds of the validation metric at one epoch that is the same for all of them.

        This is how Xu et al. (2019) report: the epoch is picked by the very numbers that are reported, so it is too
        good by a few points and no result. Epochs without evaluation, or that a fold did not reach, do not count.
        """
        curves = [
            {record.epoch: record.valid_metric for record in member.result.history if record.valid_metric is not None}
            for member in self.members
        ]
        shared = set(curves[0]).intersection(*curves[1:])
        if not shared:
            return {}
        over = {epoch: spread([curve[epoch] for curve in curves]) for epoch in sorted(shared)}
        sign = 1 if self.members[0].result.higher_is_better else -1
        best = max(over, key=lambda epoch: sign * over[epoch].mean)
        return {"epoch": best, "mean": over[best].mean, "deviation": over[best].deviation}

    def summary(self) -> Dict[str, Any]:
        """Plain values, as ``gnnkit run --folds --json`` prints them."""
        return {**super().summary(), "best_epoch_over_folds": self.best_epoch_over_folds}


def run_folds(
    config: RunConfig,
    num_folds: int,
    *,
    folds: Optional[Sequence[int]] = None,
    repeats: int = 1,
    report: Callable[[Member], None] = lambda member: None,
    group: Optional[Path] = None,
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
        group: The folder by which trackers group the runs. None: the summary folder.

    Raises:
        ConfigError: The task is not about graphs, there are no such folds, or runs are to be tracked without a folder.
        GnnkitError: As :func:`gnnkit.train.assembling.assemble` and :meth:`gnnkit.Trainer.fit`.

    Example:
        >>> from gnnkit.train import load_config
        >>> config = load_config(overrides=["task=graph_classification", "dataset.name=TU-MUTAG"])
        >>> result = run_folds(config, 10)  # doctest: +SKIP
        >>> print(result.over("test")["accuracy"])  # doctest: +SKIP
        0.8600 +- 0.0700
    """
    if task_class(config.task).level != "graphs":
        raise ConfigError(f"Folds are for tasks about graphs, and the task is {config.task!r}.")
    wanted = list(range(num_folds)) if folds is None else list(folds)
    if num_folds < 2:
        raise ConfigError(f"Received {num_folds} folds, expected at least 2.")
    if not wanted or not set(wanted) <= set(range(num_folds)) or len(set(wanted)) < len(wanted):
        raise ConfigError(f"Received folds {wanted}, expected different ones from 0 to {num_folds - 1}.")
    if repeats < 1:
        raise ConfigError(f"Received {repeats} repeats of all folds, expected at least 1.")
    home = summary_folder(config)
    members: List[Member] = []
    asked = repeats * len(wanted)
    for repeat in range(repeats):
        data = load_data(replace(config, seed=config.seed + repeat), split=False)
        for fold in wanted:
            labels = {"fold": fold} if repeats == 1 else {"repeat": repeat, "fold": fold}
            each = replace(
                config,
                seed=config.seed + repeat,
                run_dir=None if home is None else str(home / member_name(labels)),
                task_options={**config.task_options, "folds": num_folds, "fold": fold},
            )
            members.append(Member(labels, train_one(each, group or home, data=data)))
            report(members[-1])
            FoldsResult(members, asked, home).write()
    return FoldsResult(members, asked, home)
