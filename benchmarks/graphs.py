"""Graphs to measure on: made once, kept as NumPy files under build/bench (or $GNNKIT_BENCH), opened by every worker.

Rules: a graph too large for memory's comfort is written in chunks and opened memory-mapped; the others are read into
memory, so that every side finds its data in the same state.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, Tuple

import numpy as np

if TYPE_CHECKING:
    from gnnkit import Graph

_CHUNK_NODES = 1 << 17
_TYPED = ("typed", "aifb")


def home() -> Path:
    """Where graphs are kept: ``$GNNKIT_BENCH``, else build/bench."""
    return Path(os.environ.get("GNNKIT_BENCH") or Path(__file__).parent.parent / "build" / "bench")


@dataclass(frozen=True)
class GraphSpec:
    """A graph.

    Attributes:
        kind: "synthetic" (gnnkit's data set, undirected), "chunked" (written here, directed, memory-mapped), "typed"
            (made here, with types), or the name of a real data set, of one graph or of many.
        nodes: Number of nodes.
        edges: Number of stored (directed) edges.
        features: Width of the features.
        classes: Number of classes.
        dtype: Of the features, "float32" or "float16".
        noise: Standard deviation of the noise on the features.
    """

    kind: str = "synthetic"
    nodes: int = 0
    edges: int = 0
    features: int = 0
    classes: int = 0
    dtype: str = "float32"
    noise: float = 4.0

    @property
    def is_typed(self) -> bool:
        """Whether nodes and edges have types."""
        return self.kind in _TYPED

    @property
    def key(self) -> str:
        """Name of its folder."""
        return "-".join(str(value) for value in asdict(self).values()) if self.nodes else self.kind


def prepare(spec: GraphSpec) -> Path:
    """Make the graph if it is not there yet, and give its folder."""
    folder = home() / spec.key
    if folder.is_dir():
        return folder
    unfinished = home() / f"{spec.key}.{os.getpid()}.new"
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    try:
        if spec.kind == "chunked":
            write_chunked(spec, unfinished)
        elif spec.is_typed:
            _write_typed(spec, unfinished)
        else:
            _write_dataset(spec, unfinished)
        unfinished.replace(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return folder


def open_graph(spec: GraphSpec) -> Graph:
    """Open a prepared graph."""
    import torch

    from gnnkit import Graph
    from gnnkit.datasets import load_graph

    folder = home() / spec.key
    if spec.is_typed:
        return load_graph(folder)
    meta = json.loads((folder / "meta.json").read_text())
    mode: Any = "c" if spec.kind == "chunked" else None

    def read(name: str) -> torch.Tensor:
        return torch.from_numpy(np.load(folder / f"{name}.npy", mmap_mode=mode))

    splits = {name: read(name) for name in ("train", "valid", "test")}
    several = (folder / "graph_ptr.npy").is_file()
    names = ("indptr", "indices", "x", *(("graph_ptr", "graph_y") if several else ("y",)))
    arrays: Dict[str, Any] = {name: read(name) for name in names}
    arrays["graph_splits" if several else "splits"] = splits
    return Graph(**arrays, name=meta["name"], class_names=tuple(meta["class_names"]))


def _write_typed(spec: GraphSpec, folder: Path) -> None:
    from benchmarks.typed_graphs import typed_graph
    from gnnkit import load_dataset
    from gnnkit.datasets import save_graph

    save_graph(typed_graph(spec) if spec.kind == "typed" else load_dataset(spec.kind), folder)


def _write_dataset(spec: GraphSpec, folder: Path) -> None:
    from gnnkit import load_dataset
    from gnnkit.data import random_graph_split

    options: Dict[str, Any] = {}
    if spec.kind == "synthetic":
        options = {
            "num_nodes": spec.nodes,
            "num_edges": spec.edges // 2,
            "num_features": spec.features,
            "num_classes": spec.classes,
            "feature_noise": spec.noise,
        }
    graph = load_dataset(spec.kind, **options)
    arrays = {"indptr": graph.indptr, "indices": graph.indices, "x": graph.x}
    if graph.graph_ptr is None:
        arrays.update({"y": graph.y, **graph.splits})
    else:
        splits = random_graph_split(graph).graph_splits
        arrays.update({"graph_ptr": graph.graph_ptr, "graph_y": graph.graph_y, **splits})
    for name, tensor in arrays.items():
        assert tensor is not None
        np.save(folder / f"{name}.npy", tensor.numpy())
    _write_meta(folder, spec.kind, [str(i) for i in range(graph.num_classes)])


def _write_meta(folder: Path, name: str, class_names: Any) -> None:
    (folder / "meta.json").write_text(json.dumps({"name": name, "class_names": class_names}))


def write_chunked(spec: GraphSpec, folder: Path) -> None:
    """Write a graph of any size, a chunk of destinations at a time.

    In-degrees are heavy-tailed and add up to the number of edges. Four of five edges come from the destination's own
    class; sources are drawn by a popularity that falls with a power of their rank. Features are the centre of the class
    plus noise. Memory stays near one chunk and the offsets.
    """
    random = np.random.default_rng(0)
    nodes, classes = spec.nodes, spec.classes
    indptr = _offsets(random, nodes, spec.edges)
    np.save(folder / "indptr.npy", indptr)
    shapes: Dict[str, Tuple[Tuple[int, ...], Any]] = {
        "indices": ((spec.edges,), np.int64),
        "x": ((nodes, spec.features), spec.dtype),
        "y": ((nodes,), np.int64),
    }
    files = {
        name: np.lib.format.open_memmap(folder / f"{name}.npy", mode="w+", dtype=dtype, shape=shape)
        for name, (shape, dtype) in shapes.items()
    }
    centres = random.standard_normal((classes, spec.features), dtype=np.float32)
    for start in range(0, nodes, _CHUNK_NODES):
        stop = min(nodes, start + _CHUNK_NODES)
        first, last = indptr[start], indptr[stop]
        labels = np.arange(start, stop) % classes
        noise = random.standard_normal((stop - start, spec.features), dtype=np.float32)
        files["y"][start:stop] = labels
        files["x"][start:stop] = centres[labels] + np.float32(spec.noise) * noise
        destinations = np.repeat(np.arange(start, stop), np.diff(indptr[start : stop + 1]))
        files["indices"][first:last] = _sources(random, destinations, nodes, classes)
    for array in files.values():
        array.flush()
    order = random.permutation(nodes)
    cuts = [0, int(0.6 * nodes), int(0.8 * nodes), nodes]
    for name, low, high in zip(("train", "valid", "test"), cuts, cuts[1:]):
        np.save(folder / f"{name}.npy", order[low:high])
    _write_meta(folder, "chunked", [str(i) for i in range(classes)])


def _offsets(random: np.random.Generator, nodes: int, edges: int) -> np.ndarray:
    weights = random.random(nodes) ** -0.5  # A power law with exponent 3, as 1 / sqrt of a uniform number has it.
    offsets = np.zeros(nodes + 1)
    np.cumsum(weights, out=offsets[1:])
    offsets *= edges / offsets[-1]
    return np.rint(offsets).astype(np.int64)


def _sources(random: np.random.Generator, destinations: np.ndarray, nodes: int, classes: int) -> np.ndarray:
    """A source for every edge, ascending within a destination."""
    rank = (nodes * random.random(len(destinations)) ** 2).astype(np.int64)
    sources = (rank * 2_654_435_761) % nodes  # Popular nodes are spread over the ids.
    own = sources - sources % classes + destinations % classes
    inside = (random.random(len(destinations)) < 0.8) & (own < nodes)
    sources = np.where(inside, own, sources)
    return sources[np.lexsort((sources, destinations))]
