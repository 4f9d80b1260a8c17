"""The figures of a report, each as a function from what it shows and a theme to a matplotlib figure.

Rules: those of ``style``. Names stand where they cannot meet each other: beside a row of their own, or in a legend
below.
"""

from __future__ import annotations

import math
from typing import Any, List, Mapping, Sequence, Tuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

from gnnkit.data.statistics import DataStatistics
from gnnkit.report.hover import say_cell, say_columns, say_rows
from gnnkit.report.scores import ClassScores
from gnnkit.report.style import WIDTH, Theme, class_label, new_figure, text_width

Lines = List[Tuple[Any, str]]
"""What a legend explains: lines and their names."""

MOST_ROWS = 40
"""Classes that get a row of their own; of more, the largest."""

_MOST_CELLS = 12
"""Up to so many classes the cells of a confusion matrix have their number written into them."""

_PLOT_HEIGHT = 2.6
_ROW = 0.24
"""Inches for a row with a name."""


def draw_degrees(statistics: DataStatistics, theme: Theme) -> Figure:
    """How many nodes have which in-degree; on logarithmic axes where degrees differ a lot."""
    figure, axes = new_figure(_PLOT_HEIGHT)
    degrees = np.arange(len(statistics.degrees))
    is_wide = statistics.max_degree > 50
    if is_wide:
        edges = np.unique(np.round(np.geomspace(1, statistics.max_degree + 1, 24)).astype(int))
        axes.set_xscale("log")
        axes.set_yscale("log")
    else:
        edges = np.arange(statistics.max_degree + 2)
    counts, _ = np.histogram(degrees, bins=edges - 0.5 if not is_wide else edges, weights=statistics.degrees)
    places = edges if is_wide else edges - 0.5
    axes.bar(
        places[:-1], counts, width=np.diff(places), align="edge", color=theme.colour(0), edgecolor=theme.background
    )
    ends = [(int(np.ceil(low)), int(np.ceil(high)) - 1) for low, high in zip(places, places[1:])]
    degree = [
        f"{low:,} to {high:,} edges" if high > low else f"{low:,} edge{'s' if low != 1 else ''}" for low, high in ends
    ]
    say_columns(axes, places.tolist(), [f"{name}\n{count:,.0f} nodes" for name, count in zip(degree, counts)])
    axes.set(xlabel="edges that arrive at a node", ylabel="nodes")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(_count))
        axis.set_minor_formatter(NullFormatter())
    if not is_wide:
        axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    else:
        axes.set_ylim(bottom=0.6)
    axes.grid(True, axis="y")
    return figure


def draw_classes(statistics: DataStatistics, theme: Theme, items: str = "nodes") -> Figure:
    """Nodes, or other items, of each class, by split."""
    shown = largest(statistics.classes.sum(axis=1))
    figure, axes = new_figure(0.7 + _ROW * len(shown))
    start = np.zeros(len(shown))
    lines: Lines = []
    for i, split in enumerate(("train", "valid", "test", "in no split")):
        widths = statistics.classes[shown, i]
        if widths.any():
            colour = theme.colour(i) if i < 3 else theme.rest
            axes.barh(np.arange(len(shown)), widths, left=start, color=colour, height=0.72, edgecolor=theme.background)
            lines.append((Line2D([], [], color=colour, linewidth=6), split))
            start += widths
    name_rows(axes, [class_label(int(c), statistics.class_names) for c in shown])
    said = zip(("train", "valid", "test", "in no split"), statistics.classes[shown].T)
    columns = [[f"{split} {size:,}" for size in sizes] for split, sizes in said if sizes.any()]
    say_rows(axes, ["\n".join(row) for row in zip(*columns)])
    axes.set(xlabel=items)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(_count))
    axes.grid(True, axis="x")
    legend_below(figure, lines)
    return figure


def draw_confusion(scores: ClassScores, names: Sequence[str], theme: Theme) -> Figure:
    """Of the nodes of each class (row), the share that was given each class (column)."""
    assert scores.confusion is not None, "multi-label data have no confusion matrix"
    shown = largest(scores.support)
    matrix = scores.confusion[np.ix_(shown, shown)]
    shares = matrix / np.maximum(scores.support[shown], 1)[:, None]
    figure, axes = new_figure(0.9 + max(_ROW, 0.3 - 0.006 * len(shown)) * len(shown))
    axes.imshow(shares, cmap=theme.heat, vmin=0, vmax=1, aspect="auto")
    if len(shown) <= _MOST_CELLS:
        for row, column in np.ndindex(*shares.shape):
            if matrix[row, column]:
                share = shares[row, column]
                colour = theme.text if share < 0.5 else theme.background
                axes.text(column, row, f"{100 * share:.0f}", ha="center", va="center", color=colour, fontsize=8)
    for row, column in np.argwhere(matrix):
        true, found = (class_label(int(shown[place]), names) for place in (row, column))
        said = f"true {true}\npredicted {found}\n{matrix[row, column]:,} ({100 * shares[row, column]:.1f}%)"
        say_cell(axes, (column - 0.5, column + 0.5), (row - 0.5, row + 0.5), said)
    name_rows(axes, [class_label(int(c), names) for c in shown])
    step = 1 if len(shown) <= _MOST_CELLS else 5
    axes.set_xticks(np.arange(0, len(shown), step), [str(c) for c in shown[::step]])
    axes.set(xlabel="predicted class", ylabel="true class")
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    return figure


def draw_class_scores(scores: Mapping[str, ClassScores], names: Sequence[str], theme: Theme) -> Figure:
    """F1 score of each class, and with one run precision and recall.

    Args:
        scores: By name of the run.
        names: Of the classes.
        theme: The colours.
    """
    first = next(iter(scores.values()))
    shown = largest(first.support)
    series = {name: found.f1 for name, found in scores.items()}
    if len(scores) == 1:
        series = {"precision": first.precision, "recall": first.recall, "F1": first.f1}
    figure, axes = new_figure(0.7 + _ROW * len(shown))
    rows = np.arange(len(shown))
    least = min(float(values[shown].min()) for values in series.values())
    axes.barh(rows[::2], 1, height=1, color=theme.grid, alpha=0.5)
    lines: Lines = []
    for i, (name, values) in enumerate(series.items()):
        look: Any = {"color": theme.colour(i), "marker": "os^Dv"[i % 5], "linestyle": "none", "markersize": 5}
        # One below the other, so that equal scores are both seen.
        places = rows + (i - (len(series) - 1) / 2) * 0.5 / len(series)
        (line,) = axes.plot(values[shown], places, clip_on=False, **look)
        lines.append((line, name))
    name_rows(axes, [class_label(int(c), names) for c in shown])
    said = [[f"{name} {values[c]:.3f}" for name, values in series.items()] for c in shown]
    say_rows(axes, ["\n".join([class_label(int(c), names), *row]) for c, row in zip(shown, said)])
    axes.set(xlabel="F1 score" if len(scores) > 1 else "score", xlim=(max(min(0.5, least - 0.05), -0.03), 1))
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    axes.grid(True, axis="x")
    legend_below(figure, lines)
    return figure


def draw_map(points: np.ndarray, classes: np.ndarray, names: Sequence[str], theme: Theme, *, legend: bool) -> Figure:
    """Points in the plane, coloured by class.

    Args:
        points: Shape [M, 2].
        classes: Class of each, -1 for one without. Shape [M], int64.
        names: Of the classes.
        theme: The colours.
        legend: Whether the names stand below.
    """
    present = [int(c) for c in np.unique(classes)]
    longest = 22 if len(present) <= _MOST_CELLS else 16  # So that long legends have two columns.
    labels = [class_label(c, names, longest) if c >= 0 else "no class" for c in present]
    figure, axes = new_figure(WIDTH * 0.82)
    size = float(np.clip(9000 / max(len(points), 1), 5, 40))
    styles = {c: theme.class_style(c) if c >= 0 else (theme.rest, "o") for c in present}
    # In an order of chance, so that no class covers the others only because it comes last.
    order = np.random.default_rng(0).permutation(len(points))
    for marker in dict.fromkeys(marker for _, marker in styles.values()):
        mine = [i for i in order if styles[int(classes[i])][1] == marker]
        colours = [styles[int(classes[i])][0] for i in mine]
        axes.scatter(
            points[mine, 0],
            points[mine, 1],
            s=size,
            c=colours,
            marker=marker,
            linewidths=0.25,
            edgecolors=theme.background,
        )
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    axes.margins(0.03)
    if legend:
        marks = (
            Line2D([], [], color=colour, marker=marker, linestyle="none", markersize=6)
            for colour, marker in styles.values()
        )
        legend_below(figure, list(zip(marks, labels)))
    return figure


def draw_stages(stages: Mapping[str, float], theme: Theme) -> Figure:
    """Milliseconds of a batch, by stage.

    Args:
        stages: Seconds by name.
        theme: The colours.
    """
    figure, axes = new_figure(0.7 + 0.3 * len(stages))
    rows = np.arange(len(stages))
    values = np.array(list(stages.values())) * 1000
    axes.barh(rows, values, height=0.66, color=theme.colour(0))
    for row, value in zip(rows, values):
        axes.annotate(_milliseconds(float(value)), (value, row), xytext=(4, 0), textcoords="offset points", va="center")
    name_rows(axes, list(stages))
    say_rows(axes, [f"{name}\n{_milliseconds(float(value))} ms" for name, value in zip(stages, values)])
    axes.set(xlabel="milliseconds a batch", xlim=(0, float(values.max()) * 1.2 or 1))
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.grid(True, axis="x")
    return figure


def largest(sizes: np.ndarray) -> np.ndarray:
    """The classes that are shown, in their order: all, or the ``MOST_ROWS`` largest."""
    return np.sort(np.argsort(-sizes, kind="stable")[:MOST_ROWS])


def name_rows(axes: Axes, labels: Sequence[str]) -> None:
    """One row for each name, from top to bottom."""
    axes.set_yticks(np.arange(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)


def _legend_columns(labels: Sequence[str]) -> int:
    """As many columns as fit beside each other."""
    widths = [text_width(label) for label in labels]
    for columns in range(min(len(labels), 4), 1, -1):
        if sum(0.45 + max(column) for column in np.array_split(widths, columns)) < WIDTH:
            return columns
    return 1


def _legend_height(labels: Sequence[str]) -> float:
    """Inches that a legend takes."""
    return 0.12 + 0.2 * math.ceil(len(labels) / _legend_columns(labels)) if labels else 0.0


def legend_below(figure: Figure, lines: Lines) -> None:
    """A legend below everything; the figure grows by its height, so that the rest keeps its size."""
    if not lines:
        return
    labels = [label for _, label in lines]
    figure.set_figheight(figure.get_figheight() + _legend_height(labels))
    legend = figure.legend(
        [line for line, _ in lines],
        [f"label {i}" for i in range(len(labels))],
        loc="outside lower center",
        ncols=_legend_columns(labels),
        handlelength=1.6,
        columnspacing=1.2,
        handletextpad=0.6,
    )
    # Names come afterwards: the legend would leave out one that begins with an underscore.
    for text, label in zip(legend.get_texts(), labels):
        text.set_text(label)


def _count(value: float, _position: object = None) -> str:
    """1200 as "1,200", 2500000 as "2.5M"."""
    if value >= 1e6:
        return f"{value / 1e6:g}M"
    return f"{value:,.0f}" if value == round(value) else f"{value:g}"


def _milliseconds(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 1 else f"{value:.2f}"


def rows_shown(num_classes: int) -> str:
    """What a caption says where not all classes are shown."""
    return f", the {MOST_ROWS} largest of {num_classes:,}" if num_classes > MOST_ROWS else ""
