"""How much host memory processes have."""

from __future__ import annotations

import resource
import sys
from contextlib import suppress
from pathlib import Path
from typing import Optional

from gnnkit.io.memory import named_number


def peak_resident() -> int:
    """The largest resident memory of this process so far, in bytes."""
    # The other figure of a process begins with that of the one that started it, where that one was larger.
    peak = _status("self", "VmHWM")
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit if peak is None else peak


def forget_peak() -> None:
    """Let :func:`peak_resident` begin anew with what is resident now, where the system can do it (Linux)."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def resident(pid: int) -> Optional[int]:
    """The resident memory of a process at the moment, in bytes. None if it has ended, or if the system does not say."""
    return _status(str(pid), "VmRSS")


def _status(process: str, name: str) -> Optional[int]:
    found = named_number(Path("/proc") / process / "status", f"{name}:")
    return None if found is None else 1024 * found
