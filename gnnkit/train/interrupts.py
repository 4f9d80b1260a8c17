"""Signals that end a process, while it trains.

Rules: a signal that comes in the middle of a change of the training's state waits for its end, so that the state can be
saved whole; a second one, or one that has waited for long, waits for nothing.
"""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Callable, Dict, Optional, Tuple, Type

PATIENCE = 1.5
"""Seconds that a signal waits."""

_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")

_Handler = Callable[[int, Optional[FrameType]], Any]


class Changes:
    """Knows whether the state of a training is whole, and lets signals wait until it is.

    ``with changes:`` goes around all of a training, in the main thread or elsewhere, where no signals come;
    ``with changes.under_way:`` around everything that changes its state. Signals are then handled as they were before,
    by the handlers that are there, if these are functions.

    Example:
        >>> changes = Changes()
        >>> with changes:
        ...     with changes.under_way:
        ...         weight = 1
        >>> changes.are_whole
        True
    """

    def __init__(self) -> None:
        self.under_way = _UnderWay(self)
        self.are_whole = True
        self._is_held = False
        self._before: Dict[int, _Handler] = {}
        self._waiting: Optional[Tuple[int, Optional[FrameType]]] = None

    def __enter__(self) -> Changes:
        if threading.current_thread() is threading.main_thread():
            for name in _SIGNALS:
                number = getattr(signal, name, None)
                handler = None if number is None else signal.getsignal(number)
                if number is not None and callable(handler):
                    self._before[number] = handler
                    signal.signal(number, self._received)
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def begin(self) -> None:
        """A change begins."""
        self._is_held, self.are_whole = True, False

    def end(self, *, is_whole: bool) -> None:
        """A change has ended; a signal that has waited for it is handled.

        Args:
            is_whole: Whether it was made to its end.
        """
        self._is_held, self.are_whole = False, is_whole
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            self._before[waiting[0]](*waiting)

    def _received(self, number: int, frame: Optional[FrameType]) -> None:
        if not self._is_held or self._waiting is not None:
            self._waiting = None
            self._before[number](number, frame)
            return
        self._waiting = (number, frame)
        timer = threading.Timer(PATIENCE, self._repeat, (self._waiting,))
        timer.daemon = True
        timer.start()

    def _repeat(self, waited: Tuple[int, Optional[FrameType]]) -> None:
        if self._waiting is waited:
            main = threading.main_thread().ident
            assert main is not None
            signal.pthread_kill(main, waited[0])


class _UnderWay:
    def __init__(self, changes: Changes) -> None:
        self._changes = changes

    def __enter__(self) -> None:
        self._changes.begin()

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self._changes.end(is_whole=error is None)
