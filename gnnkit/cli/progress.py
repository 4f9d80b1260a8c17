"""A bar on the standard error stream for work that reports its share."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import Callable, Iterator


@contextmanager
def drawn() -> Iterator[Callable[[str, float], None]]:
    """Give a function that is told what is being done and which share of it is; draws on a terminal only."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn(compact=True))
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty(), transient=True) as progress:
        task = progress.add_task("", total=1.0)

        def report(what: str, share: float) -> None:
            progress.update(task, description=what, completed=share)

        yield report
