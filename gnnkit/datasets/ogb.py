"""Node classification data of the Open Graph Benchmark, from the raw layout that OGB publishes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Mapping, Optional, Tuple

import numpy as np

from gnnkit.data import Graph, Notes, from_edge_index, to_undirected
from gnnkit.data.notes import warn_one_way
from gnnkit.datasets.ogb_files import (
    Meta,
    OgbData,
    check_labels,
    class_count,
    flat,
    read_class_names,
    read_labels,
    read_raw,
    read_splits,
    reading_raw,
)
from gnnkit.errors import DatasetError

_METRICS = {"acc": "accuracy", "rocauc": "rocauc", "F1": "macro_f1"}


@dataclass(frozen=True)
class OgbNodes(OgbData):
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
    table = "nodeproppred"
    example = "ogbn-arxiv"

    undirected: Optional[bool] = None

    def read(self, files: Mapping[str, Path]) -> Graph:
        """Read the raw files."""
        meta = self.meta(files)
        self.check_kind(files, meta)
        if "regression" in meta.get("task type", "") or meta.get("eval metric", "acc") not in _METRICS:
            what = f"{meta.get('task type')} judged by {meta.get('eval metric')}"
            raise DatasetError(f"{self.requested} asks for {what}; supported are classes with {', '.join(_METRICS)}.")
        is_binary = "raw/data.npz" in files
        raw = files["raw/data.npz" if is_binary else "raw/edge.csv.gz"].parent
        with reading_raw(raw):
            content = read_raw(raw, meta, is_binary)
            labels = read_labels(raw, is_binary, "node")
            kind, splits = read_splits(files, meta.get("split", ""))
            names = read_class_names(files)
        edge_feat, node_feat = content.pop("edge_feat"), content.pop("node_feat")
        edge_index, num_nodes = content.pop("edge_index"), int(content.pop("num_nodes"))
        made = ""
        if node_feat is None and edge_feat is not None:
            made = "the mean over the features of incoming edges"
            node_feat = _mean_of_incoming(edge_feat, edge_index[1], num_nodes)
        check_labels(labels, names)
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
            node_data={key[5:]: flat(value) for key, value in content.items() if key.startswith("node_")},
            edge_data={key[5:]: flat(value) for key, value in content.items() if key.startswith("edge_")},
            class_names=[names.get(str(label), str(label)) for label in range(num_named)],
            notes=Notes(features=made, splits=f"as published: {kind}"),
            metric=_METRICS[meta["eval metric"]] if "eval metric" in meta else None,
        )
        add_reverse = self.requested == "ogbn-arxiv" if self.undirected is None else self.undirected
        if add_reverse:
            both = to_undirected(graph)
            return replace(both, notes=replace(both.notes, edges="with the reverse of each"))
        return graph if self.undirected is not None else warn_one_way(graph, "say dataset.options.undirected=true")


def _as_targets(labels: np.ndarray, meta: Meta) -> Tuple[np.ndarray, int]:
    """Labels as a graph takes them, and how many class names it needs (0: the labels say it)."""
    if labels.ndim == 2 and labels.shape[1] > 1:
        if class_count(meta, 2) != 2:
            raise DatasetError(f"There are {labels.shape[1]} labels of several classes a node; one is supported.")
        return labels.astype(np.float32), 0
    labels = flat(labels)
    largest = np.nanmax(labels, initial=-1)
    named = class_count(meta, 0)
    # A small part of the data may lack the last classes; the model still gets an output for each.
    return labels, named if largest + 1 < named else 0


def _mean_of_incoming(edge_feat: np.ndarray, dst: np.ndarray, num_nodes: int) -> np.ndarray:
    counts = np.maximum(np.bincount(dst, minlength=num_nodes), 1)
    columns = [np.bincount(dst, weights=column, minlength=num_nodes) / counts for column in edge_feat.T]
    return np.stack(columns, axis=1).astype(np.float32)
