"""Data sets of many graphs in the text layout of Xu et al. (2019), with their published folds.

Rules: a file is read as one array of numbers, and lines are told apart by how many each has, so that a hundred thousand
of them take no second. What a line should be and is not is named by its number.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from gnnkit.data import Graph, Notes, from_edge_index
from gnnkit.data.words import is_count
from gnnkit.datasets.base import Dataset
from gnnkit.datasets.edges import undirected
from gnnkit.datasets.files import DataFile, Finder, download, is_there, unpack
from gnnkit.errors import ConfigError, DatasetError
from gnnkit.io.limits import check_dense
from gnnkit.io.text import read_text

_URL = "https://github.com/weihua916/powerful-gnns/raw/master/dataset.zip"
_PUBLISHED = (
    "COLLAB",
    "IMDBBINARY",
    "IMDBMULTI",
    "MUTAG",
    "NCI1",
    "PROTEINS",
    "PTC",
    "REDDITBINARY",
    "REDDITMULTI5K",
)
_FOLDS = "10fold_idx"


@dataclass(frozen=True)
class GinCollection(Dataset):
    """Graphs to classify with their published folds, such as ``GIN-NCI1``: 4,110 molecules, 2 classes, 10 folds.

    For ``GIN-NAME`` a file ``NAME.txt`` is looked for in a folder ``NAME``, and beside it the folds
    ``10fold_idx/test_idx-K.txt`` and ``train_idx-K.txt`` for K from 1, which may be absent. What its authors published
    (MUTAG, NCI1, PROTEINS, PTC, COLLAB, IMDBBINARY, IMDBMULTI, REDDITBINARY, REDDITMULTI5K) is downloaded otherwise.

    ``NAME.txt`` has the number of graphs in its first line; then for each graph a line ``n label``, and for each of its
    n nodes a line ``tag m neighbour ...``, with m neighbours counted from 0 within the graph, and perhaps further
    numbers. Features are the tags as 0/1 columns in ascending order, unless all are alike, then these numbers. Edges
    run both ways, each once and without self-loops. Classes are numbered in ascending order of their labels, which are
    their names. The fold in which a graph is tested is ``graph_data["fold"]``, int64 from 0.

    From K. Xu et al., "How powerful are graph neural networks?", 2019.
    """

    name = "GIN"
    summary = "GIN-NAME: many small graphs with folds, in the layout of Xu et al. (2019), such as GIN-NCI1."
    is_family = True

    @property
    def collected_as(self) -> str:
        """What the collection calls the data set."""
        return self.requested[len(self.name) + 1 :]

    def locate(self, finder: Finder) -> Mapping[str, Path]:
        """Find the file and the folds beside it, or download them."""
        if not self.collected_as:
            raise ConfigError("GIN is a collection. Name a data set of it, for example GIN-NCI1.")
        finder = replace(finder, dataset=self.collected_as)
        main = f"{self.collected_as}.txt"
        shared = finder.cache / "raw" / "powerful-gnns"
        places = [*finder.places(), shared / self.collected_as]
        found = [place for place in places if is_there(place / main)]
        folder = found[0] if found else self._download(finder, shared, places)
        folds = sorted((folder / _FOLDS).glob("t*_idx-*.txt"))
        return {main: folder / main, **{f"{_FOLDS}/{file.name}": file for file in folds if is_there(file)}}

    def read(self, files: Mapping[str, Path]) -> Graph:
        """Read the text files."""
        file = files[f"{self.collected_as}.txt"]
        content = _parse(file)
        classes, labels = np.unique(content.labels, return_inverse=True)
        fold = _read_folds(files, len(content.labels))
        edges = undirected(content.edges)
        tags = np.unique(content.tags)
        check_dense(len(content.tags), len(tags), len(content.tags), file)
        columns = (content.tags[:, None] == tags).astype(np.float32)
        names = [f"tag {tag}" for tag in tags.tolist()]
        made = "tags as 0/1 columns"
        width = content.attributes.shape[1]
        if len(tags) == 1:  # Social data have the same tag everywhere, which says nothing.
            columns, names, made = columns[:, :0], [], "" if width == 0 else "no tags"
        x = np.concatenate([columns, content.attributes], axis=1)
        loops = int((content.edges[0] == content.edges[1]).sum())
        return from_edge_index(
            edges,
            len(content.tags),
            x=x if x.shape[1] else None,
            feature_names=[*names, *(f"attribute {column}" for column in range(width))],
            graph_ptr=content.pointer,
            graph_y=labels.reshape(-1),
            graph_data={} if fold is None else {"fold": fold},
            class_names=[str(label) for label in classes.tolist()],
            notes=Notes(
                features=f"{made}, {width} attributes" if width else made,
                edges=f"without {loops:,} self-loops" if loops else "",
                labels=file.name,
                splits="" if fold is None else f"folds as published in {_FOLDS}",
            ),
        )

    def _download(self, finder: Finder, shared: Path, places: Sequence[Path]) -> Path:
        """Download and unpack what the authors published; returns the folder of the data set."""
        file = DataFile("dataset.zip", _URL)
        name, reason = self.collected_as, "downloading is switched off"
        if name not in _PUBLISHED:
            reason = f"it is none of those published, which are {', '.join(_PUBLISHED)}"
        elif finder.download:
            archive = shared.with_suffix(".zip")
            try:
                download(file, archive)
                unpack(archive, shared, name)
                archive.unlink()
                return shared / name
            except DatasetError as error:
                reason = str(error).rstrip(".")
        raise DatasetError(finder.describe_missing([DataFile(f"{name}.txt", _URL)], reason, places))


@dataclass(frozen=True)
class _Content:
    """What a file holds: N nodes in G graphs, and E directed edges as they are listed.

    Attributes:
        pointer: Where the nodes of each graph begin. Shape [G + 1], int64.
        labels: Of graphs. Shape [G], int64.
        tags: Of nodes. Shape [N], int64.
        edges: A node that is listed as a neighbour, and the node whose line it is in. Shape [2, E], int64.
        attributes: Further numbers of nodes. Shape [N, A], float32.
    """

    pointer: np.ndarray
    labels: np.ndarray
    tags: np.ndarray
    edges: np.ndarray
    attributes: np.ndarray


def _parse(file: Path) -> _Content:
    lines, counts, values = _numbers(file)
    starts = np.cumsum(counts) - counts
    headers, pointer = _find_graphs(file, lines, counts)
    is_node = np.ones(len(lines), dtype=bool)
    is_node[[0, *headers]] = False
    rows = np.flatnonzero(is_node)
    short = rows[counts[rows] < 2]
    if short.size:
        raise _wrong(file, lines, int(short[0]), "a node's tag and how many neighbours it has")
    place = starts[rows]
    degrees = _whole(file, lines, values[place + 1], rows)
    width = int(counts[rows[0]] - 2 - degrees[0]) if rows.size else 0
    uneven = rows[(degrees < 0) | (counts[rows] != 2 + degrees + max(width, 0))]
    if uneven.size:
        more = f", and {width} further numbers as in the first node's line" if width > 0 else ""
        raise _wrong(file, lines, int(uneven[0]), f"a tag, a number m, and m neighbours{more}")
    # Where each neighbour stands: after the two first numbers of its node's line.
    within = np.arange(degrees.sum()) - np.repeat(np.cumsum(degrees) - degrees, degrees)
    listed_in = np.repeat(rows, degrees)
    neighbours = _whole(file, lines, values[np.repeat(place + 2, degrees) + within], listed_in)
    nodes = np.repeat(np.arange(len(rows)), degrees)
    home = np.repeat(np.arange(len(headers)), np.diff(pointer))
    sizes, begins = np.diff(pointer)[home], pointer[:-1][home]
    outside = np.flatnonzero((neighbours < 0) | (neighbours >= sizes[nodes]))
    if outside.size:
        line, most = int(listed_in[outside[0]]), int(sizes[nodes[outside[0]]]) - 1
        raise _wrong(file, lines, line, f"neighbours from 0 to {most}, which are nodes of the same graph")
    tail = (place + 2 + degrees)[:, None] + np.arange(width)
    return _Content(
        pointer,
        _whole(file, lines, values[starts[headers] + 1], headers),
        _whole(file, lines, values[place], rows),
        np.stack([neighbours + begins[nodes], nodes]),
        values[tail].astype(np.float32),
    )


def _numbers(file: Path) -> Tuple[Sequence[str], np.ndarray, np.ndarray]:
    """The lines, how many numbers each has, and all numbers in one array, float64."""
    text = read_text(file, encoding="ascii")
    lines = text.rstrip().splitlines()
    try:
        values = np.array(text.split(), dtype=np.float64)
    except ValueError as error:
        raise DatasetError(f"{file} holds something else than numbers ({error}). Get it again.") from error
    return lines, np.array([len(line.split()) for line in lines], dtype=np.int64), values


def _find_graphs(file: Path, lines: Sequence[str], counts: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """Which lines begin a graph, [G] int64, and where the nodes of each begin, [G + 1] int64."""
    if not lines or not is_count(lines[0].strip()):
        raise DatasetError(f"{file} begins with {lines[0][:40] if lines else ''!r}, expected the number of graphs.")
    total = int(lines[0].strip())
    headers: List[int] = []
    sizes: List[int] = []
    row = 1
    while len(headers) < total and row < len(lines):
        size = lines[row].split()[0] if counts[row] == 2 else ""
        if not is_count(size):
            raise _wrong(file, lines, row, "a graph's number of nodes and its label")
        headers.append(row)
        sizes.append(int(size))
        row += 1 + sizes[-1]
    if len(headers) < total or row > len(lines) or not total:
        problem = f"ends in graph {len(headers)} of {total}" if total else "announces no graphs"
        raise DatasetError(f"{file} {problem}. It is cut short: get it again.")
    if row < len(lines):
        raise DatasetError(f"{file}, line {row + 1}: {total} graphs end before it, expected the end of the file.")
    return np.array(headers, dtype=np.int64), np.cumsum([0, *sizes])


def _whole(file: Path, lines: Sequence[str], values: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Numbers as int64; ``rows`` says which line each is from."""
    broken = np.flatnonzero(~(np.abs(values) < 1 << 53) | (values != np.trunc(values)))
    if broken.size:
        raise _wrong(file, lines, int(rows[broken[0]]), f"a whole number instead of {values[broken[0]]:g}")
    return values.astype(np.int64)


def _wrong(file: Path, lines: Sequence[str], row: int, expected: str) -> DatasetError:
    return DatasetError(f"{file}, line {row + 1}: {lines[row][:60]!r}, expected {expected}. Is the file cut short?")


def _read_folds(files: Mapping[str, Path], num_graphs: int) -> Optional[np.ndarray]:
    """The fold in which each graph is tested, [G] int64 from 0; None if there are no folds."""
    tests, trains = _by_number(files, "test"), _by_number(files, "train")
    numbers = sorted({*tests, *trains})
    if not numbers:
        return None
    fold = np.full(num_graphs, -1)
    for number in range(1, max(numbers) + 1):
        if number not in tests:
            home = next(iter((tests or trains).values())).parent
            raise DatasetError(f"{home} lacks test_idx-{number}.txt. Get the folds again.")
        graphs = _read_index(tests[number], num_graphs)
        again = graphs[fold[graphs] >= 0]
        if again.size:
            earlier = tests[int(fold[again[0]]) + 1].name
            raise DatasetError(
                f"{tests[number]} has graph {again[0]}, which {earlier} has too, expected it in one fold."
            )
        fold[graphs] = number - 1
    left = np.flatnonzero(fold < 0)
    if left.size:
        home = tests[1].parent
        raise DatasetError(f"{home}: {left.size} graphs are tested in no fold, the first is {left[0]}. Get them again.")
    for number, file in trains.items():
        expected = np.flatnonzero(fold != number - 1)
        odd = np.setxor1d(_read_index(file, num_graphs), expected)
        if odd.size:
            problem = "has" if fold[odd[0]] == number - 1 else "lacks"
            raise DatasetError(
                f"{file} {problem} graph {odd[0]}, expected all graphs but those of test_idx-{number}.txt."
            )
    return fold


def _by_number(files: Mapping[str, Path], part: str) -> Dict[int, Path]:
    found = ((re.fullmatch(rf"{_FOLDS}/{part}_idx-([1-9]\d*)\.txt", name), file) for name, file in files.items())
    return {int(match.group(1)): file for match, file in found if match}


def _read_index(file: Path, num_graphs: int) -> np.ndarray:
    """Numbers of graphs, each once. Shape [n], int64."""
    try:
        graphs = np.array([int(word) for word in read_text(file, encoding="ascii").split()], dtype=np.int64)
    except (ValueError, OverflowError) as error:
        raise DatasetError(f"{file} cannot be read as one whole number a line ({error}). Get it again.") from error
    outside = graphs[(graphs < 0) | (graphs >= num_graphs)]
    if outside.size:
        raise DatasetError(f"{file} has graph {outside[0]}, expected numbers from 0 to {num_graphs - 1}.")
    values, counts = np.unique(graphs, return_counts=True)
    if (counts > 1).any():
        raise DatasetError(f"{file} has graph {values[counts > 1][0]} twice, expected each once.")
    return values
