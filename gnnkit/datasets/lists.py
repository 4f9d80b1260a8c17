"""Lists of words: from a list for each node to a matrix of 0 and 1, or to fewer columns of numbers.

Rules: a word is whatever a list holds, as text; words are columns in ascending order, whole numbers by value. A word
that a list repeats counts once.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np
from scipy.sparse import csr_matrix

from gnnkit.data.words import is_count
from gnnkit.errors import DatasetError
from gnnkit.io.text import read_json
from gnnkit.stages import stage

MOST_VALUES = 1 << 28
"""Values that a dense matrix of words may have: 1 GB in float32."""


@dataclass(frozen=True)
class Words:
    """Lists of words as a matrix.

    Attributes:
        matrix: 1 where a node's list has a word. Shape [N, W], float32.
        names: The words, in the order of the columns.
    """

    matrix: csr_matrix
    names: Tuple[str, ...]


def read_words(lists: Sequence[Sequence[Any]]) -> Words:
    """Turn lists of words into a matrix.

    Args:
        lists: A list for each node.

    Example:
        >>> words = read_words([["red", "big"], [], ["red"]])
        >>> words.names, words.matrix.toarray().tolist()
        (('big', 'red'), [[1.0, 1.0], [0.0, 0.0], [0.0, 1.0]])
    """
    listed = [[_word(cell) for cell in cells] for cells in lists]
    names = sorted({word for cells in listed for word in cells}, key=_order)
    number = {word: column for column, word in enumerate(names)}
    columns = np.array([number[word] for cells in listed for word in cells], dtype=np.int64)
    rows = np.repeat(np.arange(len(listed)), [len(cells) for cells in listed])
    shape = (len(listed), len(names))
    matrix = csr_matrix((np.ones(len(columns), dtype=np.float32), (rows, columns)), shape=shape)
    matrix.sum_duplicates()
    matrix.data[:] = 1
    return Words(matrix, tuple(names))


def as_vectors(lists: Sequence[Sequence[Any]], where: str) -> Optional[np.ndarray]:
    """Lists that are rows of numbers as a matrix [N, F], float32; None for lists of words.

    Args:
        lists: A list for each node.
        where: What messages call them.

    Raises:
        DatasetError: Numbers that may be values or the numbers of words, or values of different count.

    Example:
        >>> as_vectors([[0.5, 1], [1, 0]], "tags").tolist(), as_vectors([[3], [1, 2]], "tags")
        ([[0.5, 1.0], [1.0, 0.0]], None)
    """
    cells = [cell for cells in lists for cell in cells]
    odd = next((cell for cell in cells if not isinstance(cell, (str, int, float, np.integer, np.floating))), None)
    if odd is not None or any(isinstance(cell, bool) for cell in cells) or None in cells:
        raise DatasetError(f"{where} has {odd!r} in a list, expected words or numbers.")
    if not cells or any(isinstance(cell, str) for cell in cells):
        return None
    is_whole = all(float(cell).is_integer() for cell in cells)
    lengths = {len(cells) for cells in lists}
    if len(lengths) > 1:
        if is_whole:
            return None
        raise DatasetError(f"{where} has lists of {min(lengths)} to {max(lengths)} numbers, expected as many in each.")
    is_binary = all(cell in (0, 1) for cell in cells) and lengths != {1}
    if is_whole and not is_binary and all(isinstance(cell, (int, np.integer)) for cell in cells) and len(lists) > 1:
        raise DatasetError(
            f"{where} has lists of {min(lengths)} whole numbers each, which may be values or numbers of words. Write "
            'values as 3.0 and words as text, such as "3".'
        )
    return np.array([list(cells) for cells in lists], dtype=np.float32)


def read_list_file(
    file: Path, ids: Optional[Dict[str, int]], num_nodes: Optional[int], order: Optional[np.ndarray]
) -> List[List[Any]]:
    """Read a JSON file of lists: a mapping from node ids to lists, or a list of lists in the order of the nodes.

    Args:
        file: The file.
        ids: Row of each node by its id; None if nodes are numbered by row.
        num_nodes: Number of nodes; None takes as many as the file has.
        order: Which row an entry of a list of lists belongs to. None: entry i to row i.

    Returns:
        A list for each node, in the order of the rows.

    Raises:
        DatasetError: It is no such file, names a node that there is not, or leaves one out.
    """
    try:
        content = read_json(file)
    except DatasetError as error:
        raise DatasetError(f"{error} Is it cut short? Write it again.") from error
    values = list(content.values()) if isinstance(content, dict) else content
    if not isinstance(values, list) or not all(isinstance(cells, list) for cells in values):
        raise DatasetError(f"{file} has no lists, expected a list of words for each node, by its id or in order.")
    if isinstance(content, list):
        if num_nodes not in (None, len(content)):
            raise DatasetError(f"{file} has {len(content)} lists, expected {num_nodes}, one for each node.")
        return content if order is None else [content[entry] for entry in np.argsort(order)]
    count = len(content) if num_nodes is None else num_nodes
    lists: List[Optional[List[Any]]] = [None] * count
    for name, cells in content.items():
        row = _row(name, ids, count)
        if row is None:
            raise DatasetError(f"{file} has words of node {name!r}, but there is no such node.")
        lists[row] = cells
    if None in lists:
        row = lists.index(None)
        name = row if ids is None else next(name for name, place in ids.items() if place == row)
        raise DatasetError(f"{file} has no list for node {str(name)!r}. Give an empty one: [].")
    return [cells or [] for cells in lists]


def _row(name: str, ids: Optional[Dict[str, int]], count: int) -> Optional[int]:
    if ids is not None:
        return ids.get(name.strip())
    return int(name) if is_count(name) and int(name) < count else None


def as_columns(words: Words, width: Optional[int], where: Path) -> Tuple[np.ndarray, Tuple[str, ...]]:
    """Make dense features of words.

    Args:
        words: The words.
        width: Number of columns to project them to; None for a 0/1 column each.
        where: What messages call them.

    Returns:
        Features [N, W] or [N, width], float32, and their names; projected ones have none.

    Raises:
        DatasetError: The matrix is too large, or there are too few words to project.
    """
    if width is not None:
        return project(words.matrix, width), ()
    num, count = words.matrix.shape
    if num * count > MOST_VALUES:
        raise DatasetError(
            f"{where} has {count:,} different words on {num:,} nodes, which are {4 * num * count / 1e9:.1f} GB as 0/1 "
            "columns. Project them to fewer: dataset.options.num_features=512."
        )
    return words.matrix.toarray(), words.names


def project(words: csr_matrix, width: int) -> np.ndarray:
    """Project TF-IDF weights on their leading singular vectors; the result has standard deviation 1 overall.

    In float64 and then rounded to multiples of 2^-12, so that it does not show in which order a machine's cores add up:
    neighbouring singular vectors have nearly equal singular values and mix where rounding is as large as float32's.

    Args:
        words: Shape [N, W].
        width: Number of columns.

    Returns:
        Shape [N, width], float32.

    Raises:
        DatasetError: There are too few words or nodes.
    """
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfTransformer

    if width >= min(words.shape):
        raise DatasetError(f"There are {words.shape[1]} words on {words.shape[0]} nodes, too few for {width} features.")
    with stage(f"projecting {words.shape[1]:,} words on {width} features"):
        weights = TfidfTransformer().fit_transform(words.astype(np.float64))
        projected = TruncatedSVD(width, random_state=0).fit_transform(weights)
    return np.ascontiguousarray(np.rint(projected / projected.std() * 4096) / 4096, dtype=np.float32)


def _word(cell: Any) -> str:
    return str(int(cell)) if isinstance(cell, (float, np.floating)) and float(cell).is_integer() else str(cell)


def _order(word: str) -> Tuple[int, int, str]:
    return (0, int(word), word) if is_count(word) else (1, 0, word)
