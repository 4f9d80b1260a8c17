"""Knowledge graphs: triples of head, relation and tail, as numbers or as names.

Rules: triples of "train" are the edges that carry messages, and the pairs that are learnt; those of "valid" and "test"
are pairs to judge. Entities and relations that only the latter name belong to the graph as well.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from gnnkit.data import SPLITS, Graph, Notes, add_reverses, check_leaks, from_typed, given_links
from gnnkit.errors import DatasetError, LeakError
from gnnkit.io.text import read_text

ENTITY = "entity"
"""The type of all nodes of a knowledge graph."""

ID_FILES = ("entity2id.txt", "relation2id.txt", "train2id.txt", "valid2id.txt", "test2id.txt")
"""Files of triples as numbers, as OpenKE has them; the last two may be missing."""

NAME_FILES = tuple(f"{split}.{ending}" for ending in ("tsv", "txt") for split in SPLITS)
"""Files of triples as names: head, relation and tail, with tabs between them."""


@dataclass(frozen=True)
class Triples:
    """Triples by split.

    Attributes:
        entities: Names of the entities, in their order.
        relations: Names of the relations, in their order.
        splits: Head, relation and tail by "train", "valid" and "test". Each [n, 3], int64.
    """

    entities: Sequence[str]
    relations: Sequence[str]
    splits: Mapping[str, np.ndarray]


def read_id_files(files: Mapping[str, Path]) -> Triples:
    """Read triples as numbers.

    Args:
        files: Paths by the names in ``ID_FILES``. Each begins with the number of its lines; a line of triples is "head
            tail relation", a line of names the name and its number.

    Raises:
        DatasetError: A file is cut short, or a number is out of range; the message names file and line.
    """
    entities, relations = (_read_names(files[name]) for name in ID_FILES[:2])
    splits = {}
    for split, name in zip(SPLITS, ID_FILES[2:]):
        if name in files:
            splits[split] = _read_numbers(files[name], len(entities), len(relations))
    return Triples(entities, relations, splits)


def read_name_files(files: Mapping[str, Path]) -> Triples:
    """Read triples as names, which are numbered in alphabetical order.

    Args:
        files: Paths by split. A line is head, relation and tail, with tabs between them.

    Raises:
        DatasetError: A line has not three of them.
    """
    return number_triples({split: _read_lines(file) for split, file in files.items()})


def number_triples(splits: Mapping[str, Sequence[Tuple[str, str, str]]]) -> Triples:
    """Triples of names with numbers for them, in alphabetical order.

    Example:
        >>> found = number_triples({"train": [("b", "likes", "a")]})
        >>> found.entities, found.splits["train"].tolist()
        (['a', 'b'], [[1, 0, 0]])
    """
    entities = sorted({name for triples in splits.values() for head, _, tail in triples for name in (head, tail)})
    relations = sorted({name for triples in splits.values() for _, name, _ in triples})
    places = {name: number for number, name in enumerate(entities)}
    kinds = {name: number for number, name in enumerate(relations)}
    numbered = {
        split: np.array([(places[head], kinds[name], places[tail]) for head, name, tail in triples], dtype=np.int64)
        for split, triples in splits.items()
    }
    return Triples(entities, relations, {split: rows.reshape(-1, 3) for split, rows in numbered.items()})


def triples_graph(triples: Triples, *, reverses: bool = True, notes: Optional[Notes] = None) -> Graph:
    """A typed graph of triples.

    Args:
        triples: Those of "train" become edges; if there are others, all of them become ``Graph.links``.
        reverses: Whether every relation gets a declared reverse, see :func:`gnnkit.data.add_reverses`.
        notes: What the reader noted.

    Raises:
        DataError: A name cannot be one of a relation.
        LeakError: A triple is in two splits.
    """
    train = triples.splits.get("train", np.empty((0, 3), dtype=np.int64))
    order = np.argsort(train[:, 1], kind="stable")
    parts = np.split(train[order], np.searchsorted(train[order, 1], np.arange(1, len(triples.relations))))
    edges = {(ENTITY, name, ENTITY): part[:, [0, 2]].T for name, part in zip(triples.relations, parts)}
    graph = from_typed(edges, num_nodes={ENTITY: len(triples.entities)}, notes=notes)
    if reverses:
        graph = add_reverses(graph)
    judged = {split: rows for split, rows in triples.splits.items() if len(rows)}
    if not set(judged) - {"train"}:
        return graph
    graph = given_links(
        graph,
        {split: rows[:, [0, 2]] for split, rows in judged.items()},
        undirected=False,
        relations={split: rows[:, 1] for split, rows in judged.items()},
    )
    check_leaks(graph)
    return graph


def without_known(triples: Triples) -> Tuple[Triples, int]:
    """Triples of "valid" and "test" that are in no earlier split, and how many were left out."""
    seen: Dict[Tuple[int, ...], None] = {}
    kept, dropped = {}, 0
    for split in SPLITS:
        if split in triples.splits:
            rows = list(map(tuple, triples.splits[split].tolist()))
            is_new = np.array([split == "train" or row not in seen for row in rows], dtype=bool)
            kept[split] = triples.splits[split][is_new]
            dropped += int((~is_new).sum())
            seen.update(dict.fromkeys(rows))
    return replace(triples, splits=kept), dropped


def read_triples(files: Mapping[str, Path], *, reverses: bool, drop_known: bool) -> Tuple[Graph, Sequence[str]]:
    """Read a knowledge graph from files of triples.

    Args:
        files: By the names in ``ID_FILES``, or by those in ``NAME_FILES``.
        reverses: Whether every relation gets a declared reverse.
        drop_known: Whether triples to judge that are in an earlier split are left out; else they are refused.

    Returns:
        The graph, and the names of its nodes.

    Raises:
        DatasetError: A file cannot be read, or triples to judge are known.
    """
    if ID_FILES[2] in files:
        triples, note = read_id_files(files), "numbered as in entity2id.txt"
    else:
        named = {Path(name).stem: file for name, file in files.items() if name in NAME_FILES}
        triples, note = read_name_files(named), "numbered in alphabetical order"
    splits = "as given"
    if drop_known:
        triples, dropped = without_known(triples)
        splits += f", without {dropped:,} triples that are in an earlier split"
    notes = Notes(nodes=note, splits=splits if len(triples.splits) > 1 else "")
    try:
        return triples_graph(triples, reverses=reverses, notes=notes), triples.entities
    except LeakError as error:
        raise DatasetError(f"{error} To leave them out: dataset.options.drop_known=true.") from error


def _lines(file: Path) -> List[str]:
    lines = read_text(file).split("\n")
    while lines and not lines[-1].strip():
        lines.pop()
    return lines


def _counted_lines(file: Path) -> List[str]:
    """The lines after the first one, which says how many they are."""
    lines = _lines(file)
    if not lines or not lines[0].strip().isdecimal() or len(lines[0]) > _MOST_DIGITS:
        first = repr(lines[0][:40]) if lines else "nothing"
        raise DatasetError(f"{file} begins with {first}, expected the number of its lines.")
    if int(lines[0]) != len(lines) - 1:
        problem = f"{len(lines) - 1:,} lines, but says that there are {int(lines[0]):,}"
        raise DatasetError(f"{file} has {problem}. Is it cut short? Get it again.")
    return lines[1:]


_MOST_DIGITS = 12


def _read_names(file: Path) -> List[str]:
    lines = _counted_lines(file)
    names: List[Optional[str]] = [None] * len(lines)
    for row, line in enumerate(lines):
        name, _, number = line.rstrip().rpartition("\t" if "\t" in line else " ")
        is_number = number.isdecimal() and len(number) <= _MOST_DIGITS
        place = int(number) if is_number else -1
        if not name.strip() or not 0 <= place < len(lines) or names[place] is not None:
            expected = f"expected a name and its number, 0 to {len(lines) - 1}, each once"
            raise DatasetError(f"{file}, line {row + 2}: {line[:60]!r}, {expected}.")
        names[place] = name.strip()
    return [name for name in names if name is not None]


def _read_numbers(file: Path, num_entities: int, num_relations: int) -> np.ndarray:
    lines = _counted_lines(file)
    try:
        rows = np.loadtxt(lines, dtype=np.int64, ndmin=2, comments=None) if lines else np.empty((0, 3), dtype=np.int64)
    except (ValueError, OverflowError) as error:
        problem = f"lines of 'head tail relation' ({error})"
        raise DatasetError(f"{file} cannot be read as {problem}. Get it again.") from error
    if rows.shape != (len(lines), 3):
        raise DatasetError(f"{file} has {rows.shape[1]} columns, expected head, tail and relation.")
    for column, what, count in ((0, "head", num_entities), (1, "tail", num_entities), (2, "relation", num_relations)):
        broken = np.flatnonzero((rows[:, column] < 0) | (rows[:, column] >= count))
        if broken.size:
            row = int(broken[0])
            problem = f"{what} {rows[row, column]} is out of range, expected 0 to {count - 1}"
            raise DatasetError(f"{file}, line {row + 2}: {problem}.")
    return rows[:, [0, 2, 1]]


def _read_lines(file: Path) -> List[Tuple[str, str, str]]:
    triples = []
    for number, line in enumerate(_lines(file), start=1):
        parts = [part.strip() for part in line.split("\t")]
        if len(parts) != 3 or not all(parts):
            expected = "expected head, relation and tail with tabs between them"
            raise DatasetError(f"{file}, line {number}: {line[:60]!r}, {expected}.")
        triples.append((parts[0], parts[1], parts[2]))
    return triples
