"""Listeners that hand what happens on to other programs: TensorBoard."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable

from gnnkit.errors import NotInstalledError
from gnnkit.nn import GNN
from gnnkit.runs.callback import Callback
from gnnkit.runs.history import EpochRecord, RunResult
from gnnkit.runs.state import TrainState


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
