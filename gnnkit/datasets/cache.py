"""Graphs on disk: a folder with one ``.npy`` file for each array and a ``meta.json``.

Rules: arrays are memory-mapped when a graph is loaded, copy-on-write, so opening one takes no time and nothing written
to a tensor reaches the disk. A folder is written under a temporary name, ``meta.json`` last, and then renamed: a
folder of the final name is whole. Sizes are checked when it is opened, so a file cut short is found then. Edges and
features that are larger than half of the machine's memory are marked for random access: reading ahead would push out
what is needed again.
"""

from __future__ import annotations

import hashlib
import json
import logging
import mmap
import os
import shutil
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, Mapping, Optional, Tuple

import numpy as np
import torch
from torch import Tensor

from gnnkit.data import Graph, Links, Notes, check_graph
from gnnkit.data.check import MOST_CHECKED
from gnnkit.datasets.files import hash_files
from gnnkit.errors import DataError, DatasetError, FileError
from gnnkit.paths import PathLike, check_writable, user_path, writing

FORMAT = 1
"""Version of the layout of a folder."""

_ARRAYS = ("indptr", "indices", "x", "y", "edge_weight", "edge_attr", "graph_ptr", "graph_y")
_MAPPINGS = ("splits", "node_data", "edge_data", "graph_splits", "graph_data")
_TUPLES = ("class_names", "feature_names", "graph_names", "node_categories", "edge_categories")
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
    with writing(folder):
        temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name[:50]}.", suffix=".tmp", dir=folder.parent))
        try:
            yield temporary
            _move(temporary, folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def is_graph(folder: Path) -> bool:
    """Whether a folder holds a saved graph: its ``meta.json`` names a format, which the settings of a user do not.

    A file that is cut short counts as well. Anything else is not taken for one: a saved graph may be replaced.
    """
    try:
        text = (folder / "meta.json").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    try:
        meta = json.loads(text)
    except ValueError:
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
    meta_file = folder / "meta.json"
    try:
        meta = json.loads(meta_file.read_text(encoding="utf-8"))
        if meta["format"] != FORMAT:
            raise DatasetError(f"{folder} has format {meta['format']}, expected {FORMAT}. Write it again.")
        fields: Dict[str, Any] = {key: _open(folder, entry) for key, entry in meta["arrays"].items()}
        for group in _MAPPINGS:
            fields[group] = {key: _open(folder, entry) for key, entry in meta.get(group, {}).items()}
        fields.update({name: tuple(meta.get(name, ())) for name in _TUPLES})
        if "links" in meta:
            tensors = {key: _open(folder, entry) for key, entry in meta["links"].items()}
            fields["links"] = Links.from_tensors(tensors, **meta["of_links"])
        graph = Graph(
            **fields,
            name=meta["name"],
            metric=meta["metric"],
            evaluator=meta.get("evaluator"),
            notes=Notes.from_dict(meta.get("notes", {})),
        )
        check_graph(graph, most_values=MOST_CHECKED)
        return graph
    except DataError as error:
        raise DatasetError(f"{folder} is damaged: {error} Write it again.") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        what = "is damaged" if is_graph(folder) else "is no saved graph"
        raise DatasetError(f"{folder} {what}: {type(error).__name__}: {error}. Write it again.") from error


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
    for number, (group, key, tensor) in enumerate(_tensors(graph)):
        entries[group][key] = write_array(folder / f"{number:03d}.npy", tensor)
    write_meta(folder, entries, graph)


def write_meta(folder: Path, entries: Mapping[str, Any], graph: Graph) -> None:
    """Write what makes a folder of arrays a saved graph; do it last.

    Args:
        folder: The folder.
        entries: What :func:`array_entry` says of each array, by "arrays", "splits", "node_data", "edge_data", and
            "links" if the graph has some, and name.
        graph: Its names, metric and notes are written; its arrays are not.
    """
    meta = {
        "format": FORMAT,
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
    with (folder / "meta.json").open("w", encoding="utf-8") as stream:
        json.dump(meta, stream, indent=1)


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
    np.save(file, (tensor.contiguous().view(torch.int16) if is_bfloat16 else tensor.contiguous()).numpy())
    return array_entry(file, is_bfloat16)


def array_entry(file: Path, is_bfloat16: bool = False) -> Dict[str, Any]:
    """What ``meta.json`` says about a written ``.npy`` file."""
    return {"file": file.name, "bytes": file.stat().st_size, "bfloat16": is_bfloat16}


def _open(folder: Path, entry: Mapping[str, Any]) -> Tensor:
    file = folder / Path(entry["file"]).name
    size = file.stat().st_size
    if size != entry["bytes"]:
        raise ValueError(f"{file.name} has {size} bytes, expected {entry['bytes']}")
    array = np.load(file, mmap_mode="c", allow_pickle=False)
    if array.size == 0:
        array = np.array(array)  # an empty mapping has no memory to share
    elif size > _memory() // 2 and hasattr(mmap, "MADV_RANDOM"):
        array.base.madvise(mmap.MADV_RANDOM)
    tensor = torch.from_numpy(array)
    return tensor.view(torch.bfloat16) if entry["bfloat16"] else tensor


def _memory() -> int:
    """Bytes of memory that the machine has; where the system does not tell, more than any."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return 1 << 62


def _move(temporary: Path, folder: Path) -> None:
    """Rename a written folder to its final name, over what is there."""
    old = temporary.with_suffix(".old")
    if folder.exists():
        os.replace(folder, old)
    try:
        os.replace(temporary, folder)
    except OSError:
        # Another process may have put the same graph there in the meantime: then that one serves.
        if not (folder / "meta.json").is_file():
            raise
    finally:
        shutil.rmtree(old, ignore_errors=True)
