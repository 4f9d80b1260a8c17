"""From lists of edges to a graph on disk, in bounded memory.

Rules: edges are sorted on disk, see :mod:`gnnkit.datasets.edge_sorting`. Nothing with the final name exists until all
of it does.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Union

import numpy as np
import torch

from gnnkit.data import SPLITS, Graph, Notes, log_warnings
from gnnkit.data.build import check_count
from gnnkit.data.check import check_finite
from gnnkit.data.notes import warn_one_way
from gnnkit.datasets.cache import array_entry, is_graph, load_graph, new_folder, write_array, write_meta
from gnnkit.datasets.edge_files import open_npy, other_columns, read_edges
from gnnkit.datasets.edge_sorting import EdgeSource, Report, Sorter
from gnnkit.datasets.folder_nodes import Choices
from gnnkit.datasets.import_nodes import ImportedNodes
from gnnkit.errors import ConfigError, DataError, DatasetError
from gnnkit.io.files import npy_header
from gnnkit.paths import PathLike, is_file, user_path

MAX_NODES = (1 << 31) - 1
"""Largest number of nodes: keys of edges are below 2 N^2, and that must fit 63 bits."""

_LEAST_MEMORY = 1 << 16
_BYTES_TO_LOOK = 32  # for an edge, while it is looked at whether hardly any has its reverse
_ROLES = ("source", "target", "id", "label")


def import_graph(
    edges: Union[PathLike, Sequence[PathLike]],
    folder: PathLike,
    *,
    num_nodes: Optional[int] = None,
    features: Optional[PathLike] = None,
    labels: Optional[PathLike] = None,
    splits: Optional[Mapping[str, PathLike]] = None,
    undirected: bool = False,
    dedup: bool = False,
    memory: int = 2_000_000_000,
    force: bool = False,
    columns: Optional[Mapping[str, str]] = None,
    missing: Optional[Sequence[Any]] = None,
    number_classes: bool = False,
    report: Optional[Report] = None,
) -> Graph:
    r"""Convert lists of edges, with features, labels and splits, to a folder that is opened memory-mapped.

    The folder is a data set: ``load_dataset(folder)``, ``gnnkit run --dataset FOLDER``. Edges are sorted on disk, so
    that graphs larger than memory can be converted; temporary files next to the folder take 8 bytes an edge, twice that
    with ``undirected``.

    Args:
        edges: Files of edges: ``.csv``, ``.tsv`` or ``.txt`` (two columns), each also with ``.gz``; ``.npy`` of shape
            [2, E] or [E, 2]; ``.parquet``. Nodes are whole numbers from 0. Weights are not read.
        folder: Where the graph goes.
        num_nodes: Number of nodes. None takes it from features or labels, else from the largest id; then the edges are
            read twice.
        features: A ``.npy`` file of shape [N, F], floating point, which keeps its dtype on disk.
        labels: A ``.npy`` file like ``Graph.y``; or ``.csv``, ``.parquet`` with the column ``label`` (whole numbers, or
            text, which is numbered in alphabetical order), a row for each node or with a column ``id``. Other words
            for both are in ``gnnkit.data.words.COLUMN_WORDS``.
        splits: Files by "train", "valid", "test": ``.npy`` with ids or a mask of N booleans.
        undirected: Add the reverse of every edge that has none, as :func:`gnnkit.data.to_undirected` does.
        dedup: Keep one of every group of equal edges. Otherwise all are kept.
        memory: Bytes that sorting may take, besides the interpreter. 8 bytes a node must fit into half of it.
        force: Replace a graph that is there already.
        columns: Names of columns by what they hold: source, target, id, label.
        missing: Marks of a missing label, instead of ``gnnkit.data.words.MISSING_TEXT`` and ``MISSING_LABELS``.
        number_classes: Whether labels that are numbers are codes of classes, however many or far apart, to be numbered
            in ascending order.
        report: Told about progress.

    Returns:
        The graph, memory-mapped. ``notes`` say what was read and left out; warnings are logged.

    Raises:
        DatasetError: A file cannot be read or breaks a rule, named with its line; or the folder is taken.
        ConfigError: An option has an impossible value.

    Example:
        >>> import tempfile, pathlib
        >>> with tempfile.TemporaryDirectory() as home:
        ...     _ = pathlib.Path(home, "edges.txt").write_text("0 1\n2 1\n")
        ...     import_graph(home + "/edges.txt", home + "/graph", undirected=True)
        Graph('graph', num_nodes=3, num_edges=4, num_features=0)
    """
    target = user_path(folder, "The folder to write")
    files = [user_path(file) for file in ([edges] if isinstance(edges, (str, os.PathLike)) else edges)]
    features, labels = (None if file is None else user_path(file) for file in (features, labels))
    split_files = {name: user_path(file) for name, file in (splits or {}).items()}
    choices = Choices(columns=columns or {}, missing=missing, number_classes=number_classes)
    _check_call(files, target, num_nodes, split_files, memory, force, choices.columns)
    told: Report = report or (lambda _what, _share: None)
    with new_folder(target) as temporary:
        nodes = ImportedNodes.open(features, labels, choices)
        count = _count_nodes(files, num_nodes, nodes, memory, told)
        parts = nodes.checked(count, split_files)
        entries: Dict[str, Dict[str, Any]] = {"arrays": {}, "splits": {}}
        sorter = Sorter(temporary, count, undirected, dedup, memory, choices.columns)
        entries["arrays"] = sorter.write([EdgeSource(file) for file in files], told)
        if features is not None:
            entries["arrays"]["x"] = copy_features(Path(features), temporary / "x.npy", memory, told)
        if parts.y is not None:
            entries["arrays"]["y"] = write_array(temporary / "y.npy", parts.y)
        for name, ids in parts.splits.items():
            entries["splits"][name] = write_array(temporary / f"{name}.npy", ids)
        parts = replace(parts, name=target.name, notes=_notes(files, nodes, undirected, dedup))
        write_meta(temporary, entries, parts)
        if not undirected and _BYTES_TO_LOOK * entries["arrays"]["indices"]["bytes"] // 8 <= memory:
            seen = warn_one_way(load_graph(temporary), "import them with undirected=True (--undirected)")
            write_meta(temporary, entries, replace(parts, notes=seen.notes))
    return log_warnings(load_graph(target))


def _notes(files: Sequence[Path], nodes: ImportedNodes, undirected: bool, dedup: bool) -> Notes:
    """What is to be said about the edges, besides what there is about the nodes."""
    unread = [
        f"column {name!r} of {file.name!r}" for file in files for name in other_columns(file, nodes.choices.columns)
    ]
    return Notes(
        edges=", ".join(["with the reverse of each"] * undirected + ["each once"] * dedup),
        features="" if nodes.features is None else nodes.features.name,
        labels=nodes.notes.labels,
        left_out=(*unread, *nodes.notes.left_out),
        warnings=(*(f"{column} is not read." for column in unread), *nodes.notes.warnings),
    )


def _check_call(
    files: List[Path],
    target: Path,
    num_nodes: Optional[int],
    splits: Mapping[str, PathLike],
    memory: int,
    force: bool,
    columns: Mapping[str, str],
) -> None:
    """Refuse what can be refused before anything is read."""
    for role in columns:
        if role not in _ROLES:
            raise ConfigError(f"columns names {role!r}, expected {', '.join(_ROLES)}.")
    if not files:
        raise ConfigError("There are no files of edges, expected at least one.")
    if num_nodes is not None and not 1 <= num_nodes <= MAX_NODES:
        raise ConfigError(f"num_nodes is {num_nodes}, expected 1 to {MAX_NODES}.")
    if memory < _LEAST_MEMORY:
        raise ConfigError(f"memory is {memory} bytes, expected at least {_LEAST_MEMORY}.")
    for name in splits:
        if name not in SPLITS:
            raise ConfigError(f"Unknown split {name!r}, expected {', '.join(SPLITS)}.")
    for file in [*files, *(Path(file) for file in splits.values())]:
        if not is_file(file):
            raise DatasetError(f"There is no file {file}.")
    if target.exists() and is_graph(target) and not force:
        raise DatasetError(f"{target} holds a graph already. Name another folder, or replace it with --force.")


def _count_nodes(files: List[Path], given: Optional[int], nodes: ImportedNodes, memory: int, report: Report) -> int:
    count = given if given is not None else nodes.count
    num_edges = None
    if count is None:
        largest, num_edges = -1, 0
        for number, file in enumerate(files):
            for edges, share in read_edges(file, None, memory // 16, nodes.choices.columns):
                largest, num_edges = max(largest, int(edges.max(initial=-1))), num_edges + edges.shape[1]
                report("counting nodes", (number + share) / len(files))
        count = largest + 1
    if 16 * count > memory or count > MAX_NODES:
        raise DatasetError(
            f"There are {count} nodes, whose offsets take {8 * count} bytes; expected at most half of the memory, "
            f"{memory} bytes, and {MAX_NODES} nodes. Give more memory, or number the nodes from 0 without gaps."
        )
    try:
        if num_edges is not None:
            check_count(count, num_edges)
    except DataError as error:
        raise DatasetError(f"{', '.join(str(file) for file in files)}: {error}") from error
    return count


def copy_features(source: Path, target: Path, memory: int, report: Report) -> Dict[str, Any]:
    """Copy features piece by piece, looking for numbers that are none; returns the entry of the copy."""
    table = open_npy(source)
    num, width, dtype = table.shape[0], table.shape[1], table.dtype.newbyteorder("=")
    rows = max(1, memory // 16 // max(1, width * dtype.itemsize))
    with target.open("wb") as stream:
        stream.write(npy_header(dtype, table.shape))
        for start in range(0, num, rows):
            # Opened anew each time, so that what was read does not stay in this process's memory.
            piece = np.array(open_npy(source)[start : start + rows], dtype=dtype, order="C")
            try:
                check_finite(torch.from_numpy(piece), "x", first_row=start)
            except DataError as error:
                raise DatasetError(f"{source}: {error}") from error
            stream.write(piece.data)
            report("copying features", min(1.0, (start + rows) / num))
    return array_entry(target)
