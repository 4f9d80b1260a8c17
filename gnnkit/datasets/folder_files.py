"""Which files of a user's folder hold what.

Rules: a file is known by its name, or by the end of its name (``chameleon_edges.csv``), or because ``file_names`` names
it. Nothing that looks like a known name is passed over: a typing mistake would otherwise leave out a split without a
word.
"""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any, Dict, List, Mapping, Sequence

from gnnkit.data import SPLITS
from gnnkit.datasets.cache import is_graph
from gnnkit.datasets.files import is_there
from gnnkit.datasets.tables import array_names
from gnnkit.errors import DatasetError
from gnnkit.io.text import read_json

SETTINGS = "settings"
"""Key of the file of settings among the files of a folder."""

TABLES = (".csv", ".parquet")
_KNOWN: Mapping[str, Sequence[str]] = {
    "edges": (*TABLES, ".npy", ".npz"),
    "nodes": TABLES,
    "features": (".npy", ".npz", ".json"),
    "labels": (".npy", ".npz"),
    "split": (*TABLES, ".npz"),
    "pairs": TABLES,
    "graphs": TABLES,
    **dict.fromkeys(SPLITS, (".npy", ".npz")),
}
ARRAY_WORDS: Mapping[str, Sequence[str]] = {
    "edges": ("edges", "edge_index"),
    "features": ("features", "x", "node_features"),
    "labels": ("labels", "y", "node_labels"),
    "train": ("train", "train_mask", "train_masks"),
    "valid": ("valid", "val", "valid_mask", "val_mask", "valid_masks", "val_masks"),
    "test": ("test", "test_mask", "test_masks"),
}
"""Names of arrays in an archive by what they hold."""

_SPARSE = {"indptr", "row"}
"""One of these is among the arrays of a matrix that scipy has saved."""

_OTHER_NAMES = {"nodes": ("target", "targets", "labels"), "valid": ("val", "validation")}
_MASKS = {"masks": "split", **{f"{split}_mask": split for split in SPLITS}, "val_mask": "valid"}
_DATA_SUFFIXES = (*TABLES, ".npy", ".npz", ".json", ".tsv", ".txt", ".pt", ".gz", ".feather", ".mat", ".pkl")
_ALIKE = 0.8


def find_files(folder: Path, given: Mapping[str, str], ignored: Sequence[str]) -> Dict[str, Path]:
    """Find the files of a folder.

    Args:
        folder: The folder.
        given: Names of files by what they hold: "edges", "nodes", "features", "labels", "split", "pairs", "graphs", ...
        ignored: Names of files to pass over.

    Returns:
        Path by what the file holds; "settings" for ``meta.json``.

    Raises:
        DatasetError: There are no edges, two files hold the same, a link leads nowhere, or a file has nearly a known
            name.
    """
    for role in given:
        if role not in _KNOWN:
            raise DatasetError(f"file_names names {role!r}, expected {', '.join(_KNOWN)}.")
    names = sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith("."))
    free = [name for name in names if name not in ignored and name not in given.values()]
    files = {role: folder / name for role, name in given.items()}
    for role in _KNOWN:
        if role not in files:
            fits = _fitting(role, free)
            if len(fits) > 1:
                advice = f"Remove the others, or say which one is meant: dataset.options.file_names.{role}={fits[0]}"
                raise DatasetError(f"{folder} has {' and '.join(fits)}, expected one of them. {advice}.")
            if fits:
                files[role] = folder / fits[0]
    for file in files.values():
        _check_file(file)
    if "edges" not in files:
        files = {**_archive(folder, free), **files}
    if "edges" not in files:
        raise DatasetError(
            f"{folder} has none of edges.csv, edges.parquet, edges.npy, and no .npz with an array 'edges'. Add one, or "
            "say which file has the edges: dataset.options.file_names.edges=NAME."
        )
    taken = {file.name for file in files.values()}
    for name in free:
        if name not in taken and name != "meta.json":
            _check_other(folder / name)
    if "meta.json" in names and not is_graph(folder):
        files[SETTINGS] = folder / "meta.json"
    return files


def _archive(folder: Path, names: Sequence[str]) -> Dict[str, Path]:
    """The ``.npz`` that has edges, under the name of everything that it has."""
    archives = {name: array_names(folder / name) for name in names if name.endswith(".npz")}
    fits = [name for name, held in archives.items() if set(held) & set(ARRAY_WORDS["edges"])]
    if len(fits) > 1:
        raise DatasetError(f"{folder} has {' and '.join(fits)}, expected one of them. Remove the others.")
    return {
        role: folder / name for name in fits for role, words in ARRAY_WORDS.items() if set(words) & set(archives[name])
    }


def other_files(files: Mapping[str, Path]) -> List[str]:
    """What is in the folder besides these files, and in archives besides the arrays that are read; no folders."""
    taken = {file.name for file in files.values()}
    others = [
        f"file {entry.name!r}"
        for entry in sorted(files["edges"].parent.iterdir())
        if entry.name not in taken and not entry.name.startswith(".") and entry.is_file()
    ]
    for file in sorted({file for file in files.values() if file.suffix == ".npz"}):
        roles = [role for role, path in files.items() if path == file]
        known = {word for role in (SPLITS if roles == ["split"] else roles) for word in ARRAY_WORDS.get(role, ())}
        names = array_names(file)
        if len(names) > 1 and not set(names) & _SPARSE:
            others += [f"array {name!r} of {file.name!r}" for name in names if name not in known]
    return others


def read_settings(file: Path) -> Dict[str, Any]:
    """Read the settings of a folder: a JSON object.

    Raises:
        DatasetError: It is none.
    """
    try:
        settings = read_json(file)
    except DatasetError as error:
        raise DatasetError(f"{error} Write settings such as {_EXAMPLE}.") from error
    if not isinstance(settings, dict):
        raise DatasetError(f"{file} holds no object. Write settings such as {_EXAMPLE}.")
    return settings


_EXAMPLE = '{"columns": {"label": "kind"}, "undirected": true}'


def _fitting(role: str, names: Sequence[str]) -> List[str]:
    """Files that hold something: those of its own name, else of another name for it, else with a prefix."""
    stems = (role, *_OTHER_NAMES.get(role, ()))
    suffixes = _KNOWN[role]
    for mark in ("", "_"):
        for stem in stems:
            known = [mark + stem + suffix for suffix in suffixes]
            fits = [name for name in names for word in known if _is_called(name, mark, word, role)]
            if fits:
                return fits
    return []


def _is_called(name: str, mark: str, known: str, role: str) -> bool:
    if not mark:
        return name == known
    return name.endswith(known) and (role == "edges" or not _is_about_others(name[: -len(known)]))


def _is_about_others(prefix: str) -> bool:
    """Whether what comes before a word such as "features" says that it is not about nodes."""
    return prefix.casefold().endswith(("edge", "edges", "link", "links", "graph", "graphs"))


def _check_file(file: Path) -> None:
    if not is_there(file):
        raise DatasetError(f"There is no file {file}.")


def _check_other(file: Path) -> None:
    """Refuse a file whose name is nearly, but not quite, that of one that would be read."""
    stem, suffix = file.stem.casefold(), file.suffix.casefold()
    if suffix not in _DATA_SUFFIXES or file.is_dir():
        return
    first, _, last = stem.rpartition("_")
    if _is_about_others(first) and last in (*_KNOWN, *_OTHER_NAMES["nodes"]):
        table = "graphs" if first.endswith(("graph", "graphs")) else "edges"
        raise DatasetError(
            f"{file} is about {first}, which is read from columns of the table of {table} alone. Put it there, or pass "
            f"it over with dataset.options.ignore=[{file.name}]."
        )
    roles = {name: role for role, names in _OTHER_NAMES.items() for name in names}
    roles.update({**_MASKS, **{role: role for role in _KNOWN}})
    close = difflib.get_close_matches(stem, roles, n=1, cutoff=_ALIKE)
    if not close:
        return
    role = roles[close[0]]
    allowed = _KNOWN[role]
    if role == "graphs" and suffix not in allowed:  # Such as graph.pt, which may hold anything.
        return
    meant = " or ".join(role + end for end in ([suffix] if suffix in allowed else allowed))
    raise DatasetError(
        f"{file} is none of the files that are read. Is {meant} meant? Rename it, say what it holds with "
        f"dataset.options.file_names.{role}={file.name}, or pass it over with dataset.options.ignore=[{file.name}]."
    )
