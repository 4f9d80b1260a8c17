"""``gnnkit run --seeds`` and ``--folds``: several runs of one configuration, and a table of what they say together."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Optional

from gnnkit.cli.output import print_json, print_table
from gnnkit.options import whole_numbers

if TYPE_CHECKING:
    from gnnkit.studies import Member, Together
    from gnnkit.train import RunConfig


def run_together(
    config: RunConfig, seeds: Optional[int], folds: Optional[int], fold: Optional[str], json: bool
) -> None:
    """Run with several seeds, over folds, or both, and show what the runs say together.

    Args:
        config: As :func:`gnnkit.train.load_config` gives it.
        seeds: How many seeds; None for the configuration's alone.
        folds: How many folds; None for none.
        fold: The folds to run, as they were typed; None for all.
        json: Whether to print a line of JSON at the end.
    """
    from gnnkit.runs.run_folder import run_dir_or_new
    from gnnkit.studies import run_folds, run_seeds

    wanted = None if fold is None else whole_numbers(fold, "--fold")
    repeats = 1 if seeds is None else seeds
    words = [f"{number}-{name}" for name, number in (("seeds", seeds), ("folds", folds)) if number is not None]
    words = [Path(config.dataset.name).name, str(config.model.name), *words]
    result: Together
    with run_dir_or_new(config.run_dir, Path("runs"), *words) as folder:
        config = replace(config, run_dir=str(folder))
        if folds is None:
            result = run_seeds(config, repeats, report=_report)
        else:
            result = run_folds(config, folds, folds=wanted, repeats=repeats, report=_report)
    _show(result)
    if json:
        print_json(result.summary())


def _report(member: Member) -> None:
    result = member.result
    test = ", ".join(f"{name.replace('_', ' ')} {value:.4f}" for name, value in result.test.items())
    name = member.name.replace("-", " ")
    print(f"{name}: best epoch {result.best_epoch}, test {test}, {result.seconds:.1f} s", flush=True)


def _show(result: Together) -> None:
    from gnnkit.studies import FoldsResult

    first = result.members[0].result
    rows = [
        ["backend / device", f"{first.backend} / {first.device}"],
        ["data set", first.dataset],
        ["model", first.model.spec.name],
        ["runs", str(len(result.members))],
    ]
    for split in ("valid", "test"):
        for name, found in result.over(split).items():
            between = "" if found.interval is None else "  (95 %: {:.4f} to {:.4f})".format(*found.interval)
            rows.append([f"{split} {name.replace('_', ' ')}", f"{found}{between}"])
    best = result.best_epoch_over_folds if isinstance(result, FoldsResult) else {}
    if best:
        words = f"{best['mean']:.4f} +- {best['deviation']:.4f} at epoch {best['epoch']}"
        rows.append(["best epoch over folds", f"{words}, valid {first.metric}; no result, see the documentation"])
    print_table(result.kind.capitalize(), ["", ""], rows)
    print(f"  summary folder:  {result.run_dir}")
