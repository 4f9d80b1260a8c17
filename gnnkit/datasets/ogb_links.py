"""Link prediction data of the Open Graph Benchmark, from the raw layout that OGB publishes.

Rules: the edges in ``raw/`` are those that carry messages; pairs come from ``split/``, as published, and are never
changed without being asked for. Which pairs leak is for :func:`gnnkit.data.check_leaks` to say.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Dict, Mapping, Optional, Tuple

import numpy as np
import torch

from gnnkit.data import SPLITS, Graph, Notes, from_edge_index, given_links
from gnnkit.data.link_keys import keys_of
from gnnkit.datasets.ogb_files import Meta, OgbData, flat, read_raw, reading_raw, split_kind
from gnnkit.errors import ConfigError, DatasetError, LeakError
from gnnkit.io.pickles import read_torch_file

_METRICS = {"mrr": "mrr", "rocauc": "auc"}
_ONE_WAY = ("ogbl-vessel",)
"""Undirected data whose edges ogb's readers leave as they are listed, once each."""

Split = Dict[str, np.ndarray]


@dataclass(frozen=True)
class OgbLinks(OgbData):
    """A data set of the Open Graph Benchmark for link prediction, such as ``ogbl-ddi``.

    Needs ``pip install gnnkit[ogb]``. Its folder is looked for and downloaded as that of ``ogbn-NAME`` is, with
    ``split/KIND/train.pt``, ``valid.pt`` and ``test.pt``; without the first, the edges are the training pairs. The
    graph has the published pairs and negatives as ``links``, the benchmark's metric and evaluator. Its own edges are
    those of the training pairs, in both directions where ogb says so (all but ogbl-citation2); weights and years of
    edges are in ``edge_data``. Data with several kinds of edges, such as ogbl-wikikg2, are refused.

    From W. Hu et al., "Open graph benchmark: datasets for machine learning on graphs", 2020.

    Attributes:
        undirected: Whether both directions of a pair are one, and edges run both ways. None: as ogb says.
        valid_edges: Whether validation edges carry messages too when the test split is judged, which the benchmark's
            rules allow for ogbl-collab.
        drop_known: Whether to leave out validation and test pairs that are among the pairs of an earlier split, as
            where two authors write together again. Data with such pairs are refused otherwise.
    """

    name = "ogbl"
    summary = "ogbl-NAME: link prediction of the Open Graph Benchmark, such as ogbl-ddi; needs gnnkit[ogb]."
    table = "linkproppred"
    example = "ogbl-ddi"

    undirected: Optional[bool] = None
    valid_edges: bool = False
    drop_known: bool = False

    def read(self, files: Mapping[str, Path]) -> Graph:
        """Read the raw files and the splits."""
        meta = self.meta(files)
        self.check_kind(files, meta)
        metric = meta.get("eval metric", "mrr")
        if meta.get("task type", "link prediction") != "link prediction" or not _is_known(metric):
            what = f"{meta.get('task type')} judged by {metric}"
            raise DatasetError(
                f"{self.requested} asks for {what}; supported is link prediction with hits@K, mrr, rocauc."
            )
        undirected = self.undirected
        if undirected is None:
            undirected = meta.get("add_inverse_edge") == "True" or self.requested in _ONE_WAY
        is_binary = "raw/data.npz" in files
        raw = files["raw/data.npz" if is_binary else "raw/edge.csv.gz"].parent
        with reading_raw(raw):
            content = read_raw(raw, {**meta, "add_inverse_edge": "False"}, is_binary)
            kind, splits = _read_splits(files, meta, content["edge_index"])
        graph, edges = _graph(content, undirected)
        note = f"as published: {kind}"
        if self.drop_known:
            note += _drop_known(splits, graph.num_nodes, undirected)
        test_edges = _with_valid_edges(graph, edges, splits["valid"], undirected) if self.valid_edges else None
        try:
            linked = given_links(
                graph,
                {name: _pairs(part) for name, part in splits.items()},
                undirected=undirected,
                negatives=_held(splits, "negatives"),
                negative_destinations=_held(splits, "negative_destinations"),
                test_edges=test_edges,
            )
        except LeakError as error:
            raise DatasetError(f"{error} To leave them out: dataset.options.drop_known=true.") from error
        return replace(linked, metric=_METRICS.get(metric, metric), notes=replace(graph.notes, splits=note))


def _is_known(metric: str) -> bool:
    return metric in _METRICS or metric.startswith("hits@")


def _graph(content: Mapping[str, Any], undirected: bool) -> Tuple[Graph, Mapping[str, np.ndarray]]:
    """The graph with the edges that carry messages while training, and the arrays of these edges as they are listed."""
    edge_index, edge_attr, x = content["edge_index"], content["edge_feat"], content["node_feat"]
    others = {name: flat(rows) for name, rows in content.items() if isinstance(rows, np.ndarray)}
    taken = ("edge_index", "edge_feat", "node_feat")
    edges = {name[5:]: rows for name, rows in others.items() if name.startswith("edge_") and name not in taken}
    nodes = {name[5:]: rows for name, rows in others.items() if name.startswith("node_") and name not in taken}
    graph = from_edge_index(
        _both_ways(edge_index) if undirected else edge_index,
        int(content["num_nodes"]),
        x=x,
        edge_attr=_twice(edge_attr) if undirected and edge_attr is not None else edge_attr,
        node_data=nodes,
        edge_data={name: _twice(rows) if undirected else rows for name, rows in edges.items()},
        notes=Notes(edges="with the reverse of each" if undirected else ""),
    )
    return graph, {"index": edge_index, **edges}


def _with_valid_edges(graph: Graph, edges: Mapping[str, np.ndarray], valid: Split, undirected: bool) -> Graph:
    """The edges that carry messages for testing: those for training and those of the validation pairs."""
    if graph.edge_attr is not None:
        raise ConfigError(
            "valid_edges needs features of the validation edges, which the data do not have. Leave it out."
        )
    arrays = {}
    for name, rows in edges.items():
        more = _pairs(valid).T if name == "index" else valid.get(name)
        if more is None:
            raise ConfigError(f"valid_edges needs {name!r} of the validation edges, which the data lack. Leave it out.")
        joined = np.concatenate([rows, more], axis=-1)
        twice = _both_ways if name == "index" else _twice
        arrays[name] = twice(joined) if undirected else joined
    return from_edge_index(arrays.pop("index"), graph.num_nodes, edge_data=arrays)


def _both_ways(edge_index: np.ndarray) -> np.ndarray:
    return np.concatenate([edge_index, edge_index[::-1]], axis=1)


def _twice(rows: np.ndarray) -> np.ndarray:
    return np.concatenate([rows, rows])


def _pairs(part: Split) -> np.ndarray:
    return part["pairs"]


def _held(splits: Mapping[str, Split], name: str) -> Dict[str, np.ndarray]:
    """An array by split, of the splits that have it."""
    return {split: part[name] for split, part in splits.items() if name in part}


def _read_splits(files: Mapping[str, Path], meta: Meta, edge_index: np.ndarray) -> Tuple[str, Dict[str, Split]]:
    """The name of the split, and for each part its "pairs", perhaps "negatives", and further columns such as "year"."""
    kind = split_kind(files, meta.get("split", ""))
    together = files.get(f"split/{kind}/split_dict.pt")
    held = read_torch_file(together) if together is not None else {}
    splits = {}
    for name in SPLITS:
        file = files.get(f"split/{kind}/{name}.pt")
        if name in held:
            splits[name] = _read_split(held[name], together)
        elif file is not None:
            splits[name] = _read_split(read_torch_file(file), file)
        elif name == "train":
            splits[name] = {"pairs": np.ascontiguousarray(edge_index.T)}
        else:
            raise DatasetError(f"split/{kind} lacks {name}.pt. Get it again.")
    return kind, splits


def _read_split(content: Any, file: Optional[Path]) -> Split:
    """One part of a split, in any of the layouts in which ogb publishes them."""
    if not isinstance(content, dict):
        raise DatasetError(f"{file} holds a {type(content).__name__}, expected a dictionary. Get it again.")
    part = {str(name): np.asarray(values) for name, values in content.items()}
    if any(values.dtype.kind not in "biuf" for values in part.values()):
        raise DatasetError(f"{file} holds something else than numbers, expected ids of nodes. Get it again.")
    if {"source_node", "target_node"} <= set(part):
        pairs = np.stack([part.pop("source_node"), part.pop("target_node")], 1)
        negatives, field = "target_node_neg", "negative_destinations"
    elif "edge" in part:
        pairs, negatives, field = part.pop("edge"), "edge_neg", "negatives"
    else:
        expected = "edge, or source_node and target_node"
        raise DatasetError(f"{file} has {', '.join(part) or 'nothing'}, expected {expected}. Get it again.")
    split = {"pairs": pairs}
    if negatives in part:
        split[field] = part.pop(negatives)
    return {**split, **{name: flat(values) for name, values in part.items()}}


def _drop_known(splits: Dict[str, Split], num_nodes: int, undirected: bool) -> str:
    """Leave out pairs that an earlier split has, with all that belongs to them; returns what there is to note."""
    note = ""
    known = np.empty(0, dtype=np.int64)
    for name in SPLITS:
        part = splits[name]
        count = len(_pairs(part))
        keys = keys_of(torch.from_numpy(_pairs(part)), num_nodes, undirected)
        is_new = ~np.isin(keys, known)
        if not is_new.all():
            for key, values in part.items():
                is_of_pairs = key != "negatives"
                part[key] = values[is_new] if is_of_pairs else values
            note += f", {count - int(is_new.sum()):,} known pairs of {name} left out"
        known = np.concatenate([known, keys])
    return note
