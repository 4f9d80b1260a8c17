"""What nodes are called outside: numbers from 0, or names that the data's files give them.

Rules: everything inside counts nodes from 0; names are looked up where ids come in and put back where they go out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Callable, Dict, Sequence

import numpy as np

from gnnkit.data import Graph
from gnnkit.datasets import NodeNames
from gnnkit.datasets.tables import read_array, read_table
from gnnkit.errors import DatasetError
from gnnkit.paths import is_file, reading, user_path

FILES = (".csv", ".parquet", ".npy", ".txt")
"""Kinds of files that can list nodes."""


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
        with reading(file):
            lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
        kept = [(number, line.strip()) for number, line in enumerate(lines, start=1) if line.strip()]
        found = ids.numbers([name for _, name in kept], lambda row: f"{file}, line {kept[row][0]}")
    else:
        table = read_table(file)
        column: str = next((name for name in ("id", "node") if name in table.columns), "id")
        table.require(column)
        found = ids.numbers(table.text(column), lambda row: table.place(column, row))
    return _some(found, str(file))


def _numbers_in(file: Path, num_nodes: int) -> np.ndarray:
    array = read_array(file)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise DatasetError(f"{file} has shape {list(array.shape)} and dtype {array.dtype}, expected node numbers [M].")
    outside = np.flatnonzero((array < 0) | (array >= num_nodes))
    if outside.size:
        row = int(outside[0])
        raise DatasetError(f"{file}, row {row}: there is no node {array[row]}, expected 0 to {num_nodes - 1}.")
    return _some(array.astype(np.int64), str(file))


def _some(nodes: np.ndarray, source: str) -> np.ndarray:
    if nodes.size == 0:
        raise DatasetError(f"{source} lists no nodes, expected at least one.")
    return nodes
