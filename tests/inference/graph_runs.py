"""Runs about whole graphs to open, each trained once."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

import gnnkit
from gnnkit.data import Graph, from_edge_index

_HOME = TemporaryDirectory(prefix="gnnkit-graphs-")  # Goes with the process.
SIZES = (6, 4)
"""Categories of the columns of features, where they are categories."""
EDGE_SIZES = (3, 2)
"""The same of edge features."""


def rings_and_paths(num_graphs: int = 60, seed: int = 0, *, categories: bool = False, **fields: Any) -> Graph:
    """Rings (class "ring") and paths (class "path") of 1 to 9 nodes, split and named."""
    draw = torch.Generator().manual_seed(seed)
    sizes = torch.randint(1, 10, (num_graphs,), generator=draw)
    pointer = torch.cat([torch.zeros(1, dtype=torch.int64), sizes.cumsum(0)])
    edges = []
    for i, (start, size) in enumerate(zip(pointer.tolist(), sizes.tolist())):
        nodes = torch.arange(start, start + size)
        ends = torch.stack([nodes, nodes.roll(-1)])[:, : size if i % 2 and size > 2 else size - 1]
        edges += [ends, ends.flip(0)]
    num_nodes = int(sizes.sum())
    x = torch.randn(num_nodes, 5, generator=draw)
    if categories:
        x = torch.stack([torch.randint(0, size, (num_nodes,), generator=draw) for size in SIZES], dim=1)
        num_edges = sum(part.shape[1] for part in edges)
        codes = [torch.randint(0, size, (num_edges,), generator=draw) for size in EDGE_SIZES]
        of_edges = {"edge_attr": torch.stack(codes, dim=1), "edge_categories": EDGE_SIZES}
        fields = {"node_categories": SIZES, **of_edges, **fields}
    order = torch.randperm(num_graphs, generator=draw)
    few = num_graphs // 5
    settings = {
        "graph_y": torch.arange(num_graphs) % 2,
        "class_names": ("path", "ring"),
        "graph_splits": {"train": order[2 * few :], "valid": order[:few], "test": order[few : 2 * few]},
        "graph_names": [f"graph {i}" for i in range(num_graphs)],
        "name": "rings",
        **fields,
    }
    return from_edge_index(torch.cat(edges, dim=1), num_nodes, x=x, graph_ptr=pointer, **settings)


def numbers_of_graphs(num_graphs: int = 60, seed: int = 0) -> Graph:
    """The same with two numbers each, of which some are missing."""
    graph = rings_and_paths(num_graphs, seed, class_names=("nodes", "sum"))
    sizes = graph.graph_ptr.diff().float()
    sums = torch.stack([part.sum() for part in torch.split(graph.x, graph.graph_ptr.diff().tolist())])
    y = torch.stack([10 * sizes, sums], dim=1)
    y[::7, 1] = float("nan")
    return rings_and_paths(num_graphs, seed, graph_y=y, class_names=("nodes", "sum"))


def graph_of(kind: str) -> Graph:
    """The data of a kind of run: "classes", "numbers" or "categories"."""
    return numbers_of_graphs() if kind == "numbers" else rings_and_paths(categories=kind == "categories")


def run_of(kind: str, conv: str = "gin", **settings: Any) -> Path:
    """The folder of a short run, trained on the reference backend, once."""
    return _run_of(kind, conv, tuple(sorted(settings.items())))


@lru_cache(maxsize=None)
def _run_of(kind: str, conv: str, settings: Any) -> Path:
    graph = graph_of(kind)
    task = "graph_regression" if kind == "numbers" else "graph_classification"
    folder = Path(_HOME.name) / f"{kind}-{conv}-{len(list(Path(_HOME.name).iterdir()))}"
    fixed = {"pooling": "sum", "norm": "batch", "hidden_channels": 8, "num_layers": 2, "edge_channels": None}
    if kind == "categories":
        fixed["encoder_channels"] = 8
    model = gnnkit.build_model(conv, graph, out_channels=2, **{**fixed, **dict(settings)})
    gnnkit.Trainer(device="cpu", task=task, epochs=3, run_dir=folder, progress=False).fit(model, graph)
    return folder
