"""Something that is on in a block of code, for the thread that runs it."""

from __future__ import annotations

import threading
from typing import Any, ContextManager, List


class ThreadSwitch(threading.local):
    """Off, until a thread turns it on for itself.

    Attributes:
        is_on: Whether it is on in this thread.

    Example:
        >>> switch = ThreadSwitch()
        >>> with switch.turned(True):
        ...     print(switch.is_on)
        True
        >>> switch.is_on
        False
    """

    is_on: bool = False

    def turned(self, is_on: bool) -> ContextManager[None]:
        """Turn it on or off in a block; afterwards it is as it was.

        What is returned may be entered again and again, by one thread at a time.
        """
        return _Turned(self, is_on)


class _Turned(ContextManager[None]):
    # A generator would take several times as long, which is noticeable in layers of a few hundred microseconds.
    def __init__(self, switch: ThreadSwitch, is_on: bool) -> None:
        self._switch = switch
        self._is_on = is_on
        self._before: List[bool] = []

    def __enter__(self) -> None:
        self._before.append(self._switch.is_on)
        self._switch.is_on = self._is_on

    def __exit__(self, *exception: Any) -> None:
        self._switch.is_on = self._before.pop()
