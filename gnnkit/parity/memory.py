"""How much memory a piece of work takes, within one process."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import threading
from pathlib import Path
from typing import Any, Optional

_STATM = Path("/proc/self/statm")
_INTERVAL = 0.01


class PeakMemory:
    """Watches the resident memory of this process while its block runs.

    Memory that is free, but not given back to the system, is given back first, so that what ran earlier in the same
    process does not hide what runs now. Looks every 10 ms, so a shorter peak may be missed.

    Attributes:
        growth: Largest resident memory in the block above that at its begin, in bytes. None where the system does not
            tell.

    Example:
        >>> with PeakMemory() as memory:
        ...     work = bytearray(10)
        >>> memory.growth is None or memory.growth >= 0
        True
    """

    def __init__(self) -> None:
        self.growth: Optional[int] = None
        self._start = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> PeakMemory:
        if _STATM.exists():
            gc.collect()
            with contextlib.suppress(OSError, AttributeError):
                ctypes.CDLL(None).malloc_trim(0)  # There in glibc.
            self.growth, self._start = 0, _resident()
            self._thread.start()
        return self

    def __exit__(self, *_error: Any) -> None:
        if self.growth is not None:
            self._done.set()
            self._thread.join()

    def _watch(self) -> None:
        while True:
            is_last = self._done.wait(_INTERVAL)
            self.growth = max(self.growth or 0, _resident() - self._start)
            if is_last:
                return


def _resident() -> int:
    return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
