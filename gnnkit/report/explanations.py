"""A picture of an explanation: the edges that matter most, around the node."""

from __future__ import annotations

from pathlib import Path
from typing import Sequence

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from gnnkit.data import Graph, from_edge_index
from gnnkit.explain import Explanation
from gnnkit.io.files import replacing
from gnnkit.report.drawing import layout
from gnnkit.report.style import LIGHT

_MOST_OTHERS = 60
"""Edges that are drawn besides those that matter."""


def draw_explanation(explanation: Explanation, graph: Graph, file: Path, num_edges: int, names: Sequence[str]) -> None:
    """Draw the edges that matter most in colour, and some of the others in grey, as a PNG.

    Args:
        explanation: Of one node, which gets a ring.
        graph: Its graph: nodes are coloured by class, where they have one.
        file: Where to.
        num_edges: How many edges count as those that matter.
        names: What the nodes are called.

    Raises:
        FileError: The file cannot be written.
    """
    order = explanation.edge_scores.argsort(descending=True, stable=True)[: num_edges + _MOST_OTHERS]
    edges = explanation.edges[:, order]
    nodes, local = torch.unique(torch.cat([torch.tensor([explanation.node]), edges.flatten()]), return_inverse=True)
    ends = local[1:].reshape(2, -1)
    places = layout(from_edge_index(ends, nodes.numel()))
    figure = Figure(figsize=(6, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for rank in reversed(range(ends.shape[1])):
        start, end = places[ends[0, rank]], places[ends[1, rank]]
        matters = rank < num_edges
        style = {"color": "#d1495b" if matters else "#c9ced6", "lw": 2.0 if matters else 0.8}
        arrow = {"arrowstyle": "-|>" if matters else "-", "shrinkA": 6, "shrinkB": 6, **style}
        axes.annotate("", xy=end, xytext=start, arrowprops=arrow)
    classes = np.zeros(nodes.numel(), dtype=int)
    if graph.y is not None and graph.y.ndim == 1 and not graph.has_numbers:
        classes = graph.y[nodes].clamp(min=0).numpy()
    axes.scatter(places[:, 0], places[:, 1], s=80, c=[LIGHT.colour(int(each)) for each in classes], zorder=3)
    centre = places[int(local[0])]
    axes.scatter([centre[0]], [centre[1]], s=220, facecolors="none", edgecolors="black", zorder=4)
    for place, node in zip(places, nodes.tolist()):
        axes.annotate(names[node], place, xytext=(5, 5), textcoords="offset points", fontsize=7)
    axes.set_title(f"node {names[explanation.node]}, output {explanation.output}", fontsize=10)
    axes.axis("off")
    with replacing(file) as temporary:
        figure.savefig(temporary, format="png", dpi=150)
