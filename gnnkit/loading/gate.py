"""The gate between threads that make batches and a compiler that wants the process to itself.

Rules: there is one gate in a process, because compilers replace functions of torch for all of it. A thread passes the
gate for every item that it makes; who compiles waits until nobody is inside and keeps it closed meanwhile.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import Iterator, Optional


class Gate:
    """Open for any number of threads that make items, or closed for one that compiles.

    A thread that is inside already, or that has closed the gate itself, always passes, so that nobody waits for itself.

    Example:
        >>> gate = Gate()
        >>> with gate.closed():
        ...     with gate.inside():  # The thread that closed it.
        ...         pass
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside = 0
        self._owner: Optional[int] = None
        self._closings = 0
        self._own = threading.local()

    @contextmanager
    def inside(self) -> Iterator[None]:
        """A context in which an item is made; waits while another thread keeps the gate closed."""
        depth = getattr(self._own, "depth", 0)
        with self._changed:
            self._changed.wait_for(lambda: depth or self._owner in (None, threading.get_ident()))
            self._inside += 1
        self._own.depth = depth + 1
        try:
            yield
        finally:
            self._own.depth = depth
            with self._changed:
                self._inside -= 1
                self._changed.notify_all()

    @contextmanager
    def closed(self) -> Iterator[None]:
        """A context that no other thread is inside of: waits for those that are, and keeps others waiting."""
        me, own = threading.get_ident(), getattr(self._own, "depth", 0)
        with self._changed:
            self._changed.wait_for(lambda: self._owner in (None, me))
            self._owner = me
            self._closings += 1
            self._changed.wait_for(lambda: self._inside == own)
        try:
            yield
        finally:
            with self._changed:
                self._closings -= 1
                if not self._closings:
                    self._owner = None
                self._changed.notify_all()


GATE = Gate()
"""The gate of this process."""
