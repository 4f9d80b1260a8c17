"""How much memory a file justifies, and opening it so that nothing but a file is read.

Rules: a number in a file is a claim. It is held against what the file really has before memory is taken for it.
"""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Iterator, Tuple, Type

from gnnkit.errors import DatasetError, FileError, GnnkitError

Raises = Type[GnnkitError]
"""Which error of the tree a damaged file is, to whoever reads it."""

FREE_BYTES = 1 << 28
"""What any packed file may unpack to."""

PACKED = 200
"""How many times its size a packed file may unpack to above that; data of the real world are below 60."""

FREE_VALUES = 1 << 26
"""Values that any dense array may have which is made of fewer."""

SPREAD = 1000
"""How many values a dense array may have above that for each value that is stored."""

MOST_COLUMNS = 1 << 16
"""Columns of a table."""

MOST_LEVELS = 64
"""Lists in lists, or mappings in mappings, of text that people write."""


@contextmanager
def opened(file: Path, raises: Raises = DatasetError) -> Iterator[Tuple[BinaryIO, int]]:
    """Open a file for reading: its stream and its size.

    Args:
        file: The file. A pipe or a device, which may have no end, is refused.
        raises: The error for one that cannot be read.

    Raises:
        GnnkitError: Of the type ``raises``: it cannot be opened, or reading fails in the block.
    """
    try:
        # A pipe would be waited for without this flag.
        number = os.open(file, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        with os.fdopen(number, "rb") as stream:
            status = os.fstat(number)
            if not stat.S_ISREG(status.st_mode):
                raise raises(f"{file} is no file, expected one. Copy what it gives into a file.")
            yield stream, status.st_size
    except OSError as error:
        raise unreadable(file, error, raises) from error


def unreadable(file: Path, error: OSError, raises: Raises) -> GnnkitError:
    """The error for a file that the system does not let us read."""
    failure = FileError("read", file, error)
    return failure if issubclass(FileError, raises) else raises(str(failure))


def check_unpacked(file: Path, packed: int, unpacked: int, raises: Raises = DatasetError) -> None:
    """Refuse a packed file that would unpack to more than its size justifies.

    Args:
        file: For the message.
        packed: Its size in bytes.
        unpacked: What it says that it unpacks to, or has unpacked to so far.
        raises: The error.

    Example:
        >>> check_unpacked(Path("data.npz"), 1000, 100_000)
    """
    if unpacked > max(FREE_BYTES, PACKED * packed):
        raise raises(
            f"{file} is refused: its {packed:,} bytes would unpack to {unpacked:,} or more, expected at most {PACKED} "
            "times as many. If it is what you want, write it without compression."
        )


def check_dense(rows: int, columns: int, stored: int, where: object, raises: Raises = DatasetError) -> None:
    """Refuse to make a dense array out of very few values.

    Args:
        rows: Of the array.
        columns: Likewise.
        stored: How many values it is made of.
        where: The file, for the message.
        raises: The error.

    Example:
        >>> check_dense(2708, 1433, 49_216, "cora")
    """
    if rows * columns > max(FREE_VALUES, SPREAD * stored):
        raise raises(
            f"{where} asks for {rows:,} rows of {columns:,} columns, made of {stored:,} values. Expected at most "
            f"{SPREAD:,} times as many values as there are. Is a number in it wrong, or should it be a feature instead "
            "of a category?"
        )
