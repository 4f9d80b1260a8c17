"""What ``gnnkit plan`` says of the device."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path


def test_plans_take_device_options_into_account(tmp_path: Path) -> None:
    settings = ["backend=ipu", "device=ipu-emulator", "device_options.device_iterations=4"]
    size = ["--dataset", "digits", "--model", "sage", "--fanouts", "5,5", "--batch-size", "100", "--json"]
    command = [sys.executable, "-m", "gnnkit.cli.main", "plan", *settings, *size]
    said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    found = json.loads(said.splitlines()[-1])
    assert (found["batches_per_epoch"], found["batches_per_call"], found["batches_filled_up"]) == (11, 4, 1)
