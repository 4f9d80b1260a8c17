"""How training went: what the runs of a group recorded in each epoch, and what it came to.

Rules: losses of different kinds have figures of their own: of other tasks, of other options ``loss``, and of a probe,
which judges embeddings. A quantity that never changes is a row of a table, not a figure.
"""

from __future__ import annotations

from typing import Callable, Dict, List, Optional, Sequence, Tuple

import numpy as np
from matplotlib.figure import Figure

from gnnkit.report import figures
from gnnkit.report.collect import RunFacts
from gnnkit.report.curves import Curve, draw_loss, draw_quantity
from gnnkit.report.figures import rows_shown
from gnnkit.report.gallery import Gallery
from gnnkit.report.groups import Group
from gnnkit.report.page import Panel, Picture, Table
from gnnkit.report.style import Theme, drawable
from gnnkit.report.words import number, seconds, split_name

_Drawn = Tuple[str, Callable[[Theme], Figure], str, str]
"""A figure to be: name of its file, how it is drawn, what is to be seen, caption."""


def curve_label(run: RunFacts, runs: Sequence[RunFacts]) -> str:
    """The run's name as figures show it."""
    return drawable(run.label, f"run {list(runs).index(run) + 1}", 30)


def training(group: Group, gallery: Gallery) -> Panel:
    """Curves of the runs of a group; of a single one also what the epochs came to."""
    runs = group.runs
    owner = runs[0] if len(runs) == 1 else None
    panel = Panel(title=group.heading, is_spacious=len(runs) > 1)
    for name, draw, alt, caption in [*_losses(runs), *_metric(runs), *_rates(runs)]:
        file = name if owner is not None else f"{name}{group.suffix}"
        panel.pictures.append(gallery.picture(owner, file, draw, alt, caption))
    for run in runs:
        if run.best is None:
            panel.notes.append(f"{run.label} has no validation curve: none of its epochs was evaluated.")
    if len(runs) == 1:
        panel.tables.append(Table("The epochs", ["", ""], _epoch_rows(runs[0])))
    return panel


def loss_name(run: RunFacts) -> str:
    """The loss that a run learned by: its task, and the loss that was chosen where the task has several."""
    chosen = (run.config.get("task_options") or {}).get("loss")
    return f"{run.task} loss" + (f" ({chosen})" if chosen else "")


def _losses(runs: Sequence[RunFacts]) -> List[_Drawn]:
    """A figure for each kind of loss."""
    kinds: Dict[str, List[RunFacts]] = {}
    for run in runs:
        kinds.setdefault(loss_name(run), []).append(run)
    drawn = []
    for place, (kind, some) in enumerate(kinds.items()):
        name = "loss" if place == 0 else f"loss-{kind.split('(')[-1].rstrip(')')}"
        words = " ".join(map(_loss_in_words, some))
        curves = _curves(some, runs)
        caption = f"{kind[0].upper()}{kind[1:]}"
        if not any(_has_other_validation_loss(run) for run in some):
            drawn.append((name, _drawing(draw_loss, curves, "loss"), words, caption))
            continue
        drawn.append((name, _drawing_of(curves, "train_loss", "training loss"), words, f"{caption}, training"))
        if any(curve.values("valid_loss") for curve in curves):
            what = "loss of the probe" if some[0].has_probe else "cross-entropy among all"
            words = f"Validation {what} of {', '.join(run.label for run in some)}."
            drawn.append(
                (
                    f"valid-{name}",
                    _drawing_of(curves, "valid_loss", what, 1),
                    words,
                    f"Validation {what}, on its own axes",
                )
            )
    return drawn


def _has_other_validation_loss(run: RunFacts) -> bool:
    """Whether what is validated is another loss than what is trained: a probe's, or that of ranks among all nodes."""
    ranks_all = (run.config.get("task_options") or {}).get("candidates") == "all"
    return run.has_probe or ranks_all or run.task == "knowledge graph"


def _metric(runs: Sequence[RunFacts]) -> List[_Drawn]:
    evaluated = [run for run in runs if run.best is not None]
    if not evaluated:
        return []
    metric = evaluated[0].metric  # That of all runs of a group.
    by = " of a probe" if evaluated[0].has_probe else ""
    draw = _drawing_of(_curves(evaluated, runs), "valid_metric", metric, 1)
    return [("metric", draw, " ".join(map(_metric_in_words, evaluated)), f"Validation {metric}{by}")]


def _rates(runs: Sequence[RunFacts]) -> List[_Drawn]:
    """Learning rate and norm of the gradients, where they were recorded and change."""
    curves = _curves(runs, runs)
    drawn = []
    if any(len(set(curve.values("lr").values())) > 1 for curve in curves):
        words = " ".join(
            f"Learning rate of {run.label}: {run.record.history[0].lr:g} in the first epoch, "
            f"{run.record.history[-1].lr:g} in the last."
            for run in runs
        )
        drawn.append(("learning-rate", _drawing_of(curves, "lr", "learning rate", 2), words, "Learning rate"))
    known = [curve for curve in curves if curve.values("gradient_norm")]
    if known:
        words = " ".join(f"Norm of the gradients of {curve.label}, before they were clipped." for curve in known)
        draw = _drawing_of(known, "gradient_norm", "gradient norm", 3)
        whose = f", {known[0].label}" if len(known) == 1 < len(runs) else ""
        drawn.append(("gradient-norm", draw, words, f"Norm of the gradients before clipping{whose}"))
    return drawn


def _curves(some: Sequence[RunFacts], runs: Sequence[RunFacts]) -> List[Curve]:
    return [Curve(curve_label(run, runs), run.record.history, run.best.epoch if run.best else None) for run in some]


def _drawing(draw: Callable[..., Figure], curves: List[Curve], ylabel: str) -> Callable[[Theme], Figure]:
    return lambda theme: draw(curves, theme, ylabel)


def _drawing_of(curves: List[Curve], quantity: str, ylabel: str, colour: int = 0) -> Callable[[Theme], Figure]:
    return lambda theme: draw_quantity(curves, quantity, ylabel, theme, colour)


def _loss_in_words(run: RunFacts) -> str:
    history = run.record.history
    first, last = history[0], history[-1]
    return (
        f"Training loss of {run.label}: {number(first.train_loss)} in epoch {first.epoch}, "
        f"{number(last.train_loss)} in epoch {last.epoch}."
    )


def _metric_in_words(run: RunFacts) -> str:
    assert run.best is not None
    return f"Validation {run.metric} of {run.label}: best {number(run.best.valid_metric)} in epoch {run.best.epoch}."


def _epoch_rows(run: RunFacts) -> List[List[str]]:
    history, best = run.record.history, run.best
    planned = (run.config.get("train") or {}).get("epochs")
    rows = [["epochs", f"{len(history)} of {planned}" if planned and planned != len(history) else f"{len(history)}"]]
    if best is not None:
        rows.append(["best epoch", f"{best.epoch}, with validation {run.metric} {number(best.valid_metric)}"])
        rows.append(["loss of the probe there" if run.has_probe else "validation loss there", number(best.valid_loss)])
    rates = {record.lr for record in history}
    rows += [
        ["training loss in the last", number(history[-1].train_loss)],
        ["learning rate in the last" if len(rates) > 1 else "learning rate, in all", f"{history[-1].lr:g}"],
        ["time of an epoch", f"{seconds(float(np.median([record.seconds for record in history])))} (median)"],
    ]
    return rows


def compare_scores(group: Group, gallery: Gallery) -> Optional[Picture]:
    """F1 by class of the runs of a group in one figure; None where fewer than two have scores."""
    runs = group.runs
    scored = [run for run in runs if run.scores is not None]
    if len(scored) < 2:
        return None
    scores = {curve_label(run, runs): run.scores for run in scored if run.scores is not None}
    assert scored[0].scores is not None
    names, split, items = scored[0].class_names, scored[0].scores.split, scored[0].scores.items
    if any(run.class_names != names for run in scored):
        return None
    words = "; ".join(f"{name}: mean over classes {number(found.macro_f1)}" for name, found in scores.items())
    return gallery.picture(
        None,
        f"scores{group.suffix}",
        lambda theme: figures.draw_class_scores(scores, names, theme),
        f"F1 score of each class by run. {words}.",
        f"F1 score by class on the {split_name(split)} {items}{rows_shown(len(names))}",
    )
