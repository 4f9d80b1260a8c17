"""Fixtures that every test of gnnkit can use, and which backends a test is made for.

Rules: tests run on every installed backend, whoever wrote it; what one does not declare is skipped here, with a reason.
What a backend declares and then refuses is a failure.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any, Generator, Iterator

import pytest

from gnnkit.errors import CapabilityError

BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder with real data sets, named by GNNKIT_DATA; tests that need it are skipped where it is absent."""
    folder = os.environ.get("GNNKIT_DATA", "")
    if not folder or not Path(folder).is_dir():
        pytest.skip(f"real data needed: set GNNKIT_DATA to their folder (it is {folder!r})")
    return Path(folder).resolve()


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


def installed_backends(*needs: str) -> list[str]:
    """Backends that are installed here; GNNKIT_TEST_BACKENDS names the ones that must be.

    Args:
        needs: What they are to declare: convolutions, precisions, types of devices.
    """
    from gnnkit.backends import backends

    wanted = os.environ.get("GNNKIT_TEST_BACKENDS")
    names = wanted.split(",") if wanted else backends.names()
    return [name for name in names if not needs or not undeclared(name) & set(needs)]


def undeclared(name: str) -> set[str]:
    """Convolutions, aggregations, precisions and types of devices that a backend leaves out of its declaration."""
    from gnnkit.backends import load_backend
    from gnnkit.nn import AGGREGATIONS, CONVS
    from gnnkit.testing.backend_base import DTYPES

    has = load_backend(name).capabilities
    known = {*CONVS, *AGGREGATIONS, *DTYPES, "cpu", "cuda"}
    return known - has.convs - has.aggregations - has.dtypes - has.devices


def need(name: str, what: str) -> None:
    """Leave a test here if a backend does not declare a convolution, a precision or a type of device."""
    if what in undeclared(name):
        pytest.skip(f"backend {name} does not declare {what}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """A test that gnnkit stops because a backend does not declare something is skipped.

    The refusal must name the test's backend and what that does not declare; any other is a failure.
    """
    try:
        return (yield)
    except CapabilityError as error:
        cases = item.callspec.params.values() if hasattr(item, "callspec") else ()
        for name in installed_backends():
            if name in cases and repr(name) in str(error):
                missing = [what for what in undeclared(name) if repr(what) in str(error)]
                if missing:
                    pytest.skip(f"backend {name} does not declare {missing[0]}")
        raise


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "backend_name" in metafunc.fixturenames:
        metafunc.parametrize("backend_name", installed_backends(), scope="session")


@pytest.hookimpl(tryfirst=True)  # Before pytest leaves out what is long.
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Of a test that is marked ``in_turn``, give each case to one of its backends; on the others it is long.

    Every backend gets cases, and which it gets shifts by one from row to row, as in a Latin square: where cases are
    models in two ways each, a backend gets models in both.
    """
    cases: dict[str, dict[str, list[pytest.Item]]] = {}
    for item in items:
        if item.get_closest_marker("in_turn"):
            params = item.callspec.params  # type: ignore[attr-defined]
            name = params["backend_name"] if "backend_name" in params else params["backend"]
            cases.setdefault(item.nodeid.split("[")[0], {}).setdefault(name, []).append(item)
    for of_backend in cases.values():
        num = min(len(of_backend), *map(len, of_backend.values()))
        for place, of_one in enumerate(of_backend.values()):
            for number, item in enumerate(of_one):
                if (number + number // num) % num != place % num:
                    item.add_marker("long")


@pytest.fixture(scope="session")
def backend(backend_name):
    """Each installed backend in turn. One that is installed and does not start fails, it is not skipped."""
    from gnnkit.backends import load_backend

    return load_backend(backend_name)
