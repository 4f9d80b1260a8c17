"""A run to report on."""

from __future__ import annotations

from pathlib import Path

import pytest

from gnnkit.data import Graph
from tests.graphs import communities
from tests.report.runs import train


@pytest.fixture
def graph() -> Graph:
    return communities(120)


@pytest.fixture
def run(tmp_path: Path, graph: Graph) -> Path:
    return train(tmp_path / "one", graph)
