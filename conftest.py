"""What holds for every test, those of the plugins included."""

from __future__ import annotations

import gc
from typing import Iterator

import pytest
from hypothesis import settings

# A kernel may have to be compiled first. All else is as Hypothesis has it, which in CI is another profile.
settings.register_profile("gnnkit", settings(), deadline=None)
settings.load_profile("gnnkit")


def pytest_collection_finish() -> None:
    """Leave what is there before the first test, millions of objects, out of every later collection of garbage."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A cache of this session: the user's stays as it is, and nothing that older code has prepared is tested."""
    folder = tmp_path_factory.getbasetemp()
    if folder.name.startswith("popen-"):  # One for all processes of pytest-xdist.
        folder = folder.parent
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GNNKIT_CACHE", str(folder / "cache"))
        yield
