"""Text and JSON from files that nobody trusts."""

from __future__ import annotations

import codecs
import gzip
import json
import zlib
from pathlib import Path
from typing import Any, Iterator, List, Tuple

from gnnkit.errors import DatasetError
from gnnkit.io.limits import MOST_LEVELS, Raises, check_unpacked, opened

_LONGEST_NUMBER = 400
"""Digits of a whole number; a float64 has no more than 309. Python needs the square of their number in time."""
_CHUNK = 1 << 22


def read_text(file: Path, raises: Raises = DatasetError, *, encoding: str = "utf-8") -> str:
    """Read a file of text as a whole.

    Args:
        file: The file.
        raises: The error for one that cannot be read.
        encoding: Of the text; a mark of byte order is left out.

    Raises:
        GnnkitError: Of the type ``raises``: it cannot be read, or is no such text.
    """
    return decoded(read_bytes(file, raises), file, raises, encoding=encoding)


def read_bytes(file: Path, raises: Raises = DatasetError) -> bytes:
    """Read a file as a whole.

    Raises:
        GnnkitError: Of the type ``raises``: it cannot be read.
    """
    with opened(file, raises) as (stream, _):
        return stream.read()


def decoded(content: bytes, where: object, raises: Raises = DatasetError, *, encoding: str = "utf-8") -> str:
    """Bytes as text."""
    try:
        return content[len(codecs.BOM_UTF8) if content.startswith(codecs.BOM_UTF8) else 0 :].decode(encoding)
    except UnicodeDecodeError as error:
        known = {"utf-8": "UTF-8", "ascii": "plain ASCII"}[encoding]
        line = content.count(b"\n", 0, error.start) + 1
        raise raises(f"{where} is no text in {known}: line {line} has the byte {content[error.start]:#04x}.") from error


def read_json(file: Path, raises: Raises = DatasetError) -> Any:
    """Read a file of JSON.

    Raises:
        GnnkitError: Of the type ``raises``: it cannot be read, is no JSON, or is nested too deep.
    """
    return parse_json(read_text(file, raises), file, raises)


def parse_json(text: str, where: object, raises: Raises = DatasetError) -> Any:
    """Values from JSON.

    Args:
        text: The text.
        where: Where it comes from, as the subject of the message.
        raises: The error for what is no JSON, or is nested more than 64 levels deep.

    Example:
        >>> parse_json('{"heads": [1, 2]}', "the settings")
        {'heads': [1, 2]}
    """
    try:
        values = json.loads(text, parse_int=_whole_number)
    except RecursionError:
        raise _too_deep(where, raises) from None
    except ValueError as error:
        raise raises(f"{where} is no JSON: {error}.") from error
    _check_levels(values, where, raises)
    return values


def unpacked_text(file: Path, raises: Raises = DatasetError) -> bytes:
    """The content of a ``.gz`` file, which may have as much as its size justifies.

    Raises:
        GnnkitError: Of the type ``raises``: it cannot be read, is cut short or damaged, or unpacks to too much.
    """
    return b"".join(unpacked_pieces(file, raises))


def unpacked_pieces(file: Path, raises: Raises = DatasetError) -> Iterator[bytes]:
    """The same in pieces, for what need not be in memory as a whole."""
    with opened(file, raises) as (stream, size):
        total = 0
        try:
            with gzip.GzipFile(fileobj=stream) as content:
                for piece in iter(lambda: content.read(_CHUNK), b""):
                    total += len(piece)
                    check_unpacked(file, size, total, raises)
                    yield piece
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise raises(f"{file} is cut short or damaged ({error}). Get it again.") from error


def _whole_number(digits: str) -> int:
    if len(digits) > _LONGEST_NUMBER:
        raise ValueError(f"a number of {len(digits)} digits")
    return int(digits)


def _check_levels(values: Any, where: object, raises: Raises) -> None:
    todo: List[Tuple[Any, int]] = [(values, 0)]
    while todo:
        value, level = todo.pop()
        if isinstance(value, (dict, list)):
            if level >= MOST_LEVELS:
                raise _too_deep(where, raises)
            inside = value.values() if isinstance(value, dict) else value
            todo.extend((each, level + 1) for each in inside if isinstance(each, (dict, list)))


def _too_deep(where: object, raises: Raises) -> Exception:
    return raises(f"{where} is nested more than {MOST_LEVELS} levels deep. Nothing that gnnkit reads is.")
