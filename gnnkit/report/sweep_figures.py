"""The figures about a sweep: settings and scores of trials, what each setting explains, and learning curves.

Rules: those of ``figures``. The colour of a trial says its score, from bad to good.
"""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Sequence, Tuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from gnnkit.report.figures import name_rows
from gnnkit.report.hover import say_cell, say_lines, say_rows
from gnnkit.report.style import WIDTH, Theme, drawable, new_figure, text_width
from gnnkit.studies import SweepResult, Trial
from gnnkit.studies.space import Axis, Choice

_HEIGHT = 2.9
_ROW = 0.3
_STEP = 0.7
"""Inches from one setting to the next."""

_BINS = 12
"""Parts of a range that say their trials."""

_MARGIN = 0.03
"""Room at both ends of a line of values, as a share of it."""


def draw_settings(space: Mapping[str, Axis], result: SweepResult, metric: str, theme: Theme) -> Figure:
    """Parallel coordinates: each setting a line of its values from left to right, the score the last one.

    Lines lie below each other, so that names of settings have room and the figure fits on a phone. Each trial is a path
    from top to bottom. Pruned trials have no colour and do not reach the score.

    Args:
        space: What varies.
        result: The trials.
        metric: What the score is called.
        theme: The colours.
    """
    figure, axes = new_figure(0.35 + _STEP * (len(space) + 1))
    complete = result.ranked
    scores = [float(trial.score or 0.0) for trial in complete]
    norm = _norm(result)
    low, high = (min(scores), max(scores)) if scores else (0.0, 1.0)
    pruned = [trial for trial in result.trials if trial.state == "pruned"]
    rng = np.random.default_rng(0)
    # The best ones come last, above the others.
    for trial in [*pruned, *reversed(complete)]:
        places = [_place(axis, trial.values[name]) for name, axis in space.items()]
        # Equal choices are told apart by a little chance.
        places = [p + rng.uniform(-0.012, 0.012) for p in places]
        look: Dict[str, Any] = {"color": theme.rest, "linewidth": 0.9, "alpha": 0.7}
        if trial.state == "complete":
            places.append(_share(float(trial.score or 0.0), low, high))
            look = {"color": _colour(trial, result, norm, theme), "linewidth": 1.3, "alpha": 0.85}
            if trial is complete[0]:
                look.update(linewidth=2.6, alpha=1.0)
        axes.plot(places, -np.arange(len(places)), marker="o", markersize=2.5, solid_joinstyle="round", **look)
    for row, (name, axis) in enumerate(space.items()):
        _draw_row(axes, -row, name, _ticks(axis), theme)
        _say_values(axes, -row, name, axis, result, metric)
    arrow = "right is better" if result.higher_is_better else "left is better"
    ends = [(0.0, f"{low:.4g}"), (1.0, f"{high:.4g}")] if high > low else [(0.5, f"{low:.4g}")]
    _draw_row(axes, -len(space), f"validation {metric} ({arrow})", ends, theme)
    for trial, score in zip(complete, scores):
        place = _share(score, low, high)
        y = -float(len(space))
        say_cell(
            axes, (place - 0.015, place + 0.015), (y - 0.2, y + 0.2), f"trial {trial.number}\n{metric} {score:.4g}"
        )
    axes.set(xticks=[], yticks=[], xlim=(-_MARGIN, 1 + _MARGIN), ylim=(-len(space) - 0.45, 0.45))
    axes.spines[:].set_visible(False)
    return figure


def draw_importances(shares: Mapping[str, float], theme: Theme) -> Figure:
    """Share of the score's variance that each setting explains."""
    figure, axes = new_figure(0.7 + _ROW * len(shares))
    rows, values = np.arange(len(shares)), np.array(list(shares.values()))
    axes.barh(rows, values, height=0.66, color=theme.colour(0))
    for row, value in zip(rows, values):
        axes.annotate(f"{100 * value:.0f}%", (value, row), xytext=(4, 0), textcoords="offset points", va="center")
    name_rows(axes, [drawable(name, f"setting {row + 1}", 26) for row, name in enumerate(shares)])
    say_rows(axes, [f"{name}\n{100 * value:.1f}% of the variance" for name, value in shares.items()])
    axes.set(xlabel="share of the score's variance", xlim=(0, float(values.max()) * 1.2 or 1))
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.grid(True, axis="x")
    return figure


def draw_trials(curves: Mapping[int, Mapping[int, float]], result: SweepResult, metric: str, theme: Theme) -> Figure:
    """The validation metric of each trial over epochs, coloured by its score.

    Args:
        curves: By number of the trial, values by epoch.
        result: The trials.
        metric: What is drawn.
        theme: The colours.
    """
    figure, axes = new_figure(_HEIGHT + 0.5)
    norm, ranked = _norm(result), result.ranked
    order = [trial for trial in result.trials if trial.state != "complete"] + list(reversed(ranked))
    said: Dict[str, Dict[float, str]] = {}
    for trial in order:
        values = curves.get(trial.number)
        if not values:
            continue
        is_complete, is_best = trial.state == "complete", bool(ranked) and trial is ranked[0]
        colour = _colour(trial, result, norm, theme) if is_complete else theme.rest
        marker = "o" if len(values) == 1 else ""
        axes.plot(
            list(values),
            list(values.values()),
            color=colour,
            linewidth=2.4 if is_best else 1.1,
            marker=marker,
            markersize=3,
        )
        if is_best:
            said[f"best, trial {trial.number}:"] = {float(epoch): f"{value:.4g}" for epoch, value in values.items()}
    by_epoch: Dict[int, List[float]] = {}
    for values in curves.values():
        for epoch, value in values.items():
            by_epoch.setdefault(epoch, []).append(value)
    said["all trials:"] = {float(epoch): f"{min(all_):.4g} to {max(all_):.4g}" for epoch, all_ in by_epoch.items()}
    say_lines(axes, said, "epoch")
    axes.set(xlabel="epoch", ylabel=metric)
    if max(by_epoch, default=1) > 1:
        axes.set_xlim(left=0)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(6))
    axes.grid(True)
    if len({trial.score for trial in ranked}) > 1:
        scale = theme.scale if result.higher_is_better else theme.scale.reversed()
        bar = figure.colorbar(ScalarMappable(norm, scale), ax=axes, location="bottom", aspect=45, pad=0.03)
        bar.set_label(f"score of the trial: validation {metric}", color=theme.muted)
        bar.ax.xaxis.set_major_locator(MaxNLocator(6))
        bar.ax.tick_params(labelcolor=theme.muted)
        bar.outline.set_visible(False)
    return figure


def _norm(result: SweepResult) -> Normalize:
    scores = [float(trial.score or 0.0) for trial in result.ranked]
    return Normalize(min(scores, default=0.0), max(scores, default=1.0))


def _colour(trial: Trial, result: SweepResult, norm: Normalize, theme: Theme) -> Any:
    share = float(norm(float(trial.score or 0.0))) if norm.vmax != norm.vmin else 1.0
    return theme.scale(share if result.higher_is_better else 1 - share)


def _share(value: float, low: float, high: float) -> float:
    return (value - low) / (high - low) if high > low else 0.5


def _place(axis: Axis, value: Any) -> float:
    """Where a value lies on its line, from 0 to 1."""
    if isinstance(axis, Choice):
        return _share(float(axis.values.index(value)), 0, len(axis.values) - 1)
    if axis.log:
        return _share(float(np.log(value)), float(np.log(axis.low)), float(np.log(axis.high)))
    return _share(float(value), float(axis.low), float(axis.high))


def _ticks(axis: Axis) -> List[Tuple[float, str]]:
    """Places and texts of the values that are written: all choices, or the ends and the middle of a range."""
    if isinstance(axis, Choice):
        return [(_place(axis, value), _text(value)) for value in axis.values]
    middle = float(np.sqrt(axis.low * axis.high)) if axis.log else (axis.low + axis.high) / 2
    return [(0.0, _text(axis.low)), (0.5, _text(middle)), (1.0, _text(axis.high))]


def _text(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _draw_row(axes: Axes, y: float, name: str, ticks: Sequence[Tuple[float, str]], theme: Theme) -> None:
    """A line of values with its name above it and its values below; values that have no room are left out."""
    axes.axhline(y, color=theme.rest, linewidth=1, zorder=0)
    box = {"facecolor": theme.background, "edgecolor": "none", "alpha": 0.8, "pad": 1.0}
    title = drawable(name, "a setting", 54)
    axes.text(0, y + 0.12, title, ha="left", va="bottom", color=theme.text, fontsize=9, bbox=box, zorder=4)
    longest = max(6, int(60 / max(len(ticks), 1)))
    end = -1.0
    for place, text in ticks:
        shown = drawable(text, "?", longest)
        width = text_width(shown) / (WIDTH - 0.2)
        side = {0.0: "left", 1.0: "right"}.get(place, "center")
        left = {"left": place, "right": place - width, "center": place - width / 2}[side]
        if left < end + 0.02:
            continue
        end = left + width
        axes.plot([place], [y], marker="|", markersize=6, color=theme.muted, zorder=1)
        axes.text(place, y - 0.1, shown, ha=side, va="top", color=theme.muted, fontsize=8.5, bbox=box, zorder=4)


def _say_values(axes: Axes, y: float, name: str, axis: Axis, result: SweepResult, metric: str) -> None:
    """What the trials at each value, or in each part of a range, came to."""
    parts: Dict[int, List[Trial]] = {}
    num = len(axis.values) if isinstance(axis, Choice) else _BINS
    for trial in result.trials:
        if name in trial.values:
            parts.setdefault(_part(axis, trial.values[name], num), []).append(trial)
    for part, inside in parts.items():
        scores = [float(trial.score or 0.0) for trial in inside if trial.state == "complete"]
        values = [trial.values[name] for trial in inside]
        ends = values[:1] if isinstance(axis, Choice) else [min(values), max(values)]
        lines = [f"{name}: {_span(ends)}", f"{len(inside)} trial{'s' if len(inside) != 1 else ''}"]
        if scores:
            lines.append(f"{metric}: {_span([min(scores), max(scores)])}")
        left, right = (part - 0.5, part + 0.5) if isinstance(axis, Choice) else (part, part + 1)
        width = max(num - 1, 1) if isinstance(axis, Choice) else num
        say_cell(axes, (left / width, right / width), (y - 0.35, y + 0.1), "\n".join(lines))


def _part(axis: Axis, value: Any, num: int) -> int:
    """The part of a line of values that a value is in: that of its choice, or one of equal width."""
    if isinstance(axis, Choice):
        return axis.values.index(value)
    return min(int(_place(axis, value) * num), num - 1)


def _span(values: Sequence[Any]) -> str:
    return " to ".join(dict.fromkeys(_text(value) for value in values))
