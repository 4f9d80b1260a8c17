"""How often something expensive happened, for tests that hold it."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import Iterator, List


@dataclass
class Counts:
    """What has happened in a :func:`counting` block so far, over all models.

    Attributes:
        compilations: Programs compiled.
        executions: Calls of compiled programs.
        to_host: Copies of all weights from the device to the host, those included that PopTorch makes by itself when a
            wrapped parameter is read.
        to_device: Copies of all weights from the host to the device, those at compilation and attaching included.
    """

    compilations: int = 0
    executions: int = 0
    to_host: int = 0
    to_device: int = 0


_COUNTING: List[Counts] = []


@contextmanager
def counting() -> Iterator[Counts]:
    """Count what the emulator does in a ``with`` block.

    Example:
        >>> from torch import nn, ones
        >>> from gnnkit_ipu import emulator as poptorch
        >>> options = poptorch.Options().showCompilationProgressBar(False)
        >>> with counting() as counts:
        ...     _ = poptorch.inferenceModel(nn.Linear(1, 1), options)(ones(1, 1))
        >>> counts
        Counts(compilations=1, executions=1, to_host=0, to_device=1)
    """
    counts = Counts()
    _COUNTING.append(counts)
    try:
        yield counts
    finally:
        _COUNTING[:] = [each for each in _COUNTING if each is not counts]


def count(what: str) -> None:
    """Note that something happened once; a name of :class:`Counts`."""
    for counts in _COUNTING:
        setattr(counts, what, getattr(counts, what) + 1)
