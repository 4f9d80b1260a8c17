"""Data sets of many small graphs, in the text layout of the TU Dortmund collection."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Dict, List, Mapping, Optional

import numpy as np

from gnnkit.data import Graph, Notes, from_edge_index
from gnnkit.data.notes import warn_one_way
from gnnkit.datasets.base import Dataset
from gnnkit.datasets.files import DataFile, Finder, is_there
from gnnkit.errors import ConfigError, DatasetError

_NEEDED = ("A", "graph_indicator", "graph_labels")
_OPTIONAL = ("node_labels", "node_attributes", "edge_labels", "edge_attributes")


@dataclass(frozen=True)
class TuCollection(Dataset):
    """Graphs to classify, such as ``TU-MUTAG``: 188 molecules, 3,371 atoms, 7,442 directed bonds, 2 classes.

    For ``TU-NAME`` the files ``NAME_A.txt``, ``NAME_graph_indicator.txt`` and so on are looked for in a folder
    ``NAME``; they are not downloaded. All graphs are in one record: ``graph_ptr`` says where each begins, ``graph_y``
    is its class, the published labels being numbered from 0 in ascending order. Features are the published labels of
    nodes as 0/1 columns, then their attributes; ``edge_attr`` likewise. There is no split: these are graphs to
    classify, not nodes.

    From C. Morris et al., "TUDataset: a collection of benchmark datasets for learning with graphs", 2020.
    """

    name = "TU"
    version: ClassVar[int] = 2
    summary = "TU-NAME: many small graphs from files of the TU Dortmund collection, such as TU-MUTAG."
    is_family = True

    @property
    def collected_as(self) -> str:
        """What the collection calls the data set."""
        return self.requested[len(self.name) + 1 :]

    def locate(self, finder: Finder) -> Mapping[str, Path]:
        """Find the files; labels and attributes of nodes and edges may be absent."""
        if not self.collected_as:
            raise ConfigError("TU is a collection. Name a data set of it, for example TU-MUTAG.")
        finder = replace(finder, dataset=self.collected_as)
        found = dict(finder.find([DataFile(self._file(part)) for part in _NEEDED]))
        folder = found[self._file("A")].parent
        optional = {name: folder / name for name in map(self._file, _OPTIONAL)}
        return {**found, **{name: path for name, path in optional.items() if is_there(path)}}

    def read(self, files: Mapping[str, Path]) -> Graph:
        """Read the text files."""
        paths = {part: files[self._file(part)] for part in _NEEDED + _OPTIONAL if self._file(part) in files}
        home, labels = _read(paths["graph_indicator"], np.int64)[:, 0], _read(paths["graph_labels"], np.int64)[:, 0]
        if home[0] != 1 or home[-1] != len(labels) or not np.isin(np.diff(home), (0, 1)).all():
            raise DatasetError(
                f"{paths['graph_indicator']} must name graphs 1 to {len(labels)} in order, because "
                f"{paths['graph_labels'].name} has {len(labels)} lines. Is one of them cut short?"
            )
        edges = _read(paths["A"], np.int64) - 1
        if edges.shape[1] != 2 or edges.min() < 0 or edges.max() >= len(home):
            raise DatasetError(f"{paths['A']} must hold pairs of node ids from 1 to {len(home)}. Get it again.")
        graph = from_edge_index(
            edges.T,
            len(home),
            x=_columns(paths, "node", len(home)),
            edge_attr=_columns(paths, "edge", len(edges)),
            graph_ptr=np.searchsorted(home, np.arange(1, len(labels) + 2)),
            graph_y=np.unique(labels, return_inverse=True)[1].reshape(-1),
            notes=_notes(paths),
        )
        return warn_one_way(graph)

    def _file(self, part: str) -> str:
        return f"{self.collected_as}_{part}.txt"


def _notes(paths: Mapping[str, Path]) -> Notes:
    features = [paths[part].name for part in ("node_labels", "node_attributes") if part in paths]
    return Notes(features=" and ".join(features), labels=f"classes of graphs in {paths['graph_labels'].name}")


def _columns(paths: Dict[str, Path], what: str, num: int) -> Optional[np.ndarray]:
    """Labels as 0/1 columns, then attributes; None if there are neither. Shape [num, D], float32."""
    parts: List[np.ndarray] = []
    if f"{what}_labels" in paths:
        for column in _read(paths[f"{what}_labels"], np.int64, num).T:
            kinds, index = np.unique(column, return_inverse=True)
            parts.append(np.eye(len(kinds), dtype=np.float32)[index.reshape(-1)])
    if f"{what}_attributes" in paths:
        parts.append(_read(paths[f"{what}_attributes"], np.float32, num))
    return np.concatenate(parts, axis=1) if parts else None


def _read(file: Path, dtype: Any, num: Optional[int] = None) -> np.ndarray:
    """Numbers with commas, one or more a line. Shape [lines, columns]; ``num`` lines if it is given."""
    try:
        values: np.ndarray = np.loadtxt(file, delimiter=",", dtype=dtype, ndmin=2)
    except (OSError, ValueError) as error:
        raise DatasetError(f"{file} cannot be read as numbers with commas ({error}). Get it again.") from error
    if not values.size or (num is not None and len(values) != num):
        raise DatasetError(f"{file} has {len(values)} lines, expected {num or 'at least 1'}. Is it cut short?")
    return values
