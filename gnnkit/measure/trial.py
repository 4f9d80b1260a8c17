"""A look at a training in a process of its own, so that running out of memory there hurts nobody.

Rules: a process that has more than its limit is ended, and asks the system to be the first to go when memory runs out.
Whatever ends it that way is one answer: too large.

Its process calls :func:`answer`, which reads what to look at from standard input and writes what it found into a file.
"""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Dict, Optional

from gnnkit.devices.resident import resident
from gnnkit.errors import GnnkitError, is_out_of_memory
from gnnkit.measure.dry_runs import dry_run
from gnnkit.train.assembling import assemble
from gnnkit.train.config import RunConfig
from gnnkit.train.merging import import_classes

_LOOK_EVERY = 0.01
"""Seconds from one look at the process's memory to the next."""


@dataclass(frozen=True)
class Trial:
    """What a process found.

    Attributes:
        found: :meth:`DryRun.to_dict`, with "limited" beside: the bytes that count. None: there was too little memory.
    """

    found: Optional[Dict[str, Any]]

    @property
    def num_bytes(self) -> Optional[int]:
        """Bytes of what is limited; None where there was too little."""
        return None if self.found is None else int(self.found["limited"])


def run_trial(config: RunConfig, *, limit: int, watched: bool, num_batches: int, evaluates: bool) -> Trial:
    """Look at a training in another process.

    Args:
        config: As :func:`gnnkit.train.load_config` gives it.
        limit: Bytes that it may have.
        watched: Whether the limit is one of resident memory, so that a process beyond it is ended at once. Otherwise
            what its device tells is compared at the end.
        num_batches: As for :func:`gnnkit.measure.dry_run`.
        evaluates: Likewise.

    Raises:
        GnnkitError: What the training would raise before its end, or the process failed.
    """
    with tempfile.TemporaryDirectory(prefix="gnnkit-trial-") as folder:
        file, log = Path(folder) / "answer.json", Path(folder) / "log.txt"
        with log.open("w") as written:
            command = [sys.executable, "-c", f"from {__name__} import answer; answer()", str(file)]
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=written, stderr=written)
            try:
                assert process.stdin is not None
                with suppress(BrokenPipeError), process.stdin as asked:  # One that has ended says why below.
                    pickle.dump((config, num_batches, evaluates), asked)
                is_beyond = _wait(process, limit if watched else None)
            finally:
                process.kill()
                process.wait()
        if is_beyond or process.returncode == -signal.SIGKILL:
            return Trial(None)
        if not file.exists():
            lines = log.read_text(errors="replace").strip().splitlines()
            last = f": {lines[-1]}" if lines else ""
            raise GnnkitError(f"The process that tried a training ended with exit status {process.returncode}{last}")
        told = json.loads(file.read_text())
    if "error" in told:
        raise GnnkitError(told["error"])
    trial = Trial(told["found"])
    return trial if trial.num_bytes is not None and trial.num_bytes <= limit else Trial(None)


def _wait(process: subprocess.Popen[bytes], limit: Optional[int]) -> bool:
    """Wait until a process ends, or has more memory than it may; returns whether it has."""
    while process.poll() is None:
        used = None if limit is None else resident(process.pid)
        if limit is not None and used is not None and used > limit:
            return True
        time.sleep(_LOOK_EVERY)
    return False


def _looked(config: RunConfig, num_batches: int, evaluates: bool) -> Dict[str, Any]:
    try:
        import_classes([asdict(config)])  # The user named them to the process that asks.
        found = dry_run(*assemble(config), num_batches=num_batches, evaluates=evaluates)
    except (GnnkitError, MemoryError, RuntimeError) as error:
        if is_out_of_memory(error):
            return {"found": None}
        if not isinstance(error, GnnkitError):
            raise
        return {"error": str(error)}
    return {"found": {**found.to_dict(), "limited": found.memory.limited}}


def answer() -> None:
    """Be the process that looks at a training."""
    with suppress(OSError):  # Where the system has such a thing: it takes this process before others.
        Path("/proc/self/oom_score_adj").write_text("1000")
    told = _looked(*pickle.load(sys.stdin.buffer))
    Path(sys.argv[1]).write_text(json.dumps(told))
    sys.stdout.flush()
    os._exit(0)  # A thread of a loader may still be at work.
