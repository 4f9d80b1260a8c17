"""What all data sets of the Open Graph Benchmark have in common: where their folders lie, and their raw layout.

Rules: tables are read by ogb's own raw reader, after a look at what they unpack to; ogb's processed cache, which needs
unrestricted unpickling, is neither read nor written. Importing ogb must not start the thread in which it asks the
network for a newer version.
"""

from __future__ import annotations

import contextlib
import csv
import importlib
import io
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Dict, Iterator, List, Mapping, Optional, Tuple

import numpy as np

from gnnkit.data import SPLITS
from gnnkit.data.build import check_count
from gnnkit.datasets.base import Dataset
from gnnkit.datasets.files import DataFile, Finder, download, is_there, unpack
from gnnkit.errors import DatasetError, NotInstalledError, UnknownNameError
from gnnkit.io.arrays import DAMAGES, read_npz, signed
from gnnkit.io.pickles import read_torch_file
from gnnkit.io.text import decoded, unpacked_pieces, unpacked_text

Meta = Mapping[str, str]
_FREE_CLASSES = 1_000_000
_HETERO_FILES = ("triplet-type-list.csv.gz", "edge_index_dict.npz")
_RAW_FILES = ("data.npz", "edge.csv.gz", *_HETERO_FILES)


@dataclass(frozen=True)
class OgbData(Dataset):
    """A family of data sets of the Open Graph Benchmark.

    Attributes:
        table: Which of ogb's packages says what is published: "nodeproppred", "linkproppred" or "graphproppred".
        example: A data set of the family that can be read, for messages.
    """

    is_family = True
    table: ClassVar[str]
    example: ClassVar[str]

    @property
    def evaluator(self) -> Optional[str]:
        """Published data are judged by ogb's own evaluator."""
        return self.requested if self.requested in published(self.table) else None

    def locate(self, finder: Finder) -> Mapping[str, Path]:
        """Find the folder, or download and unpack it; the files in it are named by their path inside of it."""
        known = published(self.table)
        folder = self._find(finder)
        if folder is None:
            if self.requested not in known:
                places = self._candidates(finder)
                if self.requested == self.name or not finder.roots():
                    raise UnknownNameError("OGB data set", self.requested, known)
                missing = [DataFile("raw/data.npz"), DataFile("split/")]
                reason = f"{self.requested!r} is not published by OGB, which has {', '.join(sorted(known))}"
                raise DatasetError(finder.describe_missing(missing, reason, places))
            meta = known[self.requested]
            if meta["is hetero"] == "True":
                raise self._unsupported()
            folder = self._download(finder, meta)
        files = [file for part in ("raw", "split", "mapping") for file in sorted((folder / part).rglob("*"))]
        found = {file.relative_to(folder).as_posix(): file for file in files if is_there(file)}
        for meta_file in (folder / "meta_dict.pt", folder.parent / "meta_dict.pt"):
            if meta_file.is_file():
                found["meta_dict.pt"] = meta_file
                break
        return found

    def check_kind(self, files: Mapping[str, Path], meta: Meta) -> None:
        """Refuse data with several kinds of nodes or edges.

        Raises:
            DatasetError: They are such.
        """
        if meta.get("is hetero") == "True" or any(f"raw/{name}" in files for name in _HETERO_FILES):
            raise self._unsupported()

    def meta(self, files: Mapping[str, Path]) -> Meta:
        """What ogb says about the data, or who saved them with ogb's ``DatasetSaver``; empty if nobody does."""
        if "meta_dict.pt" not in files:
            return published(self.table).get(self.requested, {})
        meta = read_torch_file(files["meta_dict.pt"])
        if not isinstance(meta, dict):
            raise DatasetError(f"{files['meta_dict.pt']} holds a {type(meta).__name__}, expected a dictionary.")
        return {str(key): str(value) for key, value in meta.items()}

    def _candidates(self, finder: Finder) -> List[Path]:
        short = "_".join(self.requested.split("-")[1:])
        full = "_".join(self.requested.split("-"))
        found = []
        for root in finder.roots():
            found += [root / full, root / self.requested, root / short, root]
            found += [parent / short for parent in sorted(root.glob(f"*_{full}"))]
        return [*found, finder.raw]

    def _find(self, finder: Finder) -> Optional[Path]:
        for folder in self._candidates(finder):
            if any((folder / "raw" / name).is_file() for name in _RAW_FILES):
                return folder
        return None

    def _download(self, finder: Finder, meta: Meta) -> Path:
        file = DataFile(meta["url"].rsplit("/", 1)[-1], meta["url"])
        archive = finder.raw.parent / file.name
        if not archive.is_file():
            reason = "downloading is switched off"
            try:
                if finder.download:
                    download(file, archive)
            except DatasetError as error:
                reason = str(error)
            if not archive.is_file():
                raise DatasetError(finder.describe_missing([file], f"{reason}", self._candidates(finder)))
        unpack(archive, finder.raw, "raw")
        archive.unlink()
        return finder.raw

    def _unsupported(self) -> DatasetError:
        return DatasetError(
            f"{self.requested} has several kinds of nodes and edges; heterogeneous graphs are not supported yet. "
            f"Use a data set with one kind, such as {self.example}."
        )


def import_ogb(name: str, install: str = "pip install gnnkit[ogb]") -> Any:
    """A module of ogb, imported without the question to the network.

    Args:
        name: Such as "ogb.linkproppred".
        install: The command that installs what is needed with it.

    Raises:
        NotInstalledError: ogb is not installed.
    """
    missing = object()
    before: Any = sys.modules.get("outdated", missing)
    # Without this package ogb skips the thread that looks for a newer version of it.
    sys.modules["outdated"] = None  # type: ignore[assignment]
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise NotInstalledError(f"The package of the Open Graph Benchmark ({error.name})", install) from error
    finally:
        if before is missing:
            del sys.modules["outdated"]
        else:
            sys.modules["outdated"] = before


def import_raw_readers() -> Any:
    """ogb's raw readers; see :func:`import_ogb`."""
    return import_ogb("ogb.io.read_graph_raw")


def published(table: str) -> Dict[str, Dict[str, str]]:
    """What ogb says about every data set that it publishes, by name; ``table`` is as in :class:`OgbData`."""
    file = Path(import_raw_readers().__file__).parent.parent / table / "master.csv"
    with file.open(newline="", encoding="utf-8") as stream:
        header, *rows = list(csv.reader(stream))
    return {name: {row[0]: row[column] for row in rows} for column, name in enumerate(header) if column}


@contextlib.contextmanager
def reading_raw(raw: Path) -> Iterator[None]:
    """Silence ogb, and say which folder is at fault whatever its readers run into."""
    silence = io.StringIO()
    try:
        with contextlib.redirect_stdout(silence), contextlib.redirect_stderr(silence):
            yield
    except DatasetError:
        raise
    except DAMAGES + (OSError, TypeError, AttributeError) as error:
        cause = f"{type(error).__name__}: {error}"
        raise DatasetError(f"The OGB files in {raw} are cut short or damaged ({cause}). Get them again.") from error


def read_raw(raw: Path, meta: Meta, is_binary: bool) -> Dict[str, Any]:
    """The one graph of a folder ``raw/`` as ogb's readers give it: arrays by name, and "num_nodes"."""
    readers = import_raw_readers()
    if is_binary:
        return _read_arrays(raw / "data.npz")
    _check_gzip(raw)
    more_edges = [] if meta.get("additional edge files", "None") == "None" else meta["additional edge files"].split(",")
    add_inverse = meta.get("add_inverse_edge") == "True"
    content = dict(readers.read_csv_graph_raw(str(raw), add_inverse, additional_edge_files=more_edges)[0])
    # ogb would rename a file of ogbn-proteins in the user's folder, so these are read here.
    more_nodes = meta.get("additional node files", "None")
    for name in [] if more_nodes == "None" else more_nodes.split(","):
        file = raw / f"{name}.csv.gz"
        content[name] = read_csv(file if file.is_file() else raw / f"{name[5:]}.csv.gz")
    _check_nodes(raw, content)
    return content


def _read_arrays(file: Path) -> Dict[str, Any]:
    """The arrays of the one graph of a file, as ogb's reader gives them."""
    content: Dict[str, Any] = {"edge_feat": None, "node_feat": None, **read_npz(file)}
    counts = [content.pop(f"num_{what}_list") for what in ("nodes", "edges")]
    if any(len(count) != 1 or count.dtype.kind not in "iu" for count in counts):
        raise DatasetError(f"{file} has {len(counts[0])} graphs, expected one. Get it again.")
    content["num_nodes"] = int(counts[0][0])
    _check_nodes(file, content)
    return content


def _check_nodes(where: Path, content: Mapping[str, Any]) -> None:
    """Refuse edges that are none, and a number of nodes that nothing else speaks for."""
    edges, num_nodes = content["edge_index"], int(content["num_nodes"])
    if edges.ndim != 2 or len(edges) != 2 or edges.dtype.kind not in "iu" or num_nodes < 0:
        raise DatasetError(f"{where} has edges of shape {list(edges.shape)} and {num_nodes} nodes. Get it again.")
    rows = [len(values) for name, values in content.items() if name.startswith("node_") and values is not None]
    if any(count != num_nodes for count in rows):
        raise DatasetError(f"{where} has features of {rows[0]:,} nodes, expected {num_nodes:,}. Get it again.")
    check_count(num_nodes, edges.shape[1])


def _check_gzip(raw: Path) -> None:
    """Read every compressed file once, so that the one that is cut short is named."""
    for file in sorted(raw.glob("*.csv.gz")):
        for _ in unpacked_pieces(file):
            pass


def read_csv(file: Path) -> np.ndarray:
    """Read a compressed table of numbers without a header.

    Raises:
        DatasetError: It is missing or damaged.
    """
    import pandas

    try:
        values: np.ndarray = pandas.read_csv(io.BytesIO(unpacked_text(file)), header=None).to_numpy()
    except (ValueError, OverflowError) as error:
        raise DatasetError(f"{file} is cut short or damaged ({error}). Get it again.") from error
    if values.dtype.kind not in "biuf":
        raise DatasetError(f"{file} holds something else than numbers. Get it again.")
    return signed(values, file)


def split_kind(files: Mapping[str, Path], wanted: str) -> str:
    """The name of the published split, or of the only one that there is.

    Args:
        files: What ``locate`` returned.
        wanted: What ogb says; empty if it says nothing.

    Raises:
        DatasetError: It is not there, or there are several.
    """
    kinds = sorted({name.split("/")[1] for name in files if name.startswith("split/") and name.count("/") == 2})
    kind = wanted if wanted in kinds else (kinds[0] if len(kinds) == 1 else "")
    if not kind:
        received = ", ".join(kinds) or "none"
        raise DatasetError(f"The folder split/ has {received}, expected {wanted or 'one split'}. Get the files again.")
    return kind


def read_splits(files: Mapping[str, Path], wanted: str) -> Tuple[str, Dict[str, np.ndarray]]:
    """The published split, or the only one that there is: its name, and numbers of nodes or graphs by part.

    Args:
        files: What ``locate`` returned.
        wanted: What ogb calls it; empty if it says nothing.

    Raises:
        DatasetError: A part is missing or damaged.
    """
    kind = split_kind(files, wanted)
    together = files.get(f"split/{kind}/split_dict.pt")
    if together is None:
        paths = {part: files.get(f"split/{kind}/{part}.csv.gz") for part in SPLITS}
        lacking = [part for part, path in paths.items() if path is None]
        if lacking:
            raise DatasetError(f"split/{kind} lacks {', '.join(part + '.csv.gz' for part in lacking)}. Get it again.")
        return kind, {part: read_csv(path)[:, 0] for part, path in paths.items() if path is not None}
    content = read_torch_file(together)
    if not isinstance(content, dict) or any(part not in content for part in SPLITS):
        raise DatasetError(f"{together} must hold the ids of {', '.join(SPLITS)}. Get it again.")
    return kind, {part: np.asarray(content[part]) for part in SPLITS}


def read_class_names(files: Mapping[str, Path]) -> Dict[str, str]:
    """Names of classes by their number, from the table that some data sets come with, such as ogbn-products."""
    tables = [path for name, path in files.items() if name.startswith("mapping/labelidx2")]
    names: Dict[str, str] = {}
    for table in tables:
        lines = io.StringIO(decoded(unpacked_text(table), table), newline="")
        try:
            names.update((row[0], row[1]) for row in csv.reader(lines) if len(row) > 1 and row[1])
        except csv.Error as error:
            raise DatasetError(f"{table} is damaged ({error}). Get it again.") from error
    return names


def read_labels(raw: Path, is_binary: bool, level: str) -> np.ndarray:
    """Labels as they are published. Shape [n, T], NaN for a missing one.

    Args:
        raw: The folder.
        is_binary: Whether it has arrays of NumPy instead of tables.
        level: What has labels: "node" or "graph".

    Raises:
        DatasetError: The file is missing or damaged.
    """
    if not is_binary:
        return read_csv(raw / f"{level}-label.csv.gz")
    file = raw / f"{level}-label.npz"
    content = read_npz(file)
    if f"{level}_label" not in content:
        raise DatasetError(f"{file} lacks {level}_label. Get it again.")
    return content[f"{level}_label"]


def class_count(meta: Meta, default: int) -> int:
    """How many classes ogb says that there are.

    Raises:
        DatasetError: It says something else.
    """
    said = meta.get("num classes", str(default))
    if said != str(default) and not (said.isdecimal() and len(said) < 8 and int(said) <= _FREE_CLASSES):
        raise DatasetError(f"There are {said[:40]!r} classes, expected a number up to {_FREE_CLASSES:,}.")
    return int(said)


def check_labels(labels: np.ndarray, names: Mapping[str, str]) -> None:
    """Refuse classes far beyond the number of labels and of names, before each of them gets one.

    Args:
        labels: As :func:`read_labels` gives them.
        names: Names of classes by their number.

    Raises:
        DatasetError: There are such.
    """
    largest = float(np.nanmax(labels, initial=-1)) if labels.size else -1.0
    if labels.ndim > 2 or labels.dtype.kind not in "biuf" or not largest < max(_FREE_CLASSES, labels.size, len(names)):
        raise DatasetError(f"The labels have shape {list(labels.shape)} and go up to {largest:g}. Get the files again.")


def flat(values: np.ndarray) -> np.ndarray:
    """An array of one column as one of one dimension; others as they are."""
    return values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values
