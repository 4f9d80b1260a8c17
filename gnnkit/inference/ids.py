"""What nodes are called outside: numbers from 0, or names that the data's files give them.

Rules: everything inside counts nodes from 0; names are looked up where ids come in and put back where they go out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Sequence

import numpy as np

from gnnkit.data import Graph
from gnnkit.data.words import find_columns
from gnnkit.datasets import NodeNames
from gnnkit.datasets.tables import Table, read_array, read_table
from gnnkit.errors import DataError, DatasetError
from gnnkit.io.text import read_text
from gnnkit.paths import PathLike, is_file, user_path

FILES = (".csv", ".parquet", ".npy", ".txt")
"""Kinds of files that can list nodes."""

PAIR_FILES = (".csv", ".parquet", ".npy")
"""Kinds of files that can list pairs of nodes."""


@dataclass(frozen=True)
class NodeIds:
    """The ids of a graph's nodes. Nodes that have no names are called by their numbers, and come first.

    Attributes:
        num_numbered: How many nodes have no names.
        names: Names of all nodes after them.

    Example:
        >>> ids = NodeIds(2).extended(["rex"])
        >>> ids.numbers(["1", "rex"]).tolist(), ids.labels(np.array([0, 2])).tolist()
        ([1, 2], ['0', 'rex'])
    """

    num_numbered: int
    names: Sequence[str] = ()

    @classmethod
    def of(cls, graph: Graph, names: NodeNames) -> NodeIds:
        """The ids of a graph's nodes, from what the data's files call them."""
        return cls(graph.num_nodes) if names.ids is None else cls(0, names.ids)

    def __len__(self) -> int:
        """Number of nodes."""
        return self.num_numbered + len(self.names)

    @cached_property
    def _places(self) -> Dict[str, int]:
        return {name: self.num_numbered + place for place, name in enumerate(self.names)}

    def find(self, name: str) -> int:
        """The number of a node, -1 if there is none of that id."""
        place = self._places.get(name)
        if place is not None:
            return place
        is_number = name.isdecimal() and len(name) < 19  # Longer ones are no node's, and Python refuses some.
        return int(name) if is_number and int(name) < self.num_numbered else -1

    def numbers(self, names: Sequence[str], place: Callable[[int], str] = "id {}".format) -> np.ndarray:
        """Turn ids into numbers.

        Args:
            names: Ids as text.
            place: How a message calls the place where one of them stands.

        Returns:
            Shape [len(names)], int64.

        Raises:
            DatasetError: There is no such node.
        """
        found = np.array([self.find(name) for name in names], dtype=np.int64)
        unknown = np.flatnonzero(found < 0)
        if unknown.size:
            row = int(unknown[0])
            raise DatasetError(f"{place(row)}: there is no node {names[row]!r}, expected {self._expected()}.")
        return found

    def labels(self, nodes: np.ndarray) -> np.ndarray:
        """Turn numbers into ids: int64 where no node has a name, else text."""
        if not self.names:
            return nodes
        names = [self.names[i - self.num_numbered] if i >= self.num_numbered else str(i) for i in nodes.tolist()]
        return np.array(names, dtype=self._text_dtype)

    def extended(self, names: Sequence[str]) -> NodeIds:
        """With nodes after the last one; those that only go on counting get no names."""
        first = len(self)
        if not self.names and all(name == str(first + row) for row, name in enumerate(names)):
            return NodeIds(self.num_numbered + len(names))
        return replace(self, names=[*self.names, *names])

    @cached_property
    def _text_dtype(self) -> np.dtype[Any]:
        """One width for all ids, so that pieces of a file agree."""
        return np.dtype(f"U{max([len(str(self.num_numbered)), *map(len, self.names)])}")

    def _expected(self) -> str:
        parts = [f"a whole number from 0 to {self.num_numbered - 1}"] if self.num_numbered else []
        if self.names:
            shown = ", ".join(repr(name) for name in self.names[:3])
            parts.append(f"one of {len(self.names)} names such as {shown}")
        return " or ".join(parts)


def read_nodes(text: str, ids: NodeIds) -> np.ndarray:
    """Read which nodes are meant: ids with commas, or a file that lists them.

    Args:
        text: ``"3,14,15"``; or a file: ``.csv`` or ``.parquet`` with a column ``id`` or ``node``, ``.txt`` with an id
            on each line, ``.npy`` with numbers.
        ids: The ids of all nodes.

    Returns:
        Node numbers in that order. Shape [M], int64.

    Raises:
        DatasetError: There is no such file or node, or nothing is listed.
    """
    file = user_path(text, "What says which nodes are meant")
    if file.suffix not in FILES:
        names = [name.strip() for name in text.split(",") if name.strip()]
        return _some(ids.numbers(names, lambda row: "The nodes asked for"), repr(text))
    if not is_file(file):
        raise DatasetError(f"There is no file {file}. Give ids with commas, or a file that lists them.")
    if file.suffix == ".npy":
        return _numbers_in(file, len(ids))
    if file.suffix == ".txt":
        lines = read_text(file).splitlines()
        kept = [(number, line.strip()) for number, line in enumerate(lines, start=1) if line.strip()]
        found = ids.numbers([name for _, name in kept], lambda row: f"{file}, line {kept[row][0]}")
    else:
        table = read_table(file)
        column: str = next((name for name in ("id", "node") if name in table.columns), "id")
        table.require(column)
        found = column_ids(table, column, ids)
    return _some(found, str(file))


RELATION = "relation"
"""The column of a file of pairs that says of which relation they are."""


def read_pairs(file: PathLike, ids: NodeIds) -> np.ndarray:
    """Read pairs of nodes from a file.

    Args:
        file: ``.csv`` or ``.parquet`` with columns of sources and targets, by the words of ``gnnkit.data.words``; other
            columns are not read. Or ``.npy`` with numbers of nodes, shape [n, 2].
        ids: The ids of all nodes.

    Returns:
        Node numbers, source first, in the file's order. Shape [n, 2], int64.

    Raises:
        DatasetError: There is no such file, column or node, or nothing is listed; the message names the row.
        NotInstalledError: Parquet needs pandas and pyarrow.
    """
    path = user_path(file, "The file of pairs")
    if path.suffix not in PAIR_FILES:
        raise DatasetError(f"{path} is no list of pairs, expected a name that ends in {', '.join(PAIR_FILES)}.")
    if not is_file(path):
        raise DatasetError(f"There is no file {path}. Give a file that lists pairs of nodes.")
    if path.suffix == ".npy":
        return _numbers_in(path, len(ids), width=2)
    table = read_table(path)
    roles = table_roles(table, ("source", "target"))
    for role in ("source", "target"):
        table.require(roles.get(role, role))
    return _some(np.stack([column_ids(table, roles[end], ids) for end in ("source", "target")], axis=1), str(path))


def read_relations(file: PathLike) -> Optional[List[str]]:
    """The column "relation" of a file of pairs, as :func:`read_pairs` reads it.

    Args:
        file: The file.

    Returns:
        A name for each pair; None if there is no such column.
    """
    path = user_path(file, "The file of pairs")
    if path.suffix not in PAIR_FILES or path.suffix == ".npy" or not is_file(path):
        return None
    table = read_table(path)
    return list(table.text(RELATION)) if RELATION in table.columns else None


def table_roles(table: Table, roles: Sequence[str], taken: Sequence[str] = ()) -> Dict[str, str]:
    """Columns of a table that have a meaning, by that; those that are taken have another.

    Raises:
        DatasetError: Two columns have words of one meaning.
    """
    others = [name for name in table.columns if name not in set(taken)]
    try:
        return find_columns(others, roles, {}, str(table.file))
    except DataError as error:
        raise DatasetError(str(error)) from error


def column_ids(table: Table, column: str, ids: NodeIds) -> np.ndarray:
    """A column of ids as node numbers, [rows], int64.

    Raises:
        DatasetError: There is no such node; the message names the row.
    """
    return ids.numbers(table.text(column), lambda row: table.place(column, row))


def _numbers_in(file: Path, num_nodes: int, width: int = 1) -> np.ndarray:
    """Node numbers of a ``.npy`` file: [M], or [M, width]."""
    array = read_array(file)
    expected = "node numbers [M]" if width == 1 else f"pairs of node numbers [M, {width}]"
    if array.shape[1:] != (() if width == 1 else (width,)) or array.ndim == 0 or array.dtype.kind not in "iu":
        raise DatasetError(f"{file} has shape {list(array.shape)} and dtype {array.dtype}, expected {expected}.")
    outside = np.flatnonzero((array < 0) | (array >= num_nodes))
    if outside.size:
        row, node = int(outside[0]) // width, array.reshape(-1)[outside[0]]
        raise DatasetError(f"{file}, row {row}: there is no node {node}, expected 0 to {num_nodes - 1}.")
    return _some(array.astype(np.int64), str(file))


def _some(nodes: np.ndarray, source: str) -> np.ndarray:
    if nodes.size == 0:
        what = "nodes" if nodes.ndim == 1 else "pairs"
        raise DatasetError(f"{source} lists no {what}, expected at least one.")
    return nodes
