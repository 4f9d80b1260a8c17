"""The nodes of a user's folder: ids and features, from a table and from arrays beside it.

Rules: with ids, nodes are numbered by the rows of their table, and whatever names a node by id is joined by it. Arrays
have no ids and go by row; where ids are whole numbers in another order than the rows, the user has to say which of both
an array goes by. What is not understood is named: in an error where something is lost, else in the notes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from gnnkit.data.splits import split_of
from gnnkit.data.words import COLUMN_WORDS, MISSING_LABELS, MISSING_TEXT, find_columns, is_count, is_missing_text
from gnnkit.datasets.folder_files import ARRAY_WORDS
from gnnkit.datasets.lists import as_columns, as_vectors, read_list_file, read_words
from gnnkit.datasets.tables import Table, read_array, read_table
from gnnkit.errors import DataError, DatasetError

NODE_ROLES = ("id", "label", "split")
_MOST_LISTED = 10
_FEWEST_ROWS = 10
"""Of fewer rows, a feature can have the numbers from 0 by chance."""

_ID_WORDS = ("id", "ids", "idx", "index", "number", "nr", "key")


@dataclass(frozen=True)
class Choices:
    """What the user said about the folder; see :class:`gnnkit.datasets.folder.Folder`."""

    columns: Mapping[str, str] = field(default_factory=dict)
    ignore: Sequence[str] = ()
    missing: Optional[Sequence[Any]] = None
    label_bins: Optional[int] = None
    number_classes: bool = False
    num_features: Optional[int] = None
    array_order: Optional[str] = None
    edge_features: Sequence[str] = ()
    targets: Sequence[str] = ()

    @property
    def marks(self) -> Sequence[Any]:
        """Marks of a missing value."""
        return (*MISSING_TEXT, *MISSING_LABELS) if self.missing is None else self.missing

    @property
    def marked_numbers(self) -> Sequence[float]:
        """Those that are numbers."""
        return [mark for mark in self.marks if not isinstance(mark, (str, bool))]


@dataclass
class Found:
    """What a reader has to say, collected on the way."""

    left_out: List[str] = field(default_factory=list)
    warnings: List[str] = field(default_factory=list)


@dataclass(frozen=True)
class NodeTable:
    """The table of nodes with the meaning of its columns; of a folder without one, all is empty.

    Attributes:
        table: The table.
        roles: Column by what it holds.
        ids: Row of each node by its id; None if nodes are numbered by row.
        order: Which row an array's entry belongs to: entry i to row ``order[i]``. None: to row i.
        is_coded: Whether ids are whole numbers other than those of the rows, so that numbers of nodes in an array may
            mean either.
    """

    table: Optional[Table] = None
    roles: Mapping[str, str] = field(default_factory=dict)
    ids: Optional[Dict[str, int]] = None
    order: Optional[np.ndarray] = None
    is_coded: bool = False

    def by_row(self, array: np.ndarray, file: Path) -> np.ndarray:
        """An array of one entry for each node, in the order of the rows."""
        if self.order is None:
            return array
        if len(array) != len(self.order):
            raise DatasetError(f"{file} has {len(array)} rows, expected {len(self.order)}, one for each id.")
        rows: np.ndarray = np.empty_like(array)
        rows[self.order] = array
        return rows

    def rows_of(self, ids: np.ndarray, file: Path) -> np.ndarray:
        """Rows of nodes that an array names."""
        if self.is_coded:
            raise DatasetError(
                f"{file} names nodes by numbers, but their ids are other numbers than those of their rows. If they are "
                "numbers of rows, from 0, say dataset.options.array_order=rows; else write a table with the ids."
            )
        if self.order is None:
            return ids
        bad = (ids < 0) | (ids >= len(self.order))
        if bool(bad.any()):
            raise DatasetError(f"{file} names node {ids[bad].flat[0]}, but ids go from 0 to {len(self.order) - 1}.")
        rows: np.ndarray = self.order[ids]
        return rows


def open_nodes(files: Mapping[str, Path], choices: Choices) -> NodeTable:
    """Read the table of nodes, if there is one, and find out what its ids mean for the arrays beside it.

    Raises:
        DatasetError: A column that the user names is not there, an id is repeated, or the order of arrays is not clear.
    """
    if "nodes" not in files:
        return NodeTable()
    table = read_table(files["nodes"])
    if "graphs" in files:
        return _open_many(files, table, choices)
    given = {role: name for role, name in choices.columns.items() if role in (*NODE_ROLES, "words")}
    if "split" in files:
        given.pop("split", None)  # It names a column of that file.
    roles = column_roles(table, NODE_ROLES, given)
    ids = read_ids(table, roles["id"], choices) if "id" in roles else None
    return NodeTable(table, roles, ids, _array_order(files, ids, choices), _is_coded(ids, choices))


def _open_many(files: Mapping[str, Path], table: Table, choices: Choices) -> NodeTable:
    """The table of the nodes of many graphs; ids may repeat between graphs, so they are looked up with these."""
    known = (*NODE_ROLES, "words", "graph")
    given = {role: name for role, name in choices.columns.items() if role in known and name in table.columns}
    roles = column_roles(table, (*NODE_ROLES, "graph"), given)
    if "graph" not in roles:
        listed_columns = ", ".join(repr(column) for column in table.columns)
        raise DatasetError(
            f"{table.file} has {listed_columns}, expected a column 'graph' that says whose each node is, because there "
            f"is a table {files['graphs'].name}. Say which it is: dataset.options.columns.graph=NAME."
        )
    is_coordinate = any(column.casefold() == "x" for column in table.columns)
    if "label" not in given and roles.get("label", "").casefold() == "y" and is_coordinate:
        del roles["label"]
    is_coded = "id" in roles and choices.array_order is None
    is_coded = is_coded and table.text(roles["id"]) != [str(row) for row in range(table.num_rows)]
    return NodeTable(table, roles, None, _array_order(files, None, choices), is_coded)


def _is_coded(ids: Optional[Dict[str, int]], choices: Choices) -> bool:
    if ids is None or choices.array_order is not None or not all(map(is_count, ids)):
        return False
    return sorted(map(int, ids)) != list(range(len(ids)))


def column_roles(table: Table, roles: Sequence[str], given: Mapping[str, str]) -> Dict[str, str]:
    """Columns of a table by what they hold, see :func:`gnnkit.data.words.find_columns`."""
    try:
        return find_columns(list(table.columns), roles, given, str(table.file))
    except DataError as error:
        raise DatasetError(
            f"{error} Say which column is meant, for example dataset.options.columns.id=NAME."
        ) from error


def read_ids(table: Table, column: str, choices: Choices, what: str = "node") -> Dict[str, int]:
    """Rows by the ids in a column.

    Args:
        table: The table.
        column: Name of the column.
        choices: What the user said about missing values.
        what: What a row is about, for messages.

    Raises:
        DatasetError: An id is missing, or there twice.
    """
    ids: Dict[str, int] = {}
    for row, name in enumerate(table.text(column)):
        if not name or name in ids:
            problem = f"{what} {name!r} is in an earlier row already" if name else "the id is empty"
            raise DatasetError(f"{table.place(column, row)}: {problem}, expected a different id for each {what}.")
        if is_missing_text(name, choices.marks):
            raise DatasetError(
                f"{table.place(column, row)}: the id is {name!r}, which marks a missing value. Fill it in; if it is "
                f'the name of a {what}, say what marks missing values: dataset.options.missing=[""].'
            )
        ids[name] = row
    return ids


def _array_order(files: Mapping[str, Path], ids: Optional[Dict[str, int]], choices: Choices) -> Optional[np.ndarray]:
    if choices.array_order not in (None, "rows", "ids"):
        raise DatasetError(f"array_order is {choices.array_order!r}, expected 'rows' or 'ids'.")
    arrays = [file.name for file in files.values() if file.suffix in (".npy", ".npz") or _is_list(file)]
    if ids is None or not arrays or not all(map(is_count, ids)):
        if choices.array_order == "ids":
            raise DatasetError("array_order is 'ids', but the nodes have no ids that are whole numbers.")
        return None
    numbers = np.array([int(name) for name in ids], dtype=np.int64)
    is_numbering = bool((np.sort(numbers) == np.arange(len(numbers))).all())
    if not is_numbering or bool((numbers == np.arange(len(numbers))).all()) or choices.array_order == "rows":
        if choices.array_order == "ids" and not is_numbering:
            raise DatasetError("array_order is 'ids', but the ids are not the numbers from 0, each once.")
        return None
    if choices.array_order is None:
        raise DatasetError(
            f"{files['nodes']} has the ids 0 to {len(numbers) - 1} in another order than its rows, and {arrays[0]} has "
            "no ids. Say which order its entries have: dataset.options.array_order=rows or array_order=ids."
        )
    order: np.ndarray = np.empty(len(numbers), dtype=np.int64)
    order[numbers] = np.arange(len(numbers))
    return order


def _is_list(file: Path) -> bool:
    """Whether a JSON file holds a list, in the order of nodes, and no mapping from ids."""
    if file.suffix != ".json" or file.name == "meta.json":
        return False
    with file.open(encoding="utf-8", errors="replace") as stream:
        return stream.read(64).lstrip("\ufeff \t\r\n").startswith("[")


def read_features(
    files: Mapping[str, Path], nodes: NodeTable, choices: Choices, found: Found
) -> Tuple[Optional[np.ndarray], Tuple[str, ...], str]:
    """The features [N, F], float32 unless an array has another floating type; their names; and a note."""
    file, table = files.get("features"), nodes.table
    columns = [] if table is None else _feature_columns(table, nodes.roles, choices, found)
    if file is not None:
        if table is not None and columns:
            names_of = ", ".join(repr(column) for column in columns)
            label = f"If {columns[0]!r} is the label, say dataset.options.columns.label={columns[0]}. "
            label = "" if "label" in nodes.roles else label
            raise DatasetError(
                f"features are in {file} and in {table.file}, columns {names_of}. {label}"
                f"Keep one of them, or leave columns out with dataset.options.ignore=[{','.join(columns)}]."
            )
        if file.suffix == ".json":
            lists = read_list_file(file, nodes.ids, None if table is None else table.num_rows, nodes.order)
            vectors = as_vectors(lists, str(file))
            if vectors is not None:
                _check_words(False, choices)
                return vectors, (), f"{file.name}: lists of {vectors.shape[1]} values"
            words = read_words(lists)
            x, names = as_columns(words, choices.num_features, file)
            return x, names, _word_note(file.name, len(words.names), choices)
        _check_words(False, choices)
        return nodes.by_row(read_array(file, ARRAY_WORDS["features"]), file), (), file.name
    if table is None or not columns:
        _check_words(False, choices)
        return None, (), ""
    parts, all_names, has_words = [], [], False
    for column in columns:
        if column == choices.columns.get("words") or table.kind(column) == "lists":
            lists = table.lists(column)
            vectors = None if column == choices.columns.get("words") else as_vectors(lists, f"column {column!r}")
            if vectors is not None:
                parts.append(vectors)
                all_names += [f"{column}:{place}" for place in range(vectors.shape[1])]
                continue
            part, names = as_columns(read_words(lists), choices.num_features, table.file)
            parts.append(part)
            has_words = True
            all_names += [f"{column}:{name}" for name in names]
        else:
            parts.append(table.numbers(column).astype(np.float32)[:, None])
            all_names.append(column)
    _check_words(has_words, choices)
    note = f"columns {listed(columns)}"
    return np.concatenate(parts, axis=1), tuple(all_names) if choices.num_features is None else (), note


def _check_words(has_words: bool, choices: Choices) -> None:
    if choices.num_features is not None and not has_words:
        raise DatasetError(
            f"num_features is {choices.num_features}, but there are no lists of words to project. Leave it out, or "
            "name the column that has them: dataset.options.columns.words=NAME."
        )


def _feature_columns(table: Table, roles: Mapping[str, str], choices: Choices, found: Found) -> List[str]:
    """Names of the columns of a table of nodes that are features: numbers and lists that mean nothing else."""
    chosen = []
    for column in table.columns:
        if column in roles.values() or column in mask_columns(table).values():
            continue
        if column in choices.ignore:
            found.left_out.append(f"column {column!r}")
        elif column == choices.columns.get("words") or _is_feature(table, column, roles, choices, found):
            chosen.append(column)
    return chosen


def _is_feature(table: Table, column: str, roles: Mapping[str, str], choices: Choices, found: Found) -> bool:
    kind = table.kind(column, choices.marks)
    reason = {"text": "holds text", "nothing": "holds no value"}.get(kind)
    if kind == "numbers" and _numbers_rows(table, column):
        if _is_called_id(column):
            if "id" not in roles:
                fix = f"Say dataset.options.columns.id={column}, or leave it out with dataset.options.ignore=[{column}]"
                check_no_id(table, column, f"{fix}; rename it if it is a feature.")
            reason = "looks like ids: its name says so, and each row has another whole number"
        elif "id" not in roles and _is_numbering(table, column):
            found.warnings.append(
                f"{table.file}: column {column!r} has the numbers of all nodes, each once, and is a feature. If edges "
                f"name nodes by it, say dataset.options.columns.id={column}."
            )
    twin = next((role for role in ("label", "id") if column.strip().casefold() in COLUMN_WORDS[role]), "")
    is_coordinate = column.casefold() == "y" and any(name.casefold() == "x" for name in table.columns)
    if twin in roles and reason is None and not is_coordinate:
        reason = f"looks like a second {twin}, beside {roles[twin]!r}"
    if reason is None:
        return True
    found.left_out.append(f"column {column!r}")
    uses = ["words"] if "label" in roles else ["label", "words"]
    hint = " or ".join(f"dataset.options.columns.{use}={column}" for use in uses)
    hint = f" If it holds {' or '.join(f'{use}s' if use == 'label' else use for use in uses)}, say {hint}."
    found.warnings.append(
        f"{table.file}: column {column!r} {reason}, so it is no feature.{hint if kind == 'text' else ''}"
    )
    return False


def mask_columns(table: Table) -> Dict[str, str]:
    """Columns that are masks, such as "train_mask", by their split."""
    return {
        split_of(name.casefold()): name
        for name in table.columns
        if name.casefold().endswith("_mask") and split_of(name.casefold())
    }


def check_no_id(table: Table, column: str, fix: str) -> None:
    """Refuse a column that looks like ids in a table without a column of ids, whose rows would go by position.

    Raises:
        DatasetError: It does: its name says so, and each row has another whole number.
    """
    if _is_called_id(column) and _numbers_rows(table, column):
        raise DatasetError(
            f"{table.file} has no column 'id', but {column!r} looks like one: each row has another whole number. {fix}"
        )


def _is_called_id(column: str) -> bool:
    """Whether the last word of a name means an id: "user_id", "userId", "Node Number", "idx"."""
    words = re.findall(r"[A-Z]?[a-z]+|[A-Z]+", column)
    return bool(words) and words[-1].casefold() in _ID_WORDS


def _numbers_rows(table: Table, column: str) -> bool:
    """Whether each row has another whole number."""
    cells = table.text(column)
    return len(cells) > 1 and len(set(cells)) == len(cells) and all(is_count(cell.lstrip("-")) for cell in cells)


def _is_numbering(table: Table, column: str) -> bool:
    cells = table.text(column)
    return len(cells) >= _FEWEST_ROWS and {int(cell) for cell in cells} == set(range(len(cells)))


def _word_note(name: str, count: int, choices: Choices) -> str:
    kind = "as 0/1" if choices.num_features is None else f"projected to {choices.num_features} columns"
    return f"{name}: lists of {count:,} words, {kind}"


def listed(names: Sequence[str]) -> str:
    """Names for a message or a note: the first ten, and how many more there are."""
    shown = ", ".join(names[:_MOST_LISTED])
    return shown if len(names) <= _MOST_LISTED else f"{shown} and {len(names) - _MOST_LISTED} more"


def rows_of(table: Table, column: str, ids: Optional[Dict[str, int]], num_nodes: Optional[int]) -> np.ndarray:
    """Turn a column of node ids into row numbers.

    Raises:
        DatasetError: A cell names no node.
    """
    names = table.text(column)
    if ids is not None:
        found = np.array([ids.get(name, -1) for name in names], dtype=np.int64)
        expected = "an id from the table of nodes"
    else:
        found = np.array([int(name) if is_count(name) else -1 for name in names], dtype=np.int64)
        expected = "a whole number from 0" + (f" to {num_nodes - 1}" if num_nodes else "")
        if num_nodes is not None:
            found[found >= num_nodes] = -1
        else:
            expected += ", or a nodes file with a column 'id'"
    unknown = np.flatnonzero(found < 0)
    if unknown.size:
        row = int(unknown[0])
        raise DatasetError(f"{table.place(column, row)}: there is no node {names[row]!r}, expected {expected}.")
    return found
