"""The labels of a user's folder: classes from words or numbers, and numbers to regress put into bins.

Rules: marks of a missing label are those of ``gnnkit.data.words`` unless the user gives others. Words are numbered in
alphabetical order. Numbers to regress never become a class each.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Mapping, Optional, Tuple

import numpy as np
import torch

from gnnkit.data import IGNORED_LABEL
from gnnkit.data.labels import check_classes, is_regression, which_missing
from gnnkit.data.words import is_missing_text
from gnnkit.datasets.folder_files import ARRAY_WORDS
from gnnkit.datasets.folder_nodes import Choices, Found, NodeTable
from gnnkit.datasets.tables import Table, read_array
from gnnkit.errors import DataError, DatasetError


@dataclass(frozen=True)
class Labels:
    """Labels of nodes.

    Attributes:
        y: Classes [N], or several labels [N, C]; None if there are none.
        names: Names of the classes, if they are words or bins.
        note: Where they come from.
        values: Numbers to regress by name, which are no labels. Each [N], float32.
    """

    y: Optional[np.ndarray] = None
    names: Tuple[str, ...] = ()
    note: str = ""
    values: Mapping[str, np.ndarray] = field(default_factory=dict)

    @property
    def num_rows(self) -> Optional[int]:
        """The number of nodes that they show; None if there are none."""
        return next((len(array) for array in (self.y, *self.values.values()) if array is not None), None)


def read_labels(files: Mapping[str, Path], nodes: NodeTable, choices: Choices, found: Found) -> Labels:
    """Labels from an array or from a column of the table of nodes.

    Raises:
        DatasetError: Both are there, or one cannot be read.
    """
    file, table, column = files.get("labels"), nodes.table, nodes.roles.get("label")
    if file is None:
        if table is None or column is None:
            if choices.label_bins is not None:
                raise DatasetError(
                    f"label_bins is {choices.label_bins}, but there are no labels. Say which column has them: "
                    "dataset.options.columns.label=NAME."
                )
            return Labels()
        return read_label_column(table, column, choices, found)
    if table is not None and column is not None:
        raise DatasetError(f"labels are in {file} and in {table.file}, column {column!r}. Keep one of them.")
    array = nodes.by_row(read_array(file, ARRAY_WORDS["labels"]), file)
    if array.ndim == 2 and array.shape[1] != 1:
        return Labels(array, note=file.name)
    if array.ndim not in (1, 2):
        raise DatasetError(f"{file} has shape {list(array.shape)}, expected [N] classes or [N, C] labels of 0 and 1.")
    return _from_numbers("label", array.reshape(-1), np.zeros(len(array), dtype=bool), choices, found, file)


def read_label_column(table: Table, column: str, choices: Choices, found: Found, *, below_zero: bool = False) -> Labels:
    """Labels from a column of a table.

    Args:
        table: The table.
        column: Name of the column.
        choices: What the user said about missing values and bins.
        found: Gets warnings.
        below_zero: Whether more than two whole numbers, some below 0, are numbers to regress; classes with a wrong code
            otherwise.

    Raises:
        DatasetError: There are too few different numbers for the bins, or classes are no codes from 0.
    """
    cells = table.text(column)
    words = [mark for mark in choices.marks if isinstance(mark, str)]
    missing = np.array([is_missing_text(cell, words) for cell in cells], dtype=bool)
    numbers = np.array([_number(cell) for cell in cells], dtype=np.float64)
    if not bool(np.isnan(numbers[~missing]).any()):
        return _from_numbers(column, numbers, missing, choices, found, table.file, below_zero)
    if choices.label_bins is not None:
        row = int(np.flatnonzero(np.isnan(numbers) & ~missing)[0])
        raise DatasetError(f"{table.place(column, row)}: {cells[row]!r}, expected a number to put into a bin.")
    missing |= np.isin(numbers, choices.marked_numbers)
    names = sorted({cell for cell, gone in zip(cells, missing) if not gone})
    number = {name: place for place, name in enumerate(names)}
    y = np.array([IGNORED_LABEL if gone else number[cell] for cell, gone in zip(cells, missing)], dtype=np.int64)
    if is_regression(y[y >= 0]):
        found.warnings.append(
            f"{table.file}: column {column!r} has {len(names):,} different words on {(y >= 0).sum():,} nodes. "
            "Is it a label?"
        )
    return Labels(y, tuple(names), f"column {column!r}")


def _number(cell: str) -> float:
    """A label as a number; NaN for a word, such as "1_0" or "inf", which Python takes for numbers."""
    try:
        number = float(cell) if "_" not in cell else float("nan")
    except ValueError:
        number = float("nan")
    return number if math.isfinite(number) else float("nan")


def _from_numbers(
    name: str,
    array: np.ndarray,
    missing: np.ndarray,
    choices: Choices,
    found: Found,
    file: Path,
    below_zero: bool = False,
) -> Labels:
    """Classes from numbers, or bins, or, of numbers to regress, no labels but values."""
    are_numbers = _are_numbers(array[~missing].astype(np.float64), choices, below_zero)
    # The usual marks of a missing class, -1 and -100, are numbers that values to regress may well have.
    marks = () if are_numbers and choices.missing is None else choices.marked_numbers
    try:
        missing = missing | which_missing(array, marks)
    except DataError as error:
        raise DatasetError(f"{file}: {error}") from error
    values = np.where(missing, np.nan, array.astype(np.float64))
    given = values[~missing]
    where = f"column {name!r}" if file.suffix not in (".npy", ".npz") else file.name
    if not given.size:
        return Labels(np.full(len(values), IGNORED_LABEL, dtype=np.int64), note=f"{where}, which has no value")
    if choices.number_classes:
        return _numbered(values, missing, where)
    if choices.label_bins is not None:
        return _in_bins(values, missing, choices.label_bins, where)
    if not are_numbers and not is_regression(given):
        y = np.where(missing, IGNORED_LABEL, np.nan_to_num(values)).astype(np.int64)
        _check_numbering(y, missing, where, file)
        return Labels(y, note=where)
    found.warnings.append(
        f"{file}: {where} has {np.unique(given).size:,} different numbers, like values to regress: they are kept as "
        f"node_data[{name!r}], and there are no labels. Regress them with --task node_regression, put them into "
        "classes of equal size with dataset.options.label_bins=5, or say dataset.options.number_classes=true if each "
        "of them is a class."
    )
    return Labels(values={name: values.astype(np.float32)}, note=f"{where} holds numbers to regress")


def _are_numbers(given: np.ndarray, choices: Choices, below_zero: bool) -> bool:
    """Whether labels are numbers to regress by themselves, however many there are."""
    known = given[np.isfinite(given)]
    if bool((known != np.trunc(known)).any()):
        return True
    # Two numbers, such as -1 and 1, may be classes.
    has_below = bool((known[~np.isin(known, choices.marked_numbers)] < 0).any())
    return below_zero and has_below and len(np.unique(known)) > 2


def _check_numbering(y: np.ndarray, missing: np.ndarray, where: str, file: Path) -> None:
    """Refuse codes of classes that are below 0 or far apart."""
    fix = "Say number_classes=true to number them 0, 1, ... (dataset.options.number_classes, or --number-classes)."
    below = np.flatnonzero((y < 0) & ~missing)
    if below.size:
        row = int(below[0])
        raise DatasetError(f"{file}: {where}, row {row}: label {y[row]} is outside the classes 0, 1, ... {fix}")
    try:
        check_classes(torch.from_numpy(y))
    except DataError as error:
        raise DatasetError(f"{file}: {error} {fix}") from error


def _numbered(values: np.ndarray, missing: np.ndarray, where: str) -> Labels:
    """A class for each number, in ascending order."""
    codes = np.unique(values[~missing])
    y = np.where(missing, IGNORED_LABEL, np.searchsorted(codes, values)).astype(np.int64)
    return Labels(y, tuple(f"{code:.15g}" for code in codes.tolist()), f"{where}, numbered in ascending order")


def _in_bins(values: np.ndarray, missing: np.ndarray, bins: int, where: str) -> Labels:
    """Classes by quantiles: so many, of about equal size."""
    if bins < 2:
        raise DatasetError(f"label_bins is {bins}, expected at least 2.")
    bounds = np.quantile(values[~missing], np.arange(1, bins) / bins)
    y = np.where(missing, IGNORED_LABEL, np.searchsorted(bounds, values, side="right")).astype(np.int64)
    if np.unique(y[~missing]).size < bins:
        raise DatasetError(f"label_bins is {bins}, but {where} has too few different numbers. Give fewer.")
    ends = ["-inf", *(repr(float(bound)) for bound in bounds), "inf"]
    names = tuple(f"{low} to {high}" for low, high in zip(ends, ends[1:]))
    return Labels(y, names, f"{where} in {bins} bins of about equal size")
