"""What torch's factory functions do while a program is compiled: their tensors go to the IPU, in the whole process.

Rules: a call without a device is warned of and its tensor is the IPU's. In another thread than the compiling one it
fails, as it does with PopTorch, whose device is there for the compiling thread alone.
"""

# ruff: noqa: SIM905 - a list of names reads better as text.
from __future__ import annotations

import functools
import logging
import threading
from contextlib import contextmanager
from typing import Any, Callable, Iterator

import torch
from torch import Tensor

from .errors import Error
from .session import active_session

_LOG = logging.getLogger(__name__)
NAMES = (
    "arange empty full full_like linspace logspace normal ones rand randint randn randperm range tensor zeros "
    "zeros_like"
).split()


@contextmanager
def forced_factories() -> Iterator[None]:
    """Replace torch's factories for the time of a compilation."""
    compiler = threading.get_ident()
    own = {name: getattr(torch, name) for name in NAMES}
    for name, function in own.items():
        setattr(torch, name, _forced(name, function, compiler))
    try:
        yield
    finally:
        for name, function in own.items():
            setattr(torch, name, function)


def _forced(name: str, function: Callable[..., Any], compiler: int) -> Callable[..., Any]:
    @functools.wraps(function)
    def make(*args: Any, **kwargs: Any) -> Any:
        like = any(isinstance(value, Tensor) for value in (*args, *kwargs.values()))
        if kwargs.get("device") is not None or (like and name == "normal"):
            return function(*args, **kwargs)
        if threading.get_ident() != compiler:
            raise Error(
                f"torch.{name}() was called in thread {threading.current_thread().name!r} while a program is compiled. "
                "PopTorch forces torch's factories to the IPU for the whole process then. Give a device, or wait."
            )
        session = active_session()
        if session is None:
            return function(*args, **kwargs)
        _LOG.info("torch.%s() has no device and is forced to the IPU.", name)
        session.placing += 1
        try:
            return function(*args, **kwargs)
        finally:
            session.placing -= 1

    return make
