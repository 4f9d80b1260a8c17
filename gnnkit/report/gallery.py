"""Figures of a page: drawn once for each scheme, and kept as files beside the runs that they are about."""

from __future__ import annotations

from pathlib import Path
from typing import Callable, Dict, List, Optional, Tuple

from matplotlib.figure import Figure

from gnnkit.report.collect import RunFacts
from gnnkit.report.drawing import HEIGHT, WIDTH, Drawn
from gnnkit.report.hover import Area, areas_of
from gnnkit.report.page import Picture
from gnnkit.report.style import DARK, DPI, LIGHT, Theme, as_png, png_size, themed

Draw = Callable[[Theme], Figure]


class Gallery:
    """Draws figures for the page, and remembers which go into which folder.

    Attributes:
        files: Content of picture files, by path.

    Args:
        shared: Folder for figures about several runs.
    """

    def __init__(self, shared: Path) -> None:
        self.shared = shared
        self.files: Dict[Path, bytes] = {}

    def picture(
        self, run: Optional[RunFacts], name: str, draw: Draw, alt: str, caption: str, alone: Optional[Draw] = None
    ) -> Picture:
        """Draw a figure.

        Args:
            run: The run that it is about; None for several.
            name: Of its file, without ending.
            draw: Makes the figure.
            alt: What is to be seen.
            caption: Stands above.
            alone: Makes the figure for the file, where that needs more than the page's.
        """
        light, areas = _drawn(draw, LIGHT)
        dark, _ = _drawn(draw, DARK)  # Things lie where they do in the other.
        folder = self.shared if run is None else run.path / "plots"
        self.files[folder / f"{name}.png"] = light if alone is None else _drawn(alone, LIGHT)[0]
        return Picture(name, light, dark, png_size(light), alt, caption, areas=areas)

    def drawing(self, run: RunFacts, name: str, drawn: Drawn, alt: str, caption: str) -> Picture:
        """Take a picture of one graph that is drawn already; other arguments are those of :meth:`picture`."""
        self.files[run.path / "plots" / f"{name}.svg"] = drawn.light
        size = round(WIDTH * DPI / 96), round(HEIGHT * DPI / 96)
        return Picture(name, drawn.light, drawn.dark, size, alt, caption, "svg+xml", drawn.is_molecule)


def _drawn(draw: Draw, theme: Theme) -> Tuple[bytes, List[Area]]:
    """A figure as PNG, and what its parts say."""
    with themed(theme):
        figure = draw(theme)
        return as_png(figure), areas_of(figure)
