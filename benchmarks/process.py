"""A side seen from the harness: its process, and what it answers."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Dict, Optional, Type

from benchmarks.work import SideSpec, Work, to_message

ROOT = Path(__file__).parent.parent


class NotMeasuredError(Exception):
    """A side cannot take part, or failed.

    Args:
        reason: Stands in the table.
        is_absent: Whether something is not installed; otherwise it is a failure.
    """

    def __init__(self, reason: str, is_absent: bool) -> None:
        super().__init__(reason)
        self.is_absent = is_absent


class Participant:
    """The process of one side; it works only while it is asked to.

    It starts to make itself ready at once; :meth:`ready` waits for that.

    Args:
        work: What to do.
        side: Who does it.
    """

    def __init__(self, work: Work, side: SideSpec) -> None:
        self.label = side.label
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed with the process
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            cwd=ROOT,
        )
        self._send(to_message(work, side))

    def ready(self) -> None:
        """Wait until everything is in place.

        Raises:
            NotMeasuredError: The side cannot start.
        """
        self._receive()

    def ask(self, command: Dict[str, Any]) -> Dict[str, Any]:
        """Send a command and wait for its answer.

        Raises:
            NotMeasuredError: The side failed or ended.
        """
        self._send(command)
        return self._receive()

    def _send(self, command: Dict[str, Any]) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # Then it has ended, which is told when its answer is awaited.
            self._process.stdin.write(json.dumps(command) + "\n")
            self._process.stdin.flush()

    def _receive(self) -> Dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise NotMeasuredError(f"{self.label} ended: {self._last_words()}", is_absent=False)
        answer: Dict[str, Any] = json.loads(line)
        if "absent" in answer or "error" in answer:
            is_absent = "absent" in answer
            raise NotMeasuredError(answer["absent" if is_absent else "error"], is_absent)
        return answer

    def _last_words(self) -> str:
        code = self._process.wait()
        self._log.seek(0)
        lines = self._log.read().strip().splitlines()
        return f"exit status {code}{', ' + lines[-1] if lines else ''}"

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None and self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._log.close()

    def __enter__(self) -> Participant:
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self.close()
