"""How a run came about: its command line, the processor, and the revision of the code in the user's folder.

Rules: nothing here can stop a run or hold it up. What cannot be found out is None.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, Dict, Optional

from gnnkit.devices.processor import processor_name

_PATIENCE = 2.0
"""Seconds that an answer of git is waited for."""


def circumstances() -> Dict[str, Any]:
    """What the manifest of a run says of how it came about.

    Returns:
        "command" as it was typed, "processor" and "git": "revision" and "dirty", whether files that git knows differ
        from it. "git" is None outside of a repository, or without git.

    Example:
        >>> sorted(circumstances())
        ['command', 'git', 'processor']
    """
    folder = None
    with suppress(OSError):  # The folder may have been removed.
        folder = os.getcwd()
    return {"command": _command(), "processor": processor_name(), "git": None if folder is None else _git(folder)}


def _command() -> str:
    program = Path(sys.argv[0] if sys.argv and sys.argv[0] else "python")
    name = f"python -m {program.parent.name}" if program.name == "__main__.py" else program.name
    return " ".join([name, *map(shlex.quote, sys.argv[1:])])


@lru_cache(maxsize=8)
def _git(folder: str) -> Optional[Dict[str, Any]]:
    """Asked once for all runs of a process."""
    revision = _answer(folder, "rev-parse", "HEAD")
    if not revision:
        return None
    changes = _answer(folder, "status", "--porcelain", "--untracked-files=no")
    return {"revision": revision, "dirty": None if changes is None else bool(changes)}


def _answer(folder: str, *arguments: str) -> Optional[str]:
    # No lock is taken and no program of the repository is started.
    command = ["git", "--no-optional-locks", "-c", "core.fsmonitor=false", *arguments]
    try:
        done = subprocess.run(
            command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, timeout=_PATIENCE, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode(errors="replace").strip() if done.returncode == 0 else None
