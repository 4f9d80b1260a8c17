"""Reading lists of edges in pieces of bounded size: text, NumPy arrays, Parquet.

Rules: a piece is whole rows; every id is checked where it is read, so that a mistake is named by file and line (rows of
arrays count from 0). Text is two columns of whole numbers, separated by commas, semicolons, tabs or blanks; a first
line without numbers is a header, whose words say which column holds sources; lines that begin with # or % are comments.
"""

from __future__ import annotations

import gzip
import re
import zlib
from pathlib import Path
from typing import IO, Any, Iterator, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from gnnkit.data.words import find_columns
from gnnkit.errors import DataError, DatasetError
from gnnkit.io.arrays import map_npy
from gnnkit.io.limits import check_unpacked, opened
from gnnkit.io.parquet import open_parquet
from gnnkit.jit import kernel

Piece = Tuple[np.ndarray, float]
"""Edges, shape [2, n], int64 (sources, destinations), and the share of the file that has been read."""

_TEXT = (".csv", ".tsv", ".txt")
_OK, _NO_INTEGER, _NEGATIVE, _TOO_LARGE, _NO_PAIR = range(5)
_LONGEST_LINE = 1 << 16
_NO_COLUMNS: Mapping[str, str] = {}


def read_edges(
    file: Path, num_nodes: Optional[int], piece_bytes: int, columns: Mapping[str, str] = _NO_COLUMNS
) -> Iterator[Piece]:
    """Read a list of edges piece by piece.

    Args:
        file: ``.csv``, ``.tsv`` or ``.txt``, each also with ``.gz``; ``.npy`` of shape [2, E] or [E, 2];
            ``.parquet`` with columns of sources and targets (``gnnkit.data.words.COLUMN_WORDS``).
        num_nodes: Ids must be below it. None allows all.
        piece_bytes: Memory for a piece, about.
        columns: Names of the columns "source" and "target", where they have other ones.

    Raises:
        DatasetError: The file cannot be read, or has something else than edges; the message names the first line.
        NotInstalledError: Parquet needs pyarrow.
    """
    suffix = file.with_suffix("").suffix if file.suffix == ".gz" else file.suffix
    if suffix in _TEXT:
        return _read_text(file, num_nodes, max(64, piece_bytes // 8), columns)
    if file.suffix not in (".npy", ".parquet"):
        known = ", ".join([*_TEXT, *(f"{name}.gz" for name in _TEXT), ".npy", ".parquet"])
        raise DatasetError(f"{file} is no known kind of edge list, expected one of {known}. Rename or convert it.")
    if file.suffix == ".npy":
        return _read_npy(file, num_nodes, max(1, piece_bytes // 32))
    return _read_parquet(file, num_nodes, max(1, piece_bytes // 32), columns)


def other_columns(file: Path, columns: Mapping[str, str]) -> List[str]:
    """Columns of a Parquet file of edges that are not read; other files have none."""
    if file.suffix != ".parquet":
        return []
    with open_parquet(file) as content:
        names = list(content.schema_arrow.names)
    return [name for name in names if name not in _ends(names, file, columns)]


def _read_text(file: Path, num_nodes: Optional[int], block: int, columns: Mapping[str, str]) -> Iterator[Piece]:
    limit = np.iinfo(np.int64).max if num_nodes is None else num_nodes
    unpacked = 0
    with opened(file) as (raw, size):
        stream: IO[bytes] = gzip.GzipFile(fileobj=raw) if file.suffix == ".gz" else raw  # type: ignore[assignment]
        rest, line, swapped, begun = b"", 1, False, False
        while True:
            read = _read_block(stream, block, file)
            unpacked += len(read)
            check_unpacked(file, size, unpacked)
            text = rest + (read or b"\n")
            if not text.strip() and not read:
                return
            cut = text.rfind(b"\n") + 1
            text, rest = text[:cut], text[cut:]
            if len(rest) > _LONGEST_LINE:
                number = line + text.count(b"\n")
                raise DatasetError(f"{file}, line {number}: it is longer than {_LONGEST_LINE} bytes, expected two ids.")
            skipped = b""
            if not begun and text:
                skipped, begun, swapped = _header(text, file, columns)
            edges = np.empty((2, (len(text) - len(skipped)) // 4 + 1), dtype=np.int64)
            line += skipped.count(b"\n")
            num, lines, status = _parse(np.frombuffer(text[len(skipped) :], dtype=np.uint8), limit, edges)
            if status != _OK:
                bad = text[len(skipped) :].split(b"\n", lines + 1)[lines]
                raise DatasetError(f"{file}, line {line + lines}: {_problem(bad, status, num_nodes)}")
            line += lines
            yield edges[::-1, :num] if swapped else edges[:, :num], min(1.0, raw.tell() / max(1, size))
            if not read:
                return


def _read_block(stream: IO[bytes], block: int, file: Path) -> bytes:
    try:
        return stream.read(block)
    except (OSError, EOFError, zlib.error) as error:
        raise DatasetError(f"{file} cannot be read ({error}). Is it cut short?") from error


def _header(text: bytes, file: Path, columns: Mapping[str, str]) -> Tuple[bytes, bool, bool]:
    """What comes before the edges, whether edges have begun, and whether the columns are target, source."""
    end = 3 if text.startswith(b"\xef\xbb\xbf") else 0
    while end < len(text):
        stop = text.index(b"\n", end) + 1
        cells = [cell.strip(b"\"'") for cell in re.split(rb"[\s,;]+", text[end:stop].strip())]
        if cells != [b""] and cells[0][:1] not in (b"#", b"%"):
            if any(cell[:1].isdigit() or cell[:1] == b"-" for cell in cells) or cells[0] == b"":
                return text[:end], True, False
            names = [cell.decode("utf-8", "replace") for cell in cells]
            source, target = _ends(names, file, columns)
            return text[:stop], True, names.index(target) < names.index(source)
        end = stop
    return text, False, False


def _ends(names: Sequence[str], file: Path, columns: Mapping[str, str]) -> Tuple[str, str]:
    """The columns of sources and of targets, by their names.

    Raises:
        DatasetError: The names do not say which they are.
    """
    try:
        found = find_columns(names, ("source", "target"), columns, str(file))
    except DataError as error:
        raise DatasetError(f"{error}") from error
    if len(found) < 2:
        received = ", ".join(repr(name) for name in names)
        advice = "Name them: --column source=NAME --column target=NAME."
        raise DatasetError(f"{file} has the columns {received}, expected source and target. {advice}")
    return found["source"], found["target"]


def _problem(bad: bytes, status: int, num_nodes: Optional[int]) -> str:
    received = bad[:80].decode("utf-8", "replace").strip()
    if status == _NO_PAIR:
        return f"received {received!r}, expected two columns: source and target. Remove others; weights are not read."
    if status == _NO_INTEGER:
        return f"received {received!r}, expected whole numbers. Number the nodes from 0."
    if status == _NEGATIVE:
        return f"received {received!r}, a negative id. Number the nodes from 0."
    expected = "ids below 2^63" if num_nodes is None else f"ids from 0 to {num_nodes - 1}"
    return f"received {received!r}, an id out of range, expected {expected}."


@kernel
def _parse(text: Any, limit: int, out: Any) -> Tuple[int, int, int]:
    """Parse whole lines into ``out``, int64 [2, n]: edges found, lines read without fault, and what stopped it."""
    num, line, position = 0, 0, 0
    while position < len(text):
        column, marks = 0, 0
        while text[position] != 10:
            byte = text[position]
            if byte == 32 or byte == 9 or byte == 13 or byte == 44 or byte == 59:
                marks += byte == 44 or byte == 59
                position += 1
                continue
            if column == 0 and (byte == 35 or byte == 37):
                while text[position] != 10:
                    position += 1
                break
            if column == 2:
                return num, line, _NO_PAIR
            is_negative = byte == 45
            position += is_negative
            first, value = position, 0
            while 48 <= text[position] <= 57:
                if position - first > 17:  # 10^18 and all below fit 63 bits.
                    return num, line, _TOO_LARGE
                value = value * 10 + (text[position] - 48)
                position += 1
            byte = text[position]
            is_end = byte == 10 or byte == 32 or byte == 9 or byte == 13 or byte == 44 or byte == 59
            if position == first or not is_end:
                return num, line, _NO_INTEGER
            if is_negative:
                return num, line, _NEGATIVE
            if value >= limit:
                return num, line, _TOO_LARGE
            out[column, num] = value
            column += 1
        if column == 1 or marks > 1:
            return num, line, _NO_PAIR
        num += column == 2
        position += 1
        line += 1
    return num, line, _OK


def _read_npy(file: Path, num_nodes: Optional[int], rows: int) -> Iterator[Piece]:
    start, end = 0, 1
    while start < end:
        # Opened anew each time, so that what was read does not stay in this process's memory.
        array = open_npy(file)
        if array.ndim != 2 or 2 not in array.shape or array.dtype.kind not in "iu":
            received = f"shape {list(array.shape)} and dtype {array.dtype}"
            raise DatasetError(f"{file} has {received}, expected whole numbers of shape [2, E] or [E, 2].")
        array = array if array.shape[0] == 2 else array.T
        end = array.shape[1]
        edges = np.array(array[:, start : start + rows], dtype=np.int64, order="C")
        _check(edges, num_nodes, file, start)
        start += rows
        yield edges, min(1.0, start / max(1, end))


def _read_parquet(file: Path, num_nodes: Optional[int], rows: int, columns: Mapping[str, str]) -> Iterator[Piece]:
    with open_parquet(file) as content:
        names = content.schema_arrow.names
        wanted = list(_ends(names, file, columns))
        start, end = 0, content.metadata.num_rows
        for batch in content.iter_batches(batch_size=rows, columns=wanted):
            ends = [batch.column(batch.schema.get_field_index(name)).to_numpy(False) for name in wanted]
            if any(end.dtype.kind not in "iu" for end in ends):
                received = ", ".join(f"{name} ({end.dtype})" for name, end in zip(wanted, ends))
                raise DatasetError(f"{file} has {received}, expected two columns of whole numbers without gaps.")
            edges = np.stack(ends).astype(np.int64)
            _check(edges, num_nodes, file, start)
            start += edges.shape[1]
            yield edges, start / max(1, end)


def open_npy(file: Path) -> np.ndarray:
    """Open an array of numbers, memory-mapped.

    Raises:
        DatasetError: It cannot be read.
    """
    return map_npy(file)


def _check(edges: np.ndarray, num_nodes: Optional[int], file: Path, start: int) -> None:
    limit = np.iinfo(np.int64).max if num_nodes is None else num_nodes
    if edges.size and (edges.min() < 0 or edges.max() >= limit):
        row = int(((edges < 0) | (edges >= limit)).any(axis=0).argmax())
        status = _NEGATIVE if edges[:, row].min() < 0 else _TOO_LARGE
        bad = " ".join(str(value) for value in edges[:, row].tolist()).encode()
        raise DatasetError(f"{file}, row {start + row}: {_problem(bad, status, num_nodes)}")
