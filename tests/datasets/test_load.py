"""What ``load_dataset`` takes for a name."""

from __future__ import annotations

from pathlib import Path

import pytest

import gnnkit
from gnnkit.errors import ConfigError, GnnkitError
from tests.cli.mistakes import prepare


def test_data_sets_are_named_by_paths_and_nothing_else(tmp_path: Path) -> None:
    prepare(tmp_path)
    assert gnnkit.load_dataset(tmp_path / "mine").num_nodes == 4
    for name in (5, None, ["cora"], b"cora", ""):
        with pytest.raises(GnnkitError, match="expected"):
            gnnkit.load_dataset(name)
    with pytest.raises(ConfigError, match="data folder is 5"):
        gnnkit.load_dataset("karate", data_dir=5)
