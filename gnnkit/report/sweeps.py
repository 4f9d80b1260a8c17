"""A page about a sweep: settings and scores, what each setting explains, learning curves, trials, the best one.

Rules: everything is read from the folder that ``gnnkit sweep`` made; nothing is trained. Optuna says which settings
matter. Trials are ranked by validation, as the sweep ranked them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Dict, List, Mapping, Optional, Sequence, Tuple

from gnnkit.errors import ConfigError, GnnkitError
from gnnkit.io.text import read_text
from gnnkit.paths import is_file
from gnnkit.report import sweep_figures
from gnnkit.report.gallery import Gallery
from gnnkit.report.page import Page, Panel, Section, Table
from gnnkit.report.together import is_summary, members_of
from gnnkit.report.words import NONE, metric_name, number, percent, seconds
from gnnkit.runs import RunRecord, read_run
from gnnkit.studies import BEST, SWEEP, Sweep, SweepResult, Trial, importances, read_result, read_sweep

_SHOWN = 10
"""Trials in the table that is open."""


def is_sweep(folder: Path) -> bool:
    """Whether a folder is that of a sweep."""
    return is_file(folder / SWEEP)


def sweep_page(folder: Path, gallery: Gallery, footer: str) -> Page:
    """The page of a sweep.

    Args:
        folder: The sweep's.
        gallery: Draws the figures.
        footer: How the page was made.

    Raises:
        NotInstalledError: Optuna is not installed.
        ConfigError: The folder is damaged, or no trial has ended.
    """
    sweep, result = read_sweep(folder / SWEEP), read_result(folder)
    if not result.trials:
        raise ConfigError(f"No trial of {folder} has ended. Go on with it: gnnkit sweep {folder}.")
    runs = {trial.number: _runs_of(folder, trial) for trial in result.trials}
    first = next((found[0] for found in runs.values() if found), None)
    metric = metric_name((first.manifest.get("metric") or {}).get("name", "score")) if first else "score"
    panel = Panel(is_spacious=True)
    _add_settings(panel, folder, sweep, result, metric, gallery)
    _add_curves(panel, sweep, result, runs, metric, gallery)
    sections = [
        Section("settings", "Settings and curves", [panel]),
        Section("trials", "Trials", [_trials(sweep, result, runs, metric)]),
        Section("best", "The best configuration", _best(folder)),
    ]
    return Page(
        title=_title(folder, first),
        subtitle=f"{folder.name}, {len(result.trials)} of {sweep.num_trials} trials, sampler {sweep.options.sampler}, "
        f"pruner {sweep.options.pruner}",
        tiles=_tiles(sweep, result, runs, metric),
        warnings=_warnings(sweep, result, folder),
        sections=[section for section in sections if section.panels],
        footer=footer,
    )


def _title(folder: Path, first: Optional[RunRecord]) -> str:
    return f"Sweep on {first.manifest['data']['name']}" if first else f"Sweep {folder.name}"


def _warnings(sweep: Sweep, result: SweepResult, folder: Path) -> List[str]:
    warnings = []
    if len(result.trials) < sweep.num_trials:
        warnings.append(
            f"The sweep has not ended: {len(result.trials)} of {sweep.num_trials} trials have. Go on with it by gnnkit "
            f"sweep {folder}."
        )
    failed = [trial for trial in result.trials if trial.state == "failed"]
    if failed:
        warnings.append(f"{len(failed)} of the trials failed; the last one with: {failed[-1].problem}")
    return warnings


def _runs_of(folder: Path, trial: Trial) -> List[RunRecord]:
    """The run of a trial, or its runs by seeds and folds; none where the folder is gone or not whole."""
    home = folder / f"trial-{trial.number:04d}"
    try:
        return members_of(home) if is_summary(home) else [read_run(home)]
    except GnnkitError:
        return []


def _tiles(
    sweep: Sweep, result: SweepResult, runs: Mapping[int, List[RunRecord]], metric: str
) -> List[Tuple[str, str, str]]:
    states = [trial.state for trial in result.trials]
    ended = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
    tiles = []
    if result.best is not None:
        tiles.append((f"Validation {metric}", number(result.best.score), f"trial {result.best.number}, the best"))
    tiles.append(("Trials", f"{len(states)}", ended))
    tiles.append(("Settings that vary", f"{len(sweep.space)}", ", ".join(sweep.space)))
    total = sum(record.seconds for found in runs.values() for run in found for record in run.history)
    return [*tiles, ("Time", seconds(total), "training in all trials")]


def _add_settings(panel: Panel, folder: Path, sweep: Sweep, result: SweepResult, metric: str, gallery: Gallery) -> None:
    """Parallel coordinates of settings and score, and the importance of settings."""
    best = result.best
    words = f"Each of {len(result.trials)} trials as a path over the values of {', '.join(sweep.space)}."
    if best is not None:
        words += f" Best: {', '.join(f'{name} {_value(value)}' for name, value in best.values.items())}."
    panel.pictures.append(
        gallery.picture(
            None,
            "settings",
            lambda theme: sweep_figures.draw_settings(sweep.space, result, metric, theme),
            words,
            f"Trials by setting, coloured by validation {metric}; the best is thick",
        )
    )
    shares = importances(folder)
    num = sum(trial.state == "complete" for trial in result.trials)
    if not shares:
        panel.notes.append(
            "There are too few complete trials, or all have the same score, to say which settings matter."
        )
        return
    panel.notes.append(
        f"The importance of a setting is its share of the variance of the validation {metric}, by fANOVA (Hutter et "
        f"al., 2014) over {num} complete trials. With few trials it is rough."
    )
    panel.pictures.append(
        gallery.picture(
            None,
            "importance",
            lambda theme: sweep_figures.draw_importances(shares, theme),
            "Importance of settings: " + ", ".join(f"{name} {percent(share)}" for name, share in shares.items()) + ".",
            f"Importance of settings for validation {metric}",
        )
    )


def _add_curves(
    panel: Panel,
    sweep: Sweep,
    result: SweepResult,
    runs: Mapping[int, List[RunRecord]],
    metric: str,
    gallery: Gallery,
) -> None:
    """The validation metric of each trial over epochs."""
    curves = {number: _mean_curve(found) for number, found in runs.items()}
    curves = {number: curve for number, curve in curves.items() if curve}
    if not curves:
        panel.notes.append("There are no curves: the folders of the trials are not there, or not whole.")
        return
    if sweep.options.seeds > 1 or sweep.options.folds is not None:
        panel.notes.append("The curve of a trial is the mean over its runs.")
    if any(trial.state != "complete" and trial.number in curves for trial in result.trials):
        panel.notes.append("Trials that were pruned, or failed, are grey.")
    panel.pictures.append(
        gallery.picture(
            None,
            "curves",
            lambda theme: sweep_figures.draw_trials(curves, result, metric, theme),
            f"Validation {metric} over epochs of {len(curves)} trials.",
            f"Validation {metric} of each trial; the best is thick",
        )
    )


def _mean_curve(runs: Sequence[RunRecord]) -> Dict[int, float]:
    """The validation metric by epoch, a mean over the runs that have the epoch."""
    found: Dict[int, List[float]] = {}
    for run in runs:
        for record in run.history:
            if record.valid_metric is not None:
                found.setdefault(record.epoch, []).append(record.valid_metric)
    return {epoch: sum(values) / len(values) for epoch, values in sorted(found.items())}


def _trials(sweep: Sweep, result: SweepResult, runs: Mapping[int, List[RunRecord]], metric: str) -> Panel:
    columns = ["trial", *sweep.space, f"validation {metric}", "state", "epochs", "time"]

    def row(trial: Trial) -> List[str]:
        history = [record for run in runs[trial.number] for record in run.history]
        return [
            str(trial.number),
            *(_value(trial.values.get(name)) for name in sweep.space),
            number(trial.score),
            trial.state,
            f"{len(history)}",
            seconds(sum(record.seconds for record in history)),
        ]

    ranked = result.ranked
    best = [(0, 1 + len(sweep.space))] if ranked else []
    panel = Panel()
    if ranked:
        shown = [row(trial) for trial in ranked[:_SHOWN]]
        caption = f"The best {len(shown)} of {len(result.trials)} trials" if len(shown) > 1 else "The complete trial"
        panel.tables.append(Table(caption, columns, shown, best=best))
    every = [row(trial) for trial in result.trials]
    panel.tables.append(Table(f"All {len(every)} trials, in their order", columns, every, folded=bool(ranked)))
    return panel


def _best(folder: Path) -> List[Panel]:
    """The configuration of the best trial as it is in its file, if there is one."""
    if not is_file(folder / BEST):
        return []
    note = f"Train it with: gnnkit run {folder / BEST}"
    return [Panel(notes=[note], codes=[(BEST, read_text(folder / BEST, ConfigError).rstrip())])]


def _value(value: object) -> str:
    if value is None:
        return NONE
    return f"{value:.4g}" if isinstance(value, float) else str(value)
