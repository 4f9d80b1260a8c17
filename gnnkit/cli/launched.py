"""What a command does in a process that a launcher has started: it prints little, and leaves word of its end."""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from pathlib import Path

from gnnkit.place import launched_place

STARTED = "GNNKIT_LAUNCHED"
"""Environment variable of processes that ``gnnkit`` itself has launched."""


def is_first() -> bool:
    """Whether this process prints: the first one of those that a launcher started, or the only one."""
    return launched_place().is_first


def leave_word(error: BaseException, text: str) -> bool:
    """Leave what ends this process where its launcher looks for it.

    Args:
        error: What ends it.
        text: What is said of it.

    Returns:
        Whether that is enough, because a launcher or another process prints it.
    """
    place, file = launched_place(), os.environ.get("TORCHELASTIC_ERROR_FILE")
    if place.launcher is None:
        return False
    if file:
        extra = {"timestamp": str(int(time.time())), "error": type(error).__name__, "py_callstack": ""}
        with suppress(OSError):
            Path(file).write_text(json.dumps({"message": {"message": text, "extraInfo": extra}}), encoding="utf-8")
    return bool(os.environ.get(STARTED)) or not place.is_first
