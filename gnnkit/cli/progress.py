"""What commands draw on the standard error stream while they work: a line for each stage, and bars.

Rules: a terminal shows the stage that goes on, and keeps a line of each one that took half a second. Elsewhere a
command that is refused says one line and nothing else, so a stage gets a line only when it takes long.
"""

from __future__ import annotations

import sys
import threading
import time
from contextlib import contextmanager
from typing import Any, Callable, Iterator, List, Optional, Tuple

from gnnkit.stages import WORTH_A_LINE, Listener, Stage, bar_drawn, heard_by

_FIRST_LOOK = 0.25
"""Seconds after which a terminal shows a stage that goes on."""
_LONG = 10.0
"""Seconds from which on a stage is worth a line where there is no terminal."""


class StageLines(Listener):
    """Draws the stage that goes on, and a line for each one that has ended, on the standard error stream.

    Args:
        verbose: Whether every stage gets a line, however short.
    """

    def __init__(self, *, verbose: bool = False) -> None:
        self._is_terminal = sys.stderr.isatty()
        self._kept_from = 0.0 if verbose else WORTH_A_LINE if self._is_terminal else _LONG
        self._open: List[Tuple[str, float]] = []  # With the time of the beginning.
        self._is_covered = False
        self._drawn: Any = None
        self._timer: Optional[threading.Timer] = None
        self._lock = threading.RLock()
        if self._is_terminal:
            import rich.progress  # noqa: F401  # Here: a thread must not import while libraries are imported.

    def on_stage(self, what: str) -> None:
        """See :class:`Listener`."""
        with self._lock:
            self._open.append((what, time.monotonic()))
            self._draw_later()

    def on_stage_end(self, what: str, done: Optional[Stage]) -> None:
        """See :class:`Listener`."""
        with self._lock:
            places = [place for place, (each, _) in enumerate(self._open) if each == what]
            if places:  # It may have begun before anybody listened.
                del self._open[places[-1]]
            self._erase()
            if done is not None and done.seconds >= self._kept_from:
                print(done, file=sys.stderr, flush=True)
            if self._open:
                self._draw_later()

    def on_bar(self, is_drawn: bool) -> None:
        """See :class:`Listener`."""
        with self._lock:
            self._is_covered = is_drawn
            self._erase()
            if not is_drawn and self._open:
                self._draw_later()

    def close(self) -> None:
        """Erase what is drawn."""
        with self._lock:
            self._erase()

    def _draw_later(self) -> None:
        if self._drawn is not None:
            self._draw()
            return
        if self._timer is None and not self._is_covered:
            self._timer = threading.Timer(_FIRST_LOOK if self._is_terminal else _LONG, self._draw)
            self._timer.daemon = True
            self._timer.start()

    def _draw(self) -> None:
        with self._lock:
            self._erase()
            if not self._open or self._is_covered:
                return
            what, start = self._open[-1]
            if not self._is_terminal:
                print(f"{what} ...", file=sys.stderr, flush=True)
                return
            from rich.console import Console
            from rich.progress import Progress, TextColumn

            columns = (TextColumn("{task.description} ...", markup=False), TextColumn("{task.elapsed:.0f} s"))
            self._drawn = Progress(*columns, console=Console(stderr=True), transient=True, refresh_per_second=4)
            self._drawn.add_task(what, total=None)
            self._drawn.tasks[0].start_time = start
            self._drawn.start()

    def _erase(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._drawn is not None:
            self._drawn.stop()
            self._drawn = None


@contextmanager
def stage_lines(*, quiet: bool = False, verbose: bool = False) -> Iterator[None]:
    """Draw the stages of this context.

    Args:
        quiet: Draw none.
        verbose: As for :class:`StageLines`.
    """
    if quiet:
        yield
        return
    lines = StageLines(verbose=verbose)
    try:
        with heard_by(lines):
            yield
    finally:
        lines.close()


@contextmanager
def drawn() -> Iterator[Callable[[str, float], None]]:
    """Give a function that is told what is being done and which share of it is; draws on a terminal only."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn(compact=True))
    console = Console(stderr=True)
    with bar_drawn(), Progress(*columns, console=console, disable=not sys.stderr.isatty(), transient=True) as progress:
        task = progress.add_task("", total=1.0)

        def report(what: str, share: float) -> None:
            progress.update(task, description=what, completed=share)

        yield report
