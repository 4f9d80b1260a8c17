"""The figures about pairs of nodes: curves, scores, and ranks by degree.

Rules: those of ``figures``.
"""

from __future__ import annotations

from typing import Dict

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from gnnkit.report.figures import Lines, legend_below, name_rows
from gnnkit.report.hover import say_columns, say_lines, say_rows
from gnnkit.report.link_scores import LinkScores
from gnnkit.report.style import Theme, new_figure

_HEIGHT = 2.9
_ROW = 0.3


def draw_roc(scores: LinkScores, theme: Theme) -> Figure:
    """Share of pairs above a threshold over the share of negatives above it."""
    figure, axes = new_figure(_HEIGHT)
    (line,) = axes.plot(*scores.roc, color=theme.colour(0), linewidth=1.6, clip_on=False)
    (chance,) = axes.plot([0, 1], [0, 1], color=theme.muted, linewidth=1.2, linestyle=":")
    say_lines(axes, {"share of pairs": _as_text(*scores.roc)}, "share of negatives")
    axes.set(xlabel="share of negatives above", ylabel="share of pairs above", xlim=(0, 1), ylim=(0, 1))
    axes.grid(True)
    legend_below(figure, [(line, f"model, area {scores.auc:.3f}"), (chance, "chance, area 0.5")])
    return figure


def draw_precision_recall(scores: LinkScores, theme: Theme) -> Figure:
    """Of what is above a threshold, the share that are pairs, over the share of pairs above it."""
    figure, axes = new_figure(_HEIGHT)
    share = scores.num_pairs / (scores.num_pairs + scores.num_negatives)
    (line,) = axes.plot(*scores.precision_recall, color=theme.colour(0), linewidth=1.6, clip_on=False)
    chance = axes.axhline(share, color=theme.muted, linewidth=1.2, linestyle=":")
    say_lines(axes, {"precision": _as_text(*scores.precision_recall)}, "recall")
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1))
    axes.grid(True)
    legend_below(figure, [(line, f"model, mean {scores.average_precision:.3f}"), (chance, f"chance, {share:.2g}")])
    return figure


def draw_link_scores(scores: LinkScores, theme: Theme) -> Figure:
    """Histogram of the scores of pairs and of negatives, each adding up to 1."""
    figure, axes = new_figure(_HEIGHT)
    lines: Lines = []
    for i, name in enumerate(("pairs", "negatives")):
        colour = theme.colour(i)
        axes.stairs(scores.histogram[i], scores.bins, fill=True, color=colour, alpha=0.35)
        outline = axes.stairs(scores.histogram[i], scores.bins, color=colour, linewidth=1.4)
        lines.append((outline, name))
    shares = zip(scores.bins, scores.bins[1:], scores.histogram[0], scores.histogram[1])
    say_columns(
        axes,
        scores.bins.tolist(),
        [f"{low:.3g} to {high:.3g}\npairs {a:.1%}\nnegatives {b:.1%}" for low, high, a, b in shares],
    )
    axes.set(xlabel="score", ylabel="share")
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MaxNLocator(7))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.grid(True, axis="y")
    legend_below(figure, lines)
    return figure


def draw_ranks(scores: LinkScores, theme: Theme) -> Figure:
    """Mean rank of pairs, by the degree of the source."""
    figure, axes = new_figure(max(2.0, 0.8 + _ROW * len(scores.ranks)))  # The label of the rows needs its room.
    rows, values = np.arange(len(scores.ranks)), np.array([rank for rank, _ in scores.ranks])
    axes.barh(rows, values, height=0.66, color=theme.colour(0))
    for row, value in zip(rows, values):
        text = f"{value:,.0f}" if value >= 100 else f"{value:.1f}"
        axes.annotate(text, (value, row), xytext=(4, 0), textcoords="offset points", va="center")
    name_rows(axes, scores.degrees)
    ranks = zip(scores.degrees, scores.ranks)
    say_rows(axes, [f"{degree} edges\n{num:,} pairs\nmean rank {rank:,.1f}" for degree, (rank, num) in ranks])
    axes.set(xlabel=f"mean rank among {scores.num_ranked:,} negatives, 1 is best", ylabel="edges of the source")
    axes.set_xlim(0, float(values.max()) * 1.2)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.grid(True, axis="x")
    return figure


def _as_text(x: np.ndarray, y: np.ndarray) -> Dict[float, str]:
    """Values by place; where a curve has several at one place, the last."""
    return {float(place): f"{value:.3f}" for place, value in zip(x, y)}
