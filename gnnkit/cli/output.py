"""How commands speak: tables for people, one JSON line for programs, errors in a line.

Rules: with ``--json``, standard output holds the JSON line and nothing else; all else that is printed, by gnnkit, by
plugins and by what they call, goes to the standard error stream.
"""

from __future__ import annotations

import errno
import functools
import io
import logging
import os
import signal
import sys
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import FrameType
from typing import Any, Callable, Iterator, List, Mapping, NoReturn, Optional, Sequence, TextIO, TypeVar

import typer

from gnnkit.cli.launched import is_first, leave_word
from gnnkit.cli.progress import stage_lines
from gnnkit.errors import FileError, GnnkitError, is_out_of_memory
from gnnkit.paths import check_writable, user_path
from gnnkit.strict_json import to_json

F = TypeVar("F", bound=Callable[..., Any])


def reports_errors(command: F) -> F:
    """Make a command end with exit code 2 and one line on a user's mistake, and with 128 + N on signal N.

    A command with a parameter ``debug`` lets the traceback through when it is true; one with a parameter ``json`` has
    standard output for :func:`print_json` alone when that is true; ``quiet`` and ``verbose`` say how much is shown of
    the work meanwhile.
    """

    @functools.wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        try:
            quiet, verbose = bool(kwargs.get("quiet")), bool(kwargs.get("verbose"))
            output = _json_alone() if kwargs.get("json") else nullcontext()
            lines = stage_lines(quiet=quiet or not is_first(), verbose=verbose)
            with output, _warning_lines(quiet), lines:
                return command(*args, **kwargs)
        except GnnkitError as error:
            if kwargs.get("debug"):
                raise
            _stop(error, error_line(error), 2)
        except OSError as error:
            # Files are read and written within gnnkit.paths; this is for what libraries do besides.
            if kwargs.get("debug") or error.errno == errno.EPIPE:  # Whoever read our output has enough of it.
                raise
            told = FileError("use", error.filename or "standard output or a file", error)
            _stop(told, error_line(told), 2)
        except (MemoryError, ImportError, RuntimeError) as error:
            if kwargs.get("debug") or not is_out_of_memory(error):
                raise
            short = GnnkitError(f"There is not enough memory ({_first_line(error)}). {_LESS_MEMORY}")
            _stop(short, error_line(short), 2)
        except KeyboardInterrupt as interrupt:
            number = interrupt.number if isinstance(interrupt, Ended) else signal.SIGINT
            advice = getattr(interrupt, ADVICE, "")
            _stop(Ended(number), f"interrupted{advice and '; '}{advice}", 128 + number)

    return wrapped  # type: ignore[return-value]


ADVICE = "advice"
"""Attribute of a KeyboardInterrupt that says what can be done after it."""
_LESS_MEMORY = (
    "Allow the process more (ulimit -v), free some, or lower train.batch_size, model.hidden_channels or fan-outs."
)


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")


class _Lines(logging.Handler):
    """Prints to what is the standard error stream just now: it is another one while a bar is drawn."""

    def emit(self, record: logging.LogRecord) -> None:
        print(self.format(record), file=sys.stderr)


@contextmanager
def _warning_lines(quiet: bool) -> Iterator[None]:
    """Print what readers warn of, and who waits for whom, as lines that begin with "warning:".

    Args:
        quiet: Print no warning at all instead.
    """
    handler = logging.NullHandler() if quiet else _Lines()
    handler.setFormatter(logging.Formatter("warning: %(message)s"))
    names = ("gnnkit",) if quiet else ("gnnkit.data", "gnnkit.parallel")
    logs = [logging.getLogger(name) for name in names]
    for log in logs:
        log.addHandler(handler)
    try:
        yield
    finally:
        for log in logs:
            log.removeHandler(handler)


class Ended(KeyboardInterrupt):
    """A signal asks the process to end, as Ctrl-C does.

    Args:
        number: Which signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


def end_on_signals() -> None:
    """Make signals that end a process end a command as Ctrl-C does, unless the process was started to ignore them."""
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, _end)


def _end(number: int, frame: Optional[FrameType]) -> None:
    raise Ended(number)


def error_line(error: object) -> str:
    """What is printed of an error: one line."""
    return " ".join(["error:", *(line.strip() for line in str(error).splitlines())])


def _stop(error: BaseException, message: str, code: int) -> NoReturn:
    text = str(error.number) if isinstance(error, Ended) else str(error)
    if not leave_word(error, text):
        print(message, file=sys.stderr)
    raise typer.Exit(code)


def output_file(path: Path) -> Path:
    """A file that a command is to write, as the user gave it; refused at once where it cannot be written.

    Raises:
        FileError: It cannot be written.
    """
    path = user_path(path, "The output")
    check_writable(path)
    return path


@contextmanager
def handed_on() -> Iterator[None]:
    """Give standard output back to processes that are started meanwhile and write the JSON line themselves."""
    if _kept is None:
        yield
        return
    kept = os.dup(1)
    os.dup2(_kept, 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


_kept: Optional[int] = None
"""The file that standard output was, while it is kept for the JSON line."""
_json_output: Optional[TextIO] = None
"""Where the JSON line goes while everything else is kept from standard output."""


@contextmanager
def _json_alone() -> Iterator[None]:
    """Send to the standard error stream what goes to standard output, JSON excepted.

    That includes what C libraries and child processes write, unless standard output is no file (as in tests).
    """
    global _json_output, _kept
    shown = sys.stdout
    shown.flush()
    try:
        number, errors = shown.fileno(), sys.stderr.fileno()
    except (io.UnsupportedOperation, AttributeError):
        number = kept = None
    else:
        kept = os.dup(number)
        os.dup2(errors, number)
    _kept = kept
    _json_output = shown if kept is None else os.fdopen(os.dup(kept), "w", encoding="utf-8")
    sys.stdout = sys.stderr
    try:
        yield
    finally:
        sys.stdout = shown
        if kept is not None:
            _json_output.close()
            os.dup2(kept, number)
            os.close(kept)
        _json_output = _kept = None


def print_json(values: Mapping[str, Any]) -> None:
    """One line of JSON on standard output; numbers that JSON lacks become null."""
    print(to_json(values), file=_json_output or sys.stdout, flush=True)


def print_table(title: str, columns: Sequence[str], rows: Sequence[List[str]], *, whole_lines: bool = False) -> None:
    """A table on standard output; text is shown as it is, whatever brackets it holds.

    Args:
        title: What it shows.
        columns: Heads of the columns; empty ones for none.
        rows: Its rows.
        whole_lines: Whether a row is one line, however long.
    """
    from rich import box
    from rich.console import Console
    from rich.measure import Measurement
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, box=box.SIMPLE, title_justify="left", show_header=any(columns))
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*[Text(cell) for cell in row])
    console = Console()
    if whole_lines:
        needed = Measurement.get(console, console.options.update(width=_WIDEST), table).maximum
        console = Console(width=max(console.width, needed))
    console.print(table)


def print_summary(title: str, summary: Mapping[str, str]) -> None:
    """A table of what data are. Warnings are left out: they were printed when the data were read.

    Args:
        title: What the data are called.
        summary: From :func:`gnnkit.data.summarize`.
    """
    print_table(title, ["", ""], [[topic, words] for topic, words in summary.items() if topic != "warnings"])


_WIDEST = 4096
"""Columns of a table whose rows are not to be broken."""
