"""Tables that users write: CSV, TSV and Parquet, read so that a mistake is named by file, column and row.

Rules: cells are text until a column is asked for; ``gnnkit.data.words`` lists the marks of a missing value. Rows are
counted as a user sees them: for CSV and TSV the line of the file, its header being line 1; for Parquet from 0.
"""

from __future__ import annotations

import csv
import io
import math
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Dict, Iterator, List, Sequence

import numpy as np

from gnnkit.data.words import MISSING_TEXT, is_missing_text
from gnnkit.errors import DatasetError
from gnnkit.io.arrays import archive_names, read_npy, read_npz
from gnnkit.io.limits import MOST_COLUMNS
from gnnkit.io.parquet import read_frame
from gnnkit.io.text import parse_json, read_text

_SEPARATORS = {".csv": ",", ".tsv": "\t"}
_PIECE_ROWS = 512
"""So few that reading sets off no search for garbage, which begins at 700 new objects and looks at all rows."""


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
        counted = f"line {row + 2}" if self.file.suffix in _SEPARATORS else f"row {row}"
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
        """A column as text without outer blanks; a missing value is empty, whole numbers have no decimal point.

        Raises:
            DatasetError: A cell holds a list.
        """
        cells = self.columns[column]
        if isinstance(cells, list):
            return [cell.strip() for cell in cells]
        for row, cell in enumerate(cells if cells.dtype == object else ()):
            if _is_list(cell):
                raise DatasetError(f"{self.place(column, row)}: {list(cell)!r}, expected one value, not a list.")
        return [_as_text(cell) for cell in cells]

    def kind(self, column: str, missing: Sequence[Any] = MISSING_TEXT) -> str:
        """What a column holds: "numbers", "lists", "text", or "nothing" where no cell has a value.

        A column of which at least half of the cells with a value are numbers holds numbers: the others are mistakes to
        be named. Words for yes and no are numbers, 1 and 0. Lists are those of Parquet, and JSON lists in text.
        """
        cells = self.columns[column]
        if not isinstance(cells, list) and cells.dtype.kind in "biuf":
            return "numbers"
        if not isinstance(cells, list) and any(_is_list(cell) for cell in cells):
            return "lists"
        if self._are_all_numbers(column, missing):
            return "numbers"
        given = [cell for cell in self.text(column) if not is_missing_text(cell, missing)]
        if not given:
            return "nothing"
        if all(cell.startswith("[") and cell.endswith("]") for cell in given):
            return "lists"
        numbers = sum(not math.isnan(as_number(cell)) for cell in given)
        return "numbers" if 2 * numbers >= len(given) else "text"

    def _are_all_numbers(self, column: str, missing: Sequence[Any]) -> bool:
        """Whether each cell of text is a finite number and marks no missing value: a look that takes no time."""
        if any(isinstance(mark, str) and math.isfinite(as_number(mark)) for mark in missing) or not self.num_rows:
            return False
        try:
            return bool(np.isfinite(np.array(self.columns[column], dtype=np.float64)).all())
        except (ValueError, TypeError):
            return False

    def numbers(self, column: str) -> np.ndarray:
        """A column as float64; true and false are 1 and 0.

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
            raise DatasetError(
                f"{self.place(column, int(broken[0]))}: {received}, expected a finite number. Fill the cell, or leave "
                f"the column out: dataset.options.ignore=[{column}]."
            )
        return values

    def exact_numbers(self, column: str) -> np.ndarray:
        """A column as int64 where all of it is written as whole numbers or truth values, else as float64.

        Raises:
            DatasetError: A cell is no finite number.
        """
        values = self.numbers(column)
        cells = self.columns[column]
        if not isinstance(cells, list) and cells.dtype.kind in "biuf":
            return values if cells.dtype.kind == "f" else cells.astype(np.int64)
        try:
            return np.array([int(_TRUTH.get(cell.casefold(), cell)) for cell in self.text(column)], dtype=np.int64)
        except (ValueError, OverflowError):
            return values

    def lists(self, column: str) -> List[List[Any]]:
        """A column of lists; text without brackets is divided at blanks, commas and semicolons.

        Raises:
            DatasetError: A cell in brackets is no JSON list.
        """
        return [self._list(column, row, cell) for row, cell in enumerate(self.columns[column])]

    def _list(self, column: str, row: int, cell: Any) -> List[Any]:
        if _is_list(cell):
            return list(cell)
        text = _as_text(cell)
        if is_missing_text(text):
            return []
        if not text.startswith("["):
            return text.replace(",", " ").replace(";", " ").split()
        values: List[Any] = parse_json(text, f"{self.place(column, row)}: {text[:40]!r}")
        return values

    def _parse(self, column: str) -> np.ndarray:
        cells = self.text(column)
        try:
            if not any("_" in cell for cell in cells):  # Python reads 1_5 as 15.
                return np.array(cells, dtype=np.float64)
        except ValueError:
            pass
        return np.array([as_number(cell) for cell in cells], dtype=np.float64)


def read_table(file: Path) -> Table:
    """Read a table.

    Args:
        file: ``.csv`` or ``.tsv`` in UTF-8 with a header line, or ``.parquet``.

    Raises:
        DatasetError: It cannot be read, has two columns of one name, or a row has too few or too many cells.
        NotInstalledError: Parquet needs pandas and pyarrow.
    """
    return _read_csv(file) if file.suffix in _SEPARATORS else _read_parquet(file)


def read_array(file: Path, words: Sequence[str] = ()) -> np.ndarray:
    """Read a ``.npy`` file, or an array of an ``.npz``; objects, which could run code, are refused.

    Args:
        file: The file.
        words: Names of the array in an ``.npz`` of several.

    Raises:
        DatasetError: It cannot be read, holds no numbers, or there is no telling which array is meant.
    """
    if file.suffix == ".npz":
        arrays = read_arrays(file)
        chosen = list(arrays) if len(arrays) == 1 else [name for name in arrays if name in words]
        if len(chosen) != 1:
            expected = f"expected one, or one called {' or '.join(words)}" if words else "expected one"
            raise DatasetError(f"{file} has the arrays {', '.join(arrays)}, {expected}. Write each to a file.")
        return arrays[chosen[0]]
    return read_npy(file)


def array_names(file: Path) -> List[str]:
    """Names of the arrays of an ``.npz`` file; none if it cannot be read."""
    return archive_names(file)


def read_arrays(file: Path) -> Dict[str, np.ndarray]:
    """Read an ``.npz`` file: its arrays by name; a matrix of scipy's ``save_npz`` is one, "matrix", made dense.

    Raises:
        DatasetError: It cannot be read, or holds no numbers.
    """
    return read_npz(file)


def _read_csv(file: Path) -> Table:
    stream = io.StringIO(read_text(file), newline="")
    try:
        reader = csv.reader(stream, delimiter=_SEPARATORS[file.suffix])
        header = _header(file, next(reader, []))
        columns = _read_columns(file, reader, len(header))
    except csv.Error as error:
        raise DatasetError(f"{file} cannot be read as a table ({error}). Write it again.") from error
    return Table(file, dict(zip(header, columns)), len(columns[0]))


def _header(file: Path, row: Sequence[str]) -> List[str]:
    """Names of columns, from the first line."""
    if not any(row):
        raise DatasetError(f"{file} is empty, expected a line of column names.")
    header = [name.strip() for name in row]
    if len(header) > MOST_COLUMNS:
        problem = f"{len(header):,} columns, expected at most {MOST_COLUMNS:,}"
        raise DatasetError(f"{file} has {problem}. Give wide features as features.npy or features.npz.")
    if all(_is_plain_number(name) for name in header):
        problem = f"its first line is {','.join(header)!r}, expected names of columns"
        raise DatasetError(f"{file}: {problem}. Add a first line, such as 'source,target' for edges.")
    if len(set(header)) < len(header):
        raise DatasetError(f"{file} names a column twice: {', '.join(header)}. Rename one.")
    return header


def _read_columns(file: Path, reader: Iterator[List[str]], width: int) -> List[List[str]]:
    """The cells of each column; blank lines at the end are none."""
    columns: List[List[str]] = [[] for _ in range(width)]
    blank: List[List[str]] = []
    for piece in iter(lambda: list(islice(reader, _PIECE_ROWS)), []):
        rows = blank + piece
        end = max((number for number, row in enumerate(rows, start=1) if row), default=0)
        rows, blank = rows[:end], rows[end:]
        first = len(columns[0]) + 2
        for number, row in enumerate(rows):
            if len(row) != width:
                _refuse_row(file, first + number, row, width)
        for column, cells in zip(columns, zip(*rows)):
            column.extend(cells)
    return columns


def _refuse_row(file: Path, line: int, row: Sequence[str], width: int) -> None:
    if not row and width == 1:
        raise DatasetError(
            f"{file}, line {line}: it is blank, which in a table of one column is a missing value or nothing at all. "
            "Write NA for a missing value, or remove the line."
        )
    problem = f"{len(row)} cells, expected {width}"
    raise DatasetError(f"{file}, line {line}: {problem}. Is the file cut short or a separator missing?")


def _read_parquet(file: Path) -> Table:
    frame = read_frame(file)
    named = [name for name in frame.index.names if name is not None]
    if named:  # pandas has written what it used as index: ids, as a rule.
        frame = frame.reset_index(level=named)
    return Table(file, {str(name): frame[name].to_numpy() for name in frame.columns}, len(frame))


def _is_plain_number(name: str) -> bool:
    return name.replace(".", "", 1).replace("-", "", 1).isdecimal()


def _is_list(cell: Any) -> bool:
    return isinstance(cell, (list, tuple, np.ndarray))


def _as_text(cell: Any) -> str:
    if cell is None or cell != cell or type(cell).__name__ in ("NAType", "NaTType"):
        return ""
    if isinstance(cell, (float, np.floating)) and float(cell).is_integer():
        return str(int(cell))
    return str(cell).strip()


_TRUTH = {"true": 1.0, "false": 0.0, "yes": 1.0, "no": 0.0}


def as_number(cell: str) -> float:
    """A cell as a number, with 1 and 0 for yes and no; NaN for what is none."""
    try:
        return float(cell) if "_" not in cell else float("nan")
    except ValueError:
        return _TRUTH.get(cell.casefold(), float("nan"))
