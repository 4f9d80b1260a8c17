"""Letting the process keep the memory that it frees.

Rules: the setting holds for the whole process and cannot be undone, so nothing sets it but a training that is about to
begin; importing gnnkit does not.
"""

from __future__ import annotations

import ctypes
import sys
from functools import lru_cache

# Numbers of glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -3, -4, -8


@lru_cache(maxsize=None)
def keep_freed_memory() -> bool:
    """Have glibc's allocator keep large freed blocks for the next batch.

    By default it returns them to the system at once, and the next batch pays for every page again; on a processor,
    steps on sampled batches are then up to 1.6 times slower. The price is memory: blocks of sizes that do not come
    again are kept, too, and resident memory can grow to several times what a batch needs: see docs/benchmarks.md.

    Returns:
        Whether it took the setting: False where the C library is another one.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # musl has none.
        return False
    largest = 2**31 - 1
    # What loader threads free would else go to heaps of their own, which are given back whenever they are empty.
    settings = [(_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, largest), (_M_ARENA_MAX, 1), (_M_MMAP_THRESHOLD, largest)]
    # The last is refused by some releases, and not needed after the first.
    return [mallopt(*setting) for setting in settings][:3] == [1, 1, 1]
