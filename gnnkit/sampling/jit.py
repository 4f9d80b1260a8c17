"""How our Numba kernels are compiled.

Rules: a kernel releases the interpreter lock, so that loader threads run side by side, and starts no threads itself.
Its machine code is cached on disk. Numba notices a change in a kernel's own file only: after changing a function that
kernels of another file call, delete the ``__pycache__`` folders.
"""

from __future__ import annotations

from typing import Any, Callable, TypeVar, cast

from numba import njit

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
