"""Errors that the emulator raises.

Rules: the first three have the names and the attributes that the real package gives them; a refusal is a
:class:`RestrictionError` and always comes from :func:`gnnkit_ipu.emulator.restrictions.refuse`.
"""

# ruff: noqa: N802 - the names are PopTorch's.
from __future__ import annotations

from typing import Optional

from gnnkit.errors import GnnkitError


class Error(GnnkitError):
    """Base of all errors of the interface.

    Args:
        message: What went wrong, what was expected and what to do.
        type: Kind of the error, one word.
        location: Where in the user's code, ``file:line``; empty if unknown.
    """

    def __init__(self, message: str = "", *, type: str = "poptorch_emulator", location: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.type = type
        self.location = location


class RecoverableError(Error):
    """An error that a reset of the hardware may cure. The emulator has no hardware and never raises it."""

    recovery_action = "none"


class UnrecoverableError(Error):
    """An error that takes the machine out of use. The emulator has no hardware and never raises it."""


class NotEmulatedError(Error):
    """A part of PopTorch that exists and that the emulator leaves out.

    Args:
        name: The name in PopTorch.
        instead: What to do here.
    """

    def __init__(self, name: str, instead: str = "Run this part with PopTorch itself, on an IPU or its model.") -> None:
        super().__init__(f"{name} exists in PopTorch and is not emulated. {instead}", type="not_emulated")
        self.name = name


class OfflineTargetError(Error, AssertionError):
    """A model compiled for an offline target was called."""


class UnknownBufferError(Error, KeyError):
    """Buffers were named that the model has not."""


class OptimizerError(Error, AssertionError, ValueError):
    """A setting of an optimiser has a type that the device has not."""


class LogLevelError(Error, ValueError):
    """A level of logging that does not exist."""


class BatchSizeError(Error, AssertionError, RuntimeError):
    """Graphs do not fit into a batch of fixed size."""


class RestrictionError(Error):
    """A program breaks one of the documented restrictions of PopTorch.

    Attributes:
        number: Number in :data:`gnnkit_ipu.emulator.restrictions.RESTRICTIONS`.
        location: ``file:line`` in the user's code, empty if unknown.
    """

    def __init__(self, message: str, number: int, location: str = "") -> None:
        super().__init__(message, type="restriction", location=location)
        self.number = number


class OptionError(RestrictionError, ValueError):
    """An option of the wrong type or value."""


class MemoryKeyError(OptionError, AssertionError):
    """Memory was given to something that is no IPU."""


class FrozenOptionError(RestrictionError, AttributeError):
    """An unknown option, or a change of options that are in use."""


class PartialBatchError(RestrictionError, AssertionError):
    """A data loader would give a last batch that is not full."""


def createPoptorchError(msg: str) -> Error:
    """Build an :class:`Error` with its attributes filled in.

    Args:
        msg: The message.
    """
    return Error(msg, type="poptorch_py_error", location=_caller())


def _caller() -> str:
    import sys

    frame: Optional[object] = sys._getframe(2)
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"  # type: ignore[union-attr]
