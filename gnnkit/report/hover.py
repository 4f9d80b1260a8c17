"""Values that a figure says where the pointer rests on it.

Rules: an area is a rectangle of the figure that nobody sees; the page lays an element over it, whose text the browser
shows under the pointer. There is no script.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, List, Mapping, Optional, Sequence, Tuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

MOST_AREAS = 400
"""Areas along one axis; of more places, evenly spread ones say their values."""

_MARK = "says "
"""What the id of an area's rectangle begins with; its text follows."""


@dataclass(frozen=True)
class Area:
    """A part of a picture that says something, in percent of its width and height from the upper left corner."""

    left: float
    top: float
    width: float
    height: float
    text: str

    @property
    def is_right(self) -> bool:
        """Whether it lies on the right, so that its text has room on its left."""
        return self.left + self.width / 2 > 50


def say_cell(axes: Axes, x: Tuple[float, float], y: Tuple[float, float], text: str, transform: Any = None) -> None:
    """Say a text over a rectangle.

    Args:
        axes: The axes that it is on.
        x: From where to where.
        y: Likewise.
        text: What is said; lines end with a newline.
        transform: Of the coordinates. None: those of the data.
    """
    area = Rectangle(
        (x[0], y[0]), x[1] - x[0], y[1] - y[0], visible=False, transform=transform or axes.transData, gid=_MARK + text
    )
    axes.add_artist(area)  # Unlike a patch, it leaves the limits of the axes alone.


def say_columns(axes: Axes, edges: Sequence[float], texts: Sequence[str]) -> None:
    """Say a text over each of the columns that some edges part the axes into, one more than there are texts."""
    for left, right, text in zip(edges, edges[1:], texts):
        say_cell(axes, (left, right), (0, 1), text, axes.get_xaxis_transform())


def say_rows(axes: Axes, texts: Sequence[str]) -> None:
    """Say a text over each row, around 0, 1 and so on."""
    for row, text in enumerate(texts):
        say_cell(axes, (0, 1), (row - 0.5, row + 0.5), text, axes.get_yaxis_transform())


def say_lines(axes: Axes, lines: Mapping[str, Mapping[float, str]], xlabel: str) -> None:
    """Say the values of lines over columns around their places.

    Args:
        axes: The axes that they are on.
        lines: By name, values as text by place.
        xlabel: What a place is called.
    """
    places = np.array(sorted({place for values in lines.values() for place in values}), dtype=float)
    if not len(places):
        return
    if len(places) > MOST_AREAS:
        places = places[np.unique(np.linspace(0, len(places) - 1, MOST_AREAS).round().astype(int))]
    between = (places[1:] + places[:-1]) / 2
    first, last = (between[0] - places[0], places[-1] - between[-1]) if len(between) else (0.5, 0.5)
    texts = []
    for place in places:
        said = [f"{name} {values[place]}".strip() for name, values in lines.items() if place in values]
        texts.append("\n".join([f"{xlabel} {place:.4g}" if place != round(place) else f"{xlabel} {place:.0f}", *said]))
    say_columns(axes, [places[0] - first, *between, places[-1] + last], texts)


def areas_of(figure: Figure) -> List[Area]:
    """The areas of a figure that has been drawn."""
    found = (_area(figure, axes, artist) for axes in figure.axes for artist in axes.artists + list(axes.patches))
    return [area for area in found if area is not None]


def _area(figure: Figure, axes: Axes, artist: Any) -> Optional[Area]:
    mark = artist.get_gid()
    if not isinstance(mark, str) or not mark.startswith(_MARK):
        return None
    box, frame, (width, height) = artist.get_window_extent(), axes.bbox, figure.bbox.size
    x0, x1 = (min(max(x, frame.x0), frame.x1) for x in (box.x0, box.x1))
    y0, y1 = (min(max(y, frame.y0), frame.y1) for y in (box.y0, box.y1))
    if x1 <= x0 or y1 <= y0:
        return None
    left, top, wide, high = (
        round(100 * float(value), 2) for value in (x0 / width, 1 - y1 / height, (x1 - x0) / width, (y1 - y0) / height)
    )
    return Area(left, top, wide, high, mark[len(_MARK) :])
