"""What a device does around a compilation."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Iterator

from gnnkit.loading.gate import GATE
from gnnkit.stages import stage


@contextmanager
def compiling() -> Iterator[None]:
    """A context in which a device compiles, alone in the process.

    Compilers replace functions of torch for the whole process while they look at a program: PopTorch makes
    ``torch.empty`` put its tensor on the IPU. Inside of this context no loader's thread makes a batch: those that do
    are waited for, and others begin when it ends. Batches that are ready stay ready.

    Contexts may be nested. A device enters it when it knows that it has to compile, not for every step.

    Example:
        >>> with compiling():
        ...     program = 1 + 1  # Whatever compiling is.
    """
    with GATE.closed(), stage("compiling the model"):
        yield
