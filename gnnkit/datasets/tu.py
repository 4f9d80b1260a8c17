"""Data sets of many small graphs, in the text layout of the TU Dortmund collection."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Dict, List, Mapping, Optional, Tuple

import numpy as np

from gnnkit.data import Graph, Notes, from_edge_index
from gnnkit.data.notes import warn_one_way
from gnnkit.datasets.base import Dataset, check_option
from gnnkit.datasets.files import DataFile, Finder, is_there
from gnnkit.errors import ConfigError, DatasetError
from gnnkit.io.limits import check_dense
from gnnkit.io.text import read_text

_NEEDED = ("A", "graph_indicator")
_TARGETS = ("graph_labels", "graph_attributes")
_OPTIONAL = ("node_labels", "node_attributes", "edge_labels", "edge_attributes")


@dataclass(frozen=True)
class TuCollection(Dataset):
    """Graphs to classify, such as ``TU-MUTAG``: 188 molecules, 3,371 atoms, 7,442 directed bonds, 2 classes.

    For ``TU-NAME`` the files ``NAME_A.txt``, ``NAME_graph_indicator.txt`` and so on are looked for in a folder
    ``NAME``; they are not downloaded. All graphs are in one record: ``graph_ptr`` says where each begins, ``graph_y``
    is its class, the published labels being numbered from 0 in ascending order and naming the classes. Graphs that have
    attributes and no labels have these numbers to regress instead; of both, the ones that are not the target are in
    ``graph_data``, as "attributes" or "labels". Features are the published labels of nodes as 0/1 columns, then their
    attributes; ``edge_attr`` likewise. There is no split.

    From C. Morris et al., "TUDataset: a collection of benchmark datasets for learning with graphs", 2020.

    Attributes:
        target: "labels" or "attributes" of graphs, where they have both. None prefers labels.
    """

    name = "TU"
    version: ClassVar[int] = 3
    summary = "TU-NAME: many small graphs from files of the TU Dortmund collection, such as TU-MUTAG."
    is_family = True

    target: Optional[str] = None

    def __post_init__(self) -> None:
        kinds = ("labels", "attributes")
        check_option(self.requested, "target", self.target, self.target in (None, *kinds), " or ".join(kinds))

    @property
    def collected_as(self) -> str:
        """What the collection calls the data set."""
        return self.requested[len(self.name) + 1 :]

    def locate(self, finder: Finder) -> Mapping[str, Path]:
        """Find the files; labels and attributes may be absent, but not both of graphs."""
        if not self.collected_as:
            raise ConfigError("TU is a collection. Name a data set of it, for example TU-MUTAG.")
        finder = replace(finder, dataset=self.collected_as)
        found = dict(finder.find([DataFile(self._file(part)) for part in _NEEDED]))
        folder = found[self._file("A")].parent
        optional = {name: folder / name for name in map(self._file, _TARGETS + _OPTIONAL)}
        found.update({name: path for name, path in optional.items() if is_there(path)})
        if not any(self._file(part) in found for part in _TARGETS):
            names = " and ".join(map(self._file, _TARGETS))
            raise DatasetError(
                f"{folder} lacks {names}, expected one of them: there is nothing to learn of the graphs."
            )
        return found

    def read(self, files: Mapping[str, Path]) -> Graph:
        """Read the text files."""
        paths = {part: files[self._file(part)] for part in _NEEDED + _TARGETS + _OPTIONAL if self._file(part) in files}
        home = _read_column(paths["graph_indicator"])
        target, num_graphs, fields = self._targets(paths)
        if home[0] != 1 or home[-1] != num_graphs or not np.isin(np.diff(home), (0, 1)).all():
            raise DatasetError(
                f"{paths['graph_indicator']} must name graphs 1 to {num_graphs} in order, because {target} has "
                f"{num_graphs} lines. Is one of them cut short?"
            )
        edges = _read(paths["A"], np.int64) - 1
        if edges.shape[1] != 2 or edges.min() < 0 or edges.max() >= len(home):
            raise DatasetError(f"{paths['A']} must hold pairs of node ids from 1 to {len(home)}. Get it again.")
        x, names = _columns(paths, "node", len(home))
        made = [paths[part].name for part in ("node_labels", "node_attributes") if part in paths]
        graph = from_edge_index(
            edges.T,
            len(home),
            x=x,
            edge_attr=_columns(paths, "edge", len(edges))[0],
            graph_ptr=np.searchsorted(home, np.arange(1, num_graphs + 2)),
            feature_names=names,
            notes=Notes(features=" and ".join(made), labels=target),
            **fields,
        )
        return warn_one_way(graph)

    def _targets(self, paths: Mapping[str, Path]) -> Tuple[str, int, Dict[str, Any]]:
        """Name of the file of what is to be learnt, number of graphs, and fields of the graph."""
        wanted = "attributes" if self.target == "attributes" or "graph_labels" not in paths else "labels"
        if self.target is not None and f"graph_{self.target}" not in paths:
            raise ConfigError(f"target is {self.target!r}, but there is no {self._file(f'graph_{self.target}')}.")
        fields: Dict[str, Any] = {"graph_data": {}}
        read: Dict[str, np.ndarray] = {}
        if "graph_labels" in paths:
            read["labels"] = _read_column(paths["graph_labels"])
        if "graph_attributes" in paths:
            num = len(read["labels"]) if read else None
            values = _read(paths["graph_attributes"], np.float32, num)
            read["attributes"] = values[:, 0] if values.shape[1] == 1 else values
        fields["graph_y"] = read.pop(wanted)
        num_graphs = len(fields["graph_y"])
        fields["graph_data"] = read
        if wanted == "labels":
            kinds, classes = np.unique(fields["graph_y"], return_inverse=True)
            fields.update(graph_y=classes.reshape(-1), class_names=[str(kind) for kind in kinds.tolist()])
        return paths[f"graph_{wanted}"].name, num_graphs, fields

    def _file(self, part: str) -> str:
        return f"{self.collected_as}_{part}.txt"


def _columns(paths: Mapping[str, Path], what: str, num: int) -> Tuple[Optional[np.ndarray], List[str]]:
    """Labels as 0/1 columns, then attributes, [num, D] float32, and their names; None if there are neither."""
    parts: List[np.ndarray] = []
    names: List[str] = []
    if f"{what}_labels" in paths:
        columns = _read(paths[f"{what}_labels"], np.int64, num).T
        for place, column in enumerate(columns):
            kinds, index = np.unique(column, return_inverse=True)
            check_dense(num, len(kinds), num, paths[f"{what}_labels"])
            parts.append(np.eye(len(kinds), dtype=np.float32)[index.reshape(-1)])
            name = "label" if len(columns) == 1 else f"label {place}:"
            names += [f"{name} {kind}" for kind in kinds.tolist()]
    if f"{what}_attributes" in paths:
        parts.append(_read(paths[f"{what}_attributes"], np.float32, num))
        names += [f"attribute {column}" for column in range(parts[-1].shape[1])]
    return (np.concatenate(parts, axis=1) if parts else None), names


def _read_column(file: Path) -> np.ndarray:
    """Whole numbers, one a line. Shape [lines], int64."""
    values = _read(file, np.int64)
    if values.shape[1] != 1:
        raise DatasetError(f"{file} has {values.shape[1]} numbers a line, expected one. Get it again.")
    column: np.ndarray = values[:, 0]
    return column


def _read(file: Path, dtype: Any, num: Optional[int] = None) -> np.ndarray:
    """Numbers with commas, one or more a line. Shape [lines, columns]; ``num`` lines if it is given."""
    try:
        lines = io.StringIO(read_text(file, encoding="ascii"))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # NumPy's, about a file without lines, of which the error below speaks.
            values: np.ndarray = np.loadtxt(lines, delimiter=",", dtype=dtype, ndmin=2)
    except (ValueError, OverflowError) as error:
        raise DatasetError(f"{file} cannot be read as numbers with commas ({error}). Get it again.") from error
    if not values.size or (num is not None and len(values) != num):
        raise DatasetError(f"{file} has {len(values)} lines, expected {num or 'at least 1'}. Is it cut short?")
    return values
