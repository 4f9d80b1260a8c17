"""Where a process stands among those that a launcher started, read from the environment that torchrun sets."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from typing import Mapping, Optional


@dataclass(frozen=True)
class Place:
    """A process among others.

    Attributes:
        rank: Its number, from 0.
        size: How many processes there are.
        local_rank: Its number on its machine.
        local_size: How many processes its machine has.
        machine: Number of its machine.
        launcher: Which launcher started the process, the same when it starts it again; None if none did.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1
    machine: int = 0
    launcher: Optional[str] = None

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes, shows and reports."""
        return self.rank == 0


def launched_place(environment: Optional[Mapping[str, str]] = None) -> Place:
    """Where torchrun has put this process; the place of a single process if torchrun did not start it.

    Args:
        environment: What to read. None: this process's environment.

    Example:
        >>> launched_place({}).size
        1
        >>> launched_place({"TORCHELASTIC_RUN_ID": "7", "RANK": "1", "WORLD_SIZE": "2"}).rank
        1
    """
    found = os.environ if environment is None else environment
    if "TORCHELASTIC_RUN_ID" not in found or "RANK" not in found:
        return Place()
    size = int(found.get("WORLD_SIZE", 1))
    return Place(
        rank=int(found["RANK"]),
        size=size,
        local_rank=int(found.get("LOCAL_RANK", 0)),
        local_size=int(found.get("LOCAL_WORLD_SIZE", size)),
        machine=int(found.get("GROUP_RANK", 0)),
        launcher=_parent(),
    )


def _parent() -> str:
    """The process that started this one, called so that no other has ever been called alike.

    What torchrun says of restarts differs between machines, so it is no help.
    """
    number = os.getppid()
    try:
        with open(f"/proc/{number}/stat", encoding="utf-8") as file:
            started = file.read().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        started = ""
    return f"{socket.gethostname()}/{number}/{started}"
