"""The threads of OpenMP, with which torch computes.

Rules: threads are ended only from the thread that computes with them, between two operations. The next operation starts
them again, which takes some hundredths of a millisecond for each.
"""

from __future__ import annotations

import ctypes
import os
import sys
from typing import Any, List, Sequence, Set

import torch

_PAUSE_HARD = 2  # Of OpenMP 5.0: threads end, numbers of threads stay as they are.


GNU, INTEL = "libgomp", "libiomp"
"""What the files of OpenMP libraries begin with."""


def openmp_libraries(names: Sequence[str] = (GNU, INTEL)) -> List[ctypes.CDLL]:
    """The OpenMP libraries of this process; a graph library may bring its own. Empty where the system does not tell.

    Args:
        names: What their files begin with.
    """
    paths = sorted(path for path in _loaded() if os.path.basename(path).startswith(tuple(names)))
    try:
        return [ctypes.CDLL(path) for path in paths]
    except OSError:
        return []


class _Object(ctypes.Structure):
    """The beginning of ``dl_phdr_info``."""

    _fields_ = (("address", ctypes.c_void_p), ("name", ctypes.c_char_p))


_Visit = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(_Object), ctypes.c_size_t, ctypes.c_void_p)


def _loaded() -> Set[str]:
    """The files of the libraries of this process. The loader tells ten times as fast as ``/proc/self/maps`` does."""
    paths: Set[str] = set()

    def visit(each: Any, _size: int, _data: None) -> int:
        paths.add(os.fsdecode(each.contents.name or b""))
        return 0

    if sys.platform == "linux":
        ctypes.CDLL(None).dl_iterate_phdr(_Visit(visit), None)
    return paths


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
