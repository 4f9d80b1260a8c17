"""Molecules to predict: where SMILES come from, and whether a model reads what they become."""

from __future__ import annotations

from pathlib import Path
from typing import Any, List, Mapping, Optional, Sequence

from gnnkit.datasets.tables import Table, read_table
from gnnkit.errors import ConfigError, DatasetError
from gnnkit.io.text import read_text
from gnnkit.nn import ModelSpec
from gnnkit.paths import is_file, user_path
from gnnkit.runs import Learned

_TABLES = (".csv", ".tsv", ".parquet")
SMILES_FILES = (*_TABLES, ".txt", ".smi")
"""Kinds of files that can list molecules."""


def read_smiles(given: Sequence[str], column: Optional[str] = None) -> List[str]:
    """Read which molecules are meant.

    Args:
        given: SMILES; or the name of a file alone: ``.csv``, ``.tsv`` or ``.parquet`` with a column of SMILES, ``.txt``
            or ``.smi`` with one a line.
        column: That column of a table. None: the one called "smiles", in any case; or the only one.

    Returns:
        A SMILES for each row.

    Raises:
        DatasetError: There is no such file or column, or nothing is listed.
        ConfigError: A file and other SMILES, or a column without a table.
        NotInstalledError: Parquet needs pandas and pyarrow.

    Example:
        >>> read_smiles(["CCO", "C"])
        ['CCO', 'C']
    """
    files = [text for text in given if text.endswith(SMILES_FILES)]
    if files and len(given) > 1:
        raise ConfigError(f"--smiles names the file {files[0]} and others. Give SMILES, or one file of them.")
    if not files:
        if column is not None:
            raise ConfigError("--smiles-column is for a table of SMILES. Give --smiles FILE, or leave it out.")
        return list(given)
    path = user_path(files[0], "What lists the molecules")
    if not is_file(path):
        raise DatasetError(f"There is no file {path}. Give a file that lists SMILES, or SMILES themselves.")
    if path.suffix in _TABLES:
        table = read_table(path)
        found = table.text(_column(table, column))
    elif column is not None:
        raise ConfigError(f"--smiles-column is for tables, and {path} has a SMILES on each line. Leave it out.")
    else:
        found = _lines(path)
    if not found:
        raise DatasetError(f"{path} lists no SMILES, expected at least one.")
    return found


def check_molecules(path: Path, manifest: Mapping[str, Any]) -> None:
    """Refuse SMILES for a model that does not read molecules as gnnkit makes them of SMILES.

    Args:
        path: The run folder.
        manifest: The run's.

    Raises:
        ConfigError: It reads other features.
    """
    from gnnkit.datasets.smiles import ATOM_CATEGORIES, BOND_CATEGORIES

    spec, learned = ModelSpec.from_dict(manifest["model"]), Learned.among(manifest)
    fits = tuple(spec.node_categories) == tuple(ATOM_CATEGORIES.values())
    if spec.reads_edges:
        fits = fits and learned is not None and learned.edge_categories == tuple(BOND_CATEGORIES.values())
    if not fits:
        raise ConfigError(
            f"SMILES become graphs with {len(ATOM_CATEGORIES)} categories of every atom and {len(BOND_CATEGORIES)} of "
            f"every bond, and the model of {path} was trained on other features ({manifest['data']['name']}). Give it "
            "graphs (--dataset), or train one on the data set 'molecules'."
        )


def _column(table: Table, column: Optional[str]) -> str:
    if column is not None:
        table.require(column)
        return column
    fits = [name for name in table.columns if name.strip().casefold() == "smiles"] or list(table.columns)
    if len(fits) != 1:
        known = ", ".join(map(repr, table.columns))
        raise DatasetError(f"{table.file} has the columns {known}. Say which one has the SMILES: --smiles-column NAME.")
    return fits[0]


def _lines(path: Path) -> List[str]:
    """One a line; empty lines at the end are none."""
    lines = [line.strip() for line in read_text(path).splitlines()]
    while lines and not lines[-1]:
        lines.pop()
    return lines
