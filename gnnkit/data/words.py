"""What tables call things, and how they mark a missing value: one list of each for all readers.

Rules: words and marks are compared without regard to case and outer blanks. A name that the caller gives goes before
any word here, and a list of marks that the caller gives takes the place of the one here.
"""

from __future__ import annotations

from typing import Any, Dict, Mapping, Optional, Sequence, Tuple

import numpy as np

from gnnkit.errors import DataError

MISSING_TEXT = ("", "na", "n/a", "#n/a", "<na>", "nan", "none", "null", "nat")
"""Cells of text that mean: no value."""

MISSING_LABELS = (-1, -100)
"""Numbers that mean, as a label: no label. NaN always does; 255 does in an array of uint8, where -1 is stored so."""

COLUMN_WORDS: Mapping[str, Tuple[str, ...]] = {
    "source": ("source", "src", "from", "source_id", "src_id", "from_id", "id_1", "id1", "node_1", "node1", "u",
               "head"),
    "target": ("target", "dst", "to", "target_id", "dst_id", "to_id", "id_2", "id2", "node_2", "node2", "v",
               "tail", "dest", "destination"),
    "weight": ("weight", "edge_weight"),
    "id": ("id", "node", "node_id", "nodeid"),
    "label": ("label", "y", "class"),
    "split": ("split",),
    "graph": ("graph", "graph_id", "graphid"),
    "fold": ("fold",),
    "name": ("name", "smiles"),
}  # fmt: skip
"""Names of columns by what they hold; the first one goes before the others."""

_MOST_DIGITS = 18


def is_missing_text(cell: Any, marks: Sequence[Any] = MISSING_TEXT) -> bool:
    """Whether a cell of text marks a missing value.

    Args:
        cell: The cell.
        marks: Marks of a missing value; those that are text count here.

    Example:
        >>> is_missing_text(" NaN "), is_missing_text("0")
        (True, False)
    """
    return str(cell).strip().casefold() in {mark.casefold() for mark in marks if isinstance(mark, str)}


def missing_labels(labels: np.ndarray, marks: Sequence[Any] = MISSING_LABELS) -> np.ndarray:
    """Which of an array of labels mark a missing one.

    Args:
        labels: Numbers of any shape and dtype.
        marks: Marks of a missing label; those that are numbers count here.

    Returns:
        Booleans of the same shape. NaN counts, and 255 in an array of uint8 if -1 is a mark.

    Example:
        >>> missing_labels(np.array([3.0, -1.0, np.nan])).tolist()
        [False, True, True]
    """
    numbers = [mark for mark in marks if not isinstance(mark, (str, bool))]
    if labels.dtype == np.uint8 and -1 in numbers:
        numbers = [*numbers, 255]
    found: np.ndarray = np.isin(labels, numbers)
    return found | np.isnan(labels) if labels.dtype.kind == "f" else found


def find_columns(
    columns: Sequence[str], roles: Sequence[str], given: Mapping[str, Optional[str]], where: str
) -> Dict[str, str]:
    """Find the columns of a table that have a meaning.

    Args:
        columns: Names of the table's columns, in any order.
        roles: Keys of :data:`COLUMN_WORDS` to look for.
        given: Column by role, as the caller names it; None or absent leaves it to the words.
        where: What messages call the table.

    Returns:
        Column by role, for the roles that were found.

    Raises:
        DataError: A column that the caller names is not there, or two columns have words of one role.

    Example:
        >>> find_columns(["dst", "src", "age"], ["source", "target"], {}, "edges.csv")
        {'source': 'src', 'target': 'dst'}
    """
    found: Dict[str, str] = {}
    listed = ", ".join(repr(column) for column in columns) or "none"
    for role in roles:
        name = given.get(role)
        if name is not None:
            if name not in columns:
                raise DataError(where, f"there is no column {name!r} for {role!r}; it has {listed}.")
            found[role] = name
            continue
        words = COLUMN_WORDS[role]
        fits = [column for column in columns if column.strip().casefold() in words and column not in given.values()]
        if words[0] in fits:
            fits = [words[0]]
        if len(fits) > 1:
            received = " and ".join(repr(column) for column in fits)
            raise DataError(
                where, f"columns {received} both look like {role!r}.", fix=f"Say which one is: {role}=NAME."
            )
        if fits:
            found[role] = fits[0]
    return found


def is_count(word: str) -> bool:
    """Whether a word is a whole number from 0 that int64 holds for certain.

    Example:
        >>> is_count("12"), is_count("-1"), is_count("9" * 19)
        (True, False, False)
    """
    return word.isdecimal() and len(word) <= _MOST_DIGITS
