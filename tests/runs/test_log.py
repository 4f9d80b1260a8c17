"""The log of a run: what it says besides what the command line shows."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

import gnnkit
from gnnkit.runs import Callback
from gnnkit.runs.log import LOG


class Warns(Callback):
    def on_batch(self, index: int) -> None:
        logging.getLogger("gnnkit.somewhere").warning("the disk is nearly full")


def trained(folder: Path, **settings: object) -> str:
    graph = gnnkit.load_dataset("karate")
    trainer = gnnkit.Trainer(device="cpu", epochs=2, run_dir=folder, callbacks=[Warns()], **settings)
    trainer.fit(gnnkit.build_model("gcn", graph), graph)
    return (folder / LOG).read_text()


def test_warnings_are_in_the_log_and_stay_where_they_were(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert trained(tmp_path / "run").count("warning: the disk is nearly full") == 2
    assert caplog.messages.count("the disk is nearly full") == 2
    logging.getLogger("gnnkit.somewhere").warning("after the run")
    assert "after the run" not in (tmp_path / "run" / LOG).read_text()
    assert not logging.getLogger("gnnkit").handlers


def test_warnings_of_the_preparation_are_in_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "products.json").write_text("no JSON")
    monkeypatch.setenv("GNNKIT_CACHE", str(tmp_path))
    text = trained(tmp_path / "run")
    assert text.count("holds no choice of products that can be used") == 1
    assert text.index("backend reference") < text.index("holds no choice") < text.index("training, 2 epochs")
    assert not logging.getLogger("gnnkit").handlers


def test_stages_are_those_of_the_run(tmp_path: Path) -> None:
    first, second = trained(tmp_path / "first"), trained(tmp_path / "second")
    for text in (first, second):
        assert text.count("stage: reading karate: ") == 1 and text.count("stage: testing the best model: ") == 1


def test_a_run_that_goes_on_says_so(tmp_path: Path) -> None:
    trained(tmp_path / "first")
    graph = gnnkit.load_dataset("karate")
    trainer = gnnkit.Trainer(device="cpu", epochs=3, run_dir=tmp_path / "next")
    trainer.fit(gnnkit.build_model("gcn", graph), graph, resume=tmp_path / "first")
    text = (tmp_path / "next" / LOG).read_text()
    assert "going on after epoch 2" in text and text.count("  epoch 3/3  ") == 1
