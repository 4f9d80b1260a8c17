"""Mapped files and memory: how much there is, and how files are read that are too large for it."""

from __future__ import annotations

import mmap
import os
from contextlib import suppress
from pathlib import Path
from typing import Any, Iterator, Optional, Tuple

_GROUPS = Path("/sys/fs/cgroup")


def memory_limit() -> int:
    """Bytes of memory that this process may have: the machine's, or the limit of its container or control group.

    Where the system does not tell, the number is larger than any.
    """
    try:
        most = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        most = 1 << 62
    for folder, (limit, _, _) in _groups():
        with suppress(OSError, ValueError):  # There is no such file, or it says "max".
            most = min(most, int((folder / limit).read_text()))
    return most


def available_memory() -> Optional[int]:
    """Bytes of memory that can be had at the moment: the machine's, or what control groups leave of their limits.

    Pages of files count as free in both, because the system gives them up when memory is needed. None if the system
    does not tell.
    """
    free = named_number(Path("/proc/meminfo"), "MemAvailable:")
    if free is None:
        return None
    left = 1024 * free
    for folder, (limit, usage, prefix) in _groups():
        with suppress(OSError, ValueError):
            used = int((folder / usage).read_text())
            files = [named_number(folder / "memory.stat", f"{prefix}{kind}_file") for kind in ("active", "inactive")]
            left = min(left, max(0, int((folder / limit).read_text()) - used + sum(each or 0 for each in files)))
    return left


def named_number(file: Path, name: str) -> Optional[int]:
    """The number after a name, the first word of a line in a file of the system; None if there is none."""
    try:
        lines = file.read_text().splitlines()
    except OSError:
        return None
    words = (line.split() for line in lines)
    return next((int(each[1]) for each in words if each[:1] == [name]), None)


_FILES = {
    "": ("memory.max", "memory.current", ""),
    "memory": ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_"),
}
"""Names of a group's limit and usage, and before the names of its statistics, in version 2 and 1."""


def _groups() -> Iterator[Tuple[Path, Tuple[str, str, str]]]:
    """Control groups that this process is in, of either version, and those above them."""
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
                yield folder, _FILES[controllers]
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
