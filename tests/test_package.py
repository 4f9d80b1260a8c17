"""What ``import gnnkit`` gives, and what it does not load."""

from __future__ import annotations

import subprocess
import sys


def test_rooms_come_by_name_and_torch_only_when_it_is_needed() -> None:
    code = "import sys, gnnkit; assert 'torch' not in sys.modules; gnnkit.train.Callback; gnnkit.nn.ModelSpec"
    subprocess.run([sys.executable, "-c", code], check=True)
