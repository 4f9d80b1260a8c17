"""Pictures of single graphs as SVG: molecules as RDKit draws them, others as circles and lines.

Rules: a graph looks the same every time. A name is taken for a SMILES only if it is one of as many atoms as the graph
has nodes. Nothing of the data becomes markup.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, List, Optional, Tuple

import numpy as np
from torch import Tensor

from gnnkit.data import Graph
from gnnkit.report.style import DARK, LIGHT, Theme

WIDTH, HEIGHT = 220, 165
"""Size of a picture, in pixels of the page."""

MOST_NODES = 400
"""A larger graph is not drawn."""

_EDGE = 14.0
_STEPS = 120


@dataclass(frozen=True)
class Drawn:
    """A picture of a graph.

    Attributes:
        light: Content of an SVG file, for light backgrounds.
        dark: For dark backgrounds.
        is_molecule: Whether it shows a molecule.
    """

    light: bytes
    dark: bytes
    is_molecule: bool


def draw_graph(graph: Graph) -> Optional[Drawn]:
    """Draw one graph.

    Args:
        graph: One graph, as :func:`gnnkit.loading.take_graphs` gives it.

    Returns:
        The picture; None for a graph that is too large, or has no nodes.
    """
    if not 0 < graph.num_nodes <= MOST_NODES:
        return None
    molecule = _molecule(graph)
    if molecule is not None:
        return Drawn(_draw_molecule(molecule, LIGHT), _draw_molecule(molecule, DARK), True)
    return Drawn(_draw_nodes(graph, LIGHT), _draw_nodes(graph, DARK), False)


def colour_column(graph: Graph) -> Tuple[Optional[int], Tensor]:
    """What the colour of nodes says: the column of categories that is shown, None for the largest feature of each.

    Returns:
        The column, and the number of each node's colour. Shape [N], int64; all 0 without features.
    """
    if graph.x is None or graph.num_features == 0:
        return None, graph.indptr[:-1] * 0
    if graph.node_categories:
        return 0, graph.x[:, 0]
    return None, graph.x.argmax(dim=1)


def _molecule(graph: Graph) -> Any:
    """The molecule that the graph's name says, None if it says none."""
    if len(graph.graph_names) != 1:
        return None
    try:
        from rdkit import Chem, rdBase
    except ImportError:
        return None
    with rdBase.BlockLogs():  # Names of other graphs are no mistakes.
        molecule = Chem.MolFromSmiles(graph.graph_names[0])
    return molecule if molecule is not None and molecule.GetNumAtoms() == graph.num_nodes else None


def _draw_molecule(molecule: Any, theme: Theme) -> bytes:
    from rdkit.Chem.Draw import rdMolDraw2D

    drawer = rdMolDraw2D.MolDraw2DSVG(WIDTH, HEIGHT)
    options: Any = drawer.drawOptions()
    if theme.name == "dark":
        rdMolDraw2D.SetDarkMode(options)
    options.clearBackground = False
    options.bondLineWidth = 1.4
    options.fixedBondLength = 26  # Or small molecules would be larger than others.
    rdMolDraw2D.PrepareAndDrawMolecule(drawer, molecule)
    drawer.FinishDrawing()
    text: str = drawer.GetDrawingText()
    return text.encode()


def _draw_nodes(graph: Graph, theme: Theme) -> bytes:
    places = _fitted(layout(graph))
    radius = float(np.clip(0.32 * math.sqrt(WIDTH * HEIGHT / graph.num_nodes), 2.2, 7.0))
    parts: List[str] = []
    drawn = {(min(ends), max(ends)) for ends in graph.edge_index.T.tolist() if ends[0] != ends[1]}
    for source, target in sorted(drawn):
        (x1, y1), (x2, y2) = places[source], places[target]
        parts.append(
            f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{theme.rest}" stroke-width="1.2"/>'
        )
    _, colours = colour_column(graph)
    for (x, y), colour in zip(places, colours.tolist()):
        fill = theme.class_style(int(colour))[0]
        parts.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}" fill="{fill}" stroke="{theme.background}" '
            'stroke-width="0.8"/>'
        )
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}">'
    return (head + "".join(parts) + "</svg>").encode()


def layout(graph: Graph) -> np.ndarray:
    """Places of nodes by springs along edges and repulsion between all nodes (Fruchterman and Reingold, 1991).

    It starts from a circle, so that the same graph always looks the same.

    Args:
        graph: At most some hundred nodes.

    Returns:
        Shape [N, 2].
    """
    num_nodes = graph.num_nodes
    angles = 2 * np.pi * np.arange(num_nodes) / max(num_nodes, 1)
    # Not quite a circle: what is symmetric could not get out of balance.
    places = np.stack([np.cos(angles), np.sin(angles)], axis=1) * (1 + 0.1 * np.cos(3.7 * angles))[:, None]
    source, target = graph.edge_index.numpy()
    length = 1.6 / math.sqrt(num_nodes)
    for step in range(_STEPS):
        apart = places[:, None] - places[None]
        distance = np.maximum(np.sqrt((apart**2).sum(axis=2)), 1e-3)
        force = (apart * (length**2 / distance**2)[:, :, None]).sum(axis=1)
        along = places[target] - places[source]
        pull = along * np.sqrt((along**2).sum(axis=1, keepdims=True)) / length / 2
        np.add.at(force, source, pull)
        np.add.at(force, target, -pull)
        force -= 0.3 * places  # Parts that nothing joins stay near.
        size = np.maximum(np.sqrt((force**2).sum(axis=1, keepdims=True)), 1e-9)
        places = places + force / size * np.minimum(size, 0.15 * (1 - step / _STEPS))
    return places


def _fitted(places: np.ndarray) -> np.ndarray:
    """Places brought into the picture, the wider side along its width."""
    span = np.ptp(places, axis=0)
    if span[1] > span[0]:
        places, span = places[:, ::-1], span[::-1]
    room = np.array([WIDTH - 2 * _EDGE, HEIGHT - 2 * _EDGE])
    scale = float(min(room / np.maximum(span, 1e-9)))
    scale = min(scale, room.min())
    middle = (places.max(axis=0) + places.min(axis=0)) / 2
    fitted: np.ndarray = (places - middle) * scale + np.array([WIDTH, HEIGHT]) / 2
    return fitted
