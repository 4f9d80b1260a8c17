"""How our Numba kernels are compiled.

Rules: a kernel releases the interpreter lock, so that loader threads run side by side, and starts no threads itself.
Its machine code is cached on disk, and whoever waits for a compilation is told why. Numba notices a change in a
kernel's own file only: after changing a function that kernels of another file call, delete the ``__pycache__`` folders.
"""

from __future__ import annotations

import logging
from typing import Any, Callable, TypeVar, cast

from numba import njit
from numba.core import event

_LOG = logging.getLogger(__name__)

F = TypeVar("F", bound=Callable[..., Any])


def kernel(function: F) -> F:
    """Compile ``function`` at its first call for each combination of argument types.

    Args:
        function: A function in the subset of Python that Numba compiles.

    Returns:
        The compiled function, of the same signature.
    """
    try:
        return cast(F, njit(cache=True, nogil=True)(function))
    except RuntimeError:
        # Numba found no folder that it may write its cache to; compiling anew in each process is slower, not wrong.
        return cast(F, njit(nogil=True)(function))


class _Announcer(event.Listener):
    """Says once per process that kernels are being compiled, which takes seconds and happens without a word."""

    def __init__(self) -> None:
        self._said = False

    def on_start(self, compilation: Any) -> None:
        is_ours = compilation.data["dispatcher"].py_func.__module__.startswith("gnnkit.")
        if is_ours and not self._said:
            _LOG.warning("Compiling kernels, which takes some seconds. They are kept for later starts.")
            self._said = True

    def on_end(self, _event: Any) -> None:
        pass


event.register("numba:compile", _Announcer())  # type: ignore[no-untyped-call]
