"""Something that is on in a block of code, for the thread that runs it."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import Iterator


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

    @contextmanager
    def turned(self, is_on: bool) -> Iterator[None]:
        """Turn it on or off in the block; afterwards it is as it was."""
        before, self.is_on = self.is_on, is_on
        try:
            yield
        finally:
            self.is_on = before
