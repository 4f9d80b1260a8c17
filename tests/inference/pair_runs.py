"""Runs of tasks about pairs to open, each trained once."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

import gnnkit
from gnnkit.data import Graph, from_edge_index
from gnnkit.tasks import arranged
from tests.graphs import communities

LABEL = {"link_prediction": None, "edge_classification": "same", "edge_regression": "product"}
NAMES = ("apart", "together")
_HOME = TemporaryDirectory(prefix="gnnkit-pairs-")  # Goes with the process.


def graph_of(task: str, undirected: bool = True) -> Graph:
    """The communities with something to learn about their edges, split; edges of validation carry messages later."""
    graph = communities(120)
    ends = graph.edge_index[:, graph.indices != graph.dst]
    if undirected:
        ends = torch.cat([ends, ends.flip(0)], dim=1)
    ends = torch.unique(ends, dim=1)
    src, dst = ends
    data = {"same": (graph.y[src] == graph.y[dst]).long(), "product": (graph.x[src] * graph.x[dst]).sum(dim=1)}
    label = LABEL[task]
    whole = from_edge_index(
        ends, 120, x=graph.x, y=graph.y, splits=graph.splits, edge_data={} if label is None else {label: data[label]}
    )
    split = arranged(task, whole, {} if label is None else {"label": label}, 0)
    valid = split.links.pairs["valid"]
    valid = torch.cat([valid, valid.flip(1)]) if undirected else valid
    carrying = from_edge_index(torch.cat([split.edge_index, valid.T], dim=1), 120)
    names = NAMES if task == "edge_classification" else ()
    links = replace(split.links, class_names=names, test_edges=carrying)
    return replace(split, links=links, edge_data={})


def run_of(task: str, undirected: bool = True, head: str = "") -> Path:
    """The folder of a short run, trained on the reference backend, once."""
    return _run_of(task, undirected, head)


@lru_cache(maxsize=None)
def _run_of(task: str, undirected: bool, head: str) -> Path:
    graph, folder = graph_of(task, undirected), Path(_HOME.name) / f"{task}-{undirected}-{head}"
    options = {} if LABEL[task] is None else {"label": LABEL[task]}
    if head:
        options["head"] = head
    model = gnnkit.build_model("gcn", graph, out_channels=8, hidden_channels=8, dropout=0.0, input_dropout=0.0)
    trainer = gnnkit.Trainer(
        device="cpu", task=task, task_options=options, epochs=8, lr=0.02, run_dir=folder, progress=False
    )
    trainer.fit(model, graph)
    return folder
