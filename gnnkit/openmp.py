"""The threads of OpenMP, with which torch computes.

Rules: threads are ended only from the thread that computes with them, between two operations. The next operation starts
them again, which takes some hundredths of a millisecond for each.
"""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import List, Sequence

import torch

_PAUSE_HARD = 2  # Of OpenMP 5.0: threads end, numbers of threads stay as they are.


GNU, INTEL = "libgomp", "libiomp"
"""What the files of OpenMP libraries begin with."""


def openmp_libraries(names: Sequence[str] = (GNU, INTEL)) -> List[ctypes.CDLL]:
    """The OpenMP libraries of this process; a graph library may bring its own. Empty where the system does not tell.

    Args:
        names: What their files begin with.
    """
    maps = Path("/proc/self/maps")
    lines = maps.read_text().splitlines() if maps.is_file() else []
    paths = sorted({line.split()[-1] for line in lines if any(f"/{name}" in line for name in names)})
    try:
        return [ctypes.CDLL(path) for path in paths]
    except OSError:
        return []


def end_threads(libraries: Sequence[ctypes.CDLL]) -> bool:
    """End the threads that compute for this one; Intel's library ends those of all threads.

    Args:
        libraries: Those of :func:`openmp_libraries`.

    Returns:
        Whether there are none now: not if there is no library, or one of a release of OpenMP before 5.0.

    Example:
        >>> is_ended = end_threads(openmp_libraries())
    """
    if torch.get_num_threads() == 1:
        return True
    try:
        results = [library.omp_pause_resource_all(_PAUSE_HARD) for library in libraries]
    except AttributeError:
        return False
    return bool(results) and not any(results)
