"""gnnkit's checks of a task."""

from __future__ import annotations

from gnnkit.testing import TaskSuite


class TestMaskedFeatures(TaskSuite):
    name = "masked-features"
