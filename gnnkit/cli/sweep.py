"""``gnnkit sweep``: many trainings with other settings, and the best of them as a configuration."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, List, Mapping, Optional

import typer

from gnnkit.cli.output import print_json, print_table, reports_errors
from gnnkit.paths import is_folder, user_path

if TYPE_CHECKING:
    from gnnkit.studies import SweepResult, Trial

EXAMPLE = "Example: gnnkit sweep sweep.yaml sweep.trials=50 --processes 2"
_SHOWN = 5
"""Trials in the table at the end."""


@reports_errors
def sweep(
    file: str = typer.Argument(
        ...,
        metavar="FILE|FOLDER",
        help="A configuration with a section 'sweep', or a sweep's folder.",
    ),
    settings: Optional[List[str]] = typer.Argument(
        None, metavar="[KEY=VALUE]...", help="Settings that override the file."
    ),
    processes: int = typer.Option(1, help="Number of trials to train at the same time."),
    run_dir: Optional[str] = typer.Option(
        None,
        help="Folder of the sweep; an existing one of the same sweep is continued.  [default: a new one under sweeps/]",
    ),
    json: bool = typer.Option(False, "--json", help="Print one line of JSON at the end."),
    debug: bool = typer.Option(False, "--debug", help="Show the traceback of an error."),
) -> None:
    """Search for the best settings of a training."""
    from gnnkit.errors import ConfigError
    from gnnkit.runs.run_folder import run_dir_or_new
    from gnnkit.studies import SWEEP, read_sweep, run_sweep

    path = user_path(file, "The sweep")
    goes_on = is_folder(path)
    if goes_on and (settings or run_dir is not None):
        raise ConfigError(f"{path} is a folder, and a sweep continues with the settings that it has. Leave out others.")
    asked = read_sweep(path / SWEEP if goes_on else path, settings or [])
    with run_dir_or_new(path if goes_on else run_dir, Path("sweeps"), path.stem) as home:
        print(f"{asked.num_trials} trials into {home}", flush=True)
        try:
            result = run_sweep(asked, home, processes=processes, report=_report)
        except KeyboardInterrupt:
            print(f"  go on with:  gnnkit sweep {home}", flush=True)
            raise
    _show(result)
    if json:
        print_json(result.summary())


def _report(trial: Trial) -> None:
    score = "" if trial.score is None else f" {trial.score:.4f}"
    what = f"valid{score}" if trial.state == "complete" else f"{trial.state}{score}"
    problem = f" ({trial.problem})" if trial.problem else ""
    print(f"trial {trial.number}: {_words(trial.values)}: {what}{problem}", flush=True)


def _words(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={_value(value)}" for name, value in values.items())


def _value(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value).replace(" ", "")


def _show(result: SweepResult) -> None:
    from gnnkit.studies import BEST

    if result.best is None:
        print("No trial is complete, so there is no best one.")
        return
    names = list(result.best.values)
    rows = [
        [str(trial.number), *(_value(trial.values.get(name, "")) for name in names), f"{trial.score:.4f}"]
        for trial in result.ranked[:_SHOWN]
    ]
    print_table(f"Best of {len(result.trials)} trials", ["trial", *names, "valid"], rows)
    print(f"  train the best:  gnnkit run {result.folder / BEST}")
