"""How much memory there is decides how mapped files are read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gnnkit.io.memory import is_large, memory_limit

MACHINE = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not Path("/proc/self/cgroup").exists(), reason="the system has no control groups")
@pytest.mark.parametrize("version", ["memory.max", "memory/memory.limit_in_bytes"])
def test_the_limit_of_a_container_counts(version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    named = {"": "memory.max", "memory": "memory/memory.limit_in_bytes"}
    groups = [line.split(":", 2)[1] for line in Path("/proc/self/cgroup").read_text().splitlines()]
    if version not in [named.get(group) for group in groups]:
        pytest.skip("this process has no control group of that version")
    monkeypatch.setattr("gnnkit.io.memory._GROUPS", tmp_path)
    assert memory_limit() == MACHINE
    file = tmp_path / version
    file.parent.mkdir(exist_ok=True)
    for text, limit in (("max\n", MACHINE), (f"{1 << 62}\n", MACHINE), (f"{1 << 30}\n", 1 << 30)):
        file.write_text(text)
        assert memory_limit() == limit
    assert is_large((1 << 29) + 1) and not is_large(1 << 29)


def test_no_limit_is_larger_than_the_machine() -> None:
    assert 0 < memory_limit() <= MACHINE
