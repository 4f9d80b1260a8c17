"""``load_dataset``: from a name to a graph; and what the graph's nodes and features are called."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any, Mapping, Optional, Tuple

from gnnkit.data import Graph, log_warnings, pick_split
from gnnkit.data.splits import is_several
from gnnkit.datasets.base import Dataset, NodeNames, create, dataset_class, datasets, is_served
from gnnkit.datasets.cache import prepared
from gnnkit.datasets.files import Finder
from gnnkit.datasets.made import make_features as made_features
from gnnkit.errors import ConfigError, DataError, DatasetError
from gnnkit.paths import PathLike, cache_root, is_folder, user_path
from gnnkit.stages import stage


def load_dataset(
    name: PathLike,
    *,
    data_dir: Optional[PathLike] = None,
    cache_dir: Optional[PathLike] = None,
    seed: int = 0,
    download: bool = True,
    split: Optional[int] = None,
    make_features: Optional[str] = None,
    **options: Any,
) -> Graph:
    """Load a data set.

    Its files are looked for in ``data_dir``, then in ``$GNNKIT_DATA``, then in the cache; in each of the first two as
    ``NAME/FILE``, ``NAME/raw/FILE``, ``FILE`` and ``raw/FILE``. If they are nowhere they are downloaded into the cache.
    What is read is kept there as memory-mapped arrays, keyed by the content of the files, and opened at once the next
    time.

    Args:
        name: A data set (see ``gnnkit datasets``), or the path of a folder with your own data
            (see :class:`gnnkit.datasets.folder.Folder`).
        data_dir: Folder in which files are looked for first.
        cache_dir: Folder for downloads and prepared data. By default ``$GNNKIT_CACHE``, else ``gnnkit`` in
            ``$XDG_CACHE_HOME``, else ``~/.cache/gnnkit``.
        seed: Seed of random splits and of synthetic data.
        download: Whether missing files may be downloaded.
        split: Which one to take of data with several splits, from 0.
        make_features: Features for data without any: "constant" (1 for each node), "degree" (log(1 + in-degree)) or
            "one_hot_degree" (a 0/1 column for each degree up to 99).
        options: Options of the data set: the fields of its class.

    Returns:
        The graph with its splits. What was read, made up and left out stands in ``graph.notes``, whose warnings are
        logged.

    Raises:
        UnknownNameError: No such data set, or no such option.
        ConfigError: An option has an impossible value.
        NotInstalledError: The data set needs a package that is not installed.
        DatasetError: Files are missing and cannot be downloaded, or are damaged.

    Example:
        >>> import gnnkit
        >>> gnnkit.load_dataset("karate")
        Graph('karate', num_nodes=34, num_edges=156, num_features=34, num_classes=4, train=4, valid=10, test=20)
    """
    dataset, files = _locate(name, data_dir, cache_dir, seed, download, options)
    cache = cache_root(cache_dir)
    try:
        with stage(f"reading {dataset.requested}"):
            if dataset.reads_in_place(files) or not (files or dataset.keeps):
                graph = dataset.read(files)
            else:
                graph = prepared(
                    cache, dataset.requested, dataset.version, dataset.options(), files, lambda: dataset.read(files)
                )
        graph = replace(graph, name=dataset.requested, evaluator=dataset.evaluator)
        return log_warnings(_finished(graph, dataset, split, make_features))
    except DataError as error:
        place = f" in {next(iter(files.values())).parent}" if files else ""
        raise DatasetError(f"Data set {dataset.requested!r}{place}: {error}") from error


def _finished(graph: Graph, dataset: Dataset, split: Optional[int], features: Optional[str]) -> Graph:
    """The graph with the split and the features that were asked for."""
    if features is not None:
        graph = made_features(graph, features)
    if split is not None:
        return pick_split(graph, split)
    counts = {value.shape[1] for name, value in graph.node_data.items() if is_several(name, value)}
    if counts and not graph.splits:
        advice = f"pick one with split=NUMBER (dataset.options.split=NUMBER), from 0 to {max(counts) - 1}"
        return replace(
            graph, notes=graph.notes.warned(f"the data have {max(counts)} splits and none is taken: {advice}.")
        )
    return dataset.split(graph)


def load_node_names(
    name: PathLike,
    *,
    data_dir: Optional[PathLike] = None,
    cache_dir: Optional[PathLike] = None,
    seed: int = 0,
    download: bool = True,
    split: Optional[int] = None,
    make_features: Optional[str] = None,
    **options: Any,
) -> NodeNames:
    """What a data set's files call the nodes and features of the graph that :func:`load_dataset` gives.

    Args:
        name: As for :func:`load_dataset`, with all other arguments.
        data_dir: Likewise.
        cache_dir: Likewise.
        seed: Likewise.
        download: Likewise.
        split: Likewise; it changes no name.
        make_features: Likewise.
        options: Likewise.

    Raises:
        GnnkitError: As :func:`load_dataset`.

    Example:
        >>> load_node_names("karate")
        NodeNames(ids=None, features=None)
    """
    dataset, files = _locate(name, data_dir, cache_dir, seed, download, options)
    names = dataset.node_names(files)
    return names if make_features is None else replace(names, features=(make_features,))


def _locate(
    name: PathLike,
    data_dir: Optional[PathLike],
    cache_dir: Optional[PathLike],
    seed: int,
    download: bool,
    options: Mapping[str, Any],
) -> Tuple[Dataset, Mapping[str, Path]]:
    """The data set and its files."""
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise ConfigError(f"The seed is {seed!r}, expected a whole number of at least 0.")
    if not isinstance(name, (str, os.PathLike)):
        raise ConfigError(f"The data set is {name!r}, expected a name, or the path of a folder.")
    dataset = _dataset(name, seed, options)
    folder = None if data_dir is None else user_path(data_dir, "The data folder")
    finder = Finder(dataset.requested, folder, cache_root(cache_dir), download)
    finder.roots()  # Says what is wrong with them, also to data sets that need no files.
    return dataset, dataset.locate(finder)


def _dataset(name: PathLike, seed: int, options: Any) -> Dataset:
    if not isinstance(name, str) or _is_path(name):
        folder = user_path(name, "The data set")
        if not is_folder(folder):
            raise DatasetError(f"There is no folder {folder}. Give the path of a folder with edges.csv.")
        if "path" in options:
            raise ConfigError(f"The data set is {str(name)!r} and path is {options['path']!r}. Give one of them.")
        return create(datasets.load("folder"), folder.resolve().name, seed, {"path": str(folder), **options})
    return create(dataset_class(name), name, seed, options)


def _is_path(name: str) -> bool:
    """Whether a name means a folder: it has a separator, or it is one and no data set is called so."""
    if "/" in name or os.sep in name or name in (".", "..", "~"):
        return True
    return not is_served(name) and is_folder(Path(name))
