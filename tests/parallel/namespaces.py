"""Two machines that are network namespaces of this one: needs root."""

from __future__ import annotations

import os
import subprocess
from contextlib import contextmanager
from typing import Iterator, Tuple

import pytest


def ip(*arguments: str, check: bool = True) -> None:
    """The command ``ip``."""
    subprocess.run(["ip", *arguments], check=check, capture_output=True)


def cable_end(letter: str) -> str:
    """Name of the network interface of the machine with a letter."""
    return f"gk{os.getpid() % 100000}{letter}"


@contextmanager
def two_machines(hosts: Tuple[str, str], letters: str) -> Iterator[Tuple[str, str]]:
    """Names of two network namespaces that a cable joins; skips the test where they cannot be made.

    Args:
        hosts: Their addresses.
        letters: One for each, that no other test of the process uses.
    """
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        pytest.skip("needs root, to make network namespaces")
    names = (f"gnnkit-{os.getpid()}-{letters[0]}", f"gnnkit-{os.getpid()}-{letters[1]}")
    ends = (cable_end(letters[0]), cable_end(letters[1]))
    try:
        ip("netns", "add", names[0])
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"network namespaces cannot be made here: {error}")
    try:
        ip("netns", "add", names[1])
        ip("link", "add", ends[0], "type", "veth", "peer", "name", ends[1])
        for name, end, host in zip(names, ends, hosts):
            ip("link", "set", end, "netns", name)
            ip("-n", name, "addr", "add", f"{host}/24", "dev", end)
            ip("-n", name, "link", "set", end, "up")
            ip("-n", name, "link", "set", "lo", "up")
        yield names
    finally:
        for name in names:
            ip("netns", "delete", name, check=False)
