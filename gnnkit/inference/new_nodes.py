"""Nodes and edges that a user adds to a run's data after training, from files.

Rules: new nodes have the features of the old ones, under the same names where those have any; edges may join old and
new nodes, by the ids that the data's own files use, and have features where those of the data have some. Columns are
found by the words of ``gnnkit.data.words``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import List, Optional, Sequence, Tuple

import numpy as np

from gnnkit.data import Graph, add_nodes
from gnnkit.datasets.edge_files import read_edges
from gnnkit.datasets.tables import Table, read_array, read_table
from gnnkit.errors import DataError, DatasetError
from gnnkit.inference.ids import NodeIds, column_ids, table_roles
from gnnkit.paths import is_file, user_path

_TABLES = (".csv", ".parquet")
_PIECE_BYTES = 1 << 26


@dataclass(frozen=True)
class _NewEdges:
    """Ends [2, K], weights [K], features [K, D]."""

    ends: np.ndarray = field(default_factory=lambda: np.empty((2, 0), dtype=np.int64))
    weights: Optional[np.ndarray] = None
    features: Optional[np.ndarray] = None

    def both_ways(self) -> _NewEdges:
        """With the reverse of every edge that is no self-loop."""
        is_back = self.ends[0] != self.ends[1]

        def doubled(array: Optional[np.ndarray]) -> Optional[np.ndarray]:
            return None if array is None else np.concatenate([array, array[is_back]])

        ends = np.concatenate([self.ends, self.ends[::-1, is_back]], axis=1)
        return _NewEdges(ends, doubled(self.weights), doubled(self.features))


def read_new_nodes(
    graph: Graph,
    ids: NodeIds,
    nodes: Optional[Path],
    edges: Optional[Path] = None,
    *,
    features: Optional[List[str]] = None,
    undirected: bool = False,
) -> Tuple[Graph, NodeIds]:
    """Add nodes and edges from files to a graph.

    Args:
        graph: The run's data, not prepared; without ``edge_attr`` if nothing reads it, which new edges need not have
            then.
        ids: The ids of its nodes.
        nodes: ``.csv`` or ``.parquet``: a row for each node, with a column ``id`` (not needed where nodes are numbered:
            new ones then go on counting) and the features, by the names that they have in the data; without such names,
            as many columns of numbers, in their order. Columns of labels and splits are not read. Or ``.npy``: the
            features, shape [M, F], of nodes that go on counting. None: edges alone are added.
        edges: ``.csv`` or ``.parquet`` with the columns ``source`` and ``target``, ids of old and new nodes, and
            perhaps ``weight``; where the graph has edge features, the other columns are those of the new edges, in the
            graph's order. Or where nodes are numbered any other list of edges that
            :func:`gnnkit.datasets.import_graph` reads. None: the new nodes have no edges.
        features: Names of the graph's features, in its order. None: those that it has itself.
        undirected: Whether to add the reverse of every new edge.

    Returns:
        The larger graph, in which the new nodes come last, and the ids of its nodes.

    Raises:
        DatasetError: A file cannot be read, columns do not match, an id is unknown or taken, or there are new nodes for
            a graph without features; the message names the file and the place.
        NotInstalledError: Parquet needs pandas and pyarrow.
    """
    nodes = None if nodes is None else user_path(nodes)
    edges = None if edges is None else user_path(edges)
    for file in (nodes, edges):
        if file is not None and not is_file(file):
            raise DatasetError(f"There is no file {file}.")
    if nodes is not None and graph.x is None:
        raise DatasetError(
            f"{nodes}: the data have no features of nodes, so a model of theirs has learnt an embedding of each and "
            "knows no other node. Add edges between known nodes alone, or train a model on features."
        )
    wanted = list(graph.feature_names) if features is None else features
    x, names = (None, []) if nodes is None else _read_nodes(nodes, ids, graph.num_features, wanted)
    grown = ids.extended(names)
    new = (
        _NewEdges()
        if edges is None
        else _read_edges(edges, grown, 0 if graph.edge_attr is None else graph.edge_attr.shape[1])
    )
    if undirected:
        new = new.both_ways()
    try:
        return add_nodes(graph, x, new.ends, edge_weight=new.weights, edge_attr=new.features), grown
    except DataError as error:
        file = edges if edges is not None and error.field.startswith("edge") else nodes or edges
        raise DatasetError(f"{file}: {error}") from error


def _read_nodes(file: Path, ids: NodeIds, width: int, names: List[str]) -> Tuple[np.ndarray, List[str]]:
    """Features and ids of the new nodes."""
    if file.suffix == ".npy":
        x = read_array(file)
        if x.ndim != 2 or x.shape[1] != width:
            raise DatasetError(f"{file} has shape {list(x.shape)}, expected [M, {width}] as the run's data have.")
        return x, _counted_on(file, len(x), ids)
    if file.suffix not in _TABLES:
        raise DatasetError(f"{file} is no table of nodes, expected .csv, .parquet or .npy.")
    table = read_table(file)
    roles = table_roles(table, ("id", "label", "split"), names)
    columns = _columns(table, [name for name in table.columns if name not in roles.values()], width, names)
    x = np.stack([table.numbers(column) for column in columns], axis=1).astype(np.float32)
    return x, _new_ids(table, roles["id"], ids) if "id" in roles else _counted_on(file, table.num_rows, ids)


def _columns(table: Table, found: List[str], width: int, names: List[str]) -> List[str]:
    """The columns with the features, in the order of the data's."""
    if not names:
        if len(found) != width:
            raise DatasetError(
                f"{table.file} has {len(found)} columns of features, expected {width} as the run's data have; a column "
                "'id' does not count."
            )
        return found
    missing = [name for name in names if name not in found]
    unknown = [name for name in found if name not in names]
    if missing or unknown:
        told = [
            f"{what} {', '.join(map(repr, some[:5]))}" for what, some in (("no", missing), ("unknown", unknown)) if some
        ]
        raise DatasetError(
            f"{table.file} has other columns than the run's data: {'; '.join(told)}. Expected 'id' and the features "
            f"{', '.join(map(repr, names[:10]))}{', ...' if len(names) > 10 else ''}."
        )
    return names


def _counted_on(file: Path, num: int, ids: NodeIds) -> List[str]:
    """Ids of new nodes that have none in their file."""
    if num == 0:
        raise DatasetError(f"{file} has no rows, expected at least one new node.")
    if ids.names:
        raise DatasetError(f"{file} has no ids, but the nodes of the run's data have some. Add a column 'id'.")
    return [str(len(ids) + row) for row in range(num)]


def _new_ids(table: Table, column: str, ids: NodeIds) -> List[str]:
    if table.num_rows == 0:
        raise DatasetError(f"{table.file} has no rows, expected at least one new node.")
    names, seen = table.text(column), set()
    for row, name in enumerate(names):
        if not name or name in seen or ids.find(name) >= 0:
            problem = "the id is empty" if not name else f"node {name!r} is there already"
            raise DatasetError(f"{table.place(column, row)}: {problem}, expected a new id for each new node.")
        seen.add(name)
    return names


def _read_edges(file: Path, ids: NodeIds, width: int) -> _NewEdges:
    """New edges, with so many features each."""
    if file.suffix in _TABLES:
        table = read_table(file)
        roles = table_roles(table, ("source", "target", "weight"))
        for role in ("source", "target"):
            table.require(roles.get(role, role))
        ends = np.stack([column_ids(table, roles[end], ids) for end in ("source", "target")])
        weights = table.numbers(roles["weight"]).astype(np.float32) if "weight" in roles else None
        return _NewEdges(ends, weights, _edge_features(table, list(roles.values()), width))
    if ids.names:
        raise DatasetError(f"{file} lists edges by numbers, but nodes have names. Give a .csv or .parquet file.")
    pieces = [piece for piece, _ in read_edges(file, len(ids), _PIECE_BYTES)]
    return _NewEdges(np.concatenate([np.empty((2, 0), dtype=np.int64), *pieces], axis=1))


def _edge_features(table: Table, taken: Sequence[str], width: int) -> Optional[np.ndarray]:
    """The columns that are not taken, if edges have features."""
    if width == 0:
        return None
    found = [name for name in table.columns if name not in taken]
    if len(found) != width:
        raise DatasetError(
            f"{table.file} has {len(found)} columns of edge features, expected {width} as the run's data have: the "
            "model reads them. Columns of sources, targets and weights do not count."
        )
    return np.stack([table.numbers(column) for column in found], axis=1).astype(np.float32)
