"""What a training shows while it goes on: a bar on terminals of several widths, plain lines elsewhere."""

from __future__ import annotations

import os
import re
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Callable, List, Optional

import pytest
import torch

import gnnkit
from gnnkit.data import full_block
from gnnkit.runs import EpochRecord
from gnnkit.tasks.metrics import accuracy
from gnnkit.train import Callback, ProgressBar

RECORD = EpochRecord(1, 0.1234, 1.0, 12345678.0, 0.01, 0.5, 0.8)
PARTS = ("loss 0.1234", "valid 0.8000", "12,345,678 nodes/s", "evaluating 1/20")


class Terminal:
    """A pseudo-terminal in the place of the standard error stream."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._reading, writing = os.openpty()
        os.set_blocking(self._reading, False)
        self._stream = os.fdopen(writing, "w", encoding="utf-8")
        monkeypatch.setattr(sys, "stderr", self._stream)

    def lines(self) -> List[str]:
        """What has been drawn since this was called before: every state of every line."""
        self._stream.flush()
        found = b""
        with suppress(BlockingIOError):
            while True:
                found += os.read(self._reading, 1 << 12)
        text = found.decode()
        return [line for line in re.split(r"[\r\n]+", re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text)) if line.strip()]


@pytest.fixture
def columns(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setenv("COLUMNS", str(request.param))
    monkeypatch.setenv("TERM", "xterm")
    return request.param


@pytest.mark.parametrize(
    "columns, trained, evaluated",
    [
        (24, [], []),
        (40, ["loss 0.1234", "valid 0.8000"], ["evaluating 1/20"]),
        (60, ["loss 0.1234", "valid 0.8000"], ["loss 0.1234", "evaluating 1/20"]),
        (100, list(PARTS[:3]), list(PARTS)),
    ],
    indirect=["columns"],
)
def test_there_is_a_bar_whatever_the_width(
    columns: int, trained: List[str], evaluated: List[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for is_evaluated, parts in ((False, trained), (True, evaluated)):
        terminal = Terminal(monkeypatch)
        bar = ProgressBar()
        bar.on_start(None, num_epochs=200, num_batches=1)
        for epoch in range(1, 151):
            bar.on_batch(0)
            bar.on_epoch(EpochRecord(**{**RECORD.to_dict(), "epoch": epoch}))
        if is_evaluated:
            bar.on_evaluation(1, 20)
        bar.on_error(KeyboardInterrupt())
        line = terminal.lines()[-1]
        assert len(line) <= columns
        assert "150/200" in line and line.count("━") + line.count("╸") >= 5
        assert [part for part in PARTS if part in line] == parts


@pytest.mark.parametrize("columns", [80], indirect=True)
def test_loss_and_metric_are_there_from_the_first_batch(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = gnnkit.load_dataset("synthetic", num_nodes=200, num_edges=800)
    seen: List[str] = []

    class Look(gnnkit.train.Callback):
        def on_loss(self, loss: float) -> None:
            self.loss = loss

        def on_outputs(self, metric: Callable[[], Optional[float]]) -> None:
            if not seen:
                time.sleep(0.3)  # A bar is drawn ten times a second.
                seen.extend([f"loss {self.loss:.4f}  train {metric():.4f}", *terminal.lines()])

    settings = {"fanouts": [5, 5], "batch_size": 32, "num_threads": 0, "epochs": 1, "progress": False}
    model = gnnkit.build_model("sage", graph)
    # Some libraries keep the stream that is there when they are imported.
    unseen = gnnkit.Trainer(device="cpu", **settings).fit(model, graph)
    terminal = Terminal(monkeypatch)
    result = gnnkit.Trainer(device="cpu", callbacks=[ProgressBar(), Look()], **settings).fit(model, graph)
    assert (result.history[0].train_loss, result.test) == (unseen.history[0].train_loss, unseen.test)
    text, *lines = seen
    assert any(text in line and "epoch 0/1" in line for line in lines)


@pytest.mark.parametrize("progress, num_lines", [(True, 3), (None, 0), (False, 0)])
def test_without_a_terminal_there_are_lines_if_they_are_asked_for(
    progress: bool, num_lines: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    graph = gnnkit.load_dataset("karate")
    trainer = gnnkit.Trainer(device="cpu", epochs=3, progress=progress, run_dir=tmp_path / "run")
    result = trainer.fit(gnnkit.build_model("gcn", graph), graph)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == num_lines
    if lines:
        record = result.history[-1]
        start = f"epoch 3/3  loss {record.train_loss:.4f}  valid {record.valid_metric:.4f}  "
        assert lines[-1].startswith(start)


class Metrics(Callback):
    """What :meth:`Callback.on_outputs` gives, batch after batch."""

    def __init__(self) -> None:
        self.values: List[Optional[float]] = []

    def on_outputs(self, metric: Callable[[], Optional[float]]) -> None:
        self.values.append(metric())


def test_the_metric_of_a_batch_is_that_of_its_real_targets(backend) -> None:
    graph = gnnkit.load_dataset("karate")
    model = gnnkit.build_model("sage", graph, backend=backend, dropout=0.0)
    with torch.no_grad():
        outputs = model.eval()([full_block(graph)] * model.num_layers, graph.x)
    train = graph.splits["train"]
    seen = Metrics()
    device = "ipu-emulator" if backend.name == "ipu" else "cpu"
    gnnkit.Trainer(backend, device, epochs=1, progress=False, callbacks=[seen]).fit(model, graph)
    assert seen.values == [pytest.approx(accuracy(outputs[train], graph.y[train]))]


def _refuses_small(outputs: torch.Tensor, y: torch.Tensor) -> float:
    if len(y) < 10:
        raise RuntimeError("too few")
    return 0.5


@pytest.mark.parametrize(
    "dataset, settings",
    [
        ("karate", {"task": "link_prediction"}),
        ("karate", {"metrics": {"odd": _refuses_small}}),
    ],
)
def test_a_batch_that_cannot_be_judged_has_no_metric(dataset: str, settings: Any) -> None:
    graph, seen = gnnkit.load_dataset(dataset), Metrics()
    trainer = gnnkit.Trainer(device="cpu", epochs=1, progress=False, callbacks=[seen], **settings)
    trainer.fit(gnnkit.build_model("gcn", graph), graph)
    assert seen.values and set(seen.values) == {None}
