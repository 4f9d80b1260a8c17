"""What programs run on: the emulator, or where GNNKIT_POPTORCH names it, PopTorch's own Python layer.

Rules: a test of what the two have in common takes ``poptorch`` from here. The emulator's errors are its own, with its
own words; the real layer's are many, some of Python's.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any, Type

import pytest

from gnnkit_ipu import emulator

sys.path.insert(0, str(Path(__file__).parents[1]))
from real_layer import loading

sys.path.pop(0)

IS_REAL = loading.install()
poptorch: Any = importlib.import_module("poptorch") if IS_REAL else emulator

decided_by_the_core = pytest.mark.skipif(
    IS_REAL, reason="PopTorch's compiled core decides it, and the stand-in does not"
)
of_the_emulator = pytest.mark.skipif(IS_REAL, reason="it is about what the emulator leaves out")


def refused(match: str = "", error: Type[BaseException] = emulator.Error) -> Any:
    """Expect a refusal: with these words from the emulator, of whatever kind from the real layer."""
    kind, words = (Exception, None) if IS_REAL else (error, match)
    return pytest.raises(kind, match=words)
