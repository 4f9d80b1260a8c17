"""A run, and a browser to look at its report with."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, Iterator

import pytest

from gnnkit.data import Graph
from tests.graphs import communities
from tests.report.runs import train

BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture
def graph() -> Graph:
    return communities(120)


@pytest.fixture
def run(tmp_path: Path, graph: Graph) -> Path:
    return train(tmp_path / "one", graph)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Chromium without a window; skipped where it, or Playwright, is not installed."""
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        pytest.skip(f"no browser is installed: none of {', '.join(BROWSERS)} (Debian: apt-get install chromium)")
    with playwright.sync_playwright() as running:
        started = running.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield started
        started.close()
