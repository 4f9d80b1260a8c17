"""The door: help, version and completion answer, and a mistake at it is named."""

from __future__ import annotations

from pathlib import Path

import pytest

import gnnkit
from tests.commands import gnnkit_here


@pytest.mark.parametrize("arguments", [["-h"], ["--help"], ["run", "-h"], ["data", "import", "-h"]])
def test_help_has_two_names(arguments: list[str], tmp_path: Path) -> None:
    done = gnnkit_here(*arguments, cwd=tmp_path)
    assert done.returncode == 0 and "Usage:" in done.stdout


def test_the_version(tmp_path: Path) -> None:
    done = gnnkit_here("--version", cwd=tmp_path)
    assert done.returncode == 0 and done.stdout.startswith(f"gnnkit {gnnkit.__version__},")


WRONG_VALUES = {
    "train.lr=[1,2]": "Setting 'train.lr' is '[1, 2]', expected a number.",
    "model.num_layers=[2]": "Setting 'model.num_layers' is '[2]', expected a whole number.",
    "model.residual=maybe": "Setting 'model.residual' is 'maybe', expected true or false.",
    "lr=0.1": "train.lr",
    "train.hidden_channels=8": "model.hidden_channels",
}


@pytest.mark.parametrize("setting", WRONG_VALUES)
def test_settings_are_named_with_what_they_take(setting: str, tmp_path: Path) -> None:
    done = gnnkit_here("run", "--dataset", "karate", setting, cwd=tmp_path)
    assert done.returncode == 2 and WRONG_VALUES[setting] in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
