"""Tables that users write: CSV and Parquet, read so that a mistake is named by file, column and row.

Rules: cells are text until a column is asked for; an empty cell is a missing value. Rows are counted as a user sees
them: for CSV the line of the file, its header being line 1; for Parquet from 0.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List

import numpy as np

from gnnkit.errors import DatasetError, NotInstalledError


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        file: Where it was read from.
        columns: Cells by column name: text, or for Parquet an array of any dtype.
        num_rows: Number of rows.
    """

    file: Path
    columns: Dict[str, Any]
    num_rows: int

    def place(self, column: str, row: int) -> str:
        """How a message names a cell."""
        counted = f"line {row + 2}" if self.file.suffix == ".csv" else f"row {row}"
        return f"{self.file}, column {column!r}, {counted}"

    def require(self, *names: str) -> None:
        """Check that columns are there.

        Raises:
            DatasetError: One is not.
        """
        for name in names:
            if name not in self.columns:
                known = ", ".join(repr(column) for column in self.columns)
                raise DatasetError(f"{self.file} has no column {name!r}; it has {known}. Add the column.")

    def text(self, column: str) -> List[str]:
        """A column as text without outer blanks; a missing value is empty, whole numbers have no decimal point."""
        cells = self.columns[column]
        return [cell.strip() for cell in cells] if isinstance(cells, list) else [_as_text(cell) for cell in cells]

    def numbers(self, column: str) -> np.ndarray:
        """A column as float64.

        Raises:
            DatasetError: A cell is no finite number.
        """
        cells = self.columns[column]
        if not isinstance(cells, list) and cells.dtype.kind in "biuf":
            values = np.asarray(cells, dtype=np.float64)
        else:
            values = self._parse(column)
        broken = np.flatnonzero(~np.isfinite(values))
        if broken.size:
            received = f"{self.text(column)[int(broken[0])]!r}"
            raise DatasetError(f"{self.place(column, int(broken[0]))}: {received}, expected a finite number.")
        return values

    def _parse(self, column: str) -> np.ndarray:
        cells = self.text(column)
        try:
            return np.array(cells, dtype=np.float64)
        except ValueError:
            return np.array([_as_number(cell) for cell in cells], dtype=np.float64)


def read_table(file: Path) -> Table:
    """Read a table.

    Args:
        file: ``.csv`` in UTF-8 with a header line, or ``.parquet``.

    Raises:
        DatasetError: It cannot be read, has two columns of one name, or a row has too few or too many cells.
        NotInstalledError: Parquet needs pandas and pyarrow.
    """
    return _read_csv(file) if file.suffix == ".csv" else _read_parquet(file)


def read_array(file: Path) -> np.ndarray:
    """Read a ``.npy`` file; objects, which could run code, are refused.

    Raises:
        DatasetError: It cannot be read.
    """
    try:
        array: np.ndarray = np.load(file, allow_pickle=False)
    except (OSError, EOFError, ValueError) as error:
        raise DatasetError(f"{file} is cut short or no NumPy array of numbers ({error}). Write it again.") from error
    if array.dtype.kind not in "biuf":
        raise DatasetError(f"{file} has dtype {array.dtype}, expected numbers. Text belongs into a CSV file.")
    return array


def _read_csv(file: Path) -> Table:
    try:
        with file.open(newline="", encoding="utf-8-sig") as stream:
            rows = list(csv.reader(stream))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"{file} cannot be read as CSV in UTF-8 ({error}). Write it again.") from error
    if not rows or not any(rows[0]):
        raise DatasetError(f"{file} is empty, expected a line of column names.")
    header = [name.strip() for name in rows[0]]
    if len(set(header)) < len(header):
        raise DatasetError(f"{file} names a column twice: {', '.join(header)}. Rename one.")
    body = rows[1:]
    while body and not body[-1]:
        body.pop()
    for number, row in enumerate(body):
        if len(row) != len(header):
            problem = f"{len(row)} cells, expected {len(header)}"
            raise DatasetError(f"{file}, line {number + 2}: {problem}. Is the file cut short or a separator missing?")
    columns = [list(cells) for cells in zip(*body)] if body else [[] for _ in header]
    return Table(file, dict(zip(header, columns)), len(body))


def _read_parquet(file: Path) -> Table:
    try:
        import pandas
        import pyarrow  # noqa: F401
    except ImportError as error:
        raise NotInstalledError(f"What reads {file.name} (pandas and pyarrow)", "pip install gnnkit[pandas]") from error
    try:
        frame = pandas.read_parquet(file, engine="pyarrow")
    except Exception as error:
        # Which exceptions a damaged file causes is not documented.
        raise DatasetError(f"{file} is cut short or no Parquet file ({error}). Write it again.") from error
    return Table(file, {str(name): frame[name].to_numpy() for name in frame.columns}, len(frame))


def _as_text(cell: Any) -> str:
    if cell is None or cell != cell or type(cell).__name__ in ("NAType", "NaTType"):
        return ""
    if isinstance(cell, (float, np.floating)) and float(cell).is_integer():
        return str(int(cell))
    return str(cell).strip()


def _as_number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return float("nan")
