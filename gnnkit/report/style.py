"""How the report's figures look: two themes, their colours, and names that are safe to draw.

Rules: figures are drawn with matplotlib's objects, never with pyplot; settings hold inside :func:`themed` alone. A
figure is ``WIDTH`` inches wide, so that its text can be read when a phone shows it 350 pixels wide. Text is drawn as it
is: a name with dollar signs is no formula.
"""

from __future__ import annotations

import struct
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from typing import Any, Iterator, Sequence, Tuple

import numpy as np
from matplotlib import font_manager, rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from PIL import Image

WIDTH = 4.2
"""Inches."""

DPI = 200

FONT_SIZE = 9
"""Points."""

_FONT = "DejaVu Sans"
"""Comes with matplotlib, so labels have the same size everywhere."""

CLASS_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
"""With more classes than colours, the next ones have another shape."""


@dataclass(frozen=True)
class Theme:
    """Colours for one background.

    Attributes:
        name: "light" or "dark".
        background: Of the figure; that of the page's cards.
        text: Titles and values.
        muted: Labels of axes.
        grid: Lines behind the data.
        series: Lines and bars, in their order; those of Okabe and Ito (2008), made lighter on a dark background.
        classes: Points of a class: ten colours that can be told apart with any kind of colour vision (Petroff,
            "Accessible color sequences for data visualization", 2021), the darkest ones lighter on a dark background.
        rest: What belongs to no series.
        low: The colour of 0 in a heat map.
        high: The colour of 1 in a heat map.
    """

    name: str
    background: str
    text: str
    muted: str
    grid: str
    series: Tuple[str, ...]
    classes: Tuple[str, ...]
    rest: str
    low: str
    high: str

    def colour(self, i: int) -> str:
        """The colour of the i-th series; they repeat."""
        return self.series[i % len(self.series)]

    def class_style(self, i: int) -> Tuple[str, str]:
        """Colour and marker of the points of a class."""
        return self.classes[i % len(self.classes)], CLASS_MARKERS[i // len(self.classes) % len(CLASS_MARKERS)]

    @property
    def scale(self) -> LinearSegmentedColormap:
        """Colours of lines from bad (0) to good (1), all of which can be seen on the background."""
        return LinearSegmentedColormap.from_list(
            f"gnnkit-{self.name}-scale", [self.series[1], self.series[3], self.series[0]]
        )

    @property
    def heat(self) -> LinearSegmentedColormap:
        """Colours from 0 to 1."""
        return LinearSegmentedColormap.from_list(f"gnnkit-{self.name}", [self.low, self.high])


LIGHT = Theme(
    name="light",
    background="#ffffff",
    text="#1c2430",
    muted="#5a6575",
    grid="#e3e7ec",
    series=("#0072b2", "#d55e00", "#009e73", "#b0508b", "#8a6d00", "#3a9bd9", "#444b55"),
    classes=(
        "#3f90da",
        "#ffa90e",
        "#bd1f01",
        "#94a4a2",
        "#832db6",
        "#a96b59",
        "#e76300",
        "#b9ac70",
        "#717581",
        "#92dadd",
    ),
    rest="#c3cad3",
    low="#f3f6fa",
    high="#0b4f8a",
)
DARK = Theme(
    name="dark",
    background="#1a2029",
    text="#e7ebf0",
    muted="#a3afbe",
    grid="#323c49",
    series=("#56a9e6", "#f2935c", "#3fc79d", "#e29ac6", "#e0c050", "#9bd3f5", "#c8ced6"),
    classes=(
        "#4f9fe8",
        "#ffb32b",
        "#e2452a",
        "#a9b8b6",
        "#b06ae0",
        "#c28a78",
        "#f57a1f",
        "#c9bd84",
        "#8b8f9c",
        "#a4e6e9",
    ),
    rest="#566273",
    low="#242d39",
    high="#9ccbf5",
)
THEMES = (LIGHT, DARK)


@contextmanager
def themed(theme: Theme) -> Iterator[None]:
    """Settings of matplotlib while figures are made and drawn, whatever the user's own are."""
    settings: Any = {
        "figure.facecolor": theme.background,
        "figure.constrained_layout.h_pad": 0.06,
        "figure.constrained_layout.w_pad": 0.06,
        "savefig.facecolor": theme.background,
        "axes.facecolor": theme.background,
        "axes.edgecolor": theme.rest,
        "axes.labelcolor": theme.muted,
        "axes.titlecolor": theme.text,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.axisbelow": True,
        "axes.labelsize": FONT_SIZE,
        "axes.titlesize": 10,
        "grid.color": theme.grid,
        "grid.linewidth": 0.8,
        "text.color": theme.text,
        "text.usetex": False,
        "text.parse_math": False,
        "xtick.color": theme.rest,
        "ytick.color": theme.rest,
        "xtick.labelcolor": theme.muted,
        "ytick.labelcolor": theme.text,
        "xtick.labelsize": FONT_SIZE,
        "ytick.labelsize": FONT_SIZE,
        "xtick.minor.visible": False,
        "ytick.minor.visible": False,
        "font.family": _FONT,
        "font.size": FONT_SIZE,
        "legend.frameon": False,
        "legend.fontsize": FONT_SIZE,
        "legend.labelcolor": theme.text,
    }
    with rc_context(settings):
        yield


def new_figure(height: float) -> Tuple[Figure, Axes]:
    """A figure with one pair of axes, ``WIDTH`` inches wide and ``height`` inches high."""
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots()


def as_png(figure: Figure) -> bytes:
    """The figure as the content of a PNG file, with 256 colours of its own: a third of the size, and nobody sees it."""
    figure.set_dpi(DPI)
    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()
    buffer = BytesIO()
    picture = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    picture = picture.quantize(256, Image.Quantize.MAXCOVERAGE, kmeans=2, dither=Image.Dither.NONE)
    picture.save(buffer, format="png", optimize=True, dpi=(DPI, DPI))
    return buffer.getvalue()


def png_size(png: bytes) -> Tuple[int, int]:
    """Width and height in pixels, from the head of a PNG file."""
    width, height = struct.unpack(">II", png[16:24])
    return width, height


def drawable(text: str, instead: str, longest: int = 22) -> str:
    """A name as a figure can show it: on one line, not too long, and only if the font has all its characters.

    Args:
        text: Any name.
        instead: What stands for one that cannot be drawn.
        longest: Most characters; a longer name is cut in its middle.
    """
    text = " ".join(text.split())
    if not text or not _has_glyphs(text):
        return instead
    if len(text) <= longest:
        return text
    head = (longest - 1) * 2 // 3
    return f"{text[:head].rstrip()}…{text[len(text) - (longest - 1 - head) :].lstrip()}"


def class_label(i: int, names: Sequence[str], longest: int = 22) -> str:
    """Number and name of a class, as short as a figure needs it."""
    name = drawable(names[i], "", longest) if i < len(names) else ""
    return str(i) if name in ("", str(i)) else f"{i} {name}"


def text_width(text: str) -> float:
    """Inches that a text of the usual size takes."""
    font = _font()
    font.set_size(FONT_SIZE, 72)
    font.set_text(text)
    return float(font.get_width_height()[0]) / 64 / 72


def _has_glyphs(text: str) -> bool:
    font = _font()
    return all(font.get_char_index(ord(character)) for character in text if character != " ")


@lru_cache(maxsize=None)
def _font() -> Any:
    return font_manager.get_font(font_manager.findfont(_FONT))
