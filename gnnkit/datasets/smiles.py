"""Molecules from SMILES: atoms are nodes, bonds are edges in both directions, features are OGB's categories.

Rules: RDKit reads the text, and the package ogb says what its features are, so a molecule looks as it does in
``ogbg-mol...``. The sizes of its tables are written down here, because a model's embeddings depend on them.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Sequence, Tuple

import numpy as np

from gnnkit.data import Graph, from_edge_index
from gnnkit.datasets.ogb_files import import_ogb
from gnnkit.errors import DataError, NotInstalledError

ATOM_CATEGORIES: Mapping[str, int] = {
    "atomic_num": 119,
    "chirality": 5,
    "degree": 12,
    "formal_charge": 12,
    "num_h": 10,
    "num_rad_e": 6,
    "hybridization": 6,
    "is_aromatic": 2,
    "is_in_ring": 2,
}
"""Features of atoms in OGB's order, and how many categories each has."""

BOND_CATEGORIES: Mapping[str, int] = {"bond_type": 5, "bond_stereo": 6, "is_conjugated": 2}
"""The same of bonds."""

_INSTALL = "pip install gnnkit[molecules]"


@dataclass(frozen=True)
class Molecules:
    """Molecules one after the other, and what could not be read.

    Attributes:
        atoms: Categories of the atoms. Shape [N, 9], int64.
        edges: Bonds in both directions, atoms numbered through all molecules. Shape [2, E], int64.
        bonds: Categories of the edges. Shape [E, 3], int64.
        pointer: Where the atoms of each molecule begin. Shape [G + 1], int64.
        problems: What is wrong with a SMILES, by its place in the list; these are not among the molecules.
    """

    atoms: np.ndarray
    edges: np.ndarray
    bonds: np.ndarray
    pointer: np.ndarray
    problems: Mapping[int, str]


def from_smiles(smiles: Sequence[str], y: Any = None, **fields: Any) -> Graph:
    """Build a record of many graphs from SMILES.

    Needs ``pip install gnnkit[molecules]``. The features are those of ``ogb.utils.smiles2graph`` (W. Hu et al., 2020):
    nine categories of an atom and three of a bond, whose sizes are ``node_categories`` and ``edge_categories``.

    Args:
        smiles: A SMILES for each molecule; one of several parts, such as a salt, is one molecule.
        y: What is true of the molecules, as ``graph_y`` has it: whole numbers are classes, floating point of shape [G]
            or [G, T] are numbers to regress, or labels if all are 0 and 1.
        **fields: What else :func:`gnnkit.data.from_edge_index` takes, such as ``graph_splits`` and ``class_names``.

    Returns:
        The graph; ``graph_names`` are the SMILES. A molecule of one atom has no edges.

    Raises:
        NotInstalledError: RDKit or ogb is missing.
        DataError: A SMILES cannot be read, or a field breaks a rule of :class:`gnnkit.data.Graph`.

    Example:
        >>> graph = from_smiles(["CCO", "C"], y=[0.3, 1.1])
        >>> graph.num_graphs, graph.graph_ptr.tolist(), graph.num_edges, graph.x[:, 0].tolist()
        (2, [0, 3, 4], 4, [5, 5, 7, 5])
    """
    if isinstance(smiles, str):
        raise DataError("smiles", f"received the text {smiles!r}, expected a list.", fix=f"Give [{smiles!r}].")
    listed = list(smiles)
    molecules = read_molecules(listed)
    for row, problem in molecules.problems.items():
        raise DataError("smiles", f"{listed[row]!r} {problem}.", row=row)
    return join_molecules(molecules, listed, y, **fields)


def read_molecules(smiles: Sequence[str]) -> Molecules:
    """Read SMILES; what cannot be read is among the problems.

    Args:
        smiles: A SMILES for each molecule.

    Raises:
        NotInstalledError: RDKit or ogb is missing.

    Example:
        >>> read_molecules(["CC", "C1C"]).problems
        {1: 'is no SMILES that RDKit can read'}
    """
    block_logs = import_rdkit("rdBase").BlockLogs
    parse = import_rdkit("Chem").MolFromSmiles
    features = import_ogb("ogb.utils.features", _INSTALL)
    atoms: List[List[int]] = []
    ends: List[Tuple[int, int]] = []
    bonds: List[List[int]] = []
    pointer = [0]
    problems: Dict[int, str] = {}
    with block_logs():  # What is wrong is said with its row instead.
        for row, text in enumerate(smiles):
            molecule = parse(text) if isinstance(text, str) else None
            if molecule is None or not molecule.GetNumAtoms():
                problems[row] = "is no SMILES that RDKit can read" if molecule is None else "has no atom"
                continue
            try:
                mine = [features.bond_to_feature_vector(bond) for bond in molecule.GetBonds()]
            except ValueError as error:
                problems[row] = f"has a bond of a kind that OGB's features do not know ({error})"
                continue
            start = pointer[-1]
            ends += [(start + bond.GetBeginAtomIdx(), start + bond.GetEndAtomIdx()) for bond in molecule.GetBonds()]
            bonds += mine
            atoms += [features.atom_to_feature_vector(atom) for atom in molecule.GetAtoms()]
            pointer.append(len(atoms))
    one_way = np.array(ends, dtype=np.int64).reshape(-1, 2).T
    return Molecules(
        np.array(atoms, dtype=np.int64).reshape(-1, len(ATOM_CATEGORIES)),
        np.concatenate([one_way, one_way[::-1]], axis=1),
        np.tile(np.array(bonds, dtype=np.int64).reshape(-1, len(BOND_CATEGORIES)), (2, 1)),
        np.array(pointer, dtype=np.int64),
        problems,
    )


def join_molecules(molecules: Molecules, smiles: Sequence[str], y: Any = None, **fields: Any) -> Graph:
    """The record of molecules that were read.

    Args:
        molecules: The molecules, G of them.
        smiles: A SMILES for each of these.
        y: As for :func:`from_smiles`.
        **fields: As for :func:`from_smiles`.

    Raises:
        DataError: There is no molecule, or a field breaks a rule.
    """
    if not smiles:
        raise DataError("smiles", "there is no molecule, expected at least one.")
    if y is not None and not hasattr(y, "dtype"):
        y = np.asarray(y)
        y = y.astype(np.float32) if y.dtype.kind == "f" else y
    return from_edge_index(
        molecules.edges,
        len(molecules.atoms),
        x=molecules.atoms,
        edge_attr=molecules.bonds,
        graph_ptr=molecules.pointer,
        graph_y=y,
        feature_names=list(ATOM_CATEGORIES),
        node_categories=list(ATOM_CATEGORIES.values()),
        edge_categories=list(BOND_CATEGORIES.values()),
        graph_names=smiles,
        **fields,
    )


def import_rdkit(module: str) -> Any:
    """A module of RDKit.

    Args:
        module: Such as "Chem".

    Raises:
        NotInstalledError: RDKit is missing.
    """
    try:
        return importlib.import_module(f"rdkit.{module}")
    except ImportError as error:
        raise NotInstalledError("RDKit, which reads SMILES,", _INSTALL) from error
