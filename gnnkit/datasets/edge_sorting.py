"""Sorting lists of edges on disk, in bounded memory.

Rules: an edge is one number, its key (destination * N + source) * 2, plus 1 for a reverse that was not in the list, so
sorting keys sorts edges; in a typed graph the relation stands between destination and source. Keys are dealt out to
files by range; a file that memory can hold is sorted there, a larger one is dealt out again.
"""

from __future__ import annotations

import itertools
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Callable, Dict, Iterable, Iterator, List, Mapping, Optional, Sequence

import numpy as np

from gnnkit.datasets.cache import array_entry
from gnnkit.datasets.edge_files import read_edges
from gnnkit.errors import DatasetError
from gnnkit.io.files import npy_header, write_npy

Report = Callable[[str, float], None]
"""Told what is being done and which share of it is: ``report("reading edges", 0.25)``."""

_MOST_FILES = 64


@dataclass(frozen=True)
class EdgeSource:
    """A file of edges, and what they are in a typed graph.

    Attributes:
        file: The file.
        relation: Number of their relation.
        src: Number of the first node that sources are counted from.
        dst: The same of destinations.
        sizes: How many nodes sources and destinations can be. None: all of the graph.
        reverse: Number of the relation that gets the edges in the other direction. None: none.
    """

    file: Path
    relation: int = 0
    src: int = 0
    dst: int = 0
    sizes: Optional[Sequence[int]] = None
    reverse: Optional[int] = None


def _bucket_size(memory: int) -> int:
    """Keys that are sorted at a time: that and taking them apart needs keys, pairs, destinations, sources, masks."""
    return memory // 2 // (6 * 8)


@dataclass
class _Bucket:
    """Keys in [low, high), unsorted, in a file."""

    file: Path
    low: int
    high: int


class Sorter:
    """Writes ``indptr.npy`` and ``indices.npy`` from lists of edges, of a typed graph also ``edge_type.npy``.

    Args:
        folder: Where to.
        num_nodes: Number of nodes.
        undirected: Whether to add the reverse of every edge that has none.
        dedup: Whether to keep one of every group of equal edges.
        memory: Bytes that sorting may take.
        columns: Names of the columns "source" and "target", where they have other ones.
        num_relations: Number of relations of a typed graph. None: it has no types.
    """

    def __init__(
        self,
        folder: Path,
        num_nodes: int,
        undirected: bool,
        dedup: bool,
        memory: int,
        columns: Mapping[str, str],
        num_relations: Optional[int] = None,
    ) -> None:
        self._is_typed = num_relations is not None
        self._num_relations = max(1, num_relations or 1)
        self._folder = folder
        self._columns = columns
        self._num_nodes = num_nodes
        self._undirected = undirected
        self._dedup = dedup
        self._piece = memory // 16
        self._bucket = _bucket_size(memory)
        self._names = itertools.count()
        self._last = -1  # The edge that came last in the run before.

    def write(self, sources: Sequence[EdgeSource], report: Report) -> Dict[str, Any]:
        """Sort, write, and return the entries of the arrays."""
        size = sum(each.file.stat().st_size * (1 if each.reverse is None else 2) for each in sources)
        high = max(2, 2 * self._num_nodes * self._num_nodes * self._num_relations)
        buckets = self._deal(self._keys(sources, report), 0, high, 2 * size // (8 * self._bucket) + 1)
        indptr, indices = self._folder / "indptr.npy", self._folder / "indices.npy"
        offsets = np.zeros(self._num_nodes + 1, dtype=np.int64)
        types = self._folder / "edge_type.npy"
        with ExitStack() as stack:
            stream = stack.enter_context(indices.open("wb"))
            stream.write(npy_header(np.int64, (0,)))
            type_stream = stack.enter_context(types.open("wb")) if self._is_typed else None
            if type_stream is not None:
                type_stream.write(npy_header(np.int16, (0,)))
            for run in itertools.chain.from_iterable(self._sorted(bucket) for bucket in buckets):
                if run.size:
                    self._append(run, stream, type_stream, offsets)
                    report("sorting edges", int(run[-1]) / high)
            np.cumsum(offsets, out=offsets)
            stream.seek(0)
            stream.write(npy_header(np.int64, (int(offsets[-1]),)))
            if type_stream is not None:
                type_stream.seek(0)
                type_stream.write(npy_header(np.int16, (int(offsets[-1]),)))
        write_npy(indptr, offsets)
        entries = {"indptr": array_entry(indptr), "indices": array_entry(indices)}
        return {**entries, "edge_type": array_entry(types)} if self._is_typed else entries

    def _keys(self, sources: Sequence[EdgeSource], report: Report) -> Iterator[np.ndarray]:
        for number, source in enumerate(sources):
            limit = self._num_nodes if source.sizes is None else None
            row = 0
            for (src, dst), share in read_edges(source.file, limit, self._piece, self._columns):
                if source.sizes is not None:
                    _check_ends(source, src, dst, row)
                    src, dst, row = src + source.src, dst + source.dst, row + len(src)
                yield self._key(src, dst, source.relation) * 2
                if self._undirected:
                    yield self._key(dst, src, source.relation) * 2 + 1
                if source.reverse is not None:
                    yield self._key(dst, src, source.reverse) * 2
                report("reading edges", (number + share) / len(sources))

    def _key(self, src: np.ndarray, dst: np.ndarray, relation: int) -> np.ndarray:
        keys: np.ndarray = (dst * self._num_relations + relation) * self._num_nodes + src
        return keys

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

    def _append(
        self, keys: np.ndarray, stream: IO[bytes], type_stream: Optional[IO[bytes]], offsets: np.ndarray
    ) -> None:
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
            if type_stream is not None:
                runs, dst = dst, dst // self._num_relations
                type_stream.write((runs - dst * self._num_relations).astype(np.int16).data)
            first = int(dst[0])
            counts = np.bincount(dst - first)
            offsets[first + 1 : first + 1 + len(counts)] += counts


def _check_ends(source: EdgeSource, src: np.ndarray, dst: np.ndarray, first: int) -> None:
    """Refuse an id that its type does not have."""
    assert source.sizes is not None
    for end, ids, size in zip(("source", "target"), (src, dst), source.sizes):
        broken = np.flatnonzero(ids >= size)
        if broken.size:
            row = int(broken[0])
            expected = f"expected 0 to {size - 1}" if size else "but its type has no nodes"
            raise DatasetError(f"{source.file}, edge {first + row}: {end} {ids[row]} is out of range, {expected}.")
