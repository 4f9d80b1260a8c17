"""Facebook pages and the likes between them."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, List, Mapping, Sequence

import numpy as np
from scipy.sparse import csr_matrix

from gnnkit.data import Graph, from_edge_index
from gnnkit.datasets.base import Dataset, check_option, seeded_split
from gnnkit.datasets.edges import undirected
from gnnkit.datasets.files import DataFile
from gnnkit.datasets.lists import project
from gnnkit.errors import DatasetError
from gnnkit.io.text import read_json, read_text

_EDGES, _FEATURES, _TARGET = "facebook_edges.csv", "facebook_features.json", "facebook_target.csv"
_MOST_WORDS = 1_000_000
_CHECKSUMS = {
    _EDGES: "7c50d8f02a75cc0829577814a1fc14535164daa38d79c3612340c9e9cdbd4022",
    _FEATURES: "ea870537646a93642a0008d38aa9bfeff02018070ba97b1f3f469d9622626436",
    _TARGET: "7bd96eafea3c2ca40f44bfa9e73642194696c21e38c7b29ed409c32ad14075cd",
}


@dataclass(frozen=True)
class FacebookLarge(Dataset):
    """22,470 Facebook pages of four kinds, 170,823 mutual likes, and words from their descriptions.

    Edges run both ways; 179 self-loops are dropped. Classes are the kinds of page in alphabetical order. Split 60/20/20
    by the seed.

    A page's words are published as a list of ids of 4,714 words, 14 a page. As 0/1 columns they take 424 MB, and a
    sampled batch of 1,024 pages would move most of that. So by default they are weighted by TF-IDF, scaled to unit
    length and projected on their leading singular vectors, without looking at labels or edges: 46 MB at 512 columns.
    Test accuracy of a two-layer GraphSAGE of width 64 with full aggregation, on one split, at the best of 15 epochs by
    validation, without weight decay (with 5e-4): 0.926 (0.928) at 128 columns, 0.934 (0.930) at 256, 0.940 (0.936) at
    512, 0.945 (0.936) with all words as 0/1.

    From B. Rozemberczki, C. Allen and R. Sarkar, "Multi-scale attributed node embedding", 2019.

    Attributes:
        num_features: Width of the projected features; 0 gives the published words as 0/1, 4,714 columns.
    """

    name = "facebook_large"
    summary = "22,470 Facebook pages of 4 kinds and the likes between them."
    source: ClassVar[str] = "https://raw.githubusercontent.com/benedekrozemberczki/datasets/master/facebook_large/"

    version: ClassVar[int] = 2

    num_features: int = 512

    def __post_init__(self) -> None:
        good = 0 <= self.num_features <= 4000
        check_option(self.requested, "num_features", self.num_features, good, "0 to 4000")

    @property
    def files(self) -> Sequence[DataFile]:
        """The three published files."""
        return [DataFile(name, self.source + name, checksum) for name, checksum in _CHECKSUMS.items()]

    def read(self, files: Mapping[str, Path]) -> Graph:
        """Read the published files."""
        kinds = _read_kinds(files[_TARGET])
        words = _read_words(files[_FEATURES], len(kinds))
        names, labels = np.unique(kinds, return_inverse=True)
        return from_edge_index(
            undirected(_read_edges(files[_EDGES], len(kinds))),
            len(kinds),
            x=project(words, self.num_features) if self.num_features else words.toarray(),
            y=labels.reshape(-1),
            class_names=names.tolist(),
        )

    def split(self, graph: Graph) -> Graph:
        """Split by the seed."""
        return seeded_split(graph, self.seed)


def _read_kinds(file: Path) -> List[str]:
    kinds = {}
    try:
        for row in csv.DictReader(_whole_lines(file)):
            kinds[int(row["id"])] = row["page_type"] or ""
    except (ValueError, TypeError, KeyError, csv.Error) as error:
        problem = f"{type(error).__name__}: {error}"
        raise DatasetError(f"{file} cannot be read as columns id and page_type ({problem}). Get it again.") from error
    if not kinds or set(kinds) != set(range(len(kinds))) or "" in kinds.values():
        raise DatasetError(f"{file} is cut short: its {len(kinds)} pages are not numbered 0, 1, 2, ... Get it again.")
    return [kinds[page] for page in range(len(kinds))]


def _whole_lines(file: Path) -> List[str]:
    """The lines of a file with a header, the last of which must have its end."""
    lines = read_text(file).splitlines(keepends=True)
    if len(lines) < 2 or not lines[-1].endswith("\n"):
        raise DatasetError(f"{file} is cut short: its last line is not whole. Get it again.")
    return lines


def _read_words(file: Path, num_pages: int) -> csr_matrix:
    try:
        content: Any = read_json(file)
        lists = [np.array(content[str(page)], dtype=np.int64).reshape(-1) for page in range(num_pages)]
        extra = len(content) - num_pages
    except (DatasetError, ValueError, TypeError, KeyError, OverflowError) as error:
        problem = f"no list of words for each of {num_pages} pages ({type(error).__name__}: {error})"
        raise DatasetError(f"{file} has {problem}. Is it cut short? Get it again.") from error
    columns = np.concatenate(lists)
    if extra or (columns.size and columns.min() < 0):
        raise DatasetError(f"{file} has {len(content)} pages or negative words, but {num_pages} pages were expected.")
    if columns.size and columns.max() > _MOST_WORDS:
        raise DatasetError(f"{file} has the word {columns.max()}, expected numbers up to {_MOST_WORDS}. Get it again.")
    rows = np.repeat(np.arange(num_pages), [len(words) for words in lists])
    matrix = csr_matrix((np.ones(len(columns), dtype=np.float32), (rows, columns)))
    matrix.data[:] = 1  # a word that is listed twice was added up
    return matrix


def _read_edges(file: Path, num_pages: int) -> np.ndarray:
    try:
        edges = np.loadtxt(_whole_lines(file)[1:], delimiter=",", dtype=np.int64, ndmin=2).T
    except ValueError as error:
        raise DatasetError(f"{file} cannot be read as pairs of page ids ({error}). Get it again.") from error
    if edges.shape[0] != 2:
        raise DatasetError(f"{file} has {edges.shape[0]} columns, expected id_1 and id_2. Get it again.")
    if edges.min() < 0 or edges.max() >= num_pages:
        raise DatasetError(f"{file} names page {edges.max()}, but there are only pages 0 to {num_pages - 1}.")
    return edges
