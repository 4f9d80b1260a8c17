"""The top of the page: its title, the most important figures, and several runs beside each other."""

from __future__ import annotations

import math
from typing import List, Optional, Sequence, Tuple

from gnnkit.nn import conv_name
from gnnkit.report.collect import RunFacts
from gnnkit.report.gallery import Gallery
from gnnkit.report.groups import Group, groups_of
from gnnkit.report.page import Panel, Section, Table
from gnnkit.report.settings import model_in_words
from gnnkit.report.training import compare_scores
from gnnkit.report.words import NONE, metric_name, moment, number, seconds, split_name


def title(runs: Sequence[RunFacts]) -> str:
    """Names of models and data."""
    data = list(dict.fromkeys(run.record.manifest["data"]["name"] for run in runs))
    models = list(dict.fromkeys(conv_name(run.record.manifest["model"]["conv"]) for run in runs))
    if len(runs) == 1:
        return f"{models[0]} on {data[0]}"
    return f"{len(runs)} runs: {', '.join(models)} on {', '.join(data)}"


def subtitle(runs: Sequence[RunFacts]) -> str:
    """What was run, where and when."""
    if len(runs) > 1:
        return ", ".join(run.label for run in runs)
    run = runs[0]
    manifest = run.record.manifest
    place = f"{manifest['backend']['name']} on {manifest['device']['name']}"
    return f"Run {run.label}, {place}, started {moment(manifest.get('started'))}"


def tiles(runs: Sequence[RunFacts]) -> List[Tuple[str, str, str]]:
    """The most important figures of one run: name, value, note. Empty for several, which get a table."""
    if len(runs) > 1:
        return []
    run = runs[0]
    best = run.best
    found = [(f"Test {name}", number(value), "") for name, value in _test(run)]
    if not found and run.scores is not None and run.scores.accuracy is not None:
        name = f"{split_name(run.scores.split).capitalize()} accuracy"
        found = [(name, number(run.scores.accuracy), "computed for this page")]
    if best is not None:
        found.append((f"Validation {run.metric}", number(best.valid_metric), f"epoch {best.epoch}, the best"))
    history = run.record.history
    found.append(("Training loss", number(history[-1].train_loss), f"epoch {history[-1].epoch}, the last"))
    if run.num_parameters is not None:
        found.append(("Parameters", f"{run.num_parameters:,}", model_in_words(run)))
    found.append(("Time", seconds(_seconds(run)), f"{len(history)} epochs" if len(history) > 1 else "1 epoch"))
    return found


def comparison(runs: Sequence[RunFacts], gallery: Gallery) -> Section:
    """The runs of each group beside each other; the best value of a line is marked."""
    groups = groups_of(runs)
    notes = []
    if len(groups) > 1:
        notes.append(
            f"The runs are of {len(groups)} groups: their data, their tasks or their metrics differ. Scores and "
            "losses are compared within a group alone; between groups, a higher one is no better.",
        )
    return Section("runs", "Runs", [_compared(group, gallery) for group in groups], notes)


def _compared(group: Group, gallery: Gallery) -> Panel:
    """The results of a group as a table, and what compares its runs by class."""
    runs = group.runs
    tests = [dict(_test(run)) for run in runs]
    names = list(dict.fromkeys(name for test in tests for name in test))
    rows = [
        ["data set", *(run.record.manifest["data"]["name"] for run in runs)],
        ["model", *(model_in_words(run) for run in runs)],
        ["parameters", *(NONE if run.num_parameters is None else f"{run.num_parameters:,}" for run in runs)],
        ["backend, device", *(_place(run) for run in runs)],
        ["status", *(str(run.record.manifest.get("status")) for run in runs)],
        ["epochs", *(f"{len(run.record.history)}" for run in runs)],
        ["best epoch", *(NONE if run.best is None else str(run.best.epoch) for run in runs)],
    ]
    marked: List[Tuple[int, int]] = []
    figures = [("validation", runs[0].metric, [_valid(run) for run in runs])]
    figures += [("test", name, [test.get(name) for test in tests]) for name in names]
    for split, name, values in figures:
        known = [value for value in values if value is not None and math.isfinite(value)]
        if len(known) > 1:
            best = max(known) if all(run.is_better_high(name) for run in runs) else min(known)
            marked += [(len(rows), 1 + i) for i, value in enumerate(values) if value == best]
        rows.append([f"{split} {name}", *(number(value) for value in values)])
    rows.append(["time", *(seconds(_seconds(run)) for run in runs)])
    caption = "Results" + ("; the best of a line is marked" if len(runs) > 1 else "")
    panel = Panel(title=group.heading, is_spacious=True, is_full=len(runs) > 1, is_table_first=True)
    panel.tables.append(Table(caption, ["", *(run.label for run in runs)], rows, best=marked))
    scores = compare_scores(group, gallery)
    if scores is not None:
        panel.pictures.append(scores)
    return panel


def _test(run: RunFacts) -> List[Tuple[str, float]]:
    """Recorded test metrics."""
    pairs = [(key, value) for key, value in run.result.items() if key.startswith("test_") and value is not None]
    return [(metric_name(key[len("test_") :]), float(value)) for key, value in pairs]


def _valid(run: RunFacts) -> Optional[float]:
    return None if run.best is None else run.best.valid_metric


def _place(run: RunFacts) -> str:
    return f"{run.record.manifest['backend']['name']}, {run.record.manifest['device']['name']}"


def _seconds(run: RunFacts) -> float:
    """Of the whole run; of one that did not end, of its epochs."""
    return float(run.result.get("seconds") or sum(record.seconds for record in run.record.history))
