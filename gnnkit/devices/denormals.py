"""Denormal numbers as zeros, for the time of a training on the processor.

Numbers below 1e-38, as the gradients of an untrained model often are, cost a hundred times as much as others.

Rules: either all threads that compute treat them as zeros or none does, so that a result does not depend on which
thread had a row. Threads of OpenMP take the mode of the thread that starts them, so those at hand are ended and start
anew.
"""

from __future__ import annotations

import ctypes
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator, List

import torch

_PAUSE_HARD = 2  # Of OpenMP 5.0: threads end, numbers of threads stay as they are.


@contextmanager
def flushing_denormals() -> Iterator[bool]:
    """Treat float32 numbers below 1e-38 as zeros in the block.

    Yields:
        Whether it is so: not where the processor cannot, or where OpenMP's threads cannot be started anew.

    Example:
        >>> tiny = torch.full((4,), 1e-38)
        >>> with flushing_denormals() as is_flushing:
        ...     product = tiny * 0.1
        >>> bool((product == 0).all()) == is_flushing
        True
    """
    if is_flushing_denormals():  # Somebody has said so before.
        yield True
        return
    is_flushing = torch.set_flush_denormal(True)
    try:
        if is_flushing and not _restart_threads():
            torch.set_flush_denormal(False)
            is_flushing = False
        yield is_flushing
    finally:
        if is_flushing:
            torch.set_flush_denormal(False)
            _restart_threads()


def is_flushing_denormals() -> bool:
    """Whether this thread treats float32 numbers below 1e-38 as zeros; torch does not tell, a product does."""
    return bool(torch.tensor(1e-38, dtype=torch.float32) * 0.1 == 0)


def _restart_threads() -> bool:
    """End the threads that compute for this one; the next operation starts them again."""
    if torch.get_num_threads() == 1:
        return True
    try:
        results = [ctypes.CDLL(path).omp_pause_resource_all(_PAUSE_HARD) for path in _openmp_libraries()]
    except (OSError, AttributeError):  # A release of OpenMP before 5.0.
        return False
    return bool(results) and not any(results)


def _openmp_libraries() -> List[str]:
    """The OpenMP libraries of this process; a graph library may bring its own."""
    maps = Path("/proc/self/maps")
    lines = maps.read_text().splitlines() if maps.is_file() else []
    return sorted({line.split()[-1] for line in lines if "/libgomp" in line or "/libiomp" in line})
