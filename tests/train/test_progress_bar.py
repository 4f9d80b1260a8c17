"""The progress bar on terminals of several widths."""

from __future__ import annotations

import pytest

from gnnkit.runs import EpochRecord
from gnnkit.train import ProgressBar


@pytest.mark.parametrize(
    "columns, parts",
    [
        (30, []),
        (40, ["loss 0.1234"]),
        (60, ["loss 0.1234", "valid 0.8000"]),
        (100, ["loss 0.1234", "valid 0.8000", "12,345,678 nodes/s"]),
    ],
)
def test_there_is_a_bar_whatever_the_width(
    columns: int, parts: list, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    bar = ProgressBar(enabled=True)
    bar.on_start(None, num_epochs=200, num_batches=1)
    bar.on_evaluation(1, 2000)
    for epoch in range(1, 151):
        bar.on_batch(0)
        bar.on_epoch(EpochRecord(epoch, 0.1234, 1.0, 12345678.0, 0.01, 0.5, 0.8))
    bar.on_error(KeyboardInterrupt())
    line = capsys.readouterr().err.splitlines()[-1]
    assert len(line) <= columns
    assert "epoch 150/200" in line and line.count("━") + line.count("╸") >= 5
    shown = [part for part in ("loss 0.1234", "valid 0.8000", "12,345,678 nodes/s") if part in line]
    assert shown == parts
