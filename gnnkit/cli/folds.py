"""``gnnkit run --folds``: cross-validation over whole graphs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Optional

from gnnkit.cli.output import print_json, print_table
from gnnkit.options import whole_numbers

if TYPE_CHECKING:
    from gnnkit.train import RunConfig
    from gnnkit.train.folds import FoldRun, FoldsResult


def cross_validate(
    config: RunConfig, num_folds: int, wanted: Optional[str], repeats: Optional[int], json: bool
) -> None:
    """Run all folds that are wanted, and show what they say.

    Args:
        config: As :func:`gnnkit.train.load_config` gives it.
        num_folds: How many folds there are.
        wanted: Those to run, as they were typed; None for all.
        repeats: How often; None for once.
        json: Whether to print a line of JSON at the end.
    """
    from gnnkit.runs.run_folder import drop_run_dir, new_run_dir
    from gnnkit.train.folds import run_folds

    folds = None if wanted is None else whole_numbers(wanted, "--fold")
    made = None
    if config.run_dir is None:
        made = new_run_dir(Path("runs"), config.dataset.name, str(config.model.name), f"{num_folds}-folds")
        config = replace(config, run_dir=str(made))
    try:
        result = run_folds(config, num_folds, folds=folds, repeats=1 if repeats is None else repeats, report=_report)
    finally:
        if made is not None:
            drop_run_dir(made)  # Where a fold has begun it is not empty, and stays.
    _show(result)
    if json:
        print_json(result.summary())


def _report(run: FoldRun) -> None:
    result = run.result
    repeat = f"repeat {run.repeat}, " if run.repeat else ""
    test = ", ".join(f"{name.replace('_', ' ')} {value:.4f}" for name, value in result.test.items())
    print(f"{repeat}fold {run.fold}: best epoch {result.best_epoch}, test {test}, {result.seconds:.1f} s", flush=True)


def _show(result: FoldsResult) -> None:
    first = result.runs[0].result
    rows = [
        ["backend / device", f"{first.backend} / {first.device}"],
        ["data set", first.dataset],
        ["model", first.model.spec.name],
        ["runs", str(len(result.runs))],
    ]
    for split in ("valid", "test"):
        for name, (mean, deviation) in result.over_folds(split).items():
            rows.append([f"{split} {name.replace('_', ' ')}", f"{mean:.4f} +- {deviation:.4f}"])
    best = result.best_epoch_over_folds
    if best:
        words = f"{best['mean']:.4f} +- {best['deviation']:.4f} at epoch {best['epoch']}"
        rows.append(["best epoch over folds", f"{words}, valid {first.metric}; no result, see the documentation"])
    print_table("Folds", ["", ""], rows)
    print(f"  summary folder:  {result.run_dir}")
