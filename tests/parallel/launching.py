"""Starting several processes in tests, and looking at them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Callable

SECONDS = 900
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
    """Processes that ``gnnkit`` has started, by rank: it gives them names."""
    found = {}
    for process in children(launcher):
        for child in children(process):
            with suppress(OSError):  # It may have ended meanwhile.
                name = Path(f"/proc/{child}/comm").read_text().strip()
                if name.startswith("gnnkit-"):
                    found[int(name[len("gnnkit-") :])] = child
    return found


def children(process: int) -> list[int]:
    """What a process has started."""
    found: list[int] = []
    for file in Path("/proc").glob(f"{process}/task/*/children"):
        with suppress(OSError):
            found += map(int, file.read_text().split())
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
