"""The command line for tests: in a process of its own, or in this one, which spares the time of starting one.

Rules: whatever can end, hang or change an interpreter gets its own process; of each command at least one test has one,
among the long tests if what a process adds is only that it starts.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Mapping, Optional

import pytest
from typer.testing import CliRunner

from gnnkit.cli.main import app


def gnnkit_command(
    *arguments: str, cwd: Path, environment: Optional[Mapping[str, str]] = None
) -> subprocess.CompletedProcess:
    """The command as a user types it."""
    command = [sys.executable, "-m", "gnnkit.cli.main", *arguments]
    env = None if environment is None else dict(environment)
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, env=env)


def gnnkit_here(*arguments: str, cwd: Path) -> SimpleNamespace:
    """The command in this process; ``returncode``, ``stdout`` and ``stderr`` as a process has them."""
    before = Path.cwd()
    os.chdir(cwd)
    try:
        done = CliRunner().invoke(app, arguments)
    finally:
        os.chdir(before)
    text = done.stderr if done.exception is None or isinstance(done.exception, SystemExit) else repr(done.exception)
    return SimpleNamespace(returncode=done.exit_code, stdout=done.stdout, stderr=text)


here_and_in_a_process = pytest.mark.parametrize(
    "command", [gnnkit_here, pytest.param(gnnkit_command, marks=pytest.mark.long)], ids=["here", "process"]
)
"""For tests of what a command does, which hold for both; ``command`` is one of them."""


def answer(done) -> dict:
    """What a command that succeeded printed last, as JSON."""
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])
