"""The data of a typed graph: its schema as a picture, and counts by type and relation.

Rules: of a relation and its declared reverse, the first is drawn. Arrows of the same two types share a label.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Dict, List, Optional, Tuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyArrowPatch

from gnnkit.data import Graph, Schema, type_nodes
from gnnkit.report.page import Table
from gnnkit.report.style import Theme, drawable, new_figure

_HEIGHT = 3.4
_RADIUS = 0.2
_MOST_TYPES = 12
_MOST_NAMES = 2
_MOST_ROWS = 12


@dataclass(frozen=True)
class TypeCounts:
    """What a report says about types.

    Attributes:
        schema: Of the graph.
        nodes: Number of nodes by type.
        edges: Number of edges by relation (``str(relation)``).
        features: Width of the features by type; 0 without.
        labelled: Number of nodes with a label by type; None where the type has no labels.
    """

    schema: Schema
    nodes: Dict[str, int]
    edges: Dict[str, int]
    features: Dict[str, int]
    labelled: Dict[str, Optional[int]]


def count_types(graph: Graph) -> Optional[TypeCounts]:
    """Counts by type and relation; None for a graph without types.

    Example:
        >>> import gnnkit
        >>> count_types(gnnkit.load_dataset("publications")).nodes
        {'paper': 400, 'author': 160, 'venue': 20}
    """
    if graph.typed is None:
        return None
    parts = {name: type_nodes(graph, name) for name in graph.typed.schema.node_types}
    labelled = {name: None if part.has_label is None else int(part.has_label.sum()) for name, part in parts.items()}
    features = {name: part.num_features for name, part in parts.items()}
    return TypeCounts(graph.typed.schema, graph.typed.num_nodes, graph.typed.num_edges, features, labelled)


def type_tables(counts: TypeCounts) -> List[Table]:
    """Types, and relations; many are folded."""
    types = [
        [
            name,
            f"{count:,}",
            f"{counts.features[name]:,}" if counts.features[name] else "learned",
            "none" if counts.labelled[name] is None else f"{counts.labelled[name]:,}",
        ]
        for name, count in counts.nodes.items()
    ]
    labels = list(counts.edges)
    relations = [
        [
            relation.name,
            relation.src,
            relation.dst,
            f"{counts.edges[str(relation)]:,}",
            "none" if relation.reverse is None else labels[relation.reverse],
        ]
        for relation in counts.schema.relations
    ]
    columns = ["relation", "from", "to", "edges", "reverse"]
    return [
        Table("Types of nodes", ["type", "nodes", "features", "with a label"], types, folded=len(types) > _MOST_ROWS),
        Table("Relations", columns, relations, folded=len(relations) > _MOST_ROWS),
    ]


def schema_in_words(counts: TypeCounts) -> str:
    """What the picture shows."""
    what = f"{len(counts.nodes)} types of nodes and {len(counts.edges)} relations"
    return f"Schema of {what}: " + ", ".join(f"{src} to {dst}" for src, dst in _arrows(counts)) + "."


def draw_schema(counts: TypeCounts, theme: Theme) -> Figure:
    """Types as circles and relations as arrows between them."""
    figure, axes = new_figure(_HEIGHT)
    shown = sorted(counts.nodes, key=lambda name: -counts.nodes[name])[:_MOST_TYPES]
    places = {name: _place(i, len(shown)) for i, name in enumerate(name for name in counts.nodes if name in shown)}
    for (src, dst), names in _arrows(counts).items():
        if src in places and dst in places:
            _draw_arrow(axes, places[src], places[dst], _label(names), theme)
    for i, (name, place) in enumerate(places.items()):
        axes.add_patch(Circle(place, _RADIUS, facecolor=theme.colour(i), edgecolor=theme.background, zorder=3))
        text = f"{drawable(name, f'type {i + 1}', 16)}\n{counts.nodes[name]:,}"
        axes.annotate(text, (place[0], place[1] - _RADIUS - 0.04), ha="center", va="top", color=theme.text, zorder=4)
    axes.set(xlim=(-1.75, 1.75), ylim=(-1.55, 1.45), aspect="equal")
    axes.set_axis_off()
    return figure


def _place(i: int, count: int) -> Tuple[float, float]:
    if count == 1:
        return 0.0, 0.0
    angle = math.pi / 2 - 2 * math.pi * i / count
    return 1.15 * math.cos(angle), 0.9 * math.sin(angle)


def _arrows(counts: TypeCounts) -> Dict[Tuple[str, str], List[str]]:
    """Names of relations by source and destination, without those that are the reverse of an earlier one."""
    arrows: Dict[Tuple[str, str], List[str]] = {}
    for number, relation in enumerate(counts.schema.relations):
        if relation.reverse is None or relation.reverse >= number:
            arrows.setdefault((relation.src, relation.dst), []).append(relation.name)
    return arrows


def _label(names: List[str]) -> str:
    shown = [drawable(name, "relation", 18) for name in names[:_MOST_NAMES]]
    more = len(names) - len(shown)
    return "\n".join([*shown, *([f"and {more:,} more"] if more else [])])


def _draw_arrow(axes: Axes, start: Tuple[float, float], end: Tuple[float, float], label: str, theme: Theme) -> None:
    is_loop = start == end
    if is_loop:
        above = start[1] >= 0
        side = 1 if above else -1
        first, last = (start[0] - 0.1, start[1] + side * 0.17), (start[0] + 0.1, start[1] + side * 0.17)
        bend, middle = (-1.8 if above else 1.8), (start[0], start[1] + side * 0.42)
    else:
        first, last, bend = start, end, 0.12
        middle = ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2)
    arrow = FancyArrowPatch(
        first,
        last,
        connectionstyle=f"arc3,rad={bend}",
        arrowstyle="-|>",
        mutation_scale=10,
        color=theme.muted,
        shrinkA=0 if is_loop else 16,
        shrinkB=0 if is_loop else 16,
        zorder=1,
    )
    axes.add_patch(arrow)
    box = {"facecolor": theme.background, "edgecolor": "none", "pad": 0.8}
    axes.annotate(label, middle, ha="center", va="center", color=theme.text, fontsize=7, zorder=2, bbox=box)
