"""Listeners that come with gnnkit: the progress bar and TensorBoard."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Callable, Iterable, List, Optional, Sequence

from gnnkit.errors import ConfigError, NotInstalledError
from gnnkit.nn import GNN
from gnnkit.runs.callback import Callback
from gnnkit.runs.history import EpochRecord, RunResult
from gnnkit.runs.state import TrainState

_WIDE = 60
"""Columns of a terminal from which on the remaining time is shown."""
_BAR = 10
"""Columns that the bar has at least."""


class ProgressBar(Callback):
    """A bar with epoch, loss, validation metric and nodes per second, on the standard error stream.

    On a narrow terminal the bar stays, and what has no room beside it is left out.

    Args:
        enabled: None shows it on a terminal only.
    """

    def __init__(self, enabled: Optional[bool] = None) -> None:
        self._enabled = sys.stderr.isatty() if enabled is None else enabled
        self._progress: Any = None
        self._task: Any = None
        self._room = 0  # Characters beside the bar.

    def on_start(self, model: GNN, num_epochs: int, num_batches: int) -> None:
        """See :class:`Callback`."""
        if not self._enabled:
            return
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        console = Console(stderr=True)
        time = [TimeRemainingColumn(compact=True)] if console.width >= _WIDE else []
        self._room = console.width - len(f"epoch {num_epochs}/{num_epochs}") - _BAR - 6 * len(time) - 3
        self._progress = Progress(
            TextColumn("epoch {task.fields[epoch]}/{task.fields[num_epochs]}"),
            BarColumn(bar_width=None),
            TextColumn("{task.description}"),
            *time,
            console=console,
            expand=True,
        )
        self._progress.start()
        self._task = self._progress.add_task("", total=num_epochs * num_batches, epoch=0, num_epochs=num_epochs)

    def on_batch(self, index: int) -> None:
        """See :class:`Callback`."""
        if self._progress is not None:
            self._progress.advance(self._task)

    def on_evaluation(self, done: int, total: int) -> None:
        """See :class:`Callback`."""
        if self._progress is not None:
            count = f"{done:,}/{total:,}"
            self._progress.update(
                self._task, description=self._fitting([f"evaluating {count}"]) or self._fitting([count])
            )

    def on_epoch(self, record: EpochRecord) -> None:
        """See :class:`Callback`."""
        if self._progress is None:
            return
        parts = [f"loss {record.train_loss:.4f}"]
        if record.valid_metric is not None:
            parts.append(f"valid {record.valid_metric:.4f}")
        parts.append(f"{record.nodes_per_second:,.0f} nodes/s")
        self._progress.update(self._task, description=self._fitting(parts), epoch=record.epoch)

    def _fitting(self, parts: Sequence[str]) -> str:
        """As many of the parts, from the first on, as have room beside the bar."""
        number = len(parts)
        while len("  ".join(parts[:number])) > self._room and number:
            number -= 1
        return "  ".join(parts[:number])

    def on_end(self, result: RunResult) -> None:
        """See :class:`Callback`."""
        self._stop()

    def on_error(self, error: BaseException) -> None:
        """See :class:`Callback`."""
        self._stop()

    def _stop(self) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress = None


class TensorBoard(Callback):
    """Scalars of every epoch as TensorBoard event files.

    Args:
        folder: Where they go.

    Raises:
        NotInstalledError: The package tensorboard is missing.
    """

    def __init__(self, folder: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise NotInstalledError("TensorBoard", "pip install 'gnnkit[tensorboard]'") from error
        self._open: Callable[[], Any] = lambda: SummaryWriter(str(folder))
        self._writer: Any = None

    def on_start(self, model: GNN, num_epochs: int, num_batches: int) -> None:
        """See :class:`Callback`."""
        self._writer = self._open()

    def on_resume(self, state: TrainState) -> None:
        """See :class:`Callback`."""
        for record in state.history:
            self.on_epoch(record)

    def on_epoch(self, record: EpochRecord) -> None:
        """See :class:`Callback`."""
        for name, value in record.to_dict().items():
            if name != "epoch" and value is not None:
                self._writer.add_scalar(name, value, record.epoch)

    def on_end(self, result: RunResult) -> None:
        """See :class:`Callback`."""
        self._writer.close()

    def on_error(self, error: BaseException) -> None:
        """See :class:`Callback`."""
        if self._writer is not None:
            self._writer.close()


def checked_callbacks(callbacks: Any) -> List[Callback]:
    """The callbacks that a user gave, as a list.

    Args:
        callbacks: Anything; a list of callbacks is right.

    Raises:
        ConfigError: It is no list, or holds something else: a class, a function.
    """
    if isinstance(callbacks, (str, Callback)) or not isinstance(callbacks, Iterable):
        kind = f"a {type(callbacks).__name__}"
        raise ConfigError(f"callbacks is {kind}, expected a list: callbacks=[MyCallback()].")
    listed = list(callbacks)
    for callback in listed:
        if isinstance(callback, type):
            raise ConfigError(f"callbacks holds the class {callback.__name__}. Make an object: {callback.__name__}().")
        if not isinstance(callback, Callback):
            name = getattr(callback, "__name__", type(callback).__name__)
            raise ConfigError(
                f"callbacks holds {name}, expected objects of classes derived from gnnkit.train.Callback."
            )
    return listed
