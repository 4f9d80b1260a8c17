"""torch's global generator, from which layers of all libraries draw: dropout, and initial weights.

Rules: whoever seeds it holds it until what draws from it is done, so that threads do not draw each other's numbers;
its state is put back afterwards.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import ContextManager, Iterator

import torch

_HELD = threading.RLock()


def held_generator() -> ContextManager[bool]:
    """A context in which no other thread seeds the generator, or puts its state back, by these functions."""
    return _HELD


@contextmanager
def forked_generator() -> Iterator[None]:
    """Hold the generator; its state is put back at the end."""
    with _HELD, torch.random.fork_rng(devices=[]):
        yield


@contextmanager
def restored_generator() -> Iterator[None]:
    """Put the generator's state back at the end; others may hold it in between."""
    with _HELD:
        state = torch.random.get_rng_state()
    try:
        yield
    finally:
        with _HELD:
            torch.random.set_rng_state(state)
