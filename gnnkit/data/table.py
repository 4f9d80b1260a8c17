"""The columns of a data frame, each of which is taken once: as an array of the graph, or named where it is none.

Rules: what a description says of a column applies where the values at hand still fit it; else values win. Numbers with
gaps stay, as NaN; text, times and other objects are no arrays, and are named.
"""

from __future__ import annotations

import math
import re
from typing import Any, Dict, List, Mapping, Optional, Sequence, Set, Tuple

import numpy as np

from gnnkit.data.convert import restore
from gnnkit.data.labels import is_missing
from gnnkit.data.words import COLUMN_WORDS
from gnnkit.errors import DataError

_OWN = ("x", "y", "weight", "edge_attr")


def column_names(name: str, shape: Sequence[int]) -> List[str]:
    """The columns of an array, by its trailing dimensions."""
    return [f"{name}_{column}" for column in range(math.prod(shape))] if len(shape) else [name]


class Table:
    """The columns of one data frame.

    Args:
        frame: The table; names of columns are text.
        what: What messages call it.
        layouts: Dtype and shape of each array by name, as ``describe`` wrote them; empty for a foreign table.
        x_columns: Columns of the features, as the description has them.

    Attributes:
        used: Columns that have been taken.
        left_out: What is no array, with the reason.
        warnings: What is probably not meant.
        further: Columns of numbers that have become arrays of their own.
        is_flat: Whether every column of features was one of numbers, not of lists.
    """

    def __init__(
        self, frame: Any, what: str, layouts: Mapping[str, Any], x_columns: Optional[Sequence[str]] = None
    ) -> None:
        self.frame = frame
        self.what = what
        self.layouts = layouts
        self.x_columns = list(x_columns or [])
        self.used: Set[str] = set()
        self.left_out: List[str] = []
        self.warnings: List[str] = []
        self.further: List[str] = []
        self.is_flat = True

    def is_array(self, column: str) -> bool:
        """Whether the description says that a column belongs to an array."""
        return column in self.x_columns or any(column in self._described(name) for name in self.layouts)

    def numbered(self, name: str) -> List[str]:
        """The columns numbered after a name, in the order of their numbers."""
        pattern = re.compile(re.escape(name) + r"_\d+")
        columns = [column for column in self.frame.columns if pattern.fullmatch(column)]
        return sorted(columns, key=lambda column: int(column.rsplit("_", 1)[1]))

    def cells(self, column: Optional[str]) -> List[Any]:
        """A column as a list; empty without a column."""
        return [] if column is None else list(self.frame[column].tolist())

    def take_one(self, name: str, column: Optional[str]) -> Any:
        """The array in one column, None without a column."""
        if column is None:
            return None
        self.used.add(column)
        values = self._values(column)
        return self._restored(name, values, [column])

    def take(self, name: str, columns: Optional[Sequence[str]]) -> Tuple[Any, List[str]]:
        """The array in the columns given, else in those described or numbered after its name; and its columns."""
        if columns is None:
            described = self._described(name) if name in self.layouts else []
            dropped = [column for column in described if column not in self.frame]
            if dropped:
                self.warnings.append(f"columns of {name!r} that were there before are gone: {', '.join(dropped)}.")
            further = [column for column in self.numbered(name) if column not in described]
            chosen = [column for column in described if column in self.frame] + further
            if not chosen:
                empty = name in self.layouts and not described and len(self.layouts[name]["shape"]) > 0
                return (restore(np.empty((len(self.frame), 0)), self.layouts[name]) if empty else None), []
        else:
            chosen = [str(column) for column in columns]
            for column in chosen:
                if column not in self.frame:
                    listed = ", ".join(self.frame.columns) or "none"
                    raise DataError(name, f"there is no column {column!r}, only {listed}.")
            self._warn_of_ids(name, chosen)
        self.used.update(chosen)
        parts = [self._values(column) for column in chosen]
        for column, part in zip(chosen, parts):
            if part.dtype.kind not in "biuf":
                problem = f"column {column!r} of {self.what} holds {part.dtype}, expected numbers."
                raise DataError(name, problem, fix="Turn its values into numbers, or leave it out.")
        self.is_flat = self.is_flat and all(part.ndim == 1 for part in parts)
        values = np.concatenate([part.reshape(len(part), math.prod(part.shape[1:])) for part in parts], axis=1)
        return self._restored(name, values, chosen), chosen

    def rest(self) -> Dict[str, Any]:
        """Every array that is left: those described, and every other column of numbers; the others are named."""
        arrays: Dict[str, Any] = {}
        for name in self.layouts:
            columns = self._described(name)
            if name in _OWN or not all(column in self.frame and column not in self.used for column in columns):
                continue
            self.used.update(columns)
            if not columns:
                arrays[name] = restore(np.empty((len(self.frame), 0)), self.layouts[name])
                continue
            parts = [self._values(column) for column in columns]
            values = np.stack(parts, axis=1) if len(self.layouts[name]["shape"]) else parts[0]
            arrays[name] = self._restored(name, values, columns)
        for column in self.frame.columns:
            if column in self.used:
                continue
            values = self._values(column)
            if values.dtype.kind in "biuf":
                arrays[column] = values
                self.further.append(column)
            else:
                self.left_out.append(f"column {column!r} of {self.what} ({_kind(values)})")
        if self.left_out:
            self.warnings.append(f"not taken, because a graph holds numbers: {', '.join(self.left_out)}.")
        return arrays

    def _warn_of_ids(self, name: str, columns: Sequence[str]) -> None:
        for column in columns:
            word = column.strip().casefold()
            looks_like_id = word in COLUMN_WORDS["id"] or word.endswith(("_id", " id"))
            if looks_like_id and self.frame[column].is_unique:
                self.warnings.append(f"column {column!r} of {name!r} looks like an id, which is no feature.")

    def _described(self, name: str) -> List[str]:
        if name == "x" and self.x_columns:
            return self.x_columns
        return column_names(name, self.layouts[name]["shape"])

    def _restored(self, name: str, values: Any, columns: Sequence[str]) -> Any:
        layout = self.layouts.get(name)
        if layout is None:
            return values
        made = restore(values, layout) if list(columns) == self._described(name) else None
        if made is None:
            said = f"{layout['dtype']} of shape {[len(values), *layout['shape']]}"
            self.warnings.append(f"{name!r} was {said} and is {values.dtype} of shape {list(values.shape)} now.")
            return values
        return made

    def _values(self, column: str) -> Any:
        """A column as an array: numbers with NaN for what is missing, or objects."""
        values = self.frame[column].to_numpy()
        if values.dtype != object:
            return values
        cells = values.tolist()
        held = [cell for cell in cells if not is_missing(cell, ())]
        if held and all(isinstance(cell, (int, float, np.number, np.bool_)) for cell in held):
            return np.asarray([np.nan if is_missing(cell, ()) else cell for cell in cells])
        are_lists = len(held) == len(cells) and all(isinstance(cell, (list, tuple, np.ndarray)) for cell in held)
        if held and are_lists and len({len(cell) for cell in held}) == 1:
            return np.stack([np.asarray(cell) for cell in held])
        return values


def _kind(values: Any) -> str:
    return "text" if any(isinstance(cell, str) for cell in values[:1000].tolist()) else str(values.dtype)
