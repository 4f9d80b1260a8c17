"""Folders of runs: each has one run, and none is left by a run that did not start."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import gnnkit
from gnnkit.errors import ConfigError
from gnnkit.runs import new_run_dir, read_run
from tests.commands import gnnkit_here


def test_run_folders_never_collide(tmp_path: Path) -> None:
    with ThreadPoolExecutor(16) as pool:
        made = list(pool.map(lambda _: new_run_dir(tmp_path / "runs", "cora", "gcn"), range(64)))
    assert len(set(made)) == 64 and all(path.is_dir() for path in made)
    assert new_run_dir(tmp_path / "runs", "n" * 300).is_dir()


def test_a_folder_of_a_run_is_taken_by_one(tmp_path: Path) -> None:
    graph = gnnkit.load_dataset("karate")

    class Other(gnnkit.train.Callback):
        def on_start(self, model, num_epochs, num_batches) -> None:
            with pytest.raises(ConfigError, match="already exists"):
                trainer().fit(gnnkit.build_model("gcn", graph), graph)

    def trainer(*callbacks) -> gnnkit.Trainer:
        return gnnkit.Trainer(device="cpu", epochs=1, run_dir=tmp_path / "run", callbacks=callbacks)

    result = trainer(Other()).fit(gnnkit.build_model("gcn", graph), graph)
    assert read_run(result.run_dir).is_complete


def test_a_run_that_does_not_start_leaves_no_folder(tmp_path: Path) -> None:
    done = gnnkit_here("run", "--dataset", "karate", "model.num_layers=0", cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert not list(tmp_path.iterdir())
