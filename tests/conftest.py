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


def installed_backends() -> list[str]:
    """Backends that are installed here; GNNKIT_TEST_BACKENDS names the ones that must be."""
    from gnnkit.backends import backends

    wanted = os.environ.get("GNNKIT_TEST_BACKENDS")
    return wanted.split(",") if wanted else backends.names()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "backend_name" in metafunc.fixturenames:
        metafunc.parametrize("backend_name", installed_backends(), scope="session")


@pytest.fixture(scope="session")
def backend(backend_name):
    """Each installed backend in turn. One that is installed and does not start fails, it is not skipped."""
    from gnnkit.backends import load_backend

    return load_backend(backend_name)
