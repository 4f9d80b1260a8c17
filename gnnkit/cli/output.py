"""How commands speak: tables for people, one JSON line for programs, errors in a line or two."""

from __future__ import annotations

import functools
import sys
from typing import Any, Callable, List, Mapping, NoReturn, Sequence, TypeVar

import typer

from gnnkit.errors import GnnkitError
from gnnkit.strict_json import to_json

F = TypeVar("F", bound=Callable[..., Any])


def reports_errors(command: F) -> F:
    """Make a command end with exit code 2 and a short message on a user's mistake, with 130 on Ctrl-C.

    A command with a parameter ``debug`` lets the traceback through when it is true.
    """

    @functools.wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except GnnkitError as error:
            if kwargs.get("debug"):
                raise
            _stop(f"error: {error}", 2)
        except KeyboardInterrupt:
            _stop("interrupted", 130)

    return wrapped  # type: ignore[return-value]


def _stop(message: str, code: int) -> NoReturn:
    print(message, file=sys.stderr)
    raise typer.Exit(code)


def print_json(values: Mapping[str, Any]) -> None:
    """One line of JSON on standard output; numbers that JSON lacks become null."""
    print(to_json(values), flush=True)


def print_table(title: str, columns: Sequence[str], rows: Sequence[List[str]]) -> None:
    """A table on standard output; text is shown as it is, whatever brackets it holds."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, box=box.SIMPLE, title_justify="left", show_header=any(columns))
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*[Text(cell) for cell in row])
    Console().print(table)
