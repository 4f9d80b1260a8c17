"""A user's folder of a typed graph: a table for each type of nodes and for each relation, triples, or RDF.

Rules: what a folder holds is told by its names: ``edges/SRC__NAME__DST.csv`` and ``nodes/TYPE.csv`` are tables,
``*.nt`` RDF, ``train2id.txt`` or ``train.txt`` triples. A table is read as the one of a folder without types is.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from gnnkit.data import SPLITS, Graph, Notes, add_reverses, from_typed, given_links
from gnnkit.datasets.folder_edges import read_edges
from gnnkit.datasets.folder_files import SETTINGS, TABLES
from gnnkit.datasets.folder_labels import read_labels
from gnnkit.datasets.folder_nodes import NODE_ROLES, Choices, Found, NodeTable, column_roles, read_features, read_ids
from gnnkit.datasets.folder_pairs import read_pairs
from gnnkit.datasets.folder_splits import read_splits
from gnnkit.datasets.ntriples import ENDINGS
from gnnkit.datasets.rdf import LITERALS, read_rdf
from gnnkit.datasets.tables import Table, read_table
from gnnkit.datasets.triples import ID_FILES, NAME_FILES, read_triples
from gnnkit.errors import ConfigError, DataError, DatasetError, UnknownNameError

_ROOMS: Mapping[str, Sequence[str]] = {
    "nodes": TABLES,
    "edges": (*TABLES, ".npy"),
    "features": (".npy", ".npz", ".json"),
    "labels": (".npy", ".npz"),
    "pairs": TABLES,
    **dict.fromkeys(SPLITS, (".npy", ".npz")),
}
"""Folders in the folder, and endings of the files in them."""

_BETWEEN = "__"


@dataclass(frozen=True)
class TypedChoices:
    """What the user said about a typed graph; see :class:`gnnkit.datasets.folder.Folder`."""

    relations: Mapping[str, Any] = field(default_factory=dict)
    reverses: Mapping[str, Any] = field(default_factory=dict)
    num_nodes: Mapping[str, Any] = field(default_factory=dict)
    add_reverses: Optional[bool] = None
    literals: str = "drop"
    drop_known: bool = False

    def __post_init__(self) -> None:
        if self.literals not in LITERALS:
            raise ConfigError(f"literals is {self.literals!r}, expected {' or '.join(LITERALS)}.")
        for name, parts in self.relations.items():
            if not isinstance(parts, list) or len(parts) != 3 or not all(isinstance(part, str) for part in parts):
                raise ConfigError(f"relations.{name} is {parts!r}, expected [source type, name, destination type].")
        for name, count in self.num_nodes.items():
            if type(count) is not int or count < 0:
                raise ConfigError(f"num_nodes.{name} is {count!r}, expected a whole number of at least 0.")
        for name, other in self.reverses.items():
            if not isinstance(other, str):
                raise ConfigError(f"reverses.{name} is {other!r}, expected a relation.")


def find_typed_files(folder: Path, ignored: Sequence[str]) -> Dict[str, Path]:
    """Find the files of a typed graph.

    Args:
        folder: The folder.
        ignored: Names of files to pass over.

    Returns:
        Path by what the file holds: "nodes/TYPE", "edges/SRC__NAME__DST", "features/TYPE", "labels/TYPE",
        "pairs/SRC__NAME__DST", the name of a file of triples or RDF, and "settings". Empty if the folder holds none.

    Raises:
        DatasetError: Two files hold the same, or one in a folder of tables is no table.
    """
    names = sorted(entry.name for entry in folder.iterdir() if entry.name not in ignored)
    files: Dict[str, Path] = {}
    if (folder / "edges").is_dir():
        for room, endings in _ROOMS.items():
            files.update(_files_in(folder / room, endings, ignored))
    elif not any(name.partition(".")[0].endswith("edges") for name in names):
        rdf = [name for name in names if name.endswith(ENDINGS)]
        known = [name for name in (ID_FILES if ID_FILES[2] in names else NAME_FILES) if name in names]
        has_train = any(name.startswith("train") for name in known)
        files = {name: folder / name for name in rdf or (known if has_train else [])}
    if files and "meta.json" in names:
        files[SETTINGS] = folder / "meta.json"
    return files


def _files_in(room: Path, endings: Sequence[str], ignored: Sequence[str]) -> Dict[str, Path]:
    """The files in a folder in the folder, by their names without endings."""
    found: Dict[str, Path] = {}
    for file in sorted(room.iterdir()) if room.is_dir() else []:
        if file.name.startswith(".") or file.name in ignored:
            continue
        if file.suffix not in endings or not file.is_file():
            expected = f"expected files that end in {', '.join(endings)}"
            raise DatasetError(
                f"{file} is none of the files that are read, {expected}. Pass it over with dataset.options.ignore="
                f"[{file.name}]."
            )
        key = f"{room.name}/{file.stem}"
        if key in found:
            what = "types" if room.name != "edges" else "relations"
            raise DatasetError(f"{found[key]} and {file} are two {what} of one name. Remove or rename one.")
        found[key] = file
    return found


def is_typed(files: Mapping[str, Path]) -> bool:
    """Whether the files are those of a typed graph."""
    return any("/" in name or name.endswith(ENDINGS) or name in (*ID_FILES, *NAME_FILES) for name in files)


def read_typed(
    files: Mapping[str, Path], choices: Choices, told: TypedChoices, metric: Optional[str]
) -> Tuple[Graph, Optional[Sequence[str]]]:
    """Read the graph.

    Args:
        files: What :func:`find_typed_files` found.
        choices: What the user said about tables.
        told: What the user said about types.
        metric: The metric that the data ask for.

    Returns:
        The graph, and the names of its nodes, where it has any.

    Raises:
        DatasetError: A file cannot be read, or breaks a rule; the message names it.
    """
    rdf = [file for name, file in files.items() if name.endswith(ENDINGS)]
    reverses = told.add_reverses is not False
    read: Tuple[Graph, Sequence[str]]
    if rdf:
        read = read_rdf(rdf, literals=told.literals, reverses=reverses)
    elif not any("/" in name for name in files):
        read = read_triples(files, reverses=reverses, drop_known=told.drop_known)
    else:
        return _Tables(files, choices, told).graph(metric)
    return replace(read[0], metric=metric), read[1]


class _Tables:
    """The tables of a folder, by type and relation."""

    def __init__(self, files: Mapping[str, Path], choices: Choices, told: TypedChoices) -> None:
        self.files, self.choices, self.told = files, choices, told
        self.found = Found()
        self.relations = {name: relation_of(name, files[f"edges/{name}"], told) for name in _stems(files, "edges")}
        self.nodes = {name: self._open(name) for name in _stems(files, "nodes")}
        self._check_columns()

    def graph(self, metric: Optional[str]) -> Tuple[Graph, Optional[Sequence[str]]]:
        """Read everything."""
        arrays: Dict[str, Any] = {
            key: {} for key in ("x", "y", "splits", "node_data", "class_names", "feature_names", "num_nodes")
        }
        arrays["num_nodes"].update(self.told.num_nodes)
        for name in [*self.nodes, *(each for each in _stems(self.files, "features") if each not in self.nodes)]:
            self._read_nodes(arrays, name)
        for field_name in ("edges", "edge_weight", "edge_attr", "edge_data"):
            arrays[field_name] = {}
        for name, relation in self.relations.items():
            self._read_edges(arrays, name, relation)
        notes = Notes(left_out=tuple(self.found.left_out), warnings=tuple(self.found.warnings))
        try:
            graph = from_typed(**arrays, reverses=self.told.reverses, metric=metric, notes=notes)
        except DataError as error:
            raise DatasetError(f"{self._place(str(error.field))}: {error}") from error
        if self.told.add_reverses:
            graph = add_reverses(graph)
        return self._with_pairs(graph), self._names(graph)

    def _open(self, name: str) -> NodeTable:
        table = read_table(self.files[f"nodes/{name}"])
        roles = column_roles(table, NODE_ROLES, _given(table, self.choices, (*NODE_ROLES, "words")))
        ids = read_ids(table, roles["id"], self._choices(table)) if "id" in roles else None
        return NodeTable(table, roles, ids)

    def _choices(self, table: Optional[Table]) -> Choices:
        """The choices that are about a table: those of other tables name columns that it does not have."""
        columns = {} if table is None else _given(table, self.choices, tuple(self.choices.columns))
        features = [name for name in self.choices.edge_features if table is not None and name in table.columns]
        return replace(self.choices, columns=columns, edge_features=features)

    def _check_columns(self) -> None:
        """Refuse the name of a column that no table has."""
        tables = [self.files[name] for name in self.files if "/" in name and self.files[name].suffix in TABLES]
        known = {column for file in tables for column in read_table(file).columns}
        for column in (*self.choices.columns.values(), *self.choices.edge_features, *self.choices.ignore):
            is_file = any(column == file.name for file in self._everything())
            if column not in known and not is_file:
                raise UnknownNameError("column of the tables:", column, known)

    def _everything(self) -> List[Path]:
        rooms = {file.parent for name, file in self.files.items() if "/" in name}
        return [file for room in rooms for file in room.iterdir()]

    def _read_nodes(self, arrays: Dict[str, Any], name: str) -> None:
        nodes = self.nodes.get(name, NodeTable())
        files = {
            room: self.files[f"{room}/{name}"] for room in ("nodes", "features", "labels") if self._has(room, name)
        }
        choices, said = self._choices(nodes.table), Found()
        x, feature_names, _ = read_features(files, nodes, choices, said)
        labels = read_labels(files, nodes, choices, said)
        count = nodes.table.num_rows if nodes.table is not None else len(x) if x is not None else None
        splits = read_splits({**files, "edges": next(iter(files.values()))}, nodes, count, choices)[0]
        if count is not None:
            given = arrays["num_nodes"].setdefault(name, count)
            if given != count:
                raise DatasetError(f"{next(iter(files.values()))} has {count} rows, but num_nodes.{name} is {given}.")
        held: Dict[str, Any] = {"y": labels.y, "splits": splits, "node_data": labels.values}
        held.update(class_names=labels.names, feature_names=feature_names)
        for key, value in held.items():
            if value is not None and len(value):
                arrays[key][name] = value
        if x is not None:
            arrays["x"][name] = x
        self._tell(said, name)

    def _read_edges(self, arrays: Dict[str, Any], name: str, relation: Tuple[str, str, str]) -> None:
        file, said = self.files[f"edges/{name}"], Found()
        choices = self._choices(read_table(file) if file.suffix in TABLES else None)
        source, target = (self.nodes.get(each, NodeTable()) for each in (relation[0], relation[2]))
        counts = [arrays["num_nodes"].get(each) for each in (relation[0], relation[2])]
        edges, fields = read_edges(file, source, None, counts[0], choices, said, target, counts[1])
        arrays["edges"][relation] = edges
        for key, value in fields.items():
            if not isinstance(value, dict) or value:
                arrays[key][":".join(relation)] = value
        self._tell(said, ":".join(relation))

    def _has(self, room: str, name: str) -> bool:
        return f"{room}/{name}" in self.files

    def _tell(self, said: Found, owner: str) -> None:
        self.found.left_out += [f"{each} of {owner!r}" for each in said.left_out]
        self.found.warnings += said.warnings

    def _with_pairs(self, graph: Graph) -> Graph:
        """The graph with the pairs of the tables of pairs, by relation, as its links."""
        by_split: Dict[str, Dict[str, np.ndarray]] = {}
        for name in _stems(self.files, "pairs"):
            file = self.files[f"pairs/{name}"]
            relation = relation_of(name, file, self.told)
            source, target = (self.nodes.get(each, NodeTable()) for each in (relation[0], relation[2]))
            choices = self._choices(read_table(file))
            counts = [None if graph.typed is None else graph.typed.num_nodes.get(each) for each in relation[::2]]
            table = read_pairs({"pairs": file}, source, counts[0], choices, self.found, target, counts[1])
            assert table is not None
            for split, pairs in table.pairs.items():
                by_split.setdefault(split, {})[":".join(relation)] = pairs
        if not by_split:
            return graph
        try:
            return given_links(graph, by_split)
        except (DataError, UnknownNameError) as error:
            raise DatasetError(
                f"{self.files[next(name for name in self.files if 'pairs/' in name)]}: {error}"
            ) from error

    def _names(self, graph: Graph) -> Optional[Sequence[str]]:
        """Ids of all nodes, if every type has some."""
        assert graph.typed is not None
        tables = [self.nodes.get(name, NodeTable()).ids for name in graph.typed.schema.node_types]
        if any(ids is None for ids in tables):
            return None
        return [name for ids in tables for name in ids or ()]

    def _place(self, where: str) -> Path:
        """The file that a field was read from, or the folder."""
        owner = where.rpartition(" of ")[2].strip("'")
        for room, name in (("nodes", owner), ("features", owner)):
            if self._has(room, name):
                return self.files[f"{room}/{name}"]
        for name, relation in self.relations.items():
            if ":".join(relation) == owner:
                return self.files[f"edges/{name}"]
        return next(file for name, file in self.files.items() if "/" in name).parent.parent


def _stems(files: Mapping[str, Path], room: str) -> List[str]:
    return [name[len(room) + 1 :] for name in files if name.startswith(f"{room}/")]


def relation_of(name: str, file: Path, told: TypedChoices) -> Tuple[str, str, str]:
    """Source type, name and destination type of a relation.

    Args:
        name: Name of its file, without the ending.
        file: The file, for messages.
        told: May say what the name does not.

    Raises:
        DatasetError: The name is none of a relation.
    """
    parts = told.relations.get(name, name.split(_BETWEEN))
    if len(parts) != 3 or not all(parts):
        raise DatasetError(
            f"{file} names no relation, expected SOURCE{_BETWEEN}NAME{_BETWEEN}DESTINATION, such as "
            f"author{_BETWEEN}writes{_BETWEEN}paper.csv. Rename it, or say which one it is in meta.json: "
            f'{{"relations": {{"{name}": ["author", "writes", "paper"]}}}}.'
        )
    return parts[0], parts[1], parts[2]


def _given(table: Table, choices: Choices, roles: Sequence[str]) -> Dict[str, str]:
    return {role: name for role, name in choices.columns.items() if role in roles and name in table.columns}
