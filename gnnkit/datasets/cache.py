"""Graphs on disk: a folder with one ``.npy`` file for each array and a ``meta.json``.

Rules: arrays are memory-mapped when a graph is loaded, copy-on-write, so opening one takes no time and nothing written
to a tensor reaches the disk. A folder is written under a temporary name, ``meta.json`` last, and then renamed: a
folder of the final name is whole. Sizes are checked when it is opened, so a file cut short is found then. Edges and
features that are larger than half of the machine's memory are marked for random access: reading ahead would push out
what is needed again. ``meta.json`` has a checksum for every array, and one for itself.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Tuple

import torch
from torch import Tensor

from gnnkit.data import Graph, Links, Notes, check_graph
from gnnkit.data.check import MOST_CHECKED
from gnnkit.datasets.cache_typed import typed_entries, typed_of
from gnnkit.datasets.files import hash_files
from gnnkit.errors import DataError, DatasetError, FileError
from gnnkit.io import files
from gnnkit.io.arrays import map_npy
from gnnkit.io.checksums import Verifier, checksum
from gnnkit.io.files import write_npy, write_text
from gnnkit.io.memory import advise
from gnnkit.io.text import read_bytes, read_json
from gnnkit.paths import PathLike, check_writable, user_path
from gnnkit.strict_json import to_json

FORMAT = 2
"""Version of the layout of a folder. Version 1, which is read as well, has no checksums."""

TYPED_FORMAT = 3
"""The same for a typed graph, so that a version that knows no types opens none as a graph without."""

_ARRAYS = ("indptr", "indices", "x", "y", "edge_weight", "edge_attr", "graph_ptr", "graph_y")
_MAPPINGS = ("splits", "node_data", "edge_data", "graph_splits", "graph_data")
_TUPLES = ("class_names", "feature_names", "graph_names", "node_categories", "edge_categories")
_CATEGORIES = ("node_categories", "edge_categories")
_MOST_CATEGORIES = 1_000_000
_log = logging.getLogger("gnnkit.datasets")


def save_graph(graph: Graph, folder: PathLike) -> None:
    """Write a graph to a folder.

    Args:
        graph: The graph; everything in the record is kept.
        folder: Where to. A graph that is there already is replaced in one move.

    Raises:
        DatasetError: The folder holds something else.
        FileError: It cannot be written.

    Example:
        >>> import tempfile
        >>> from gnnkit.data import from_edge_index
        >>> with tempfile.TemporaryDirectory() as home:
        ...     save_graph(from_edge_index([[0], [1]]), home + "/pair")
        ...     load_graph(home + "/pair").num_nodes
        2
    """
    with new_folder(user_path(folder)) as temporary:
        _write(graph, temporary)


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Give a temporary folder, which takes the final name when the block ends well and is removed when it does not.

    Raises:
        DatasetError: The folder exists and is no saved graph.
        FileError: It cannot be written; folders above it that were made are removed again.
    """
    check_writable(folder, as_folder=True)
    if folder.exists() and not is_graph(folder) and (not folder.is_dir() or any(folder.iterdir())):
        raise DatasetError(f"{folder} exists and is no saved graph, nothing was written. Name another folder.")
    with files.new_folder(folder) as temporary:
        yield temporary


def is_graph(folder: Path) -> bool:
    """Whether a folder holds a saved graph: its ``meta.json`` names a format, which the settings of a user do not.

    A file that is cut short counts as well. Anything else is not taken for one: a saved graph may be replaced.
    """
    try:
        text = read_bytes(folder / "meta.json").decode("utf-8", "replace")
    except DatasetError:
        return False
    try:
        meta = json.loads(text)
    except (ValueError, RecursionError):
        return text.lstrip(" {\n").startswith('"format"')
    return isinstance(meta, dict) and "format" in meta


def load_graph(folder: PathLike) -> Graph:
    """Open a graph that ``save_graph`` has written; its arrays are memory-mapped.

    Args:
        folder: The folder.

    Returns:
        The graph, equal to the one saved.

    Raises:
        DatasetError: The folder is no saved graph, was written by another version, or a file in it is damaged.
    """
    folder = user_path(folder)
    meta = _read_meta(folder)
    try:
        verifier = Verifier(folder) if meta["format"] >= FORMAT else None
        graph = _graph_of(meta, lambda entry: _open(folder, entry, verifier))
        check_graph(graph, most_values=MOST_CHECKED)
    except (DataError, DatasetError) as error:
        raise DatasetError(f"{folder} is damaged: {error} Write it again.") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RuntimeError) as error:
        raise DatasetError(f"{folder} is damaged: {type(error).__name__}: {error}. Write it again.") from error
    if verifier is not None:
        verifier.finish()
    return graph


def _read_meta(folder: Path) -> Dict[str, Any]:
    """What ``meta.json`` says, if it is what was written."""
    if not (folder / "meta.json").is_file():
        raise DatasetError(f"{folder} is no saved graph: it has no meta.json. Write it again.")
    try:
        meta = read_json(folder / "meta.json")
    except DatasetError as error:
        what = "is damaged" if is_graph(folder) else "is no saved graph"
        raise DatasetError(f"{folder} {what}: {error} Write it again.") from error
    if not isinstance(meta, dict) or "format" not in meta:
        raise DatasetError(f"{folder} is no saved graph: its meta.json has no format. Write it again.")
    if meta["format"] not in (1, FORMAT, TYPED_FORMAT):
        raise DatasetError(f"{folder} has format {str(meta['format'])[:40]}, expected {FORMAT}. Write it again.")
    if meta["format"] >= FORMAT and meta.pop("sha256", None) != _digest(meta):
        raise DatasetError(f"{folder} is damaged: its meta.json is not what was written. Write it again.")
    return meta


def _digest(meta: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(meta, sort_keys=True).encode()).hexdigest()


def _graph_of(meta: Mapping[str, Any], open_array: Callable[[Mapping[str, Any]], Tensor]) -> Graph:
    """The graph that ``meta.json`` describes."""
    fields: Dict[str, Any] = {key: open_array(entry) for key, entry in meta["arrays"].items()}
    for group in _MAPPINGS:
        fields[group] = {key: open_array(entry) for key, entry in meta.get(group, {}).items()}
    for name in _TUPLES:
        fields[name] = _listed(meta, name, int if name in _CATEGORIES else str)
    if "links" in meta:
        tensors = {key: open_array(entry) for key, entry in meta["links"].items()}
        told = meta["of_links"]
        fields["links"] = Links.from_tensors(tensors, told["undirected"] is True, _listed(told, "class_names", str))
    if "typed" in meta:
        fields["typed"] = typed_of(meta["typed"], open_array)
    for name in ("name", "metric", "evaluator"):
        fields[name] = meta.get(name)
        if not isinstance(fields[name], str) and (name == "name" or fields[name] is not None):
            raise ValueError(f"{name} is {str(fields[name])[:40]}, expected text")
    notes = meta.get("notes", {})
    if any(not isinstance(note, str) for value in notes.values() for note in ([value] if value == "" else value)):
        raise ValueError("a note is no text")
    return Graph(**fields, notes=Notes.from_dict(notes))


def _listed(meta: Mapping[str, Any], name: str, kind: type) -> Tuple[Any, ...]:
    """A list of text, or of numbers of categories, for each of which a model has a row of weights."""
    values: List[Any] = meta.get(name, [])
    if not isinstance(values, list) or any(type(value) is not kind for value in values):
        raise ValueError(f"{name} is no list of {'text' if kind is str else 'whole numbers'}")
    if kind is int and any(not 0 < value <= _MOST_CATEGORIES for value in values):
        raise ValueError(f"{name} has a number that is not from 1 to {_MOST_CATEGORIES:,}")
    return tuple(values)


def prepared(
    root: Path,
    name: str,
    version: int,
    options: Mapping[str, Any],
    files: Mapping[str, Path],
    read: Callable[[], Graph],
) -> Graph:
    """Open the prepared copy of a data set, or make it.

    Args:
        root: Root of the cache.
        name: Name of the data set.
        version: Version of the code that reads it.
        options: Options that it is read with.
        files: Source files; a changed file gives another copy.
        read: Makes the graph.

    Returns:
        The graph, memory-mapped; as read if the cache cannot be written.
    """
    digest = hashlib.sha256(f"{FORMAT} {version} {json.dumps(dict(options), sort_keys=True)}".encode())
    for line in hash_files(files):
        digest.update(line.encode())
    folder = root / "prepared" / f"{name}-{digest.hexdigest()[:20]}"
    with suppress(OSError):  # Where the cache cannot be read it is said below that it cannot be written.
        if folder.exists():
            try:
                return load_graph(folder)
            except DatasetError as error:
                _log.warning("The cache is prepared again: %s", error)
                if not is_graph(folder):  # What is one is replaced in one move, also for those who read it just now.
                    shutil.rmtree(folder, ignore_errors=True)
    graph = read()
    try:
        save_graph(graph, folder)
        return load_graph(folder)
    except (DatasetError, FileError) as error:
        _log.warning("Going on without a cache: %s", error)
        return graph


def _write(graph: Graph, folder: Path) -> None:
    entries: Dict[str, Dict[str, Any]] = {group: {} for group in ("arrays", *_MAPPINGS, "links")}
    # Names of node and edge data are free text, so files are numbered.
    numbers = count()

    def write(tensor: Tensor) -> Dict[str, Any]:
        return write_array(folder / f"{next(numbers):03d}.npy", tensor)

    for group, key, tensor in _tensors(graph):
        entries[group][key] = write(tensor)
    if graph.typed is not None:
        entries["typed"] = typed_entries(graph.typed, write)
    write_meta(folder, entries, graph)


def write_meta(folder: Path, entries: Mapping[str, Any], graph: Graph) -> None:
    """Write what makes a folder of arrays a saved graph; do it last.

    Args:
        folder: The folder.
        entries: What :func:`array_entry` says of each array, by "arrays", "splits", "node_data", "edge_data", and
            "links" if the graph has some, and name; what :func:`typed_entries` says, by "typed", of a typed graph.
        graph: Its names, metric and notes are written; its arrays are not.
    """
    meta = {
        "format": FORMAT if graph.typed is None else TYPED_FORMAT,
        "name": graph.name,
        "metric": graph.metric,
        "evaluator": graph.evaluator,
        **{name: list(getattr(graph, name)) for name in _TUPLES},
        "notes": graph.notes.to_dict(),
    }
    meta.update({group: entries.get(group, {}) for group in ("arrays", *_MAPPINGS)})
    if graph.links is not None:
        meta["links"] = entries["links"]
        meta["of_links"] = {"undirected": graph.links.undirected, "class_names": list(graph.links.class_names)}
    if graph.typed is not None:
        meta["typed"] = entries["typed"]
    # As it will be read, so that the digest is of the same.
    meta = json.loads(to_json(meta))
    write_text(folder / "meta.json", json.dumps({**meta, "sha256": _digest(meta)}, indent=1))


def _tensors(graph: Graph) -> Iterator[Tuple[str, str, Tensor]]:
    for field in _ARRAYS:
        tensor: Optional[Tensor] = getattr(graph, field)
        if tensor is not None:
            yield "arrays", field, tensor
    for group in _MAPPINGS:
        for key, tensor in getattr(graph, group).items():
            yield group, key, tensor
    for key, tensor in ({} if graph.links is None else graph.links.tensors).items():
        yield "links", key, tensor


def write_array(file: Path, tensor: Tensor) -> Dict[str, Any]:
    """Write an array; returns its entry."""
    is_bfloat16 = tensor.dtype == torch.bfloat16  # NumPy does not know it, so its bits are stored.
    write_npy(file, (tensor.contiguous().view(torch.int16) if is_bfloat16 else tensor.contiguous()).numpy())
    return array_entry(file, is_bfloat16)


def array_entry(file: Path, is_bfloat16: bool = False) -> Dict[str, Any]:
    """What ``meta.json`` says about a written ``.npy`` file."""
    return {"file": file.name, "bytes": file.stat().st_size, "crc32": checksum(file), "bfloat16": is_bfloat16}


def _open(folder: Path, entry: Mapping[str, Any], verifier: Optional[Verifier]) -> Tensor:
    file = folder / Path(entry["file"]).name
    size = file.stat().st_size
    if size != entry["bytes"]:
        raise ValueError(f"{file.name} has {size} bytes, expected {entry['bytes']}")
    if verifier is not None:
        verifier.check(file, entry["crc32"])
    array = map_npy(file, mode="c")
    if array.size:
        advise(array.base, size)
    tensor = torch.from_numpy(array)
    return tensor.view(torch.bfloat16) if entry["bfloat16"] else tensor
