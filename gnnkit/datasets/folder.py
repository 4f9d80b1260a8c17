"""A user's own data: a folder of tables and arrays."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Tuple

import numpy as np

from gnnkit.data import IGNORED_LABEL, SPLITS, Graph, from_edge_index, to_undirected
from gnnkit.datasets.base import Dataset, NodeNames, seeded_split
from gnnkit.datasets.cache import is_graph, load_graph
from gnnkit.datasets.files import Finder
from gnnkit.datasets.tables import Table, read_array, read_table
from gnnkit.errors import ConfigError, DataError, DatasetError

_TABLES = (".csv", ".parquet")
_SPLIT_NAMES = {"val": "valid", "validation": "valid", **{name: name for name in SPLITS}}
_SAVED = "saved graph"
_FIELDS = {"edge_index": "edges", "edge_weight": "edges", "x": "features", "y": "labels"}


@dataclass(frozen=True)
class Folder(Dataset):
    r"""A graph of your own, from a folder: ``load_dataset("path/to/folder")``.

    One file of edges is needed, everything else is optional. Node ids are whole numbers from 0, or any text if
    ``nodes`` has a column ``id``. CSV files are UTF-8 with commas and a header line; Parquet needs gnnkit[pandas].

    ``edges.csv``, ``edges.parquet``
        Columns ``source`` and ``target``: an edge runs from one to the other. A column ``weight`` gives edge weights;
        all other columns must be numbers and become ``edge_data``.
    ``edges.npy``
        Instead: whole numbers of shape [2, E], sources and targets.
    ``nodes.csv``, ``nodes.parquet``
        One row for each node. Column ``id``: the name that edges use; without it nodes are numbered by row, from 0.
        Column ``label``: classes as whole numbers from 0, or as text, which is numbered in alphabetical order; empty
        for a node without a label. Column ``split``: train, valid, test or empty. All other columns must be numbers;
        they are the features, in the order of the columns.
    ``features.npy``
        Instead of the feature columns: shape [N, F].
    ``labels.npy``
        Instead of the label column: classes of shape [N] (-100 without a label), or 0/1 of shape [N, C] for data with
        several labels a node.
    ``split.csv``, ``split.parquet``
        Instead of the split column: columns ``id`` and ``split``.
    ``train.npy``, ``valid.npy``, ``test.npy``
        Instead: row numbers of nodes, or masks of N booleans.

    Or the folder is what ``gnnkit data import`` or :func:`gnnkit.datasets.save_graph` wrote (it has a ``meta.json``):
    then its arrays are opened memory-mapped where they are, without a copy.

    Without any split, labelled nodes are split 60/20/20 by the seed.

    Attributes:
        path: The folder.
        undirected: Whether to add the reverse of every edge that has none.

    Example:
        >>> import tempfile, pathlib, gnnkit
        >>> with tempfile.TemporaryDirectory() as home:
        ...     folder = pathlib.Path(home, "pets")
        ...     folder.mkdir()
        ...     _ = (folder / "edges.csv").write_text("source,target\nrex,tom\ntom,rex\n")
        ...     _ = (folder / "nodes.csv").write_text("id,label,age,split\nrex,dog,3,train\ntom,cat,5,test\n")
        ...     gnnkit.load_dataset(str(folder), cache_dir=home)
        Graph('pets', num_nodes=2, num_edges=2, num_features=1, num_classes=2, train=1, test=1)
    """

    name = "folder"
    summary = "Your own data: give the path of a folder with edges.csv and more instead of a name."

    path: str = ""
    undirected: bool = False

    def locate(self, finder: Finder) -> Mapping[str, Path]:
        """List the files that the format knows."""
        if not self.path:
            raise ConfigError("Data set 'folder' needs the option path=FOLDER, or give the folder instead of a name.")
        folder = Path(self.path).expanduser()
        if not folder.is_dir():
            raise DatasetError(f"There is no folder {folder}. Give the path of a folder with edges.csv.")
        if is_graph(folder):
            return {_SAVED: folder / "meta.json"}
        files = {}
        for stem, suffixes in (
            ("edges", (*_TABLES, ".npy")),
            ("nodes", _TABLES),
            ("features", (".npy",)),
            ("labels", (".npy",)),
            ("split", _TABLES),
            *((name, (".npy",)) for name in SPLITS),
        ):
            found = [folder / (stem + suffix) for suffix in suffixes if (folder / (stem + suffix)).is_file()]
            if len(found) > 1:
                names = " and ".join(file.name for file in found)
                raise DatasetError(f"{folder} has {names}, expected one of them. Remove the others.")
            if found:
                files[stem] = found[0]
        if "edges" not in files:
            raise DatasetError(f"{folder} has none of edges.csv, edges.parquet and edges.npy. Add one.")
        return files

    def reads_in_place(self, files: Mapping[str, Path]) -> bool:
        """A saved graph is opened where it is."""
        return _SAVED in files

    def read(self, files: Mapping[str, Path]) -> Graph:
        """Read the folder."""
        if _SAVED in files:
            saved = load_graph(files[_SAVED].parent)
            return to_undirected(saved) if self.undirected else saved
        table = read_table(files["nodes"]) if "nodes" in files else None
        ids = _node_ids(table)
        features, feature_file = _features(files, table)
        labels, class_names = _labels(files, table)
        counts = {
            "nodes": None if table is None else table.num_rows,
            "features": None if features is None else len(features),
            "labels": None if labels is None else len(labels),
        }
        num_nodes = _agree(files, counts)
        edges, edge_fields = _edges(files["edges"], ids, num_nodes)
        try:
            graph = from_edge_index(
                edges,
                num_nodes,
                x=features,
                y=labels,
                splits=_splits(files, table, ids, num_nodes),
                class_names=class_names,
                **edge_fields,
            )
        except DataError as error:
            stem = _FIELDS.get(error.field, error.field[len("splits['") : -len("']")])
            file = feature_file if stem == "features" else files.get(stem, files.get("nodes", files["edges"]))
            raise DatasetError(f"{file}: {error}") from error
        return to_undirected(graph) if self.undirected else graph

    def node_names(self, files: Mapping[str, Path]) -> NodeNames:
        """The column ``id`` of the nodes, and the names of the feature columns."""
        if "nodes" not in files:
            return NodeNames()
        table = read_table(files["nodes"])
        ids = table.text("id") if "id" in table.columns else None
        return NodeNames(ids, feature_columns(table) if "features" not in files else None)

    def split(self, graph: Graph) -> Graph:
        """Split by the seed if the folder has no split."""
        return seeded_split(graph, self.seed)


def _agree(files: Mapping[str, Path], rows: Mapping[str, Optional[int]]) -> Optional[int]:
    """The number of nodes, which all node files must agree on."""
    counts = {stem: count for stem, count in rows.items() if count is not None}
    if len(set(counts.values())) > 1:
        told = ", ".join(f"{files.get(stem, files.get('nodes'))} has {count} rows" for stem, count in counts.items())
        raise DatasetError(f"The files disagree about the number of nodes: {told}. Is one cut short?")
    return next(iter(counts.values()), None)


def _node_ids(table: Optional[Table]) -> Optional[Dict[str, int]]:
    """Row of each node by its id. None if nodes are numbered by row."""
    if table is None or "id" not in table.columns:
        return None
    ids: Dict[str, int] = {}
    for row, name in enumerate(table.text("id")):
        if not name or name in ids:
            problem = f"node {name!r} is in an earlier row already" if name else "the id is empty"
            raise DatasetError(f"{table.place('id', row)}: {problem}, expected a different id for each node.")
        ids[name] = row
    return ids


def _rows_of(table: Table, column: str, ids: Optional[Dict[str, int]], num_nodes: Optional[int]) -> np.ndarray:
    """Turn a column of node ids into row numbers."""
    names = table.text(column)
    if ids is not None:
        found = np.array([ids.get(name, -1) for name in names], dtype=np.int64)
        expected = "an id from the column 'id' of the nodes"
    else:
        found = np.array([int(name) if name.isdecimal() else -1 for name in names], dtype=np.int64)
        expected = "a whole number from 0" + (f" to {num_nodes - 1}" if num_nodes else "")
        if num_nodes is not None:
            found[found >= num_nodes] = -1
        else:
            expected += ", or a nodes file with a column 'id'"
    unknown = np.flatnonzero(found < 0)
    if unknown.size:
        row = int(unknown[0])
        raise DatasetError(f"{table.place(column, row)}: there is no node {names[row]!r}, expected {expected}.")
    return found


def _edges(file: Path, ids: Optional[Dict[str, int]], num_nodes: Optional[int]) -> Tuple[np.ndarray, Dict[str, Any]]:
    if file.suffix == ".npy":
        return read_array(file), {}
    table = read_table(file)
    table.require("source", "target")
    edges = np.stack([_rows_of(table, column, ids, num_nodes) for column in ("source", "target")])
    fields: Dict[str, Any] = {}
    if "weight" in table.columns:
        fields["edge_weight"] = table.numbers("weight").astype(np.float32)
    others = [column for column in table.columns if column not in ("source", "target", "weight")]
    fields["edge_data"] = {column: table.numbers(column).astype(np.float32) for column in others}
    return edges, fields


def _features(files: Mapping[str, Path], table: Optional[Table]) -> Tuple[Optional[np.ndarray], Optional[Path]]:
    columns = [] if table is None else feature_columns(table)
    if "features" in files:
        _only_one(files["features"], "features", table, columns)
        return read_array(files["features"]), files["features"]
    if table is None or not columns:
        return None, files.get("nodes")
    return np.stack([table.numbers(name) for name in columns], axis=1).astype(np.float32), table.file


def feature_columns(table: Table) -> List[str]:
    """Names of the columns of a table of nodes that are features: all that mean nothing else."""
    return [name for name in table.columns if name not in ("id", "label", "split")]


def _labels(files: Mapping[str, Path], table: Optional[Table]) -> Tuple[Optional[np.ndarray], List[str]]:
    has_column = table is not None and "label" in table.columns
    if "labels" in files:
        _only_one(files["labels"], "labels", table, ["label"] if has_column else [])
        return read_array(files["labels"]), []
    if table is None or not has_column:
        return None, []
    return class_numbers(table)


def class_numbers(table: Table) -> Tuple[np.ndarray, List[str]]:
    """Classes from the column ``label``, and their names if it is text; -100 for an empty cell."""
    cells = table.text("label")
    if all(cell.isdecimal() for cell in cells if cell):
        return np.array([int(cell) if cell else IGNORED_LABEL for cell in cells], dtype=np.int64), []
    names = sorted({cell for cell in cells if cell})
    number = {name: place for place, name in enumerate(names)}
    return np.array([number.get(cell, IGNORED_LABEL) for cell in cells], dtype=np.int64), names


def _only_one(file: Path, what: str, table: Optional[Table], columns: List[str]) -> None:
    if table is not None and columns:
        listed = ", ".join(repr(column) for column in columns)
        raise DatasetError(f"{what} are in {file} and in {table.file}, columns {listed}. Keep one of them.")


def _splits(
    files: Mapping[str, Path], table: Optional[Table], ids: Optional[Dict[str, int]], num_nodes: Optional[int]
) -> Dict[str, np.ndarray]:
    arrays = {name: read_array(files[name]) for name in SPLITS if name in files}
    has_column = table is not None and "split" in table.columns
    given = [has_column, "split" in files, bool(arrays)]
    if sum(given) > 1:
        raise DatasetError(f"{files['edges'].parent} gives splits in more than one way. Keep one of them.")
    if "split" in files:
        listed = read_table(files["split"])
        listed.require("id", "split")
        return _group(listed, _rows_of(listed, "id", ids, num_nodes))
    if table is not None and has_column:
        return _group(table, np.arange(table.num_rows))
    return arrays


def _group(table: Table, nodes: np.ndarray) -> Dict[str, np.ndarray]:
    """Nodes by what the column ``split`` says."""
    names = np.array(table.text("split"), dtype=object)
    for row, name in enumerate(names):
        if name and name not in _SPLIT_NAMES:
            expected = f"{', '.join(SPLITS)} or nothing"
            raise DatasetError(f"{table.place('split', row)}: {name!r}, expected {expected}.")
    joined = np.array([_SPLIT_NAMES.get(name, "") for name in names], dtype=object)
    return {name: nodes[joined == name] for name in SPLITS if (joined == name).any()}
