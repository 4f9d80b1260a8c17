"""Letting the process keep the memory that it frees, in large pages.

Rules: the settings hold for the whole process and cannot be undone, so nothing makes them but a training that is about
to begin; importing gnnkit does not.
"""

from __future__ import annotations

import ctypes
import mmap
import sys
from functools import lru_cache

from gnnkit.io.memory import memory_limit

# Numbers of glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -3, -4, -8
_MADV_HUGEPAGE = 14
"""Of Linux's mman-common.h."""
_RESERVED = 0.25
"""How many addresses are reserved for large pages, as a share of the memory that the process may have."""


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
    # Never trim: -1. What loader threads free would else go to heaps of their own, which are given back whenever they
    # are empty.
    settings = [(_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, -1), (_M_ARENA_MAX, 1), (_M_MMAP_THRESHOLD, 2**31 - 1)]
    # The last is refused by some releases, and not needed after the first.
    return [mallopt(*setting) for setting in settings][:3] == [1, 1, 1]


@lru_cache(maxsize=None)
def use_large_pages() -> bool:
    """Have Linux back the memory of batches with pages of 2 MB, once freed memory is kept.

    Rows are gathered and added up at random places; with pages of 4 kB, nearly each row misses the processor's table of
    pages. The allocator's heap is extended in advance by addresses without memory behind them, and the system is told
    about this region once.

    Returns:
        Whether the system took it: False outside Linux with glibc, where large pages are switched off, and where
        addresses are limited (``ulimit -v``), because the region would use them up.
    """
    if not keep_freed_memory() or _addresses_are_limited():
        return False
    libc = ctypes.CDLL(None)
    libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    libc.free.restype, libc.free.argtypes = None, [ctypes.c_void_p]
    libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    size = int(_RESERVED * memory_limit())
    start = libc.malloc(size)
    if not start:
        return False
    first = -(-start // mmap.PAGESIZE) * mmap.PAGESIZE
    is_taken: bool = libc.madvise(first, start + size - first, _MADV_HUGEPAGE) == 0
    libc.free(start)  # It stays at the end of the heap, from which all later blocks are cut.
    return is_taken


def _addresses_are_limited() -> bool:
    import resource  # Not on every system.

    limits = (resource.RLIMIT_AS, resource.RLIMIT_DATA)
    return any(resource.getrlimit(limit)[0] != resource.RLIM_INFINITY for limit in limits)
