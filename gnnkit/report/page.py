"""A page of sections, panels, figures and tables as one HTML file.

Rules: Jinja2 escapes whatever it puts in, so names of data, classes and runs are text, never markup. The page has no
script and refers to nothing outside of itself, and a policy in its head forbids both. Every figure comes in a light and
a dark version, of which style sheets show one: what the reader chose on the page, at first what the system says.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, field
from typing import List, Sequence, Tuple

from jinja2 import Environment, PackageLoader, StrictUndefined

from gnnkit.report.hover import Area
from gnnkit.report.style import CLASS_MARKERS, DARK, DPI, LIGHT

_SHAPES = dict(zip(CLASS_MARKERS, "●■▲◆▼✚✖"))
"""What stands for a marker in text."""


_LONG_HEAD = 24
"""Characters of the head of a column that leave no room for two others on a phone."""


@dataclass(frozen=True)
class Picture:
    """A figure in two versions.

    Attributes:
        name: Of its file, without ending.
        light: A picture for light backgrounds.
        dark: One for dark backgrounds.
        size: Width and height in pixels.
        alt: What is to be seen, for those who do not see it.
        caption: Stands above.
        kind: Of the two versions: "png", or "svg+xml", of which ``size`` is that of a PNG that looks the same.
        is_molecule: Whether it shows a molecule.
        areas: Parts that say their values under the pointer.
    """

    name: str
    light: bytes
    dark: bytes
    size: Tuple[int, int]
    alt: str
    caption: str
    kind: str = "png"
    is_molecule: bool = False
    areas: Sequence[Area] = ()

    @property
    def width(self) -> int:
        """Pixels of the page at which text has its natural size."""
        return round(self.size[0] * 96 / DPI)

    @property
    def height(self) -> int:
        """Pixels of the page, as for ``width``."""
        return round(self.size[1] * 96 / DPI)

    @property
    def light_uri(self) -> str:
        """The light version as a data URI."""
        return _uri(self.light, self.kind)

    @property
    def dark_uri(self) -> str:
        """The dark version as a data URI."""
        return _uri(self.dark, self.kind)


@dataclass(frozen=True)
class Table:
    """A table; its first column names the rows.

    Attributes:
        caption: What it tells.
        columns: Heads of the columns.
        rows: Cells, as many as there are columns.
        numbers: Whether the cells after the first are numbers of one kind, put below each other.
        text_columns: So many of the first columns are text all the same.
        folded: Whether it is shown only when asked for.
        best: Row and column of cells to be marked.
    """

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    numbers: bool = False
    text_columns: int = 1
    folded: bool = False
    best: Sequence[Tuple[int, int]] = ()

    @property
    def is_wide(self) -> bool:
        """Whether a phone must show a row's cells below each other."""
        has_long_head = any(len(column) > _LONG_HEAD for column in self.columns)
        return not self.numbers and (len(self.columns) > 3 or (len(self.columns) == 3 and has_long_head))


@dataclass(frozen=True)
class Entry:
    """A name in the legend of maps: colours by number, shape, text."""

    colour: int
    shape: str
    text: str


@dataclass
class Panel:
    """What belongs together in a section: of one run, or of all.

    Attributes:
        title: Empty for a section that has one panel.
        is_spacious: Whether figures are shown large where there is room.
        is_full: Whether it is as wide as the section, beside no other.
        is_table_first: Whether tables come before figures.
        notes: Sentences.
        legend: Names of colours in the figures.
        pictures: Figures.
        tables: Tables.
        thumbnails: Small pictures, many beside each other.
        codes: Captions, and text that is shown as it is written.
    """

    title: str = ""
    is_spacious: bool = False
    is_full: bool = False
    is_table_first: bool = False
    notes: List[str] = field(default_factory=list)
    legend: List[Entry] = field(default_factory=list)
    pictures: List[Picture] = field(default_factory=list)
    tables: List[Table] = field(default_factory=list)
    thumbnails: List[Picture] = field(default_factory=list)
    codes: List[Tuple[str, str]] = field(default_factory=list)


@dataclass
class Section:
    """A part of the page with a heading, the anchor that links lead to, and notes about all panels."""

    anchor: str
    title: str
    panels: List[Panel]
    notes: List[str] = field(default_factory=list)


@dataclass
class Page:
    """Everything on a page.

    Attributes:
        title: Of the page.
        subtitle: A line below.
        tiles: The most important figures: name, value, and a note.
        warnings: What must be known first.
        sections: In their order.
        footer: How the page was made.
    """

    title: str
    subtitle: str
    tiles: List[Tuple[str, str, str]]
    warnings: List[str]
    sections: List[Section]
    footer: str


def class_entry(i: int, text: str) -> Entry:
    """The legend's entry of a class, as :meth:`gnnkit.report.style.Theme.class_style` draws it."""
    return Entry(i % len(LIGHT.classes), _SHAPES[LIGHT.class_style(i)[1]], text)


def render_page(page: Page) -> str:
    """The page as HTML."""
    environment = Environment(
        loader=PackageLoader("gnnkit.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["breakable"] = _breakable
    environment.tests["whole"] = _is_whole
    return environment.get_template("page.html").render(page=page, light=LIGHT, dark=DARK)


def _breakable(text: str) -> List[str]:
    """Parts of a text, which a line may end after: of paths, settings and the like, but not of numbers."""
    return re.split(r"(?:(?<=[./_=])|(?<=\w-))(?=[^\W\d])", text)


def _is_whole(text: str) -> bool:
    """Whether a text is a number, which no line may break."""
    return re.fullmatch(r"[-\d.,%]+", text) is not None


def _uri(picture: bytes, kind: str) -> str:
    return f"data:image/{kind};base64," + base64.b64encode(picture).decode("ascii")
