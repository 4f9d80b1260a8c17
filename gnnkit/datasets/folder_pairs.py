"""The pairs of a user's folder: a table of pairs to learn and to judge, beside the edges that carry messages.

Rules: each row with a split is a pair of it; a row without one is left out. Ids are those that edges use. Whether pairs
are among the edges is not looked at here: see :func:`gnnkit.data.check_leaks`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, Mapping, Optional, Tuple

import numpy as np

from gnnkit.data import Graph, given_links
from gnnkit.datasets.folder_labels import read_label_column
from gnnkit.datasets.folder_nodes import Choices, Found, NodeTable, column_roles, rows_of
from gnnkit.datasets.folder_splits import group_rows
from gnnkit.datasets.tables import Table, read_table
from gnnkit.errors import DataError, DatasetError

PAIR_ROLES = ("source", "target", "split", "label")


@dataclass(frozen=True)
class PairTable:
    """Pairs as a table has them.

    Attributes:
        file: The table.
        pairs: Sources and destinations by split. Each [n, 2], int64 node ids.
        y: Labels by split: classes or numbers to regress, [n]. Empty if there are none.
        class_names: Names of the classes, if they are words.
    """

    file: Path
    pairs: Mapping[str, np.ndarray]
    y: Mapping[str, np.ndarray] = field(default_factory=dict)
    class_names: Tuple[str, ...] = ()

    @property
    def most_nodes(self) -> int:
        """The largest id and one: how many nodes the pairs need."""
        return 1 + max(int(pairs.max()) for pairs in self.pairs.values())

    def link(self, graph: Graph, undirected: Optional[bool]) -> Graph:
        """The graph with these pairs as its links.

        Args:
            graph: The graph, with the edges that carry messages.
            undirected: Whether both directions of a pair are one. None: if every edge has its reverse.

        Raises:
            DatasetError: The pairs break a rule, such as a pair that is in two splits.
        """
        try:
            return given_links(graph, self.pairs, undirected=undirected, y=self.y, class_names=self.class_names)
        except DataError as error:
            raise DatasetError(f"{self.file}: {error}") from error


def read_pairs(
    files: Mapping[str, Path],
    nodes: NodeTable,
    num_nodes: Optional[int],
    choices: Choices,
    found: Found,
    targets: Optional[NodeTable] = None,
    num_targets: Optional[int] = None,
) -> Optional[PairTable]:
    """Read the table of pairs, if there is one.

    Args:
        files: Files of the folder by what they hold.
        nodes: The table of nodes, with their ids.
        num_nodes: Number of nodes, if other files say it.
        choices: What the user said about columns and missing values.
        found: Gets columns that are left out, and warnings.
        targets: The table of the nodes where pairs end, if these are of another type. None: ``nodes``.
        num_targets: Number of these nodes, if other files say it.

    Raises:
        DatasetError: A column is missing, a cell names no node or no split, or no row has a split.
    """
    if "pairs" not in files:
        return None
    table = read_table(files["pairs"])
    given = {role: name for role, name in choices.columns.items() if role in PAIR_ROLES and name in table.columns}
    roles = column_roles(table, PAIR_ROLES, given)
    table.require(*(role for role in PAIR_ROLES[:3] if role not in roles))
    homes = [(nodes.ids, num_nodes), (nodes.ids, num_nodes) if targets is None else (targets.ids, num_targets)]
    ends = [rows_of(table, roles[end], *home) for end, home in zip(("source", "target"), homes)]
    pairs = np.stack(ends, axis=1)
    rows = group_rows(table, roles["split"], np.arange(table.num_rows), choices)
    if not rows:
        raise DatasetError(f"{table.file}: no row has a split, expected train, valid or test in {roles['split']!r}.")
    found.left_out += [
        f"column {column!r} of {table.file.name!r}" for column in table.columns if column not in roles.values()
    ]
    y, names = (None, ()) if "label" not in roles else _labels(table, roles["label"], choices, found)
    by_split = {split: pairs[members] for split, members in rows.items()}
    labels: Dict[str, np.ndarray] = {} if y is None else {split: y[members] for split, members in rows.items()}
    return PairTable(table.file, by_split, labels, names)


def _labels(table: Table, column: str, choices: Choices, found: Found) -> Tuple[np.ndarray, Tuple[str, ...]]:
    """Classes with their names, or numbers to regress, of all rows."""
    said = Found()
    labels = read_label_column(table, column, choices, said)
    if labels.values:  # Numbers to regress are what pairs may have; of nodes it is a warning.
        return labels.values[column], ()
    found.warnings += said.warnings
    assert labels.y is not None
    return labels.y, labels.names
