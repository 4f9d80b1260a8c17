"""When the state of a training is written: at the start, after epochs or in the middle of them, and on a signal.

Rules: what is written is the state after a batch that has changed the weights, never one of which a part is missing.
"""

from __future__ import annotations

import logging
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Iterator, NamedTuple, Optional

from gnnkit.data import BatchKey
from gnnkit.devices import GroupingStep
from gnnkit.errors import GnnkitError
from gnnkit.runs.checkpoint import FOLDER, LAST
from gnnkit.runs.state import Position
from gnnkit.train.finite import Losses, check_weights
from gnnkit.train.interrupts import Changes
from gnnkit.train.job import Job

_LOG = logging.getLogger(__name__)


class _Done(NamedTuple):
    """How many batches of an epoch this process and all have done, and the last one."""

    here: int
    batches: int
    key: BatchKey


class Saver:
    """Writes states of one training.

    Args:
        job: The training.
        run_dir: The run folder. None: nothing is written.

    Attributes:
        changes: Entered around everything that changes the state.
    """

    def __init__(self, job: Job, run_dir: Optional[Path]) -> None:
        self.changes = Changes()
        self._job = job
        writes = job.keeper is not None and run_dir is not None and job.world.is_first
        self._file = run_dir / FOLDER / LAST if run_dir is not None and writes else None
        # Asked once: to compare an object with a protocol takes longer than the rest of what is done after a batch.
        self._grouping = job.step if isinstance(job.step, GroupingStep) else None
        self._losses: Optional[Losses] = None
        self._last: Optional[_Done] = None
        self._settled: Optional[_Done] = None
        self._batches = 0
        self._saved_at = time.perf_counter()
        self._saved: Any = None

    @contextmanager
    def rescuing(self) -> Iterator[None]:
        """Write the state when a signal ends what goes on in this context."""
        try:
            with self.changes:
                yield
        except KeyboardInterrupt:
            self._rescue()
            raise

    def begin(self, losses: Losses) -> None:
        """An epoch begins, or goes on from a position.

        Args:
            losses: Where its losses are collected.
        """
        self._losses, self._last, self._settled = losses, None, None

    def batch_done(self, index: int, key: BatchKey) -> None:
        """A batch has been done.

        Args:
            index: Number of batches before it in this epoch.
            key: Which one it is.
        """
        assert self._losses is not None
        self._batches += 1
        self._last = _Done(len(self._losses), index + 1, key)
        if self._grouping is None or not self._grouping.num_waiting:
            self.settle()

    def settle(self) -> None:
        """All batches that have been done have changed the weights."""
        self._settled = self._last

    def save_if_due(self) -> None:
        """Write the state in the middle of an epoch, if the settings ask for it now."""
        config = self._job.config
        by_batches = config.save_every_batches is not None and self._batches >= config.save_every_batches
        by_time = (
            config.save_every_minutes is not None
            and time.perf_counter() - self._saved_at >= 60 * config.save_every_minutes
        )
        if self._settled is self._last and (by_batches or by_time):
            self.save()

    def end(self) -> None:
        """The epoch has ended and is part of the history."""
        self._losses, self._last, self._settled = None, None, None
        self._job.progress.position = None

    def save(self) -> None:
        """Write the state after the last batch that has changed the weights.

        Raises:
            TrainingError: A weight is NaN or infinite.
        """
        if self._file is None:
            return
        assert self._job.keeper is not None
        progress = self._job.progress
        self._job.step.pull()
        check_weights(self._job.module, progress.epoch + (self._losses is not None), progress.schedule.lr)
        self._job.keeper.save(self._file, self._position(), kept=self._job.config.keep_last)
        self._saved, self._saved_at, self._batches = self._point(), time.perf_counter(), 0

    def _point(self) -> Any:
        return self._job.progress.epoch, self._settled

    def _position(self) -> Optional[Position]:
        if self._settled is None or self._losses is None:
            return self._job.progress.position
        loss, num_targets = self._losses.total(self._settled.here)
        key = self._settled.key
        return Position(self._settled.batches, key.number, key.part, loss, num_targets)

    def _rescue(self) -> None:
        if self._file is None or not self.changes.are_whole or self._saved == self._point():
            return
        if isinstance(self._job.step, GroupingStep):
            self._job.step.drop()
        try:
            self.save()
        except GnnkitError as error:  # What ends the process is the signal.
            _LOG.warning("The state at the end was not saved: %s", error)
