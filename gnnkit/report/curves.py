"""The figures of what runs recorded in each epoch, and of what several runs of one configuration say together.

Rules: those of ``figures``. Runs in one figure are of one group.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Dict, Mapping, Optional, Sequence, Tuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from gnnkit.report.figures import Lines, legend_below
from gnnkit.report.hover import say_lines
from gnnkit.report.style import Theme, new_figure
from gnnkit.runs import EpochRecord

_HEIGHT = 2.6


@dataclass(frozen=True)
class Curve:
    """The history of one run, under a name that can be drawn."""

    label: str
    history: Sequence[EpochRecord]
    best_epoch: Optional[int]

    def values(self, quantity: str) -> Dict[int, float]:
        """A field of :class:`EpochRecord` by epoch, where it is known and finite."""
        found = ((record.epoch, getattr(record, quantity)) for record in self.history)
        return {epoch: float(value) for epoch, value in found if value is not None and math.isfinite(value)}


def draw_loss(curves: Sequence[Curve], theme: Theme, ylabel: str = "loss") -> Figure:
    """Training loss, and validation loss where it was computed, over epochs."""
    figure, axes = new_figure(_HEIGHT)
    lines: Lines = []
    said: Dict[str, Dict[float, str]] = {}
    for i, curve in enumerate(curves):
        # One run has two colours; of several each has one.
        train, valid = (theme.colour(i), theme.colour(i)) if len(curves) > 1 else (theme.colour(0), theme.colour(1))
        prefix = f"{curve.label}: " if len(curves) > 1 else ""
        lines += _line(axes, curve, "train_loss", f"{prefix}training", said, color=train)
        lines += _line(axes, curve, "valid_loss", f"{prefix}validation", said, color=valid, linestyle="--")
    _finish(figure, axes, curves, lines, said, ylabel, theme)
    return figure


def draw_quantity(curves: Sequence[Curve], quantity: str, ylabel: str, theme: Theme, colour: int = 0) -> Figure:
    """One quantity over epochs.

    Args:
        curves: The runs.
        quantity: A field of :class:`EpochRecord`.
        ylabel: What it is called.
        theme: The colours.
        colour: Number of the colour that a single run has.
    """
    figure, axes = new_figure(_HEIGHT)
    lines: Lines = []
    said: Dict[str, Dict[float, str]] = {}
    for i, curve in enumerate(curves):
        label, number = (curve.label, i) if len(curves) > 1 else (ylabel, colour)
        lines += _line(axes, curve, quantity, label, said, color=theme.colour(number))
    _finish(figure, axes, curves, lines, said, ylabel, theme)
    return figure


def _line(
    axes: Axes, curve: Curve, quantity: str, label: str, said: Dict[str, Dict[float, str]], **style: Any
) -> Lines:
    """The line of a quantity, with its name; nothing where the quantity was never computed."""
    values = curve.values(quantity)
    if not values:
        return []
    marker = "o" if len(values) == 1 else ""
    (line,) = axes.plot(list(values), list(values.values()), linewidth=1.6, marker=marker, **style)
    said[label] = {float(epoch): f"{value:.4g}" for epoch, value in values.items()}
    return [(line, label)]


def _finish(
    figure: Figure,
    axes: Axes,
    curves: Sequence[Curve],
    lines: Lines,
    said: Mapping[str, Mapping[float, str]],
    ylabel: str,
    theme: Theme,
) -> None:
    """Mark the best epochs, and explain the lines."""
    for i, curve in enumerate(curves):
        if curve.best_epoch is not None:
            colour = theme.colour(i) if len(curves) > 1 else theme.muted
            best = axes.axvline(curve.best_epoch, color=colour, linestyle=":", linewidth=1.3)
            if len(curves) == 1:
                lines = [*lines, (best, f"best: epoch {curve.best_epoch}")]
    axes.set(xlabel="epoch", ylabel=ylabel)
    if max(len(curve.history) for curve in curves) > 1:
        axes.set_xlim(left=0)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(6))
    axes.grid(True)
    say_lines(axes, said, "epoch")
    legend_below(figure, lines)


def draw_together(curves: Sequence[Sequence[Tuple[int, float]]], ylabel: str, theme: Theme, item: str) -> Figure:
    """A quantity over epochs in every fold, and its mean over those that have the epoch, where all have it.

    Args:
        curves: Of each fold, pairs of epoch and value.
        ylabel: What the quantity is called.
        theme: The colours.
        item: What one of them is called: "fold" or "seed".
    """
    figure, axes = new_figure(_HEIGHT)
    thin = None
    for curve in curves:
        epochs, values = zip(*curve)
        marker = "o" if len(curve) == 1 else ""
        (thin,) = axes.plot(epochs, values, color=theme.colour(0), linewidth=0.9, alpha=0.45, marker=marker)
    shared = sorted(set.intersection(*({epoch for epoch, _ in curve} for curve in curves)))
    lines: Lines = [(thin, f"a {item}")]
    if shared:
        by_epoch = {epoch: [dict(curve)[epoch] for curve in curves] for epoch in shared}
        means = [float(np.mean(by_epoch[epoch])) for epoch in shared]
        marker = "o" if len(shared) == 1 else ""
        (bold,) = axes.plot(shared, means, color=theme.colour(1), linewidth=2, marker=marker)
        lines.append((bold, "mean of all"))
        ends = {float(epoch): f"{min(found):.4g} to {max(found):.4g}" for epoch, found in by_epoch.items()}
        say_lines(axes, {"mean": {float(e): f"{m:.4g}" for e, m in zip(shared, means)}, "from": ends}, "epoch")
    axes.set(xlabel="epoch", ylabel=ylabel)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(6))
    axes.grid(True)
    legend_below(figure, lines)
    return figure
