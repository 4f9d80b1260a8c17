"""What a line of the table is, and a contest of sides that take turns."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fnmatch import fnmatch
from typing import Any, Mapping, Optional, Sequence

from benchmarks.work import SideSpec, Work


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        name: Short, unique; ``--rows`` selects by it.
        work: What is done, in words.
        against: The measure, in words.
        ours: Key of gnnkit's side.
        theirs: Key of the other side.
        at_least: How many times faster ours must be. None: see ``at_most``.
        at_most: How many times the other's time ours may take. Without both, the figure is told and nothing is asked.
        memory_below: Bytes that our process must stay below.
    """

    name: str
    work: str
    against: str
    ours: str
    theirs: str
    at_least: Optional[float] = None
    at_most: Optional[float] = None
    memory_below: Optional[int] = None

    @property
    def is_limit(self) -> bool:
        """Whether the figure is our time over the other's, of which less is better."""
        return self.at_most is not None or self.theirs == "fastest"


@dataclass(frozen=True)
class Contest:
    """Rows whose sides take turns in one run.

    Attributes:
        title: What the sides do, in words.
        work: The same in values.
        sides: Who takes part.
        rows: What is compared.
        rounds: Counted rounds.
    """

    title: str
    work: Work
    sides: Mapping[str, SideSpec]
    rows: Sequence[Row]
    rounds: int = 7

    def only(self, patterns: Sequence[str]) -> Optional[Contest]:
        """What of it has a name like one of the patterns, with the sides that this needs; None for nothing."""
        rows = [row for row in self.rows if is_like(row.name, patterns)]
        wanted = {side for row in rows for side in (row.ours, row.theirs)}
        sides = {key: side for key, side in self.sides.items() if key in wanted}
        return replace(self, rows=rows, sides=sides) if rows else None


def is_like(name: str, patterns: Sequence[str]) -> bool:
    """Whether a row's name fits one of the patterns, in which ``*`` stands for anything."""
    return any(fnmatch(name, pattern) for pattern in patterns)


def ours(backend: str, words: str = "", **settings: Any) -> SideSpec:
    """The whole Trainer with a backend."""
    return SideSpec("gnnkit", f"gnnkit `{backend}`{words}", {"backend": backend, **settings})
