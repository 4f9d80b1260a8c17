"""What a command does in a process that a launcher has started: it prints little, and leaves word of its end."""

from __future__ import annotations

import ctypes
import gc
import json
import os
import signal
import sys
import threading
import time
import traceback
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


PRELOADED = ("gnnkit.train", "gnnkit.inference")
"""What is imported once a machine, in the process that its others are forked from, so that this memory is one copy."""


SHUTDOWN_SECONDS = 10
"""Seconds that a process has to end when another one has died, before it is ended by force."""


def work(*command: str) -> None:
    """Be one of the processes that ``gnnkit`` has launched.

    Args:
        command: Arguments of the command line.

    Raises:
        SystemExit: The command failed. Its exit code is not 0.
    """
    gc.freeze()  # Else the first collection of garbage would write to all that is shared with the other processes.
    sys.argv = ["gnnkit", *command]
    _set_name(f"gnnkit-{launched_place().rank}")
    _end_by_force()
    from gnnkit.cli.main import answer

    try:
        answer()
    except SystemExit as end:
        if end.code:
            raise
    except Exception:  # An error of ours, which torchrun would keep to itself.
        traceback.print_exc()
        raise SystemExit(1) from None


def _set_name(name: str) -> None:
    """Have lists of processes show a name; those that are forked from one would else be called alike."""
    asked_for = 15  # PR_SET_NAME
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(asked_for, name.encode(), 0, 0, 0)


def _end_by_force() -> None:
    """After SIGTERM end by force if the process does not end, as one cannot that waits for others in a library.

    torch's launcher would wait for half a minute. Python's own handlers run only between two steps of the interpreter;
    the number of a signal is written to a pipe at once.
    """
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)

    def watch() -> None:
        while os.read(reading, 1)[0] != signal.SIGTERM:
            pass
        time.sleep(SHUTDOWN_SECONDS)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, name="gnnkit-end", daemon=True).start()
