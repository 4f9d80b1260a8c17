"""Denormal numbers as zeros, for the time of a training on the processor.

Numbers below 1e-38, as the gradients of an untrained model often are, cost a hundred times as much as others.

Rules: either all threads that compute treat them as zeros or none does, so that a result does not depend on which
thread had a row. Threads of OpenMP take the mode of the thread that starts them, so those at hand are ended and start
anew.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import Iterator

import torch

from gnnkit.openmp import end_threads, openmp_libraries


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
        if is_flushing and not end_threads(openmp_libraries()):
            torch.set_flush_denormal(False)
            is_flushing = False
        yield is_flushing
    finally:
        if is_flushing:
            torch.set_flush_denormal(False)
            end_threads(openmp_libraries())


def is_flushing_denormals() -> bool:
    """Whether this thread treats float32 numbers below 1e-38 as zeros; torch does not tell, a product does."""
    return bool(torch.tensor(1e-38, dtype=torch.float32) * 0.1 == 0)
