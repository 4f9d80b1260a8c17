"""The progress of a training on the standard error stream: a bar, or a line for each epoch.

Rules: a terminal and a notebook get a bar, which fits any width; anything else gets plain lines, if it is asked to.
"""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack
from importlib.util import find_spec
from typing import Any, Callable, List, Optional, Sequence

from gnnkit.nn import GNN
from gnnkit.runs.callback import Callback
from gnnkit.runs.history import EpochRecord, RunResult
from gnnkit.runs.state import TrainState
from gnnkit.stages import bar_drawn

_WIDE = 60
"""Columns from which on the word "epoch" and the remaining time are shown."""
_BAR = 10
"""Columns that the bar has at least; half as many where it is narrow."""
_EVERY = 0.5
"""Seconds between two metrics of batches, at least; computing one takes a hundredth of the time at most."""


class ProgressBar(Callback):
    """The epoch, the loss so far, the last validation metric and nodes per second, on the standard error stream.

    Until the first evaluation, the metric is that of a training batch ("train"), where the task judges batches.

    A terminal and a notebook (with ipywidgets) get a bar. On a narrow terminal it stays, and what has no room beside
    it is left out.

    Args:
        enabled: True: elsewhere there is a line for each epoch. None: elsewhere there is nothing. False: there is
            nothing anywhere.

    Example:
        >>> import gnnkit
        >>> graph = gnnkit.load_dataset("karate")
        >>> bar = gnnkit.train.ProgressBar(enabled=False)
        >>> trainer = gnnkit.Trainer(device="cpu", epochs=2, callbacks=[bar])
        >>> len(trainer.fit(gnnkit.build_model("gcn", graph), graph).history)
        2
    """

    def __init__(self, enabled: Optional[bool] = None) -> None:
        self._enabled = enabled
        self._progress: Any = None
        self._task: Any = None
        self._open = ExitStack()
        self._room = 0  # Characters beside the bar.
        self._num_epochs = 0
        self._evaluating = ""
        self._loss: Optional[float] = None
        self._metric: Optional[float] = None  # Of a batch, until there is one of validation.
        self._due = 0.0
        self._record: Optional[EpochRecord] = None

    def on_start(self, model: GNN, num_epochs: int, num_batches: int) -> None:
        """See :class:`Callback`."""
        self._num_epochs, self._evaluating, self._loss, self._record = num_epochs, "", None, None
        self._metric, self._due = None, 0.0
        if self._enabled is False:
            return
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        console = Console(stderr=True)
        if not (console.is_terminal or _has_widgets(console)):
            return
        is_wide = console.width >= _WIDE
        word, bar = ("epoch ", _BAR) if is_wide else ("", _BAR // 2)
        remaining = [TimeRemainingColumn(compact=True)] if is_wide else []
        self._room = console.width - len(f"{word}{num_epochs}/{num_epochs}") - bar - 6 * len(remaining) - 3
        self._progress = Progress(
            TextColumn(word + "{task.fields[epoch]}/{task.fields[num_epochs]}"),
            BarColumn(bar_width=None),
            TextColumn("{task.description}"),
            *remaining,
            console=console,
            expand=True,
        )
        self._open.enter_context(bar_drawn())
        self._progress.start()
        self._task = self._progress.add_task("", total=num_epochs * num_batches, epoch=0, num_epochs=num_epochs)

    def on_resume(self, state: TrainState) -> None:
        """See :class:`Callback`."""
        self._num_epochs += len(state.history)
        self._record = state.history[-1] if state.history else None
        self._show(epoch=len(state.history), num_epochs=self._num_epochs)

    def on_batch(self, index: int) -> None:
        """See :class:`Callback`."""
        self._evaluating = ""
        if self._progress is not None:
            self._progress.advance(self._task)

    def on_loss(self, loss: float) -> None:
        """See :class:`Callback`."""
        self._loss = loss
        self._show()

    def on_outputs(self, metric: Callable[[], Optional[float]]) -> None:
        """See :class:`Callback`."""
        start = time.monotonic()
        if self._progress is None or self._is_evaluated or start < self._due:
            return
        self._metric = metric()
        now = time.monotonic()
        self._due = now + max(_EVERY, 100 * (now - start))
        self._show()

    def on_evaluation(self, done: int, total: int) -> None:
        """See :class:`Callback`."""
        self._evaluating = f"{done:,}/{total:,}"
        self._show()

    def on_epoch(self, record: EpochRecord) -> None:
        """See :class:`Callback`."""
        self._record, self._loss, self._evaluating = record, record.train_loss, ""
        if self._progress is not None:
            self._show(epoch=record.epoch)
        elif self._enabled:
            print(record.line(self._num_epochs), file=sys.stderr, flush=True)

    def on_end(self, result: RunResult) -> None:
        """See :class:`Callback`."""
        self._stop()

    def on_error(self, error: BaseException) -> None:
        """See :class:`Callback`."""
        self._stop()

    @property
    def _is_evaluated(self) -> bool:
        return self._record is not None and self._record.valid_metric is not None

    def _parts(self) -> List[str]:
        """What is known by now, the most important first."""
        record = self._record
        parts = [] if self._loss is None else [f"loss {self._loss:.4f}"]
        if record is not None and record.valid_metric is not None:
            parts.append(f"valid {record.valid_metric:.4f}")
        elif self._metric is not None:
            parts.append(f"train {self._metric:.4f}")
        if record is not None:
            parts.append(f"{record.nodes_per_second:,.0f} nodes/s")
        return parts

    def _show(self, **fields: Any) -> None:
        if self._progress is None:
            return
        texts = [f"evaluating {self._evaluating}"] if self._evaluating else []
        text = self._fitting(texts + self._parts()) or self._fitting([self._evaluating])
        self._progress.update(self._task, description=text, **fields)

    def _fitting(self, parts: Sequence[str]) -> str:
        """As many of the parts, from the first on, as have room beside the bar."""
        number = len(parts)
        while len("  ".join(parts[:number])) > self._room and number:
            number -= 1
        return "  ".join(parts[:number])

    def _stop(self) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress = None
        self._open.close()


def _has_widgets(console: Any) -> bool:
    """Whether this is a notebook that can draw a bar in place."""
    return bool(console.is_jupyter) and find_spec("ipywidgets") is not None
