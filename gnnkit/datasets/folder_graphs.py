"""Many graphs in a user's folder: a table with a row for each, and which nodes and edges are whose.

Rules: the table of nodes names the graph of each node, and an edge joins two nodes of one graph. Ids of nodes may
repeat between graphs if edges name their graph too. Graphs are numbered by the rows of their table; nodes are brought
into the order of their graphs, in which they keep that of their rows. A graph without nodes is a graph like others.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Collection, Dict, List, Mapping, Optional

import numpy as np

from gnnkit.data import IGNORED_LABEL
from gnnkit.data.words import is_missing_text
from gnnkit.datasets.folder_labels import Labels, read_label_column
from gnnkit.datasets.folder_nodes import (
    Choices,
    Found,
    NodeTable,
    check_no_id,
    column_roles,
    listed,
    read_ids,
    rows_of,
)
from gnnkit.datasets.folder_splits import group_rows
from gnnkit.datasets.tables import Table, read_table
from gnnkit.errors import DatasetError

_ROLES = ("label", "split", "fold", "name")
_SAID_ELSEWHERE = ("split", "train", "valid", "test", "pairs")


@dataclass(frozen=True)
class GraphTable:
    """The graphs of a folder, and which node is whose.

    Attributes:
        file: The table.
        fields: What is said of graphs, as arguments of ``from_edge_index``.
        numbers: Number of each graph by its id.
        homes: Graph of each row of the table of nodes. Shape [N], int64.
        order: Rows of nodes in the order of their graphs. Shape [N], int64.
        labels: Where labels come from.
        splits: Where splits come from.
    """

    file: Path
    fields: Mapping[str, Any]
    numbers: Mapping[str, int]
    homes: np.ndarray
    order: np.ndarray
    labels: str = ""
    splits: str = ""

    @property
    def names(self) -> List[str]:
        """Ids of the graphs, in the order of their numbers."""
        return list(self.numbers)

    @property
    def pointer(self) -> np.ndarray:
        """Where each graph begins among the nodes in order. Shape [G + 1], int64."""
        counts = np.bincount(self.homes, minlength=len(self.numbers))
        return np.concatenate([[0], np.cumsum(counts)])

    @property
    def rank(self) -> np.ndarray:
        """The place of each row in the order. Shape [N], int64."""
        places: np.ndarray = np.empty_like(self.order)
        places[self.order] = np.arange(len(self.order))
        return places


def read_graphs(files: Mapping[str, Path], nodes: NodeTable, choices: Choices, found: Found) -> Optional[GraphTable]:
    """Read the table of graphs, if there is one.

    Args:
        files: Files of the folder by what they hold.
        nodes: The table of nodes, with the column that names graphs among its roles.
        choices: What the user said about columns.
        found: Gets columns that are left out, and warnings.

    Raises:
        DatasetError: A graph is there twice, a node names none, a cell is no number or no split, or there is another
            file that a folder of many graphs has no use for.
    """
    if "graphs" not in files:
        if choices.targets:
            raise DatasetError(f"targets names columns, but {files['edges'].parent} has no table of graphs.")
        return None
    for stem in _SAID_ELSEWHERE:
        if stem in files:
            raise DatasetError(
                f"{files[stem]} is not read beside {files['graphs']}: splits of graphs, and of nodes, are columns "
                f"'split' of their tables. Pass it over with dataset.options.ignore=[{files[stem].name}]."
            )
    if nodes.table is None:
        raise DatasetError(f"{files['graphs']} needs a table nodes.csv whose column 'graph' says whose each node is.")
    table = read_table(files["graphs"])
    if not table.num_rows:
        raise DatasetError(f"{table.file} has no rows, expected one for each graph.")
    column = _id_column(table, choices)
    given = {role: name for role, name in choices.columns.items() if role in _ROLES and name in table.columns}
    _check_given(table, nodes.table, choices)
    roles = column_roles(table, [role for role in _ROLES if role != "label" or not choices.targets], given)
    rows = None if column is None else read_ids(table, column, choices, "graph")
    numbers = {str(row): row for row in range(table.num_rows)} if rows is None else rows
    homes = _graphs_of(nodes.table, nodes.roles["graph"], numbers, table.file)
    labels = _labels(table, roles.get("label"), choices, found)
    fields: Dict[str, Any] = {"graph_y": labels.y, "class_names": labels.names}
    if "split" in roles:
        fields["graph_splits"] = group_rows(table, roles["split"], np.arange(table.num_rows), choices)
    fields["graph_names"] = table.text(roles["name"]) if "name" in roles else [] if column is None else list(numbers)
    used = {*roles.values(), *choices.targets, *([] if column is None else [column])}
    fields["graph_data"] = {
        "fold" if name == roles.get("fold") else name: values
        for name, values in _further(table, used - {roles.get("fold", "")}, choices, found).items()
    }
    _check_folds(table, roles.get("fold"), fields["graph_data"])
    order = np.argsort(homes, kind="stable")
    splits = f"column {roles['split']!r} of {table.file.name}" if "split" in roles else ""
    return GraphTable(table.file, fields, numbers, homes, order, labels.note, splits)


def ends_in_graphs(
    table: Table, roles: Dict[str, str], nodes: NodeTable, graphs: GraphTable, choices: Choices
) -> np.ndarray:
    """Sources and destinations of edges as rows of the table of nodes.

    Args:
        table: The table of edges.
        roles: Its columns "source" and "target"; gets "graph" if there is one.
        nodes: The table of nodes.
        graphs: The table of graphs.
        choices: What the user said about columns.

    Returns:
        Shape [2, E], int64.

    Raises:
        DatasetError: A cell names no node or no graph, or an edge joins two graphs.
    """
    assert nodes.table is not None
    given = {role: name for role, name in choices.columns.items() if role == "graph" and name in table.columns}
    found = column_roles(table, ("graph",), given)
    roles.update(found)
    if "id" not in nodes.roles:
        if found:
            raise DatasetError(
                f"{table.file} names the graph of each edge, but {nodes.table.file} has no column 'id', by which an "
                "edge names nodes of its graph. Add one; ids may repeat between graphs."
            )
        edges = np.stack([rows_of(table, roles[end], None, nodes.table.num_rows) for end in ("source", "target")])
    else:
        homes = _graphs_of(table, found["graph"], graphs.numbers, graphs.file) if found else None
        lookup = _Lookup.of(nodes, graphs, homes is not None, table.file, choices)
        edges = np.stack([lookup.rows(table, roles[end], homes) for end in ("source", "target")])
    check_inside(edges, graphs, nodes.table.num_rows, lambda row: table.place(roles["target"], row))
    return edges


def check_inside(edges: np.ndarray, graphs: GraphTable, num_nodes: Optional[int], place: Callable[[int], str]) -> None:
    """Check that every edge joins nodes of one graph.

    Args:
        edges: Rows of the table of nodes; what is not of shape [2, E], or no row, is left to other checks.
        graphs: The table of graphs.
        num_nodes: Number of nodes.
        place: How messages name an edge.

    Raises:
        DatasetError: One does not.
    """
    if edges.ndim != 2 or len(edges) != 2 or not edges.size or edges.min() < 0 or edges.max() >= (num_nodes or 0):
        return
    homes = graphs.homes[edges]
    crossing = np.flatnonzero(homes[0] != homes[1])
    if crossing.size:
        row = int(crossing[0])
        one, other = (graphs.names[home] for home in homes[:, row])
        raise DatasetError(f"{place(row)}: an edge from graph {one!r} to graph {other!r}, expected nodes of one graph.")


@dataclass(frozen=True)
class _Lookup:
    """Where each node stands, by its id and perhaps its graph.

    Attributes:
        codes: A number for each different id.
        keys: Of each node, in ascending order: the code, with that of its graph if ids repeat. Shape [N], int64.
        rows_by_key: Rows of the nodes in this order. Shape [N], int64.
        row_of_code: The first row with each id.
        graphs: The table of graphs.
    """

    codes: Dict[str, int]
    keys: np.ndarray
    rows_by_key: np.ndarray
    row_of_code: np.ndarray
    graphs: GraphTable

    @classmethod
    def of(cls, nodes: NodeTable, graphs: GraphTable, by_graph: bool, edges: Path, choices: Choices) -> _Lookup:
        assert nodes.table is not None
        column = nodes.roles["id"]
        cells = nodes.table.text(column)
        codes: Dict[str, int] = {}
        code = np.array([codes.setdefault(cell, len(codes)) for cell in cells], dtype=np.int64)
        marks = {"", *(mark.casefold() for mark in choices.marks if isinstance(mark, str))}
        missing = next((name for name in codes if name.casefold() in marks), None)
        if missing is not None:
            place = nodes.table.place(column, cells.index(missing))
            raise DatasetError(f"{place}: the id is {missing!r}, which marks a missing value. Fill it in.")
        first = np.full(len(codes), -1, dtype=np.int64)
        first[code[::-1]] = np.arange(len(code))[::-1]
        keys = graphs.homes * len(codes) + code if by_graph else code
        order = np.argsort(keys, kind="stable")
        repeated = np.flatnonzero(keys[order][1:] == keys[order][:-1])
        if repeated.size:
            row = int(order[repeated + 1].min())
            name, home = cells[row], graphs.homes[row]
            place, earlier = nodes.table.place(column, row), first[code[row]]
            if by_graph or graphs.homes[earlier] == home:
                problem = f"node {name!r} is in an earlier row of graph {graphs.names[home]!r} already"
                raise DatasetError(f"{place}: {problem}, expected a different id for each node of a graph.")
            other = graphs.names[graphs.homes[earlier]]
            raise DatasetError(
                f"{place}: node {name!r} is in graph {other!r} too. Ids may repeat between graphs if {edges} has a "
                "column 'graph' that says whose an edge is."
            )
        return cls(codes, keys[order], order, first, graphs)

    def rows(self, table: Table, column: str, homes: Optional[np.ndarray]) -> np.ndarray:
        """Rows of the nodes that a column of edges names; ``homes`` are the graphs of the edges, if they say it."""
        cells = table.text(column)
        code = np.array([self.codes.get(cell, -1) for cell in cells], dtype=np.int64)
        keys = code if homes is None else np.where(code < 0, -1, homes * len(self.codes) + code)
        places = np.minimum(np.searchsorted(self.keys, keys), max(len(self.keys) - 1, 0))
        known = self.keys[places] == keys if len(self.keys) else np.zeros(len(keys), dtype=bool)
        unknown = np.flatnonzero(~known)
        if unknown.size:
            row = int(unknown[0])
            problem = f"there is no node {cells[row]!r}, expected an id from the table of nodes"
            if homes is not None and code[row] >= 0:
                other = self.graphs.names[self.graphs.homes[self.row_of_code[code[row]]]]
                home = self.graphs.names[homes[row]]
                problem = f"graph {home!r} has no node {cells[row]!r}, which is one of graph {other!r}"
            raise DatasetError(f"{table.place(column, row)}: {problem}.")
        rows: np.ndarray = self.rows_by_key[places]
        return rows


def _id_column(table: Table, choices: Choices) -> Optional[str]:
    """The column with the ids of graphs; None if graphs are numbered by row."""
    name = choices.columns.get("graph_id")
    if name is None and choices.columns.get("graph") in table.columns:
        name = choices.columns["graph"]
    if name is not None:
        return column_roles(table, ("graph",), {"graph": name})["graph"]
    for role in ("graph", "id"):
        found = column_roles(table, (role,), {})
        if found:
            return found[role]
    for column in table.columns:
        check_no_id(table, column, f"Say dataset.options.columns.graph_id={column}; rename it if it is none.")
    return None


def _check_given(table: Table, nodes: Table, choices: Choices) -> None:
    """Refuse names of columns that neither table has."""
    for role in (*_ROLES, "graph", "id", "words"):
        name = choices.columns.get(role)
        homes = (
            (nodes,) if role in ("graph", "id", "words") else (table,) if role in ("fold", "name") else (table, nodes)
        )
        if name is not None and not any(name in home.columns for home in homes):
            known = ", ".join(repr(column) for home in homes for column in home.columns)
            where = " and ".join(str(home.file) for home in homes)
            raise DatasetError(f"columns.{role} is {name!r}, but {where} has the columns {known}.")


def _graphs_of(table: Table, column: str, numbers: Mapping[str, int], file: Path) -> np.ndarray:
    """Numbers of the graphs that a column names."""
    cells = table.text(column)
    homes = np.array([numbers.get(cell, -1) for cell in cells], dtype=np.int64)
    unknown = np.flatnonzero(homes < 0)
    if unknown.size:
        row = int(unknown[0])
        raise DatasetError(f"{table.place(column, row)}: there is no graph {cells[row]!r}, expected one of {file}.")
    return homes


def _labels(table: Table, column: Optional[str], choices: Choices, found: Found) -> Labels:
    """Classes, labels or numbers to regress of the graphs."""
    if choices.targets:
        table.require(*choices.targets)
        if len(set(choices.targets)) < len(choices.targets):
            raise DatasetError(f"targets is {list(choices.targets)}, expected each column once.")
        values = np.stack([_target(table, name, choices) for name in choices.targets], axis=1).astype(np.float32)
        known = values[~np.isnan(values)]
        note = f"columns {listed(choices.targets)} of {table.file.name}"
        if not bool(np.isin(known, (0, 1)).all()):
            return Labels(values, note=f"{note}: numbers to regress")
        answers = np.where(np.isnan(values), np.float32(IGNORED_LABEL), values)
        if len(choices.targets) == 1:
            return Labels(answers[:, 0].astype(np.int64), note=note)
        return Labels(answers, tuple(choices.targets), note)
    if column is None:
        return Labels()
    said = Found()
    labels = read_label_column(table, column, choices, said, below_zero=True)
    if labels.values:  # Numbers to regress are what graphs may have; of nodes it is a warning.
        return Labels(labels.values[column], note=f"{labels.note} of {table.file.name}")
    found.warnings += said.warnings
    return Labels(labels.y, labels.names, f"{labels.note} of {table.file.name}")


def _target(table: Table, column: str, choices: Choices) -> np.ndarray:
    """A column as float64, NaN where a value is missing."""
    marks = [mark for mark in choices.marks if isinstance(mark, str)]
    cells = [None if is_missing_text(cell, marks) else cell for cell in table.text(column)]
    given = Table(table.file, {column: np.array([cell or "0" for cell in cells], dtype=object)}, table.num_rows)
    values = given.numbers(column)
    values[[row for row, cell in enumerate(cells) if cell is None]] = np.nan
    return values


def _further(table: Table, used: Collection[str], choices: Choices, found: Found) -> Dict[str, np.ndarray]:
    """All other columns of numbers."""
    arrays = {}
    for column in table.columns:
        if column in used:
            continue
        kind = "ignored" if column in choices.ignore else table.kind(column, choices.marks)
        if kind == "numbers":
            arrays[column] = table.exact_numbers(column)
            continue
        found.left_out.append(f"column {column!r} of {table.file.name!r}")
        if kind != "ignored":
            found.warnings.append(f"{table.file}: column {column!r} holds {kind}, so it is left out.")
    return arrays


def _check_folds(table: Table, column: Optional[str], arrays: Mapping[str, np.ndarray]) -> None:
    if column is None:
        return
    folds = arrays.get("fold")
    broken = np.arange(1) if folds is None else np.flatnonzero(folds != np.trunc(folds))
    if broken.size:
        received = f"{table.text(column)[int(broken[0])]!r}"
        raise DatasetError(f"{table.place(column, int(broken[0]))}: {received}, expected the whole number of a fold.")
