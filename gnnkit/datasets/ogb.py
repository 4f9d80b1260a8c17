"""Node classification data of the Open Graph Benchmark, from the raw layout that OGB publishes.

Rules: the files are read by ogb's own raw readers; ogb's processed cache, which needs unrestricted unpickling, is
neither read nor written. Importing ogb must not start the thread in which it asks the network for a newer version.
"""

from __future__ import annotations

import contextlib
import csv
import gzip
import io
import os
import shutil
import sys
import tempfile
import zipfile
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Dict, Iterator, List, Mapping, Optional, Tuple

import numpy as np

from gnnkit.data import Graph, Notes, from_edge_index, to_undirected
from gnnkit.data.notes import warn_one_way
from gnnkit.datasets.base import Dataset
from gnnkit.datasets.files import DataFile, Finder, download, is_there
from gnnkit.datasets.unpickling import read_torch_file
from gnnkit.errors import DatasetError, NotInstalledError, UnknownNameError

Meta = Mapping[str, str]
_METRICS = {"acc": "accuracy", "rocauc": "rocauc", "F1": "macro_f1"}
_SPLITS = ("train", "valid", "test")
_HETERO_FILES = ("triplet-type-list.csv.gz", "edge_index_dict.npz")
_RAW_FILES = ("data.npz", "edge.csv.gz", *_HETERO_FILES)


@dataclass(frozen=True)
class OgbNodes(Dataset):
    """A data set of the Open Graph Benchmark for node classification, such as ``ogbn-arxiv``.

    Needs ``pip install gnnkit[ogb]``. For ``ogbn-NAME`` a folder with ``raw/`` and ``split/`` is looked for, called
    ``ogbn_NAME`` or ``NAME``, also inside ``*_ogbn_NAME``, which is where ogb's ``DatasetSaver`` puts new data together
    with their ``meta_dict.pt``. Published data sets are downloaded otherwise.

    Features are the published ones; where nodes have none and edges do (ogbn-proteins) the mean over a node's incoming
    edges, as is customary. Further arrays, such as the year of a paper, are in ``node_data`` and ``edge_data``.
    ogb says which data sets list each edge once for both directions; those get both. Classes have the names that a
    table ``mapping/labelidx2*.csv.gz`` gives them, as for ogbn-arxiv and ogbn-products, or else their numbers.

    From W. Hu et al., "Open graph benchmark: datasets for machine learning on graphs", 2020.

    Attributes:
        undirected: Whether to add the reverse of every edge. None adds them to ogbn-arxiv, as is customary, and
            leaves other data as published.
    """

    name = "ogbn"
    version: ClassVar[int] = 3
    summary = "ogbn-NAME: node classification of the Open Graph Benchmark, such as ogbn-arxiv; needs gnnkit[ogb]."
    is_family = True

    undirected: Optional[bool] = None

    @property
    def evaluator(self) -> Optional[str]:
        """Published data are judged by ogb's own evaluator."""
        return self.requested if self.requested in _published() else None

    def locate(self, finder: Finder) -> Mapping[str, Path]:
        """Find the folder, or download and unpack it; the files in it are named by their path inside of it."""
        published = _published()
        folder = self._find(finder)
        if folder is None:
            if self.requested not in published:
                places = self._candidates(finder)
                if self.requested == self.name or not finder.roots():
                    raise UnknownNameError("OGB data set", self.requested, published)
                missing = [DataFile("raw/data.npz"), DataFile("split/")]
                reason = f"{self.requested!r} is not published by OGB, which has {', '.join(sorted(published))}"
                raise DatasetError(finder.describe_missing(missing, reason, places))
            meta = published[self.requested]
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

    def read(self, files: Mapping[str, Path]) -> Graph:
        """Read the raw files."""
        meta = self._meta(files)
        if meta.get("is hetero") == "True" or any(f"raw/{name}" in files for name in _HETERO_FILES):
            raise self._unsupported()
        if "regression" in meta.get("task type", "") or meta.get("eval metric", "acc") not in _METRICS:
            what = f"{meta.get('task type')} judged by {meta.get('eval metric')}"
            raise DatasetError(f"{self.requested} asks for {what}; supported are classes with {', '.join(_METRICS)}.")
        is_binary = "raw/data.npz" in files
        raw = files["raw/data.npz" if is_binary else "raw/edge.csv.gz"].parent
        with _reading(raw):
            content = _read_raw(raw, meta, is_binary)
            labels = _read_labels(raw, is_binary)
            kind, splits = _read_splits(files, meta.get("split", ""))
            names = _read_class_names(files)
        edge_feat, node_feat = content.pop("edge_feat"), content.pop("node_feat")
        edge_index, num_nodes = content.pop("edge_index"), int(content.pop("num_nodes"))
        made = ""
        if node_feat is None and edge_feat is not None:
            made = "the mean over the features of incoming edges"
            node_feat = _mean_of_incoming(edge_feat, edge_index[1], num_nodes)
        labels, num_named = _as_targets(labels, meta)
        if names:
            num_named = max(num_named, labels.shape[1] if labels.ndim == 2 else int(np.nanmax(labels, initial=-1)) + 1)
        graph = from_edge_index(
            edge_index,
            num_nodes,
            x=node_feat,
            y=labels,
            edge_attr=edge_feat,
            splits=splits,
            node_data={key[5:]: _flat(value) for key, value in content.items() if key.startswith("node_")},
            edge_data={key[5:]: _flat(value) for key, value in content.items() if key.startswith("edge_")},
            class_names=[names.get(str(label), str(label)) for label in range(num_named)],
            notes=Notes(features=made, splits=f"as published: {kind}"),
            metric=_METRICS[meta["eval metric"]] if "eval metric" in meta else None,
        )
        add_reverse = self.requested == "ogbn-arxiv" if self.undirected is None else self.undirected
        if add_reverse:
            both = to_undirected(graph)
            return replace(both, notes=replace(both.notes, edges="with the reverse of each"))
        return graph if self.undirected is not None else warn_one_way(graph, "say dataset.options.undirected=true")

    def _meta(self, files: Mapping[str, Path]) -> Meta:
        if "meta_dict.pt" not in files:
            return _published().get(self.requested, {})
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
        _unpack(archive, finder.raw)
        archive.unlink()
        return finder.raw

    def _unsupported(self) -> DatasetError:
        return DatasetError(
            f"{self.requested} has several kinds of nodes and edges; heterogeneous graphs are not supported yet. "
            "Use a data set with one kind, such as ogbn-arxiv."
        )


def _import_raw_readers() -> Any:
    """ogb's raw readers, imported without the question to the network."""
    missing = object()
    before: Any = sys.modules.get("outdated", missing)
    # Without this package ogb skips the thread that looks for a newer version of it.
    sys.modules["outdated"] = None  # type: ignore[assignment]
    try:
        import ogb.io.read_graph_raw as readers
    except ImportError as error:
        raise NotInstalledError(f"What reads OGB data ({error.name})", "pip install gnnkit[ogb]") from error
    finally:
        if before is missing:
            del sys.modules["outdated"]
        else:
            sys.modules["outdated"] = before
    return readers


def _published() -> Dict[str, Dict[str, str]]:
    """What ogb says about every data set that it publishes, by name."""
    table = Path(_import_raw_readers().__file__).parent.parent / "nodeproppred" / "master.csv"
    with table.open(newline="", encoding="utf-8") as stream:
        header, *rows = list(csv.reader(stream))
    return {name: {row[0]: row[column] for row in rows} for column, name in enumerate(header) if column}


@contextlib.contextmanager
def _reading(raw: Path) -> Iterator[None]:
    """Silence ogb, and say which folder is at fault whatever its readers run into."""
    silence = io.StringIO()
    try:
        with contextlib.redirect_stdout(silence), contextlib.redirect_stderr(silence):
            yield
    except DatasetError:
        raise
    except (OSError, EOFError, ValueError, KeyError, IndexError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        cause = f"{type(error).__name__}: {error}"
        raise DatasetError(f"The OGB files in {raw} are cut short or damaged ({cause}). Get them again.") from error


def _read_raw(raw: Path, meta: Meta, is_binary: bool) -> Dict[str, Any]:
    readers = _import_raw_readers()
    if is_binary:
        return dict(readers.read_binary_graph_raw(str(raw))[0])
    _check_gzip(raw)
    more_edges = [] if meta.get("additional edge files", "None") == "None" else meta["additional edge files"].split(",")
    add_inverse = meta.get("add_inverse_edge") == "True"
    content = dict(readers.read_csv_graph_raw(str(raw), add_inverse, additional_edge_files=more_edges)[0])
    # ogb would rename a file of ogbn-proteins in the user's folder, so these are read here.
    more_nodes = meta.get("additional node files", "None")
    for name in [] if more_nodes == "None" else more_nodes.split(","):
        file = raw / f"{name}.csv.gz"
        content[name] = _read_csv(file if file.is_file() else raw / f"{name[5:]}.csv.gz")
    return content


def _check_gzip(raw: Path) -> None:
    """Read every compressed file once, so that the one that is cut short is named."""
    for file in sorted(raw.glob("*.csv.gz")):
        try:
            with gzip.open(file) as stream:
                while stream.read(1 << 22):
                    pass
        except (OSError, EOFError, zlib.error) as error:
            raise DatasetError(f"{file} is cut short or damaged ({error}). Get it again.") from error


def _read_class_names(files: Mapping[str, Path]) -> Dict[str, str]:
    """Names of classes by their number, from the table that some data sets come with, such as ogbn-products."""
    tables = [path for name, path in files.items() if name.startswith("mapping/labelidx2")]
    names: Dict[str, str] = {}
    for table in tables:
        with gzip.open(table, "rt", encoding="utf-8", newline="") as file:
            names.update((row[0], row[1]) for row in csv.reader(file) if len(row) > 1 and row[1])
    return names


def _read_csv(file: Path) -> np.ndarray:
    import pandas

    try:
        values: np.ndarray = pandas.read_csv(file, compression="gzip", header=None).to_numpy()
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise DatasetError(f"{file} is missing, cut short or damaged ({error}). Get it again.") from error
    return values


def _read_labels(raw: Path, is_binary: bool) -> np.ndarray:
    if not is_binary:
        return _read_csv(raw / "node-label.csv.gz")
    file = raw / "node-label.npz"
    try:
        with np.load(file, allow_pickle=False) as content:
            labels: np.ndarray = content["node_label"]
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise DatasetError(f"{file} is missing, cut short or damaged ({error}). Get it again.") from error
    return labels


def _read_splits(files: Mapping[str, Path], wanted: str) -> Tuple[str, Dict[str, np.ndarray]]:
    """The published split, or the only one that there is, with its name."""
    kinds = sorted({name.split("/")[1] for name in files if name.startswith("split/") and name.count("/") == 2})
    kind = wanted if wanted in kinds else (kinds[0] if len(kinds) == 1 else "")
    if not kind:
        received = ", ".join(kinds) or "none"
        raise DatasetError(f"The folder split/ has {received}, expected {wanted or 'one split'}. Get the files again.")
    together = files.get(f"split/{kind}/split_dict.pt")
    if together is None:
        paths = {part: files.get(f"split/{kind}/{part}.csv.gz") for part in _SPLITS}
        lacking = [part for part, path in paths.items() if path is None]
        if lacking:
            raise DatasetError(f"split/{kind} lacks {', '.join(part + '.csv.gz' for part in lacking)}. Get it again.")
        return kind, {part: _read_csv(path)[:, 0] for part, path in paths.items() if path is not None}
    content = read_torch_file(together)
    if not isinstance(content, dict) or any(part not in content for part in _SPLITS):
        raise DatasetError(f"{together} must hold the node ids of {', '.join(_SPLITS)}. Get it again.")
    return kind, {part: np.asarray(content[part]) for part in _SPLITS}


def _as_targets(labels: np.ndarray, meta: Meta) -> Tuple[np.ndarray, int]:
    """Labels as a graph takes them, and how many class names it needs (0: the labels say it)."""
    if labels.ndim == 2 and labels.shape[1] > 1:
        if int(meta.get("num classes", 2)) != 2:
            raise DatasetError(f"There are {labels.shape[1]} labels of several classes a node; one is supported.")
        return labels.astype(np.float32), 0
    labels = _flat(labels)
    largest = np.nanmax(labels, initial=-1)
    named = int(meta.get("num classes", 0))
    # A small part of the data may lack the last classes; the model still gets an output for each.
    return labels, named if largest + 1 < named else 0


def _flat(values: np.ndarray) -> np.ndarray:
    return values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values


def _mean_of_incoming(edge_feat: np.ndarray, dst: np.ndarray, num_nodes: int) -> np.ndarray:
    counts = np.maximum(np.bincount(dst, minlength=num_nodes), 1)
    columns = [np.bincount(dst, weights=column, minlength=num_nodes) / counts for column in edge_feat.T]
    return np.stack(columns, axis=1).astype(np.float32)


def _unpack(archive: Path, folder: Path) -> None:
    """Unpack a zip file whose content, or whose only folder, has ``raw``; ``folder`` appears whole or not at all."""
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".tmp", dir=folder.parent))
    try:
        with zipfile.ZipFile(archive) as content:
            for name in content.namelist():
                if name.startswith(("/", "\\")) or ".." in Path(name).parts or ":" in name:
                    raise DatasetError(f"{archive} is refused: it would write to {name!r}, outside of its folder.")
            content.extractall(temporary)
        homes = [home for home in (temporary, *sorted(temporary.iterdir())) if (home / "raw").is_dir()]
        if not homes:
            raise DatasetError(f"{archive} holds no folder 'raw'. Delete the file and try again.")
        os.replace(homes[0], folder)
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DatasetError(f"{archive} cannot be unpacked ({error}). Delete it and try again.") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
