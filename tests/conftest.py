"""Fixtures that every test of gnnkit can use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder with real data sets, named by GNNKIT_DATA; tests that need it are skipped where it is absent."""
    folder = os.environ.get("GNNKIT_DATA", "")
    if not folder or not Path(folder).is_dir():
        pytest.skip(f"real data needed: set GNNKIT_DATA to their folder (it is {folder!r})")
    return Path(folder).resolve()
