"""Splits of molecules by their scaffolds, so that those to be judged are built unlike those that are learnt.

From G. Bemis and M. Murcko, "The properties of known drugs", 1996, and Z. Wu et al., "MoleculeNet: a benchmark for
molecular machine learning", 2018, whose splitter this one agrees with.
"""

from __future__ import annotations

from typing import Dict, List, Sequence

import numpy as np

from gnnkit.datasets.smiles import import_rdkit
from gnnkit.errors import ConfigError, DataError


def scaffolds_of(smiles: Sequence[str]) -> List[str]:
    """The Bemis-Murcko scaffold of each molecule: its rings and what links them, without side chains and chirality.

    Args:
        smiles: SMILES that RDKit can read.

    Returns:
        SMILES of the scaffolds; empty for a molecule without a ring.

    Raises:
        NotInstalledError: RDKit is missing.

    Example:
        >>> scaffolds_of(["Cc1ccccc1", "CCO"])
        ['c1ccccc1', '']
    """
    find = import_rdkit("Chem.Scaffolds.MurckoScaffold").MurckoScaffoldSmiles
    with import_rdkit("rdBase").BlockLogs():
        return [str(find(smiles=text, includeChirality=False)) for text in smiles]


def scaffold_split(smiles: Sequence[str], train: float = 0.8, valid: float = 0.1) -> Dict[str, np.ndarray]:
    """Split molecules so that all of one scaffold are in one split.

    Sets of one scaffold are dealt out by size, the largest first, and among equals the one whose first molecule comes
    last: to "train" if it has room for the whole set, else to "valid" if both together have, else to "test". Nothing is
    drawn.

    Args:
        smiles: SMILES that RDKit can read, one for each of G molecules.
        train: Share of the molecules to train on, at most.
        valid: Share of them to validate on.

    Returns:
        Numbers of molecules by split, ascending, int64.

    Raises:
        NotInstalledError: RDKit is missing.
        ConfigError: The shares leave nothing for a split.
        DataError: A split gets no molecule, because the sets are too large for it.

    Example:
        >>> split = scaffold_split(["CC", "CCC", "CCO", "Cc1ccccc1", "C1CC1"], train=0.6, valid=0.2)
        >>> {name: ids.tolist() for name, ids in split.items()}
        {'train': [0, 1, 2], 'valid': [4], 'test': [3]}
    """
    if not (train > 0 and valid > 0 and train + valid < 1):
        raise ConfigError(
            f"The shares are train={train:g} and valid={valid:g}, expected some for each and for the test."
        )
    members: Dict[str, List[int]] = {}
    for row, scaffold in enumerate(scaffolds_of(smiles)):
        members.setdefault(scaffold, []).append(row)
    split: Dict[str, List[int]] = {"train": [], "valid": [], "test": []}
    most_train, most_seen = train * len(smiles), (train + valid) * len(smiles)
    for rows in sorted(members.values(), key=lambda rows: (len(rows), rows[0]), reverse=True):
        if len(split["train"]) + len(rows) <= most_train:
            split["train"] += rows
        elif len(split["train"]) + len(split["valid"]) + len(rows) <= most_seen:
            split["valid"] += rows
        else:
            split["test"] += rows
    for name, rows in split.items():
        if not rows:
            problem = f"the {len(members)} scaffolds of {len(smiles)} molecules leave none for {name!r}"
            raise DataError("graph_splits", f"{problem}.", fix="Choose other shares, or a random split.")
    return {name: np.sort(np.array(rows, dtype=np.int64)) for name, rows in split.items()}
