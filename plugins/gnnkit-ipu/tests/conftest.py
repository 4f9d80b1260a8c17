"""Fixtures: real data as for core's tests, and a stand-in for the package of the Poplar SDK."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.conftest import data_dir

__all__ = ["data_dir"]

#: What PopTorch would be on a machine with an IPU, as far as the Python interface goes.
FAKE = """
from gnnkit_ipu import emulator as _emulator
from gnnkit_ipu.emulator import *
from gnnkit_ipu.emulator import optim
Error = type("Error", (Exception,), {})
def ipuHardwareIsAvailable(num_ipus=1):
    return HARDWARE
"""


@pytest.fixture
def fake_poptorch(tmp_path: Path):
    """Write a package poptorch and give the environment of a process that sees it."""

    def make(code: str = FAKE, *, add: str = "", hardware: bool = True, requires: str = "", sdk: bool = True) -> dict:
        folder = tmp_path / "site"
        (folder / "poptorch").mkdir(parents=True)
        (folder / "poptorch" / "__init__.py").write_text(f"HARDWARE = {hardware}\n{code}\n{add}\n")
        info = folder / "poptorch-3.4.0.dist-info"
        info.mkdir()
        needs = f"Requires-Dist: {requires}\n" if requires else ""
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: poptorch\nVersion: 3.4.0\n{needs}")
        path = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH", "")]))
        environment = {**os.environ, "PYTHONPATH": path}
        environment.pop("POPLAR_SDK_ENABLED", None)
        return {**environment, "POPLAR_SDK_ENABLED": "/opt/sdk"} if sdk else environment

    return make


@pytest.fixture
def poptorch_here(fake_poptorch, monkeypatch: pytest.MonkeyPatch):
    """The same for this process, which forgets the package when the test ends."""

    def make(*arguments, **settings) -> None:
        environment = fake_poptorch(*arguments, **settings)
        monkeypatch.delitem(sys.modules, "poptorch", raising=False)
        monkeypatch.delenv("POPLAR_SDK_ENABLED", raising=False)
        for name in ("PYTHONPATH", "POPLAR_SDK_ENABLED"):
            if name in environment:
                monkeypatch.setenv(name, environment[name])
        monkeypatch.syspath_prepend(environment["PYTHONPATH"].split(os.pathsep)[0])

    yield make
    sys.modules.pop("poptorch", None)
