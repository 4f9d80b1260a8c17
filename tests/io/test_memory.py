"""How much memory there is decides how mapped files are read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gnnkit.io.memory import available_memory, is_large, memory_limit

MACHINE = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


NAMES = {
    "": ("memory.max", "memory.current", ""),
    "memory": ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_"),
}
"""Of a control group's files, by controller, and what the names of its statistics begin with."""


@pytest.fixture
def group(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The uppermost control group of this process, empty."""
    groups = Path("/proc/self/cgroup")
    if not groups.exists():
        pytest.skip("the system has no control groups")
    if request.param not in [line.split(":", 2)[1] for line in groups.read_text().splitlines()]:
        pytest.skip("this process has no control group of that version")
    monkeypatch.setattr("gnnkit.io.memory._GROUPS", tmp_path)
    (tmp_path / request.param).mkdir(exist_ok=True)
    return tmp_path / request.param


@pytest.mark.parametrize(("group", "controller"), [(each, each) for each in NAMES], indirect=["group"])
def test_the_limit_of_a_container_counts(group: Path, controller: str) -> None:
    assert memory_limit() == MACHINE
    file = group / NAMES[controller][0]
    for text, limit in (("max\n", MACHINE), (f"{1 << 62}\n", MACHINE), (f"{1 << 30}\n", 1 << 30)):
        file.write_text(text)
        assert memory_limit() == limit
    assert is_large((1 << 29) + 1) and not is_large(1 << 29)


@pytest.mark.parametrize(("group", "controller"), [(each, each) for each in NAMES], indirect=["group"])
def test_what_a_container_leaves_is_available(group: Path, controller: str) -> None:
    limit, usage, prefix = NAMES[controller]
    whole = available_memory()
    assert whole is not None and 0 < whole <= MACHINE
    (group / limit).write_text(f"{5 << 20}\n")
    (group / usage).write_text(f"{4 << 20}\n")
    assert available_memory() == 1 << 20
    (group / "memory.stat").write_text(f"{prefix}inactive_file {1 << 20}\n{prefix}active_file {1 << 19}\n")
    assert available_memory() == (5 << 19)
    (group / usage).write_text(f"{8 << 20}\n")
    assert available_memory() == 0
    (group / limit).write_text("max\n")
    assert available_memory() > 5 << 20


def test_no_limit_is_larger_than_the_machine() -> None:
    assert 0 < memory_limit() <= MACHINE
