"""What files say about the nodes of a graph that is imported: labels, splits, and how many nodes there are.

Rules: nodes are whole numbers from 0. A table of labels without ids goes by row; one with ids may leave nodes out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Mapping, Optional, Tuple

import numpy as np
import torch

from gnnkit.data import IGNORED_LABEL, Graph, Notes, check_graph
from gnnkit.data.arrays import as_splits
from gnnkit.data.labels import as_labels
from gnnkit.datasets.edge_files import open_npy
from gnnkit.datasets.folder_labels import read_label_column, read_labels
from gnnkit.datasets.folder_nodes import Choices, Found, NodeTable, check_no_id, column_roles, rows_of
from gnnkit.datasets.tables import read_array, read_table
from gnnkit.errors import DataError, DatasetError


@dataclass
class ImportedNodes:
    """What files say about nodes.

    Attributes:
        choices: What the user said about columns and missing values.
        features: The file of features.
        num_feature_rows: Its number of rows.
        labels: The file of labels.
        y: Classes, or labels of 0 and 1: one for each node, or for each of ``ids``.
        ids: Nodes that the labels are of. None: of all, in their order.
        class_names: Names of the classes.
        notes: What is to be said about labels and features.
    """

    choices: Choices
    features: Optional[Path] = None
    num_feature_rows: Optional[int] = None
    labels: Optional[Path] = None
    y: Optional[np.ndarray] = None
    ids: Optional[np.ndarray] = None
    class_names: Tuple[str, ...] = ()
    notes: Notes = field(default_factory=Notes)

    @classmethod
    def open(cls, features: Optional[Path], labels: Optional[Path], choices: Choices) -> ImportedNodes:
        """Read labels, and the sizes of the features.

        Raises:
            DatasetError: A file cannot be read, or holds something else.
        """
        nodes = cls(choices, features, labels=labels)
        if features is not None:
            table = open_npy(features)
            if table.ndim != 2 or table.dtype not in (np.float16, np.float32, np.float64):
                received = f"shape {list(table.shape)} and dtype {table.dtype}"
                raise DatasetError(f"{features} has {received}, expected [N, F] of float16, float32 or float64.")
            nodes.num_feature_rows = len(table)
        if labels is not None:
            nodes._read_labels(labels)
        return nodes

    def _read_labels(self, file: Path) -> None:
        found = Found()
        if file.suffix in (".npy", ".npz"):
            labels = read_labels({"labels": file}, NodeTable(), self.choices, found)
        else:
            table = read_table(file)
            given = {role: name for role, name in self.choices.columns.items() if role in ("id", "label")}
            roles = column_roles(table, ("id", "label"), given)
            if "label" not in roles:
                known = ", ".join(repr(column) for column in table.columns)
                raise DatasetError(f"{file} has no column 'label'; it has {known}. Name it: --column label=NAME.")
            others = [column for column in table.columns if column not in roles.values()]
            if "id" in roles:
                self.ids = rows_of(table, roles["id"], None, None)
            else:
                for column in others:
                    check_no_id(table, column, f"Name it: --column id={column}.")
            found.left_out += [f"column {column!r} of {file.name!r}" for column in others]
            labels = read_label_column(table, roles["label"], self.choices, found)
        if labels.values:
            raise DatasetError(
                f"{file} holds numbers to regress, expected classes. Put them into a few classes first, "
                "or say number_classes=true (--number-classes) if each of them is a class."
            )
        self.y, self.class_names = labels.y, labels.names
        note = labels.note if file.name in labels.note else f"{file.name}, {labels.note}"
        self.notes = Notes(labels=note, left_out=tuple(found.left_out), warnings=tuple(found.warnings))

    @property
    def count(self) -> Optional[int]:
        """The number of nodes that the files state."""
        if self.num_feature_rows is not None:
            return self.num_feature_rows
        return None if self.y is None or self.ids is not None else len(self.y)

    def checked(self, num_nodes: int, splits: Mapping[str, Path]) -> Graph:
        """Labels and splits as fields of a graph without edges, which has been checked.

        Raises:
            DatasetError: A file breaks a rule.
        """
        if self.num_feature_rows not in (None, num_nodes):
            raise DatasetError(f"{self.features} has {self.num_feature_rows} rows, expected {num_nodes}, one a node.")
        try:
            y = as_labels(self._spread(num_nodes), named=bool(self.class_names))
            read = as_splits({name: read_array(file) for name, file in splits.items()}, num_nodes)
            bare = torch.zeros(num_nodes + 1, dtype=torch.int64)
            graph = Graph(bare, bare[:0], y=y, splits=read, class_names=self.class_names, notes=self.notes)
            check_graph(graph)
        except DataError as error:
            place = self.labels if error.field == "y" else ", ".join(str(file) for file in splits.values())
            raise DatasetError(f"{place}: {error}") from error
        return graph

    def _spread(self, num_nodes: int) -> Optional[np.ndarray]:
        if self.y is None or self.ids is None:
            return self.y
        bad = np.flatnonzero((self.ids < 0) | (self.ids >= num_nodes))
        if bad.size:
            raise DatasetError(f"{self.labels}: there is no node {self.ids[bad[0]]}, expected 0 to {num_nodes - 1}.")
        if len(np.unique(self.ids)) < len(self.ids):
            raise DatasetError(f"{self.labels}: a node is there more than once, expected one label for each.")
        spread = np.full(num_nodes, IGNORED_LABEL, dtype=np.int64)
        spread[self.ids] = self.y
        return spread
