"""The splits of a user's folder: from a table, from columns of the table of nodes, or from arrays.

Rules: one place gives the splits; two are refused. Masks of several splits are kept for
:func:`gnnkit.data.pick_split`, none is picked here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Dict, Mapping, Optional, Tuple

import numpy as np

from gnnkit.data import SPLITS
from gnnkit.data.splits import mask_rows, split_of
from gnnkit.data.words import is_missing_text
from gnnkit.datasets.folder_files import ARRAY_WORDS, TABLES
from gnnkit.datasets.folder_nodes import Choices, NodeTable, column_roles, listed, mask_columns, rows_of
from gnnkit.datasets.tables import Table, array_names, read_array, read_table
from gnnkit.errors import DataError, DatasetError


def read_splits(
    files: Mapping[str, Path], nodes: NodeTable, num_nodes: Optional[int], choices: Choices
) -> Tuple[Dict[str, np.ndarray], Dict[str, np.ndarray], str]:
    """Splits as node ids or masks; masks of several splits by name; and a note."""
    arrays = {name: files[name] for name in SPLITS if name in files}
    column = nodes.roles.get("split")
    masks = {} if nodes.table is None else mask_columns(nodes.table)
    if sum([column is not None, "split" in files, bool(arrays), bool(masks)]) > 1:
        raise DatasetError(f"{files['edges'].parent} gives splits in more than one way. Keep one of them.")
    if "split" in files and files["split"].suffix in TABLES:
        table = read_table(files["split"])
        roles = column_roles(
            table,
            ("id", "split"),
            {role: name for role, name in choices.columns.items() if role == "split" or name in table.columns},
        )
        table.require(*(role for role in ("id", "split") if role not in roles))
        rows = rows_of(table, roles["id"], nodes.ids, num_nodes)
        return group_rows(table, roles["split"], rows, choices), {}, files["split"].name
    if "split" in files:
        held = set(array_names(files["split"]))
        arrays = {name: files["split"] for name in SPLITS if held & set(ARRAY_WORDS[name])}
        if not arrays:
            raise DatasetError(f"{files['split']} has no array train_mask, val_mask or test_mask.")
    if nodes.table is not None and column is not None:
        group = group_rows(nodes.table, column, np.arange(nodes.table.num_rows), choices)
        return group, {}, f"column {column!r}" if group else ""
    if nodes.table is not None and masks:
        return _masks_in(nodes.table, masks), {}, f"columns {listed(list(masks.values()))}"
    read = {name: (file, read_array(file, ARRAY_WORDS[name])) for name, file in arrays.items()}
    return _arrays(read, nodes, num_nodes)


def _masks_in(table: Table, columns: Mapping[str, str]) -> Dict[str, np.ndarray]:
    splits = {}
    for split, column in columns.items():
        values = table.numbers(column)
        broken = np.flatnonzero((values != 0) & (values != 1))
        if broken.size:
            row = int(broken[0])
            raise DatasetError(f"{table.place(column, row)}: {values[row]:g}, expected true or false, or 0 or 1.")
        if bool(values.any()):
            splits[split] = values == 1
    return splits


def _arrays(
    arrays: Mapping[str, Tuple[Path, np.ndarray]], nodes: NodeTable, num_nodes: Optional[int]
) -> Tuple[Dict[str, np.ndarray], Dict[str, np.ndarray], str]:
    splits: Dict[str, np.ndarray] = {}
    several: Dict[str, np.ndarray] = {}
    for name, (file, array) in arrays.items():
        if array.ndim == 2 and 1 in array.shape:
            array = array.reshape(-1)
        if array.ndim == 2 and num_nodes is not None:
            try:
                masks = mask_rows(array, num_nodes, name).numpy()
            except DataError as error:
                raise DatasetError(f"{file}: {error}") from error
            several[f"{name}_mask"] = nodes.by_row(masks, file)
        elif array.dtype == np.bool_:
            splits[name] = nodes.by_row(array, file)
        else:
            splits[name] = nodes.rows_of(array, file) if array.ndim == 1 and array.dtype.kind in "iu" else array
    files = sorted({file.name for file, _ in arrays.values()})
    return splits, several, listed(files)


def group_rows(table: Table, column: str, nodes: np.ndarray, choices: Choices) -> Dict[str, np.ndarray]:
    """Rows by the split that a column names; those without one are left out.

    Args:
        table: The table.
        column: Name of the column.
        nodes: What each row stands for: a node, or a number of its own. Shape [rows], int64.
        choices: What the user said about missing values.

    Raises:
        DatasetError: A cell names something else than a split.
    """
    words = [mark for mark in choices.marks if isinstance(mark, str)]
    cells = table.text(column)
    splits = []
    for row, cell in enumerate(cells):
        split = "" if is_missing_text(cell, words) else split_of(cell.casefold())
        if not split and not is_missing_text(cell, words):
            raise DatasetError(f"{table.place(column, row)}: {cell!r}, expected {', '.join(SPLITS)} or nothing.")
        splits.append(split)
    joined = np.array(splits, dtype=object)
    return {name: nodes[joined == name] for name in SPLITS if (joined == name).any()}
