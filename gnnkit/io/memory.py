"""Mapped files and memory: how much there is, and how files are read that are too large for it."""

from __future__ import annotations

import mmap
import os
from contextlib import suppress
from pathlib import Path
from typing import Any, Iterator

_GROUPS = Path("/sys/fs/cgroup")


def memory_limit() -> int:
    """Bytes of memory that this process may have: the machine's, or the limit of its container or control group.

    Where the system does not tell, the number is larger than any.
    """
    try:
        most = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        most = 1 << 62
    for file in _limit_files():
        with suppress(OSError, ValueError):  # There is no such file, or it says "max".
            most = min(most, int(file.read_text()))
    return most


def _limit_files() -> Iterator[Path]:
    """Where limits of this process may be: those of its control group, of either version, and of the groups above."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, name = line.split(":", 2)
        if controllers in ("", "memory"):
            root = _GROUPS / controllers
            group = root / name.strip("/")
            for folder in (group, *group.parents):
                yield folder / ("memory.limit_in_bytes" if controllers else "memory.max")
                if folder == root:
                    break


def is_large(num_bytes: int) -> bool:
    """Whether an array is larger than half of the memory, so that not all of it stays there."""
    return num_bytes > memory_limit() // 2


def advise(mapping: Any, num_bytes: int) -> None:
    """Mark a mapped file for random access if it is large: reading on after a row would push out what is needed again.

    Args:
        mapping: Of ``mmap.mmap``.
        num_bytes: Bytes of the array in it.
    """
    if is_large(num_bytes) and hasattr(mmap, "MADV_RANDOM"):
        mapping.madvise(mmap.MADV_RANDOM)
