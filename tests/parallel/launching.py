"""Starting several processes in tests, and looking at them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Callable

SECONDS = 240
"""After which a command that a test has started counts as hanging."""


def torchrun(num: int, script: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a script by torchrun itself, as users do who write their own."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(num), str(script)]
    return subprocess.run(
        [*command, *arguments], env=environment(), capture_output=True, text=True, timeout=SECONDS, check=False
    )


def start(*arguments: str) -> subprocess.Popen[str]:
    """Start ``gnnkit`` with these arguments."""
    command = [sys.executable, "-m", "gnnkit", *arguments]
    return subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Exit code, output and error stream of a command, once it has ended."""
    try:
        out, err = process.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    return process.returncode, out, err


def run(*arguments: str) -> tuple[int, str, str]:
    """Run ``gnnkit`` with these arguments to its end."""
    return ended(start(*arguments))


def environment(**more: str) -> dict[str, str]:
    """The environment of commands: one thread each, as the tests' own."""
    root = Path(__file__).parents[2]
    path = os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")])
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo", **more}


def workers(launcher: int) -> dict[int, int]:
    """Processes that a launcher has started, by rank."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            if parent != launcher:
                continue
            values = (folder / "environ").read_bytes().decode(errors="replace").split("\0")
        except OSError:  # It has ended meanwhile.
            continue
        settings: dict[str, Any] = dict(item.split("=", 1) for item in values if "=" in item)
        if "RANK" in settings:
            found[int(settings["RANK"])] = int(folder.name)
    return found


def wait_until(is_so: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Wait until something is so, while a process runs."""
    deadline = time.monotonic() + SECONDS
    while not is_so():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)


def epochs_of(run_dir: Path) -> int:
    """How many epochs a run folder tells of."""
    file = run_dir / "metrics.jsonl"
    return len(file.read_text().splitlines()) if file.exists() else 0
