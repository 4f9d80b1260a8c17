"""The data are there once a machine: proportional set size of several processes beside that of one."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.graphs import GraphSpec
from benchmarks.processes import Training, measure

GIGABYTE = GraphSpec("chunked", nodes=1_600_000, edges=20_000_000, features=128, classes=16)
"""1.0 GB of edges and features."""


@pytest.mark.long
def test_two_processes_need_little_more_than_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GNNKIT_BENCH", str(tmp_path))
    training = Training(GIGABYTE, batch_size=1024, fanouts=(10, 10), batches=60, epochs=3)
    one, two = measure(training, 1), measure(training, 2)
    assert one.memory["shared"] > 0.95e9, "less than the graph: it was not looked at when all of it was mapped"
    assert two.losses == pytest.approx(one.losses, abs=1e-5)
    assert two.memory["shared"] < 1.08 * one.memory["shared"]
    assert two.memory["pss"] < 1.15 * one.memory["pss"], (one, two)
