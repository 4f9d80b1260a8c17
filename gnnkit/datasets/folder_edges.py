"""The edges of a user's folder: their ends, weights, features and further arrays."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, Mapping, Optional, Sequence, Tuple

import numpy as np

from gnnkit.data.words import find_columns
from gnnkit.datasets.folder_files import ARRAY_WORDS
from gnnkit.datasets.folder_graphs import GraphTable, check_inside, ends_in_graphs
from gnnkit.datasets.folder_nodes import Choices, Found, NodeTable, rows_of
from gnnkit.datasets.tables import Table, read_array, read_table
from gnnkit.errors import DataError, DatasetError

_ENDS = ("source", "target")


def read_edges(
    file: Path,
    nodes: NodeTable,
    graphs: Optional[GraphTable],
    num_nodes: Optional[int],
    choices: Choices,
    found: Found,
    targets: Optional[NodeTable] = None,
    num_targets: Optional[int] = None,
) -> Tuple[np.ndarray, Dict[str, Any]]:
    """Read the edges.

    Args:
        file: A table or an array.
        nodes: The table of nodes.
        graphs: The table of graphs, if there is one.
        num_nodes: Number of nodes, if other files say it.
        choices: What the user said about columns.
        found: Gets columns that are left out, and warnings.
        targets: The table of the nodes where edges end, if these are of another type. None: ``nodes``.
        num_targets: Number of these nodes, if other files say it.

    Returns:
        Sources and destinations as rows of nodes, [2, E]; and further arguments of ``from_edge_index``.

    Raises:
        DatasetError: A column is missing, or a cell names no node, or is no number.
    """
    if file.suffix in (".npy", ".npz"):
        if choices.edge_features:
            raise DatasetError(f"edge_features names columns, but {file} is no table. Leave it out, or write a table.")
        array = read_array(file, ARRAY_WORDS["edges"])
        if array.ndim == 2 and array.shape[0] != 2 and array.shape[1] == 2:
            array = array.T
        if array.dtype.kind in "iu" and targets is None:
            array = nodes.rows_of(array, file)
        if graphs is not None:
            check_inside(array, graphs, num_nodes, lambda row: f"{file}, edge {row}")
        return array, {}
    table = read_table(file)
    roles = _roles(table, choices)
    if graphs is None:
        homes = [(nodes.ids, num_nodes), (nodes.ids, num_nodes) if targets is None else (targets.ids, num_targets)]
        edges = np.stack([rows_of(table, roles[end], *home) for end, home in zip(_ENDS, homes)])
    else:
        edges = ends_in_graphs(table, roles, nodes, graphs, choices)
    fields: Dict[str, Any] = {"edge_data": {}}
    if "weight" in roles:
        fields["edge_weight"] = table.numbers(roles["weight"]).astype(np.float32)
    if choices.edge_features:
        fields["edge_attr"] = _features(table, choices.edge_features, roles)
    for column in table.columns:
        if column in roles.values() or column in choices.edge_features:
            continue
        kind = "ignored" if column in choices.ignore else table.kind(column, choices.marks)
        if kind == "numbers":
            fields["edge_data"][column] = table.exact_numbers(column)
            continue
        found.left_out.append(f"column {column!r}")
        if kind != "ignored":
            found.warnings.append(f"{file}: column {column!r} holds {kind}, expected numbers, so it is left out.")
    return edges, fields


def _roles(table: Table, choices: Choices) -> Dict[str, str]:
    given = {role: name for role, name in choices.columns.items() if role in (*_ENDS, "weight")}
    try:
        roles = find_columns(list(table.columns), (*_ENDS, "weight"), given, str(table.file))
    except DataError as error:
        raise DatasetError(f"{error} Give dataset.options.columns.source=NAME, and target alike.") from error
    for role in _ENDS:
        if role not in roles:
            known = ", ".join(repr(column) for column in table.columns)
            advice = f"Name the column {role!r}, or say dataset.options.columns.{role}=NAME."
            raise DatasetError(f"{table.file} has no column {role!r}; it has {known}. {advice}")
    return roles


def _features(table: Table, columns: Sequence[str], roles: Mapping[str, str]) -> np.ndarray:
    """The columns that the user named as features [E, D], float32."""
    table.require(*columns)
    for column in columns:
        role = next((role for role, name in roles.items() if name == column), None)
        if role is not None:
            raise DatasetError(f"{table.file}: column {column!r} is the {role}, so it is no feature. Leave it out.")
    return np.stack([table.numbers(column) for column in columns], axis=1).astype(np.float32)
