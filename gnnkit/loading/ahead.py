"""Reading ahead: the disk is asked for all rows of a batch at once, before the first of them is read.

Rules: a table is memory-mapped, and a row that is not in the page cache is waited for when it is read, one after
another, while a disk answers many requests at a time. What is asked for here is read into the page cache and pinned by
nobody, so the system may drop it as ever. Whether a batch waits is found out from a few of its rows: where they are in
memory, nothing is asked. Of a table that is too large for the memory (:func:`gnnkit.io.memory.is_large`) pages are
asked for; of another one, all that lies around them as well, because the next batches need it. Only Linux is asked;
elsewhere rows are waited for.
"""

from __future__ import annotations

import mmap
import sys
from typing import Any, Iterator

import numpy as np
import torch
from numba import types
from numpy.typing import NDArray
from torch import Tensor

from gnnkit.io.memory import is_large, memory_limit
from gnnkit.jit import kernel

try:
    import resource
except ImportError:  # Not on every system.
    resource = None  # type: ignore[assignment]

_IS_SUPPORTED = sys.platform == "linux" and hasattr(resource, "RUSAGE_THREAD")
_FIRST, _PROBES = 8, 64
"""Rows of a batch that are looked at first, and then if none of those was waited for."""
_GAP = 16 << 10
"""Bytes that are read along to make one request of two: a disk takes hardly longer for them."""
_SHARE = 4
"""One of so many parts of the memory is what is asked for at a time, as other threads ask, too."""
_REQUEST = 128 << 10
"""Bytes of a request. The system takes no more at a time than its own setting, which is this or more."""
_SMALLEST = _PROBES * _REQUEST
"""Bytes of a table that the system does not read with a few requests anyway."""
_BLOCK = 512
"""Bytes of a block, as the system counts them."""
_WILL_NEED = 3
_madvise: Any = types.ExternalFunction("madvise", types.int32(types.uintp, types.uintp, types.int32))


def parts_ahead(table: Tensor, rows: Tensor) -> Iterator[slice]:
    """Ask the disk for rows of a table, if they would be waited for; by parts that the memory has room for.

    Args:
        table: Memory-mapped or not. Shape [N, F].
        rows: Rows that will be read. Shape [n], int64, each in [0, N).

    Yields:
        Which of the rows to read next, one part after the other; all of them at once if there is room for their pages,
        or nothing to ask for. The disk is still at work when they come.

    Example:
        >>> list(parts_ahead(torch.eye(3), torch.tensor([0, 2])))
        [slice(0, 2, None)]
    """
    if not _must_ask(table, rows):
        yield slice(0, rows.numel())
        return
    begin, width = table.data_ptr(), table.shape[1] * table.element_size()
    end = begin + table.shape[0] * width
    num = rows.numel()
    unit, gap, at_once = _REQUEST, 0, num
    if is_large(end - begin):
        unit, room = mmap.PAGESIZE, memory_limit() // _SHARE
        gap = _GAP if num * (unit + _GAP) <= room else 0
        at_once = max(_PROBES, room // unit)
    for start in range(0, num, at_once):
        part = slice(start, min(start + at_once, num))
        _ask(begin - begin % mmap.PAGESIZE, end, begin, width, np.sort(rows[part].numpy()), unit, gap)
        yield part


def _must_ask(table: Tensor, rows: Tensor) -> bool:
    """Whether a batch of rows would be waited for."""
    is_small = rows.numel() <= _PROBES or table.numel() * table.element_size() < _SMALLEST
    if not _IS_SUPPORTED or is_small or not table.is_contiguous():
        return False
    return _is_waited_for(table.view(torch.uint8).numpy(), rows.numpy())


def _is_waited_for(values: NDArray[np.uint8], rows: NDArray[np.int64]) -> bool:
    """Whether one of a few rows, which are read here, was not in memory."""
    probes = rows[:: -(-len(rows) // _PROBES)]
    before = _usage().ru_majflt
    for part in (probes[:_FIRST], probes[_FIRST:]):
        _touch(values, part)
        if _usage().ru_majflt > before:
            return True
    return False


def bytes_read() -> int:
    """Bytes that this thread has had from the disk or asked it for; 0 where the system does not say."""
    return _usage().ru_inblock * _BLOCK if _IS_SUPPORTED else 0


def _usage() -> Any:
    """What this thread has used; ``ru_majflt`` says how often it has waited for a page from the disk."""
    return resource.getrusage(resource.RUSAGE_THREAD)


@kernel
def _touch(values: Any, rows: Any) -> int:
    total = 0
    for row in rows:
        total += values[row, 0]  # Added up, as the compiler leaves out what nobody uses.
    return total


@kernel
def _ask(first: int, end: int, begin: int, width: int, rows: Any, unit: int, gap: int) -> None:
    """Ask for ascending rows by ranges of whole units; those with no more than ``gap`` bytes between them are one."""
    start = stop = first
    for row in rows:
        low = max(first, (begin + row * width) // unit * unit)
        high = min(end, ((begin + (row + 1) * width - 1) // unit + 1) * unit)
        if low > stop + gap:
            _ask_range(start, stop)
            start = low
        stop = max(stop, high)
    _ask_range(start, stop)


@kernel
def _ask_range(start: int, stop: int) -> None:
    for place in range(start, stop, _REQUEST):
        _madvise(place, min(_REQUEST, stop - place), _WILL_NEED)
