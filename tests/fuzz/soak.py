"""The long form: many damaged inputs for every reader, each target in a process of its own.

Run it with ``make soak``, or ``python -m tests.fuzz.soak --inputs 20000``. It ends with exit code 1 if an input ended
the process, took too long, raised an error that is not gnnkit's, or had code run; or if memory grew.
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import json
import logging
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Dict, List

_GROWTH = 64e6
"""Bytes by which memory may be larger after the second half of the inputs than after the first."""

_MEMORY = 16 << 30
_HANG = 120.0


def main() -> int:
    """Read the arguments, run all targets, print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=20_000, help="how many in all")
    parser.add_argument("--first", type=int, default=0, help="number of the first one of each target")
    parser.add_argument("--targets", default="", help="names with commas; all by default")
    parser.add_argument("--only", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    from tests.fuzz.targets import TARGETS

    names = [name for name in arguments.targets.split(",") if name] or [target.name for target in TARGETS]
    each = -(-arguments.inputs // len(names))
    if arguments.only:
        return _work(arguments.only, arguments.first, each if arguments.targets else arguments.inputs)
    print(f"{'target':<12}{'inputs':>8}{'refused':>9}{'read':>7}{'escaped':>9}{'slowest':>10}{'growth':>9}", flush=True)
    rows = [_run(name, arguments.first, each) for name in names]
    good = all(row["good"] for row in rows)
    print(f"{sum(row['inputs'] for row in rows):,} inputs, {'all well' if good else 'NOT WELL'}")
    return 0 if good else 1


def _run(name: str, first: int, inputs: int) -> Dict[str, Any]:
    """One target in a process of its own."""
    with tempfile.TemporaryDirectory(prefix="gnnkit-fuzz-") as home:
        canary = Path(home, "canary")
        canary.write_bytes(os.urandom(64))
        before = hashlib.sha256(canary.read_bytes()).hexdigest()
        command = [
            sys.executable,
            "-m",
            "tests.fuzz.soak",
            "--only",
            name,
            "--inputs",
            str(inputs),
            "--first",
            str(first),
        ]
        work = Path(home, "work")
        work.mkdir()
        environment = {**os.environ, "GNNKIT_FUZZ_HOME": str(work), "GNNKIT_CACHE": str(work / "cache")}
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
        try:
            out, err = process.communicate(timeout=_HANG + inputs * 0.5)
            problem = (
                "" if process.returncode == 0 else f"ended with {process.returncode} at {_last(work)}\n{err[-3000:]}"
            )
        except subprocess.TimeoutExpired:
            process.kill()
            out, _ = process.communicate()
            problem = f"hangs at {_last(work)}"
        row: Dict[str, Any] = json.loads(out.splitlines()[-1]) if not problem else {"inputs": 0, "good": False}
        hit = list(Path(home).rglob("HIT")) + list(Path.cwd().glob("HIT"))
        if hit or hashlib.sha256(canary.read_bytes()).hexdigest() != before:
            problem += f" code was run: {hit}"
        row["good"] = row["good"] and not problem
    if problem:
        print(f"{name:<12}{problem}", flush=True)
    else:
        print(
            f"{name:<12}{row['inputs']:>8,}{row['refused']:>9,}{row['read']:>7,}{len(row['escaped']):>9}"
            f"{row['slowest']:>8.2f} s{row['growth'] / 1e6:>6.0f} MB",
            flush=True,
        )
        for where, what in list(row["escaped"].items())[:8]:
            print(f"  {where}\n    " + "\n    ".join(what.strip().splitlines()[-5:]))
        for where in row["slow"]:
            print(f"  slow: {where}")
    return row


def _last(home: Path) -> str:
    file = home / "last"
    return file.read_text() if file.is_file() else "its start"


def _work(name: str, first: int, inputs: int) -> int:
    """In the process of one target: print what came of it as JSON."""
    import torch

    from tests.fuzz.fuzzing import Fuzzer, Tally, resident
    from tests.fuzz.targets import TARGETS

    logging.disable(logging.CRITICAL)
    torch.set_num_threads(1)
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    home = Path(os.environ["GNNKIT_FUZZ_HOME"])
    os.chdir(home)
    fuzzer = Fuzzer(next(target for target in TARGETS if target.name == name), home / name)
    tally, sizes = Tally(), []
    for half in range(2):
        for number in range(first + half * (inputs // 2), first + (inputs if half else inputs // 2)):
            (home / "last").write_text(f"{name} {number}")
            fuzzer.run(number, tally)
        gc.collect()
        sizes.append(resident())
    growth = sizes[1] - sizes[0]
    row = {"inputs": tally.inputs, "refused": tally.refused, "read": tally.read, "escaped": tally.escaped}
    slow: List[str] = tally.slow
    good = not tally.escaped and not slow and growth < _GROWTH
    print(json.dumps({**row, "slowest": tally.slowest, "slow": slow, "growth": growth, "good": good}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
