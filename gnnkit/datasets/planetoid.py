"""The citation data sets Cora, CiteSeer and PubMed, from the raw files of Planetoid.

Rule: the pickles are read by an unpickler that admits arrays and nothing else, see ``gnnkit.io.pickles``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, List, Mapping, Sequence, Tuple

import numpy as np
from scipy.sparse import csr_matrix

from gnnkit.data import IGNORED_LABEL, Graph, from_edge_index, normalize_features
from gnnkit.data.build import check_count
from gnnkit.datasets.base import Dataset
from gnnkit.datasets.edges import undirected
from gnnkit.datasets.files import DataFile
from gnnkit.errors import DatasetError
from gnnkit.io.limits import check_dense
from gnnkit.io.pickles import read_pickle
from gnnkit.io.text import read_text

_PARTS = ("x", "y", "tx", "ty", "allx", "ally", "graph", "test.index")
_NUM_VALID = 500


@dataclass(frozen=True)
class Planetoid(Dataset):
    """A citation network: papers, the words that they hold, and who cites whom in both directions.

    Features are bags of words. The split is the published one: 20 papers a class train, 500 validate, 1,000 test; the
    others have labels but no split. Self-loops and repeated citations are dropped. Papers without any published
    content (15 in CiteSeer) have zero features and no label.

    From Z. Yang, W. Cohen and R. Salakhutdinov, "Revisiting semi-supervised learning with graph embeddings", 2016.

    Attributes:
        normalize_features: Whether each paper's words sum to 1, as in Kipf and Welling 2017.
    """

    source: ClassVar[str] = "https://github.com/kimiyoung/planetoid/raw/master/data/"
    classes: ClassVar[Tuple[str, ...]]
    checksums: ClassVar[Mapping[str, str]] = {}

    normalize_features: bool = True

    @property
    def files(self) -> Sequence[DataFile]:
        """The eight raw files."""
        names = [f"ind.{self.name}.{part}" for part in _PARTS]
        return [DataFile(name, self.source + name, self.checksums.get(part, "")) for name, part in zip(names, _PARTS)]

    def read(self, files: Mapping[str, Path]) -> Graph:
        """Read the raw files."""
        paths = {part: files[f"ind.{self.name}.{part}"] for part in _PARTS}
        test = _read_test_index(paths["test.index"])
        known, tested = _matrix(paths["allx"]), _matrix(paths["tx"])
        known_labels, tested_labels = _labels(paths["ally"], known), _labels(paths["ty"], tested)
        if tested.shape[0] != len(test) or tested.shape[1] != known.shape[1] or test.min() != known.shape[0]:
            raise DatasetError(
                f"{paths['tx']} has shape {tested.shape}, but {paths['test.index'].name} names {len(test)} papers from "
                f"{test.min()} on and {paths['allx'].name} has shape {known.shape}. Get these files again."
            )
        num_train = len(_labels(paths["y"], _matrix(paths["x"])))
        num_nodes = int(test.max()) + 1
        if num_train + _NUM_VALID > known.shape[0]:
            raise DatasetError(f"{paths['allx']} has {known.shape[0]} papers, too few for training and validation.")
        check_dense(num_nodes, known.shape[1], known.nnz + tested.nnz + len(test), paths["allx"].parent)
        check_count(num_nodes, known.shape[0] + len(test))
        # Test papers are listed in another order than they are numbered, and some numbers are left out.
        features = np.zeros((num_nodes, known.shape[1]), dtype=np.float32)
        features[: known.shape[0]] = known.toarray()
        features[test] = tested.toarray()
        labels = np.full(num_nodes, IGNORED_LABEL)
        labels[: known.shape[0]] = known_labels
        labels[test] = tested_labels
        graph = from_edge_index(
            undirected(_read_edges(paths["graph"], num_nodes)),
            num_nodes,
            x=features,
            y=labels,
            splits={
                "train": np.arange(num_train),
                "valid": np.arange(num_train, num_train + _NUM_VALID),
                "test": test,
            },
            class_names=self.classes,
        )
        return normalize_features(graph) if self.normalize_features else graph


@dataclass(frozen=True)
class Cora(Planetoid):
    """2,708 papers on machine learning in 7 classes, 10,556 directed edges, 1,433 words. See :class:`Planetoid`."""

    name = "cora"
    summary = "Citations between 2,708 papers on machine learning, 7 classes."
    classes = (
        "Theory",
        "Reinforcement Learning",
        "Genetic Algorithms",
        "Neural Networks",
        "Probabilistic Methods",
        "Case Based",
        "Rule Learning",
    )
    checksums = {
        "x": "23cfa55d91c6f624233f5eb7b6e3f141f1bd2b2ae39608a63cf5d084bb27baab",
        "y": "94465c14eb53e04ca262198dcbb2521ee8af60fb3f3d546cd6ca24a511b0e7d1",
        "tx": "b9afbaa4a400df991f6f02ef677e1e44da55ffc04801fd02f9e673987829226a",
        "ty": "41f5ac76596a1699cc33f53084a2419e92961c42bb75f36fc38e616d348532ad",
        "allx": "9419ba2f26f5c35243db64aba110e0f35a04851609e0dc5433450676ca6b8543",
        "ally": "2b998f5cc7fedc86e7f97ca2498f47a1ffc1462c29e2d578b23bf3f62b6e7d71",
        "graph": "58f13302f39dde8852dad6fe6d15b89b077b6d7f837626bce671ef80344b383d",
        "test.index": "297ce89af2b51a6a194181c7dbe1796c6a1cf9cd9349a88383b1b1e227867875",
    }


@dataclass(frozen=True)
class CiteSeer(Planetoid):
    """3,327 papers on computer science in 6 classes, 9,104 directed edges, 3,703 words. See :class:`Planetoid`."""

    name = "citeseer"
    summary = "Citations between 3,327 papers on computer science, 6 classes."
    classes = ("AI", "ML", "IR", "DB", "Agents", "HCI")


@dataclass(frozen=True)
class PubMed(Planetoid):
    """19,717 papers on diabetes in 3 classes, 88,648 directed edges, 500 TF-IDF weights. See :class:`Planetoid`."""

    name = "pubmed"
    summary = "Citations between 19,717 papers on diabetes, 3 classes."
    classes = ("Experimental", "Type 1", "Type 2")


def _read_test_index(file: Path) -> np.ndarray:
    try:
        lines: List[str] = read_text(file, encoding="ascii").split()
        index = np.array([int(line) for line in lines], dtype=np.int64)
    except (ValueError, OverflowError) as error:
        raise DatasetError(f"{file} cannot be read as one whole number a line ({error}). Get it again.") from error
    if index.size == 0 or index.min() < 0 or np.unique(index).size != index.size:
        raise DatasetError(f"{file} must name at least one paper, and each once. Get it again.")
    return index


def _matrix(file: Path) -> csr_matrix:
    matrix = read_pickle(file)
    if not isinstance(matrix, csr_matrix):
        raise DatasetError(f"{file} holds a {type(matrix).__name__}, expected a CSR matrix. Get it again.")
    return matrix


def _labels(file: Path, features: csr_matrix) -> np.ndarray:
    """Classes from one row of 0/1 for each paper; a row of zeros is a paper without a label."""
    rows: Any = read_pickle(file)
    if not isinstance(rows, np.ndarray) or rows.ndim != 2 or rows.dtype.kind not in "iuf":
        raise DatasetError(f"{file} holds a {type(rows).__name__}, expected an array of [papers, classes].")
    if len(rows) != features.shape[0]:
        raise DatasetError(f"{file} has {len(rows)} rows, but there are features of {features.shape[0]} papers.")
    return np.where(rows.any(axis=1), rows.argmax(axis=1), IGNORED_LABEL).astype(np.int64)


def _read_edges(file: Path, num_nodes: int) -> np.ndarray:
    neighbors = read_pickle(file)
    try:
        pairs = [(int(paper), int(cited)) for paper, others in neighbors.items() for cited in others]
    except (AttributeError, TypeError, ValueError) as error:
        raise DatasetError(f"{file} is no dictionary from papers to lists of papers. Get it again.") from error
    edges = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    if edges.size and (edges.min() < 0 or edges.max() >= num_nodes):
        raise DatasetError(f"{file} names paper {edges.max()}, but there are only papers 0 to {num_nodes - 1}.")
    return edges
