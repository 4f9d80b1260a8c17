"""The figures about whole graphs: sizes, errors by size, and predicted numbers over true ones.

Rules: those of ``figures``.
"""

from __future__ import annotations

import math
from typing import Mapping

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from gnnkit.report.figures import Lines, legend_below, name_rows
from gnnkit.report.graph_scores import GraphScores
from gnnkit.report.hover import say_columns, say_rows
from gnnkit.report.style import Theme, new_figure

_HEIGHT = 2.9
_ROW = 0.3


def draw_sizes(sizes: Mapping[str, np.ndarray], theme: Theme) -> Figure:
    """Share of the graphs of each split that have so many nodes.

    Args:
        sizes: Nodes of each graph, by split.
        theme: The colours.
    """
    figure, axes = new_figure(_HEIGHT)
    everything = np.concatenate(list(sizes.values()))
    span = int(everything.max()) - int(everything.min()) + 1
    num_bins = min(span, 24)
    bins = everything.min() - 0.5 + np.arange(num_bins + 1) * span / num_bins
    lines: Lines = []
    for i, (name, values) in enumerate(sizes.items()):
        counts = np.histogram(values, bins)[0] / max(len(values), 1)
        outline = axes.stairs(counts, bins, color=theme.colour(i), linewidth=1.6)
        lines.append((outline, name))
    shares = [[f"{name} {100 * share:.1f}%" for share in line.get_data().values] for line, name in lines]
    spans = [f"{math.ceil(low)} to {math.ceil(high) - 1} nodes" for low, high in zip(bins, bins[1:])]
    say_columns(axes, bins.tolist(), ["\n".join(row) for row in zip(spans, *shares)])
    axes.set(xlabel="nodes of a graph", ylabel="share of graphs")
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MaxNLocator(7, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.grid(True, axis="y")
    legend_below(figure, lines)
    return figure


def draw_errors_by_size(scores: GraphScores, theme: Theme) -> Figure:
    """Mean error of graphs of about equal size."""
    figure, axes = new_figure(max(2.0, 0.8 + _ROW * len(scores.groups)))  # The label of the rows needs its room.
    rows, values = np.arange(len(scores.groups)), np.array([mean for _, mean, _ in scores.groups])
    axes.barh(rows, values, height=0.66, color=theme.colour(0))
    for row, value in zip(rows, values):
        text = f"{value:.2f}" if scores.are_numbers else f"{100 * value:.0f}%"
        axes.annotate(text, (value, row), xytext=(4, 0), textcoords="offset points", va="center")
    name_rows(axes, [name for name, _, _ in scores.groups])
    said = [f"{mean:.3f}" if scores.are_numbers else f"{100 * mean:.1f}% wrong" for _, mean, _ in scores.groups]
    say_rows(axes, [f"{name} nodes\n{num:,} graphs\n{text}" for (name, _, num), text in zip(scores.groups, said)])
    what = "mean error, in deviations of the true numbers" if scores.are_numbers else "share of wrong answers"
    axes.set(xlabel=what, ylabel="nodes of a graph")
    axes.set_xlim(0, float(values.max()) * 1.2 or 1)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.grid(True, axis="x")
    return figure


def draw_numbers(true: np.ndarray, predicted: np.ndarray, theme: Theme) -> Figure:
    """Predicted numbers over true ones, and where both are equal.

    Args:
        true: Known numbers. Shape [M].
        predicted: Theirs. Shape [M].
        theme: The colours.
    """
    figure, axes = new_figure(_HEIGHT)
    size = float(np.clip(6000 / max(len(true), 1), 3, 20))
    points = axes.scatter(true, predicted, s=size, color=theme.colour(0), alpha=0.6, linewidths=0)
    ends = [float(min(true.min(), predicted.min())), float(max(true.max(), predicted.max()))]
    (line,) = axes.plot(ends, ends, color=theme.muted, linewidth=1.2, linestyle=":")
    axes.set(xlabel="true", ylabel="predicted")
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.yaxis.set_major_locator(MaxNLocator(6))
    axes.grid(True)
    legend_below(figure, [(points, "a graph"), (line, "predicted as it is")])
    return figure


def draw_residuals(errors: np.ndarray, theme: Theme) -> Figure:
    """Histogram of predicted minus true numbers."""
    figure, axes = new_figure(_HEIGHT)
    axes.hist(errors, bins=min(30, max(5, len(errors) // 4)), color=theme.colour(0), edgecolor=theme.background)
    nothing = axes.axvline(0, color=theme.muted, linewidth=1.2, linestyle=":")
    mean = axes.axvline(float(errors.mean()), color=theme.colour(1), linewidth=1.4, linestyle="--")
    axes.set(xlabel="predicted less true", ylabel="graphs")
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.grid(True, axis="y")
    legend_below(figure, [(nothing, "no error"), (mean, "mean error")])
    return figure
