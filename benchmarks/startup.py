"""How long a user waits: for help, and for the first epoch of the first command."""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, List

HELP_SECONDS = 0.5
TRAINING_SECONDS = 2.5


@dataclass
class Waiting:
    """Seconds of several runs.

    Attributes:
        median: Of all.
        low: The shortest.
        high: The longest.
    """

    median: float
    low: float
    high: float


def help_appears(repeats: int) -> Waiting:
    """From the start of ``gnnkit --help`` to its end; one run before it is not counted."""
    return _repeat(_time_help, repeats)


def training_begins(repeats: int) -> Waiting:
    """From the start of ``gnnkit run`` on digits until its first epoch stands in the run folder.

    That is later than the first batch: the epoch, its evaluation and writing it down are part of it. One run before it
    is not counted: it compiles what is compiled once.
    """
    return _repeat(_time_run, repeats)


def _repeat(action: Callable[[], float], repeats: int) -> Waiting:
    action()
    seconds: List[float] = [action() for _ in range(repeats)]
    return Waiting(statistics.median(seconds), min(seconds), max(seconds))


def _command() -> List[str]:
    """The installed command beside this Python, as users have it."""
    script = Path(sys.executable).with_name("gnnkit")
    return [str(script)] if script.is_file() else [sys.executable, "-m", "gnnkit.cli.main"]


def _time_help() -> float:
    start = time.perf_counter()
    subprocess.run([*_command(), "--help"], stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - start


def _time_run() -> float:
    home = Path(tempfile.mkdtemp(prefix="gnnkit-bench-"))
    metrics = home / "run" / "metrics.jsonl"
    try:
        start = time.perf_counter()
        command = [*_command(), "run", "--run-dir", str(metrics.parent)]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            while not (metrics.is_file() and metrics.stat().st_size):
                if process.poll() is not None:
                    raise RuntimeError(f"{' '.join(command)} ended with status {process.returncode} without an epoch")
                time.sleep(0.005)
            seconds = time.perf_counter() - start
            process.terminate()
        return seconds
    finally:
        shutil.rmtree(home, ignore_errors=True)
