"""gnnkit's checks of a device. They compile dozens of programs, which takes minutes."""

from __future__ import annotations

import pytest

from gnnkit.testing import DeviceSuite


@pytest.mark.long
class TestInductor(DeviceSuite):
    name = "inductor"
