"""The log of a run: a text file for people with what was shown, and every warning.

Rules: it is no source of data; whatever programs read stands in the manifest and in the metrics.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Callable, Iterator, List, Mapping, Sequence

from gnnkit.errors import FileError
from gnnkit.io.files import append_line
from gnnkit.nn import GNN
from gnnkit.runs.callback import Callback
from gnnkit.runs.history import EpochRecord, RunResult
from gnnkit.runs.state import TrainState
from gnnkit.stages import take_stages

LOG = "log.txt"


class RunLog(Callback):
    """Writes the log of a run while it goes on.

    Args:
        file: Where to; lines are added to one that is there. Its folder is made by others before the start.
        facts: What the manifest says.
        earlier: Lines from before; see :func:`earlier_warnings`.
    """

    def __init__(self, file: Path, facts: Mapping[str, Any], earlier: Sequence[str] = ()) -> None:
        self._file = file
        self._facts = facts
        self._has_started = False
        self._waiting: List[str] = list(earlier)
        self._num_epochs = 0
        self._handler = _Handler(self.write)
        logging.getLogger("gnnkit").addHandler(self._handler)

    def write(self, line: str) -> None:
        """Add a line, with the time; before the start it waits."""
        self._waiting.append(_timed(line))
        if self._has_started:
            while self._waiting:
                append_line(self._file, self._waiting.pop(0))

    def on_start(self, model: GNN, num_epochs: int, num_batches: int) -> None:
        """See :class:`Callback`."""
        early, self._waiting = self._waiting, []
        self._has_started, self._num_epochs = True, num_epochs
        versions = [f"{name} {self._facts[name]}" for name in ("gnnkit", "python", "torch")]
        self.write(", ".join(versions))
        self.write(f"backend {self._facts['backend']['name']}, device {self._facts['device']['name']}")
        for topic, words in self._facts.get("data_summary", {}).items():
            self.write(f"data: {topic}: {words}")
        self._write_stages()
        self._waiting = early
        self.write(f"training, {num_epochs} epochs of {num_batches} batches")

    def on_resume(self, state: TrainState) -> None:
        """See :class:`Callback`."""
        self._num_epochs += len(state.history)
        self.write(f"going on after epoch {len(state.history)}")

    def on_epoch(self, record: EpochRecord) -> None:
        """See :class:`Callback`."""
        self._write_stages()
        self.write(record.line(self._num_epochs))

    def on_end(self, result: RunResult) -> None:
        """See :class:`Callback`."""
        self._write_stages()
        splits = {"valid": result.valid, "test": result.test}
        scores = [f"{split} {name} {value:.4f}" for split in splits for name, value in splits[split].items()]
        self.write(f"complete: {', '.join([f'best epoch {result.best_epoch}', *scores])}, {result.seconds:.1f} s")
        self._close()

    def on_error(self, error: BaseException) -> None:
        """See :class:`Callback`."""
        self._close()
        with suppress(FileError):  # What ended the run may be that nothing can be written any more.
            if self._has_started:
                self.write(f"ended: {type(error).__name__}: {error}")

    def _write_stages(self) -> None:
        for ended in take_stages():
            self.write(f"stage: {ended}")

    def _close(self) -> None:
        logging.getLogger("gnnkit").removeHandler(self._handler)


@contextmanager
def earlier_warnings() -> Iterator[List[str]]:
    """Keep warnings of the block, while a training is prepared, for its log.

    Yields:
        Their lines, which come in during the block.
    """
    lines: List[str] = []
    handler = _Handler(lambda line: lines.append(_timed(line)))
    logging.getLogger("gnnkit").addHandler(handler)
    try:
        yield lines
    finally:
        logging.getLogger("gnnkit").removeHandler(handler)


def _timed(line: str) -> str:
    return f"{datetime.now().isoformat(sep=' ', timespec='seconds')}  {line}"


class _Handler(logging.Handler):
    """Writes warnings to a log, and leaves them on the screen where nobody else handles them."""

    def __init__(self, write: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self._write = write

    def emit(self, record: logging.LogRecord) -> None:
        with suppress(FileError):
            self._write(f"warning: {record.getMessage()}")
        if not _is_handled(record) and logging.lastResort is not None:
            logging.lastResort.handle(record)


def _is_handled(record: logging.LogRecord) -> bool:
    """Whether any logger above a record has a handler that is none of ours."""
    logger: Any = logging.getLogger(record.name)
    while logger is not None:
        if any(not isinstance(handler, _Handler) for handler in logger.handlers):
            return True
        logger = logger.parent if logger.propagate else None
    return False
