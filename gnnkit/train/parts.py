"""Graphs in parts on disk: what is written besides the parts themselves, and how training opens them.

Rules: a folder has ``parts.json``, which is written last; ``nodes``, a saved graph without edges and features; and
``store``, which belongs to the library that serves the parts.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Dict, List, Mapping, Set

import torch

from gnnkit.backends import GraphStore, PartSize, load_backend
from gnnkit.data import PREPARATIONS, Graph, Remote, check_leaks, describe_data, log_warnings, prepare_graph, summarize
from gnnkit.datasets.cache import load_graph, save_graph
from gnnkit.errors import ConfigError, DataError, DatasetError
from gnnkit.io.text import read_json
from gnnkit.paths import check_writable, is_file, user_path, writing
from gnnkit.tasks import task_class
from gnnkit.train.config import DatasetConfig, RunConfig

FORMAT = 1
RECORD, NODES, STORE = "parts.json", "nodes", "store"


@dataclass(frozen=True)
class Parts:
    """What ``parts.json`` says.

    Attributes:
        store: The backend whose store serves the parts.
        dataset: Which data were cut, as :class:`DatasetConfig` has it.
        task: What they were split for.
        task_options: Its settings.
        seed: Seed of the split.
        num_edges: Number of edges.
        num_features: Width of the features.
        summary: See :class:`gnnkit.data.Remote`.
        descriptions: Likewise.
        sizes: Of each part.
    """

    store: str
    dataset: Dict[str, Any]
    task: str
    task_options: Dict[str, Any]
    seed: int
    num_edges: int
    num_features: int
    summary: Dict[str, str]
    descriptions: Dict[str, Dict[str, Any]]
    sizes: List[Dict[str, int]]

    @property
    def config(self) -> Dict[str, Any]:
        """What a configuration says of these data, below what a user says."""
        return {"dataset": self.dataset, "task": self.task, "task_options": self.task_options, "seed": self.seed}


def check_cut(config: RunConfig, store: str, num_parts: int, folder: Path) -> GraphStore:
    """Refuse what cannot be cut, before data are loaded.

    Args:
        config: Which data, and the task that they are split for.
        store: Name of the backend that will serve the parts.
        num_parts: How many, one for each machine.
        folder: Where they will be; nothing may be there.

    Raises:
        ConfigError: Settings that cannot be used, or the folder holds something.
        CapabilityError: The backend keeps no parts.
        FileError: The folder cannot be written.
    """
    if num_parts < 1:
        raise ConfigError(f"--parts is {num_parts}, expected at least 1.")
    engine = load_backend(store).store()
    check_writable(folder, as_folder=True)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"{folder} holds something already. Name a folder that is new or empty.")
    task = task_class(config.task)
    if task.level == "graphs" or (task.level == "nodes" and task.needs_batches):
        raise ConfigError(f"Task {config.task!r} reads whole graphs. Cut data for a task about nodes or pairs.")
    return engine


def cut(graph: Graph, config: RunConfig, store: str, num_parts: int, folder: Path) -> List[PartSize]:
    """Cut a graph, and write its parts.

    Args:
        graph: What ``config`` names, split for its task.
        config: As for :func:`check_cut`, like the rest.
        store: Likewise.
        num_parts: Likewise.
        folder: Likewise. It is there when all of it is.

    Raises:
        DataError: The graph has what cannot be kept in parts.
        LeakError: Pairs to be judged are among its edges.
        GnnkitError: What :func:`check_cut` raises.
    """
    engine = check_cut(config, store, num_parts, folder)
    _check(graph, num_parts)
    check_leaks(graph)
    with writing(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name[:50]}.", suffix=".tmp", dir=folder.parent))
        try:
            sizes = _write(graph, config, store, engine, num_parts, temporary)
            if folder.exists():
                folder.rmdir()
            temporary.rename(folder)
            folder.chmod(0o755)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    return sizes


def _check(graph: Graph, num_parts: int) -> None:
    fix = "Leave them out of the data, or train on one machine."
    if graph.x is None or graph.node_categories:
        raise DataError("x", "parts are kept for features that are numbers, and the graph has none.", fix=fix)
    for name in ("edge_weight", "edge_attr"):
        if getattr(graph, name) is not None:
            raise DataError(name, "edges in parts have neither weights nor features, and the graph has some.", fix=fix)
    if graph.links is not None and graph.links.test_edges is not None:
        raise DataError("links.test_edges", "edges that carry messages for testing alone are not kept in parts.")
    if num_parts > graph.num_nodes:
        raise ConfigError(f"--parts is {num_parts}, and the graph has {graph.num_nodes} nodes. Take fewer parts.")


def _write(
    graph: Graph, config: RunConfig, name: str, store: GraphStore, num_parts: int, folder: Path
) -> List[PartSize]:
    (folder / STORE).mkdir()
    sizes = store.partition(graph, num_parts, folder / STORE)
    nodes = replace(
        graph,
        indptr=torch.zeros(graph.num_nodes + 1, dtype=torch.int64),
        indices=torch.empty(0, dtype=torch.int64),
        x=None,
        node_data={},
        edge_data={},
        feature_names=(),
    )
    save_graph(nodes, folder / NODES)
    parts = Parts(
        name,
        {**asdict(config.dataset), "graph_store": name},
        config.task,
        dict(config.task_options),
        config.seed,
        graph.num_edges,
        graph.num_features,
        summarize(graph),
        {each: describe_data(_prepared(graph, each)) for each in PREPARATIONS},
        [asdict(size) for size in sizes],
    )
    text = json.dumps({"format": FORMAT, **asdict(parts)}, indent=1)
    (folder / RECORD).write_text(text, encoding="utf-8")
    return sizes


def _prepared(graph: Graph, preparation: str) -> Graph:
    return prepare_graph(graph, self_loops=preparation != "none", gcn_norm=preparation == "gcn_norm")


def read_parts(folder: Path) -> Parts:
    """What is known of a folder of parts.

    Raises:
        DatasetError: It is none.
    """
    file = user_path(folder) / RECORD
    if not is_file(file):
        raise DatasetError(
            f"{folder} is no folder of parts: it has no {RECORD}. Make one with 'gnnkit data partition'."
        )
    try:
        found: Mapping[str, Any] = read_json(file, DatasetError)
        if found["format"] != FORMAT:
            raise DatasetError(f"{folder} has format {found['format']}, expected {FORMAT}. Cut the data again.")
        return Parts(**{name: value for name, value in found.items() if name != "format"})
    except (KeyError, TypeError) as error:
        raise DatasetError(
            f"{folder} is no folder of parts ({type(error).__name__}: {error}). Make one with 'gnnkit data partition'."
        ) from error


def check_parts(config: RunConfig) -> Parts:
    """What is known of the parts that a configuration names, if they are of its data, task and store.

    Raises:
        ConfigError: They are not.
        DatasetError: There are none.
    """
    dataset: DatasetConfig = config.dataset
    assert dataset.parts is not None, "the caller has looked"
    parts = read_parts(Path(dataset.parts))
    for what, wanted, found in (
        ("data set", dataset.name, parts.dataset["name"]),
        ("task", config.task, parts.task),
        ("graph store", dataset.graph_store, parts.store),
        ("options of the data set", dataset.options, parts.dataset["options"]),
    ):
        if wanted != found:
            raise ConfigError(f"The parts in {dataset.parts} are of {what} {found!r}, and {wanted!r} is asked for.")
    return parts


_open: Set[Path] = set()


def is_open() -> bool:
    """Whether this process has opened parts. Their library's threads then wait for servers, for good."""
    return bool(_open)


def open_parts(config: RunConfig) -> Graph:
    """The remote graph that a configuration names, in a process whose servers have been started.

    Raises:
        ConfigError: The parts are of something else.
    """
    parts = check_parts(config)
    folder = user_path(config.dataset.parts or "")
    neighbors = load_backend(parts.store).store().open(folder / STORE)
    _open.add(folder)
    remote = Remote(neighbors, parts.num_edges, parts.summary, parts.descriptions)
    nodes = log_warnings(load_graph(folder / NODES))
    return replace(nodes, x=torch.zeros(1, parts.num_features).expand(nodes.num_nodes, -1), remote=remote)
