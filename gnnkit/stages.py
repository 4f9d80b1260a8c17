"""Stages: what is going on while there is nothing else to see, such as reading data or compiling kernels.

Rules: work that may take longer than half a second is named with :func:`stage`. Nothing is shown unless somebody
listens, so a script that calls gnnkit stays quiet. Any thread may enter a stage.
"""

from __future__ import annotations

import time
from collections import deque
from contextlib import contextmanager
from typing import Deque, Iterator, List, NamedTuple, Optional

WORTH_A_LINE = 0.5
"""Seconds from which on a stage is worth a line."""


class Stage(NamedTuple):
    """A stage that has ended.

    Attributes:
        what: What was done, such as "reading cora".
        seconds: Wall time.
    """

    what: str
    seconds: float

    def __str__(self) -> str:
        return f"{self.what}: {self.seconds:.1f} s"


class Listener:
    """Told when stages begin and end, in the thread that enters them."""

    def on_stage(self, what: str) -> None:
        """A stage begins, inside of those that have not ended yet."""

    def on_stage_end(self, what: str, done: Optional[Stage]) -> None:
        """A stage ends; ``done`` is None where an error ends it."""

    def on_bar(self, is_drawn: bool) -> None:
        """A bar is drawn from now on, or no longer."""


_listeners: List[Listener] = []
_ended: Deque[Stage] = deque(maxlen=100)
_bars: List[object] = []


@contextmanager
def stage(what: str) -> Iterator[None]:
    """Say what is going on in this context.

    Args:
        what: As a participle: "reading cora".

    Example:
        >>> _ = take_stages()
        >>> with stage("counting"):
        ...     total = sum(range(10))
        >>> [ended.what for ended in take_stages()]
        ['counting']
    """
    for listener in tuple(_listeners):
        listener.on_stage(what)
    start, done = time.perf_counter(), None
    try:
        yield
        done = Stage(what, time.perf_counter() - start)
        _ended.append(done)
    finally:
        for listener in tuple(_listeners):
            listener.on_stage_end(what, done)


def take_stages() -> List[Stage]:
    """The last stages that have ended in this process since this was called before, at most 100."""
    taken = list(_ended)
    _ended.clear()
    return taken


@contextmanager
def heard_by(listener: Listener) -> Iterator[None]:
    """Tell a listener of the stages in this context, of all threads."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


def is_heard() -> bool:
    """Whether anybody listens."""
    return bool(_listeners)


@contextmanager
def bar_drawn() -> Iterator[None]:
    """A context in which a bar is on the screen, so that nothing else draws there."""
    _bars.append(None)
    _tell_of_bars()
    try:
        yield
    finally:
        _bars.pop()
        _tell_of_bars()


def _tell_of_bars() -> None:
    for listener in tuple(_listeners):
        listener.on_bar(bool(_bars))
