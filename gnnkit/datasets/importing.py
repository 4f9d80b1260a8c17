"""From lists of edges to a graph on disk, in bounded memory.

Rules: an edge is one number, its key (destination * N + source) * 2, plus 1 for a reverse that was not in the list, so
sorting keys sorts edges. Keys are dealt out to files by range; a file that memory can hold is sorted there, a larger
one is dealt out again. Nothing with the final name exists until all of it does.
"""

from __future__ import annotations

import itertools
import os
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, Callable, Dict, Iterable, Iterator, List, Mapping, Optional, Sequence, Union

import numpy as np
import torch

from gnnkit.data import SPLITS, Graph, Notes, log_warnings
from gnnkit.data.build import check_count
from gnnkit.data.check import check_finite
from gnnkit.data.notes import warn_one_way
from gnnkit.datasets.cache import array_entry, is_graph, load_graph, new_folder, write_array, write_meta
from gnnkit.datasets.edge_files import open_npy, other_columns, read_edges
from gnnkit.datasets.folder_nodes import Choices
from gnnkit.datasets.import_nodes import ImportedNodes
from gnnkit.errors import ConfigError, DataError, DatasetError
from gnnkit.io.files import npy_header, write_npy
from gnnkit.paths import PathLike, is_file, user_path

Report = Callable[[str, float], None]
"""Told what is being done and which share of it is: ``report("reading edges", 0.25)``."""

MAX_NODES = (1 << 31) - 1
"""Largest number of nodes: keys of edges are below 2 N^2, and that must fit 63 bits."""

_LEAST_MEMORY = 1 << 16
_MOST_FILES = 64
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
        sorter = _Sorter(temporary, count, undirected, dedup, memory, choices.columns)
        entries["arrays"] = sorter.write(files, told)
        if features is not None:
            entries["arrays"]["x"] = _copy_features(Path(features), temporary / "x.npy", memory, told)
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


def _copy_features(source: Path, target: Path, memory: int, report: Report) -> Dict[str, Any]:
    """Copy features piece by piece, looking for numbers that are none."""
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


def _bucket_size(memory: int) -> int:
    """Keys that are sorted at a time: that and taking them apart needs keys, pairs, destinations, sources, masks."""
    return memory // 2 // (6 * 8)


@dataclass
class _Bucket:
    """Keys in [low, high), unsorted, in a file."""

    file: Path
    low: int
    high: int


class _Sorter:
    """Writes ``indptr.npy`` and ``indices.npy`` from lists of edges."""

    def __init__(
        self, folder: Path, num_nodes: int, undirected: bool, dedup: bool, memory: int, columns: Mapping[str, str]
    ) -> None:
        self._folder = folder
        self._columns = columns
        self._num_nodes = num_nodes
        self._undirected = undirected
        self._dedup = dedup
        self._piece = memory // 16
        self._bucket = _bucket_size(memory)
        self._names = itertools.count()
        self._last = -1  # The edge that came last in the run before.

    def write(self, files: List[Path], report: Report) -> Dict[str, Any]:
        """Sort, write, and return the entries of both arrays."""
        size = sum(file.stat().st_size for file in files)
        high = max(2, 2 * self._num_nodes * self._num_nodes)
        buckets = self._deal(self._keys(files, report), 0, high, 2 * size // (8 * self._bucket) + 1)
        indptr, indices = self._folder / "indptr.npy", self._folder / "indices.npy"
        offsets = np.zeros(self._num_nodes + 1, dtype=np.int64)
        with indices.open("wb") as stream:
            stream.write(npy_header(np.int64, (0,)))
            for run in itertools.chain.from_iterable(self._sorted(bucket) for bucket in buckets):
                if run.size:
                    self._append(run, stream, offsets)
                    report("sorting edges", int(run[-1]) / high)
            np.cumsum(offsets, out=offsets)
            stream.seek(0)
            stream.write(npy_header(np.int64, (int(offsets[-1]),)))
        write_npy(indptr, offsets)
        return {"indptr": array_entry(indptr), "indices": array_entry(indices)}

    def _keys(self, files: List[Path], report: Report) -> Iterator[np.ndarray]:
        for number, file in enumerate(files):
            for (src, dst), share in read_edges(file, self._num_nodes, self._piece, self._columns):
                yield (dst * self._num_nodes + src) * 2
                if self._undirected:
                    yield (src * self._num_nodes + dst) * 2 + 1
                report("reading edges", (number + share) / len(files))

    def _deal(self, pieces: Iterable[np.ndarray], low: int, high: int, parts: int) -> List[_Bucket]:
        """Deal keys out to files by equal ranges, which never part an edge from its like."""
        width = 2 * -(-(high - low) // (2 * min(max(parts, 1), _MOST_FILES)))
        starts = range(low, high, width)
        buckets = [_Bucket(self._folder / f"{next(self._names)}.keys", s, min(s + width, high)) for s in starts]
        bounds = np.array(starts[1:], dtype=np.int64)
        with ExitStack() as stack:
            streams = [stack.enter_context(bucket.file.open("wb")) for bucket in buckets]
            for keys in pieces:
                keys.sort()
                for stream, part in zip(streams, np.split(keys, np.searchsorted(keys, bounds))):
                    stream.write(part.data)
        return buckets

    def _sorted(self, bucket: _Bucket) -> Iterator[np.ndarray]:
        """The keys of a bucket in order, in runs that fit memory; its file is removed."""
        num = bucket.file.stat().st_size // 8
        if num <= self._bucket:
            keys = np.fromfile(bucket.file, dtype=np.int64)
            bucket.file.unlink()
            keys.sort()
            yield keys
        elif bucket.high - bucket.low <= 2:
            yield from self._repeated(bucket, num)
        else:
            inner = self._deal(self._pieces(bucket.file), bucket.low, bucket.high, 2 * num // self._bucket + 1)
            bucket.file.unlink()
            for part in inner:
                yield from self._sorted(part)

    def _repeated(self, bucket: _Bucket, num: int) -> Iterator[np.ndarray]:
        """One edge, more often than memory can hold."""
        reverse = sum(int((keys & 1).sum()) for keys in self._pieces(bucket.file))
        bucket.file.unlink()
        for key, count in ((bucket.low, num - reverse), (bucket.low + 1, reverse)):
            for start in range(0, count, self._bucket):
                yield np.full(min(self._bucket, count - start), key, dtype=np.int64)

    def _pieces(self, file: Path) -> Iterator[np.ndarray]:
        with file.open("rb") as stream:
            while True:
                keys = np.fromfile(stream, dtype=np.int64, count=self._bucket)
                if not keys.size:
                    return
                yield keys

    def _append(self, keys: np.ndarray, stream: IO[bytes], offsets: np.ndarray) -> None:
        """Write the sources of a run of sorted keys, and count its edges by destination, one place further on."""
        pairs = keys >> 1
        if self._undirected or self._dedup:
            is_first = np.empty(len(pairs), dtype=bool)
            is_first[0] = pairs[0] != self._last
            np.not_equal(pairs[1:], pairs[:-1], out=is_first[1:])
            self._last = int(pairs[-1])
            if not self._dedup:
                is_first |= (keys & 1) == 0
            pairs = pairs[is_first]
        if pairs.size:
            dst = pairs // self._num_nodes
            pairs -= dst * self._num_nodes
            stream.write(pairs.data)
            first = int(dst[0])
            counts = np.bincount(dst - first)
            offsets[first + 1 : first + 1 + len(counts)] += counts
