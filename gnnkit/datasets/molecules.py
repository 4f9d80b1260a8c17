"""Molecules of a user's own: a table with SMILES and what is to be learnt of them.

Rules: columns are named, not guessed; classes and numbers to regress are told apart as in a folder of tables, but -1 is
a number like any other here. A molecule that cannot be read is an error, or is counted where it is left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from gnnkit.data import Graph, Notes
from gnnkit.data.labels import as_labels
from gnnkit.data.words import MISSING_TEXT, is_missing_text
from gnnkit.datasets.base import Dataset, check_option
from gnnkit.datasets.files import DataFile, Finder
from gnnkit.datasets.folder_labels import read_label_column
from gnnkit.datasets.folder_nodes import Choices, Found
from gnnkit.datasets.folder_splits import group_rows
from gnnkit.datasets.scaffolds import scaffold_split
from gnnkit.datasets.smiles import join_molecules, read_molecules
from gnnkit.datasets.tables import Table, as_number, read_table
from gnnkit.errors import ConfigError, DatasetError
from gnnkit.paths import is_file, user_path

_SUFFIXES = (".csv", ".tsv", ".parquet")
_MOST_LISTED = 3
_SHARES = {"train": 0.8, "valid": 0.1}


@dataclass(frozen=True)
class Molecules(Dataset):
    """Molecules from a table with SMILES, such as ``dataset.options.file=delaney-processed.csv``.

    Needs ``pip install gnnkit[molecules]``. The table is CSV, TSV or Parquet, a row for each molecule; it is looked for
    as the path that is given, then in the data folder. A molecule becomes a graph as
    :func:`gnnkit.datasets.from_smiles` makes it, named by its SMILES. What is to be learnt is in the columns
    ``targets``. One of them: words or whole numbers from 0 are classes, others are numbers to regress. Several: all are
    numbers to regress, or all are 0 and 1, which are labels. A missing value is an empty cell or another of
    ``gnnkit.data.words.MISSING_TEXT``.

    Attributes:
        file: The table.
        smiles: Column of the SMILES. None takes the one that is called so, in any case.
        targets: Columns of what is to be learnt; [] for molecules to predict. None is for tables without other columns.
        skip_invalid: Whether to leave out molecules that cannot be read, with a warning. They are an error otherwise.
        split_by: "random" leaves it to the task, which splits by the seed of the run; "scaffold" puts molecules of one
            Bemis-Murcko scaffold into one split, the largest sets into training, as MoleculeNet does.
        train: Share of the molecules for training, of a split by scaffold.
        valid: Share for validation, likewise.
        split_column: Column with train, valid, test or nothing, instead.
        fold_column: Column with the number of each molecule's fold.
        missing: Marks of a missing target, instead of the usual ones: ["", -999].
        number_classes: Whether a target that is numbers is codes of classes: they are numbered in ascending order.
    """

    name = "molecules"
    summary = "Your own molecules: a table with SMILES, dataset.options.file=FILE; needs gnnkit[molecules]."

    file: str = ""
    smiles: Optional[str] = None
    targets: Optional[List[str]] = None
    skip_invalid: bool = False
    split_by: str = "random"
    train: float = _SHARES["train"]
    valid: float = _SHARES["valid"]
    split_column: Optional[str] = None
    fold_column: Optional[str] = None
    missing: Optional[List[Any]] = None
    number_classes: bool = False

    def __post_init__(self) -> None:
        kinds = ("random", "scaffold")
        check_option(self.requested, "split_by", self.split_by, self.split_by in kinds, "'random' or 'scaffold'")
        targets = self.targets or []
        check_option(self.requested, "targets", targets, len(set(targets)) == len(targets), "each column once")
        if self.split_by == "scaffold" and self.split_column is not None:
            raise ConfigError(f"split_by is 'scaffold' and split_column is {self.split_column!r}. Give one of them.")
        for key, usual in _SHARES.items():
            if self.split_by == "random" and getattr(self, key) != usual:
                raise ConfigError(
                    f"{key} is {getattr(self, key)}, which is for a split by scaffold. Say split_by=scaffold, or leave "
                    "it out: a random split is the task's."
                )
        if self.number_classes and len(targets) != 1:
            raise ConfigError(f"number_classes is for one target, received {len(targets)}. Leave it out.")

    def locate(self, finder: Finder) -> Mapping[str, Path]:
        """Find the table."""
        if not self.file:
            raise ConfigError(
                "Data set 'molecules' needs a table with a column of SMILES: dataset.options.file=FILE, which is "
                f"{', '.join(_SUFFIXES[:-1])} or {_SUFFIXES[-1]}."
            )
        given = user_path(self.file, "The option file")
        if given.suffix not in _SUFFIXES:
            raise ConfigError(f"file is {self.file!r}, expected a table that ends in {', '.join(_SUFFIXES)}.")
        places = [given, *(root / self.file for root in finder.roots())]
        for place in places:
            if is_file(place):
                return {given.name: place}
        looked = [place.parent for place in places]
        raise DatasetError(finder.describe_missing([DataFile(given.name)], "it is a file of yours", looked))

    def read(self, files: Mapping[str, Path]) -> Graph:
        """Read the table and its molecules."""
        table = read_table(next(iter(files.values())))
        column = self._smiles_column(table)
        targets = self._targets(table, column)
        found = Found()
        smiles = table.text(column)
        molecules = read_molecules(smiles)
        self._check(table, column, molecules.problems, found)
        kept = np.array([row for row in range(len(smiles)) if row not in molecules.problems], dtype=np.int64)
        listed = [smiles[row] for row in kept.tolist()]
        y, names = self._read_targets(table, targets, found)
        splits, note = self._splits(table, kept, listed)
        fold = None if self.fold_column is None else _folds(table, self.fold_column)
        used = {column, *targets, self.split_column, self.fold_column}
        found.left_out += [f"column {name!r}" for name in table.columns if name not in used]
        return join_molecules(
            molecules,
            listed,
            None if y is None else y[kept],
            class_names=names,
            graph_splits=splits,
            graph_data={} if fold is None else {"fold": fold[kept]},
            notes=Notes(
                nodes="atoms",
                edges="both directions of each bond",
                features="categories of atoms, as OGB has them",
                labels=_listed("column", targets),
                splits=note,
                left_out=tuple(found.left_out),
                warnings=tuple(found.warnings),
            ),
        )

    @property
    def _choices(self) -> Choices:
        # The usual marks of a missing class, -1 and -100, are numbers that molecules may well have.
        marks = list(MISSING_TEXT) if self.missing is None else self.missing
        return Choices(missing=marks, number_classes=self.number_classes)

    def _smiles_column(self, table: Table) -> str:
        if self.smiles is not None:
            table.require(self.smiles)
            return self.smiles
        fits = [name for name in table.columns if name.strip().casefold() == "smiles"]
        if len(fits) != 1:
            problem = f"the columns {_quoted(fits)}" if fits else "no column 'smiles'"
            raise DatasetError(
                f"{table.file} has {problem}; its columns are {_quoted(table.columns)}. Say which one has the SMILES: "
                "dataset.options.smiles=NAME."
            )
        return fits[0]

    def _targets(self, table: Table, smiles: str) -> List[str]:
        """Columns of what is to be learnt."""
        named = {"split_column": self.split_column, "fold_column": self.fold_column}
        table.require(*(name for name in named.values() if name is not None))
        others = [name for name in table.columns if name not in (smiles, *named.values())]
        if self.targets is None and others:
            raise DatasetError(
                f"{table.file} has the columns {_quoted(others)} beside the SMILES. Say which are to be learnt: "
                'dataset.options.targets="[NAME]", or targets=[] for none.'
            )
        targets = self.targets or []
        table.require(*targets)
        for target in targets:
            if target not in others:
                raise ConfigError(f"targets names {target!r}, which is the column of something else. Leave it out.")
        return targets

    def _check(self, table: Table, column: str, problems: Mapping[int, str], found: Found) -> None:
        """Refuse molecules that cannot be read, or note that they are left out."""
        if not problems:
            return
        cells = table.text(column)
        told = [f"{table.place(column, row)}: {cells[row]!r} {problem}" for row, problem in problems.items()]
        if not self.skip_invalid:
            others = f" It is the first of {len(told):,} such rows." if len(told) > 1 else ""
            raise DatasetError(f"{told[0]}.{others} Fix it, or leave out such rows: dataset.options.skip_invalid=true.")
        more = "; and so on" if len(told) > _MOST_LISTED else ""
        found.left_out.append(f"{len(told):,} of {table.num_rows:,} molecules, which cannot be read")
        found.warnings.append(
            f"{len(told):,} of {table.num_rows:,} molecules are left out: {'; '.join(told[:_MOST_LISTED])}{more}."
        )

    def _read_targets(
        self, table: Table, targets: Sequence[str], found: Found
    ) -> Tuple[Optional[np.ndarray], Tuple[str, ...]]:
        """What is true of all rows, and names of the classes, or of several targets."""
        if not targets:
            return None, ()
        if len(targets) > 1:
            values = np.stack([_numbers(table, target, self._choices) for target in targets], axis=1)
            labels = as_labels(values)
            return (None if labels is None else labels.numpy()), tuple(targets)
        said = Found()
        labels_of = read_label_column(table, targets[0], self._choices, said, below_zero=True)
        if labels_of.values:  # Of nodes, numbers to regress are a warning.
            return labels_of.values[targets[0]], ()
        found.warnings += said.warnings
        return labels_of.y, labels_of.names

    def _splits(self, table: Table, kept: np.ndarray, smiles: Sequence[str]) -> Tuple[Dict[str, np.ndarray], str]:
        """Numbers of graphs by split, and where they come from."""
        if self.split_by == "scaffold":
            test = 1 - self.train - self.valid
            return scaffold_split(smiles, self.train, self.valid), (
                f"by scaffold, in shares of about {self.train:g}, {self.valid:g} and {test:.3g}"
            )
        if self.split_column is None:
            return {}, ""
        number = np.full(table.num_rows, -1, dtype=np.int64)
        number[kept] = np.arange(len(kept))
        groups = group_rows(table, self.split_column, number, self._choices)
        known = {split: graphs[graphs >= 0] for split, graphs in groups.items()}
        return {split: graphs for split, graphs in known.items() if graphs.size}, f"column {self.split_column!r}"


def _numbers(table: Table, column: str, choices: Choices) -> np.ndarray:
    """A column of numbers, float64, NaN where one is missing."""
    cells = table.text(column)
    values = np.array([as_number(cell) for cell in cells], dtype=np.float64)
    missing = np.array([is_missing_text(cell, choices.marks) for cell in cells], dtype=bool)
    missing |= np.isin(values, choices.marked_numbers)
    broken = np.flatnonzero(~np.isfinite(values) & ~missing)
    if broken.size:
        row = int(broken[0])
        raise DatasetError(f"{table.place(column, row)}: {cells[row]!r}, expected a finite number or nothing.")
    return np.where(missing, np.nan, values)


def _folds(table: Table, column: str) -> np.ndarray:
    """Folds, numbered from 0 in ascending order of what the column calls them. Shape [rows], int64."""
    values = _numbers(table, column, Choices(missing=MISSING_TEXT))
    broken = np.flatnonzero(np.isnan(values) | (values != np.trunc(values)))
    if broken.size:
        row = int(broken[0])
        cell = table.text(column)[row]
        raise DatasetError(f"{table.place(column, row)}: {cell!r}, expected a whole number, which says the fold.")
    folds: np.ndarray = np.unique(values, return_inverse=True)[1].reshape(-1)
    return folds.astype(np.int64)


def _quoted(names: Any) -> str:
    return ", ".join(repr(name) for name in names)


def _listed(what: str, names: Sequence[str]) -> str:
    return f"{what}{'s' if len(names) > 1 else ''} {_quoted(names)}" if names else ""
