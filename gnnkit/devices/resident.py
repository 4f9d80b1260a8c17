"""How much host memory processes have, and how much there is."""

from __future__ import annotations

import re
import resource
import sys
from contextlib import suppress
from pathlib import Path
from typing import Optional


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


def available_memory() -> Optional[int]:
    """Host memory that can be had at the moment, in bytes; a container's limit counts. None if the system is silent."""
    free = _number(Path("/proc/meminfo"), r"MemAvailable:\s+(\d+) kB", 1024)
    group = Path("/sys/fs/cgroup")
    most, used = (_number(group / name, r"^(\d+)\s*$") for name in ("memory.max", "memory.current"))
    if free is None or most is None or used is None:
        return free
    return min(free, max(0, most - used))


def _status(process: str, name: str) -> Optional[int]:
    return _number(Path("/proc") / process / "status", rf"{name}:\s+(\d+) kB", 1024)


def _number(file: Path, pattern: str, unit: int = 1) -> Optional[int]:
    """A number out of a system's file; None if there is none."""
    try:
        found = re.search(pattern, file.read_text())
    except OSError:
        return None
    return None if found is None else int(found[1]) * unit
