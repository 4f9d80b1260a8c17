"""Damaging the files of a target and reading them, in this process.

Rules: an input is a target and a number; both name it for good. A file that is damaged is put back afterwards.
"""

from __future__ import annotations

import random
import resource
import shutil
import time
import traceback
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, List

import gnnkit
from tests.fuzz.mutators import mutated, unpacked_and_damaged
from tests.fuzz.targets import Target, read_checked

SLOW = 5.0
"""Seconds that no input may take."""


@dataclass
class Tally:
    """What came of some inputs.

    Attributes:
        read: How many were read, in spite of the damage or because it hit nothing.
        refused: How many were refused by an error of gnnkit's own.
        escaped: Tracebacks of other errors, by input.
        slowest: Seconds that the slowest took.
        slow: Inputs that took longer than they may.
    """

    read: int = 0
    refused: int = 0
    escaped: Dict[str, str] = field(default_factory=dict)
    slowest: float = 0.0
    slow: List[str] = field(default_factory=list)

    @property
    def inputs(self) -> int:
        """All of them."""
        return self.read + self.refused + len(self.escaped)


def resident() -> int:
    """Bytes of memory that this process has now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


class Fuzzer:
    """Good files of one target in a folder, which are damaged one after the other.

    Args:
        target: The target.
        home: An empty folder.
    """

    def __init__(self, target: Target, home: Path) -> None:
        self.target = target
        self.folder = home / "files"
        self.folder.mkdir(parents=True)
        self._home = home
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            target.write(self.folder)
            read_checked(target, self.folder)
        self._good = {file: file.read_bytes() for file in sorted(self.folder.rglob("*")) if file.is_file()}

    def damage(self, number: int) -> str:
        """Damage one file; returns what the input is called."""
        rng = random.Random(f"{self.target.name} {number}")
        file = rng.choice(list(self._good))
        good = self._good[file]
        file.write_bytes(unpacked_and_damaged(good, rng) if file.suffix == ".gz" else mutated(good, rng))
        if self.target.repair is not None and rng.random() < 0.6:
            self.target.repair(self.folder)
        return f"{self.target.name} {number} ({file.name})"

    def restore(self) -> None:
        """Put the good files back, and remove what was made of the damaged ones."""
        for file, good in self._good.items():
            if not file.is_file() or file.read_bytes() != good:
                file.write_bytes(good)
        for file in [file for file in self.folder.rglob("*") if file.is_file() and file not in self._good]:
            file.unlink()
        for made in ("cache", "imported", "none"):
            shutil.rmtree(self._home / made, ignore_errors=True)

    def run(self, number: int, tally: Tally) -> None:
        """Damage, read, restore."""
        name = self.damage(number)
        start = time.perf_counter()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                read_checked(self.target, self.folder)
            tally.read += 1
        except gnnkit.GnnkitError:
            tally.refused += 1
        except Exception:
            tally.escaped[name] = traceback.format_exc()
        took = time.perf_counter() - start
        tally.slowest = max(tally.slowest, took)
        if took > SLOW:
            tally.slow.append(f"{name}: {took:.1f} s")
        self.restore()
