"""From lists of edges by relation to a typed graph on disk, in bounded memory.

Rules: as in :mod:`gnnkit.datasets.importing`. Ids count within their types; in the graph, nodes of the types follow one
another.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np
import torch

from gnnkit.data import SPLITS, Graph, Notes, Relation, Schema, Typed, log_warnings, parse_relation
from gnnkit.data.build import check_count
from gnnkit.data.typed_schema import schema_of
from gnnkit.datasets.cache import is_graph, load_graph, new_folder, write_array, write_meta
from gnnkit.datasets.cache_typed import typed_entries
from gnnkit.datasets.edge_files import read_edges
from gnnkit.datasets.edge_sorting import EdgeSource, Report, Sorter
from gnnkit.datasets.folder_files import read_settings
from gnnkit.datasets.folder_nodes import Choices
from gnnkit.datasets.folder_typed import TypedChoices, relation_of
from gnnkit.datasets.import_nodes import ImportedNodes
from gnnkit.datasets.importing import copy_features
from gnnkit.errors import ConfigError, DataError, DatasetError
from gnnkit.options import make_options
from gnnkit.paths import PathLike, user_path

_MOST_KEYS = 1 << 62


def import_typed_graph(
    edges: Mapping[Any, PathLike],
    folder: PathLike,
    *,
    num_nodes: Optional[Mapping[str, int]] = None,
    features: Optional[Mapping[str, PathLike]] = None,
    labels: Optional[Mapping[str, PathLike]] = None,
    splits: Optional[Mapping[str, Mapping[str, PathLike]]] = None,
    reverses: Optional[Mapping[Any, Any]] = None,
    add_reverses: bool = False,
    dedup: bool = False,
    memory: int = 2_000_000_000,
    force: bool = False,
    columns: Optional[Mapping[str, str]] = None,
    missing: Optional[Sequence[Any]] = None,
    number_classes: bool = False,
    report: Optional[Report] = None,
) -> Graph:
    r"""Convert lists of edges by relation to a folder with a typed graph that is opened memory-mapped.

    Args:
        edges: File of edges by relation, ``src:name:dst`` or a triple; see :func:`gnnkit.datasets.import_graph`. Nodes
            are whole numbers from 0 within their types.
        folder: Where the graph goes.
        num_nodes: Number of nodes by type. A type without takes it from its features or labels, else from the largest
            id; then the edges are read twice.
        features: By type, a ``.npy`` file of shape [N_t, F_t], floating point.
        labels: By type, a file of labels.
        splits: For each type, files by "train", "valid", "test": ``.npy`` with ids or a mask.
        reverses: By relation, the one that has the same edges in the other direction.
        add_reverses: Whether every relation without a reverse gets one, called ``rev_NAME``.
        dedup: Keep one of every group of equal edges of a relation.
        memory: Bytes that sorting may take.
        force: Replace a graph that is there already.
        columns: Names of columns by what they hold: source, target, id, label.
        missing: Marks of a missing label.
        number_classes: Whether labels that are numbers are codes of classes.
        report: Told about progress.

    Returns:
        The graph, memory-mapped.

    Raises:
        DatasetError: A file cannot be read or breaks a rule, or the folder is taken.
        DataError: Names of types or relations, or reverses, break a rule.
        ConfigError: An option has an impossible value.

    Example:
        >>> import tempfile, pathlib
        >>> with tempfile.TemporaryDirectory() as home:
        ...     _ = pathlib.Path(home, "writes.txt").write_text("0 1\n1 0\n")
        ...     import_typed_graph({"author:writes:paper": home + "/writes.txt"}, home + "/graph").typed.num_nodes
        {'author': 2, 'paper': 2}
    """
    target = user_path(folder, "The folder to write")
    files = {parse_relation(key): user_path(file) for key, file in edges.items()}
    feature_files = {name: user_path(file) for name, file in (features or {}).items()}
    label_files = {name: user_path(file) for name, file in (labels or {}).items()}
    split_files = {
        name: {split: user_path(file) for split, file in held.items()} for name, held in (splits or {}).items()
    }
    others = [
        *feature_files.values(),
        *label_files.values(),
        *(f for held in split_files.values() for f in held.values()),
    ]
    _check_call(files, others, target, memory, force)
    told: Report = report or (lambda _what, _share: None)
    choices = Choices(columns=columns or {}, missing=missing, number_classes=number_classes)
    schema = schema_of(list(files), [num_nodes or {}, files, feature_files, label_files, split_files], reverses or {})
    opened = {
        name: ImportedNodes.open(feature_files.get(name), label_files.get(name), choices) for name in schema.node_types
    }
    counts = _count_nodes(schema, files, num_nodes or {}, opened, memory, choices.columns, told)
    extended, reversed_by = _with_reverses(schema) if add_reverses else (schema, {})
    _check_size(extended, sum(counts.values()), memory)
    sources = _sources(schema, files, counts, reversed_by)
    with new_folder(target) as temporary:
        sorter = Sorter(temporary, sum(counts.values()), False, dedup, memory, choices.columns, len(extended.relations))
        entries: Dict[str, Any] = {"arrays": sorter.write(sources, told)}
        typed, x = _typed(extended, counts, opened, split_files), {}
        for number, (name, file) in enumerate(feature_files.items()):
            x[name] = copy_features(file, temporary / f"x_{number}.npy", memory, told)
        numbers = iter(range(1_000_000))
        entries["typed"] = typed_entries(typed, lambda rows: write_array(temporary / f"t_{next(numbers)}.npy", rows))
        entries["typed"].update(edge_type=entries["arrays"].pop("edge_type"), x=x)
        notes = Notes(
            labels=", ".join(f"{name}: {each.notes.labels}" for name, each in opened.items() if each.notes.labels),
            left_out=tuple(said for each in opened.values() for said in each.notes.left_out),
            warnings=tuple(said for each in opened.values() for said in each.notes.warnings),
        )
        bare = torch.zeros(1, dtype=torch.int64)
        write_meta(temporary, entries, Graph(bare, bare[:0], name=target.name, notes=notes, typed=typed))
        _check_reverses(temporary)
    return log_warnings(load_graph(target))


def import_folder(source: PathLike, folder: PathLike, **options: Any) -> Graph:
    """Convert a folder of files by type and relation, as :func:`import_typed_graph` does.

    Args:
        source: A folder with ``edges/SRC__NAME__DST.*``, or with these files themselves; perhaps ``features/TYPE.npy``,
            ``labels/TYPE.csv``, and ids or masks in ``train/TYPE.npy``, ``valid/`` and ``test/``. Its ``meta.json`` may
            have ``relations``, ``reverses`` and ``num_nodes``, see :class:`gnnkit.datasets.folder.Folder`.
        folder: Where the graph goes.
        options: As for :func:`import_typed_graph`.

    Returns:
        The graph, memory-mapped.

    Raises:
        GnnkitError: As :func:`import_typed_graph`.
    """
    home = user_path(source)
    rooms = {room: home / room for room in ("edges", "features", "labels", *SPLITS)}
    if not rooms["edges"].is_dir():
        rooms["edges"] = home
    settings = read_settings(home / "meta.json") if (home / "meta.json").is_file() else {}
    told = make_options(TypedChoices, settings, str(home / "meta.json"))
    found = {room: _files_in(place) for room, place in rooms.items() if place.is_dir()}
    edges = {relation_of(stem, file, told): file for stem, file in found["edges"].items()}
    if not edges:
        raise DatasetError(f"There is no file of edges in {rooms['edges']}, expected SOURCE__NAME__DESTINATION.csv.")
    given: Dict[str, Any] = {"num_nodes": told.num_nodes, "reverses": told.reverses}
    given.update(features=found.get("features"), labels=found.get("labels"), splits={})
    for split in SPLITS:
        for name, file in found.get(split, {}).items():
            given["splits"].setdefault(name, {})[split] = file
    given["add_reverses"] = told.add_reverses is True
    given.update({name: value for name, value in options.items() if value not in (None, False)})
    return import_typed_graph(edges, folder, **given)


def _files_in(place: Path) -> Dict[str, Path]:
    """The files of a folder by their names without endings."""
    found: Dict[str, Path] = {}
    for file in sorted(place.iterdir()):
        stem = file.name.partition(".")[0]
        if not file.is_file() or not stem or file.name in ("meta.json", "README.md"):
            continue
        if stem in found:
            raise DatasetError(f"{found[stem]} and {file} have one name. Remove or rename one.")
        found[stem] = file
    return found


def _check_call(files: Mapping[Any, Path], others: Sequence[Path], target: Path, memory: int, force: bool) -> None:
    if not files:
        raise ConfigError("There are no files of edges, expected at least one.")
    if memory < 1 << 16:
        raise ConfigError(f"memory is {memory} bytes, expected at least {1 << 16}.")
    for file in [*files.values(), *others]:
        if not file.is_file():
            raise DatasetError(f"There is no file {file}.")
    if target.exists() and is_graph(target) and not force:
        raise DatasetError(f"{target} holds a graph already. Name another folder, or replace it with --force.")


def _check_reverses(folder: Path) -> None:
    """Open the graph once, so that a declared reverse that is none leaves no folder behind."""
    try:
        load_graph(folder)
    except DatasetError as error:
        raise DatasetError(str(error.__cause__ or error)) from error


def _count_nodes(
    schema: Schema,
    files: Mapping[Tuple[str, str, str], Path],
    given: Mapping[str, int],
    opened: Mapping[str, ImportedNodes],
    memory: int,
    columns: Mapping[str, str],
    report: Report,
) -> Dict[str, int]:
    """How many nodes each type has."""
    for name, count in given.items():
        if isinstance(count, bool) or not isinstance(count, int) or count < 0:
            raise ConfigError(f"num_nodes of {name!r} is {count!r}, expected a whole number of at least 0.")
    known = {name: given.get(name, opened[name].count) for name in schema.node_types}
    largest, ends = dict.fromkeys(schema.node_types, -1), dict.fromkeys(schema.node_types, 0)
    for number, ((src, _, dst), file) in enumerate(files.items()):
        if known[src] is not None and known[dst] is not None:
            continue
        for (sources, targets), share in read_edges(file, None, memory // 16, columns):
            for name, ids in ((src, sources), (dst, targets)):
                largest[name] = max(largest[name], int(ids.max(initial=-1)))
                ends[name] += len(ids)
            report("counting nodes", (number + share) / len(files))
    counts: Dict[str, int] = {}
    for name, stated in known.items():
        counts[name] = largest[name] + 1 if stated is None else stated
        if stated is None:
            try:
                check_count(counts[name], ends[name])
            except DataError as error:
                raise DatasetError(f"Type {name!r}: {error}") from error
    return counts


def _check_size(schema: Schema, num_nodes: int, memory: int) -> None:
    """Refuse what keys of edges have no room for."""
    num_keys = 2 * num_nodes * num_nodes * max(1, len(schema.relations))
    if 16 * num_nodes > memory or num_keys > _MOST_KEYS:
        raise DatasetError(
            f"There are {num_nodes:,} nodes and {len(schema.relations):,} relations, expected offsets of at most half "
            f"of the memory, {memory:,} bytes, and keys of edges below 2^62. Give more memory, or number the nodes of "
            "each type from 0 without gaps."
        )


def _with_reverses(schema: Schema) -> Tuple[Schema, Dict[int, int]]:
    """The schema with a reverse for each relation without, and the number of the new one by that of the old one."""
    relations: List[Relation] = list(schema.relations)
    made: Dict[int, int] = {}
    for number, relation in enumerate(schema.relations):
        if relation.reverse is None:
            made[number] = len(relations)
            relations[number] = Relation(relation.src, relation.name, relation.dst, len(relations))
            relations.append(Relation(relation.dst, f"rev_{relation.name}", relation.src, number))
    return Schema(schema.node_types, tuple(relations)), made


def _sources(
    schema: Schema,
    files: Mapping[Tuple[str, str, str], Path],
    counts: Mapping[str, int],
    reverses: Mapping[int, int],
) -> List[EdgeSource]:
    starts, total = {}, 0
    for name in schema.node_types:
        starts[name] = total
        total += counts[name]
    return [
        EdgeSource(file, number, starts[src], starts[dst], (counts[src], counts[dst]), reverses.get(number))
        for number, ((src, _, dst), file) in enumerate(files.items())
    ]


def _typed(
    schema: Schema,
    counts: Mapping[str, int],
    opened: Mapping[str, ImportedNodes],
    splits: Mapping[str, Mapping[str, Path]],
) -> Typed:
    """What is known of types without the edges and the features."""
    sizes = [counts[name] for name in schema.node_types]
    y, names, read = {}, {}, {}
    for name, nodes in opened.items():
        part = nodes.checked(counts[name], splits.get(name, {}))
        if part.splits:
            read[name] = part.splits
        if part.y is not None:
            y[name] = part.y
        if part.class_names:
            names[name] = part.class_names
    node_type = torch.from_numpy(np.repeat(np.arange(len(sizes), dtype=np.int16), sizes))
    return Typed(schema, node_type, torch.empty(0, dtype=torch.int16), y=y, class_names=names, splits=read)
