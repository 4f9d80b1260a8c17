"""Data of the Open Graph Benchmark about whole graphs, from the raw layout that OGB publishes.

Rule: a folder holds the nodes and edges of all graphs one after the other, and so does a record. They are read as the
few long arrays that they are, not graph by graph as ogb's own readers do, which takes minutes for ogbg-molpcba.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Mapping, Tuple

import numpy as np

from gnnkit.data import IGNORED_LABEL, Graph, Notes, from_edge_index
from gnnkit.data.labels import as_labels
from gnnkit.datasets.ogb_files import (
    Meta,
    OgbData,
    check_labels,
    class_count,
    flat,
    read_class_names,
    read_csv,
    read_labels,
    read_splits,
    reading_raw,
)
from gnnkit.datasets.smiles import ATOM_CATEGORIES, BOND_CATEGORIES
from gnnkit.errors import DatasetError
from gnnkit.io.arrays import read_npz
from gnnkit.io.text import unpacked_text

_METRICS = {"rocauc": "rocauc", "ap": "average_precision", "rmse": "rmse", "acc": "accuracy"}
_TASKS = ("binary classification", "multiclass classification", "regression")
_SIZES = ("num_nodes", "num_edges")

Arrays = Dict[str, np.ndarray]


@dataclass(frozen=True)
class OgbGraphs(OgbData):
    """A data set of the Open Graph Benchmark about whole graphs, such as ``ogbg-molhiv``.

    Needs ``pip install gnnkit[ogb]``. Its folder is looked for and downloaded as that of ``ogbn-NAME`` is. All graphs
    are in one record with the published split of graphs, the benchmark's metric and evaluator; edges run both ways
    where ogb says so.

    Features of ``ogbg-mol...`` are categories, 9 of an atom and 3 of a bond, with the sizes of ogb's tables whatever
    the data have of them; the SMILES of ``mapping/mol.csv.gz`` are ``graph_names``. Graphs of ogbg-ppa have features of
    edges alone: ``make_features=constant`` gives their nodes one, as ogb's examples do. ``graph_y`` is, by the task
    that ogb names: classes [G], of which a single binary task has two; 0/1 of shape [G, T] for several binary tasks; or
    numbers [G] or [G, T]. A missing class or label is -100, a missing number NaN. Several tasks have the names that the
    mapping gives them. ogbg-code2, which asks for words, is refused.

    From W. Hu et al., "Open graph benchmark: datasets for machine learning on graphs", 2020.
    """

    name = "ogbg"
    summary = "ogbg-NAME: whole graphs of the Open Graph Benchmark, such as ogbg-molhiv; needs gnnkit[ogb]."
    table = "graphproppred"
    example = "ogbg-molhiv"

    def read(self, files: Mapping[str, Path]) -> Graph:
        """Read the raw files, the split and the mapping."""
        meta = self.meta(files)
        self.check_kind(files, meta)
        task, metric = meta.get("task type", ""), meta.get("eval metric", "")
        if (task and task not in _TASKS) or (metric and metric not in _METRICS):
            raise DatasetError(
                f"{self.requested} asks for {task} judged by {metric}; supported are {', '.join(_TASKS)} with "
                f"{', '.join(_METRICS)}."
            )
        is_binary = "raw/data.npz" in files
        raw = files["raw/data.npz" if is_binary else "raw/edge.csv.gz"].parent
        with reading_raw(raw):
            content = _read_arrays(raw) if is_binary else _read_tables(files, meta)
            labels = read_labels(raw, is_binary, "graph")
            kind, splits = read_splits(files, meta.get("split", ""))
            class_names = read_class_names(files)
            tasks, smiles = _read_mapping(files, len(labels))
        _check_sizes(raw, content, len(labels))
        is_mol = self.requested.startswith("ogbg-mol")
        y, names = _targets(task, labels, class_names, class_count(meta, -1), tasks)
        return from_edge_index(
            graph_y=y,
            class_names=names,
            graph_splits=splits,
            graph_names=smiles,
            metric=_METRICS.get(metric),
            node_categories=list(ATOM_CATEGORIES.values()) if is_mol else (),
            edge_categories=list(BOND_CATEGORIES.values()) if is_mol else (),
            feature_names=list(ATOM_CATEGORIES) if is_mol else (),
            notes=Notes(
                features="categories of atoms" if is_mol else "",
                labels=task,
                splits=f"as published: {kind}",
            ),
            **_fields(content, meta.get("add_inverse_edge") == "True"),
        )


def _read_tables(files: Mapping[str, Path], meta: Meta) -> Arrays:
    """The arrays of a folder of tables, by the names that ogb's readers give them."""
    content = {"edge_index": read_csv(files["raw/edge.csv.gz"]).T}
    raw = files["raw/edge.csv.gz"].parent
    for name in _SIZES:
        content[name] = flat(read_csv(raw / f"{name[:-1].replace('_', '-')}-list.csv.gz"))
    for name in ("node_feat", "edge_feat"):
        file = f"raw/{name.replace('_', '-')}.csv.gz"
        if file in files:
            content[name] = read_csv(files[file])
    for level in ("node", "edge"):
        listed = meta.get(f"additional {level} files", "None")
        content.update({name: read_csv(raw / f"{name}.csv.gz") for name in listed.split(",") if listed != "None"})
    return content


def _read_arrays(raw: Path) -> Arrays:
    """The same of a folder with NumPy's arrays."""
    file = raw / "data.npz"
    content = read_npz(file)
    lacking = [name for name in ("edge_index", *(f"{name}_list" for name in _SIZES)) if name not in content]
    if lacking:
        raise DatasetError(f"{file} lacks {', '.join(lacking)}. Get it again.")
    content.update({name: content.pop(f"{name}_list") for name in _SIZES})
    return content


def _check_sizes(raw: Path, content: Arrays, num_graphs: int) -> None:
    """Check that all arrays speak of the same graphs, and that edges stay within them."""
    nodes, edges = content["num_nodes"], content["num_edges"]
    expected = dict.fromkeys(_SIZES, num_graphs)
    for name in content:
        expected.setdefault(name, int((edges if name.startswith("edge_") else nodes).sum()))
    problem = ""
    for name, count in reversed(list(expected.items())):
        received = content[name].shape[-1] if name == "edge_index" else len(content[name])
        if received != count:
            problem = f"{name} has {received:,} rows, expected {count:,}"
    if not problem:
        most = np.repeat(nodes, edges)
        outside = np.flatnonzero((content["edge_index"] < 0).any(axis=0) | (content["edge_index"] >= most).any(axis=0))
        if outside.size:
            graph = int(np.searchsorted(np.cumsum(edges), outside[0], side="right"))
            problem = f"edge {outside[0]:,} names a node that graph {graph}, which has {nodes[graph]}, does not have"
    if problem:
        raise DatasetError(f"The OGB files in {raw} disagree: {problem}. Get them again.")


def _fields(content: Arrays, add_inverse: bool) -> Dict[str, Any]:
    """Edges and arrays as a graph takes them: nodes numbered through, and if need be each edge's reverse after it."""
    nodes, num_edges = content["num_nodes"].astype(np.int64), content["num_edges"].astype(np.int64)
    pointer = np.concatenate([[0], np.cumsum(nodes)])
    edge_index = content["edge_index"].astype(np.int64) + np.repeat(pointer[:-1], num_edges)
    if add_inverse:
        edge_index = np.stack([edge_index, edge_index[::-1]], axis=2).reshape(2, -1)
    times = 2 if add_inverse else 1
    others = {
        name: np.repeat(flat(rows), times, axis=0) if name.startswith("edge_") else flat(rows)
        for name, rows in content.items()
        if name not in ("edge_index", "edge_feat", "node_feat", *_SIZES)
    }
    edge_feat = content.get("edge_feat")
    return {
        "edge_index": edge_index,
        "num_nodes": int(pointer[-1]),
        "graph_ptr": pointer,
        "x": _features(content.get("node_feat")),
        "edge_attr": None if edge_feat is None else np.repeat(_features(edge_feat), times, axis=0),
        "node_data": {name[5:]: rows for name, rows in others.items() if name.startswith("node_")},
        "edge_data": {name[5:]: rows for name, rows in others.items() if name.startswith("edge_")},
    }


def _features(values: Any) -> Any:
    """Whole numbers as they are, others as float32."""
    return values.astype(np.float32) if values is not None and values.dtype.kind == "f" else values


def _targets(
    task: str, labels: np.ndarray, class_names: Mapping[str, str], num_classes: int, tasks: List[str]
) -> Tuple[Any, List[str]]:
    """What is true of graphs, by the task that ogb names, and names of classes or tasks."""
    if task != "regression":
        check_labels(labels, class_names)
    names = tasks if len(tasks) == labels.shape[1] > 1 else []
    if task == "binary classification" and labels.shape[1] > 1:
        return np.where(np.isnan(labels), IGNORED_LABEL, labels).astype(np.float32), names
    if task == "regression":
        return flat(labels.astype(np.float32)), names
    if task not in _TASKS:
        return as_labels(flat(labels)), names
    if labels.shape[1] != 1:
        raise DatasetError(f"There are {labels.shape[1]} labels of several classes a graph; one is supported.")
    y = np.where(np.isnan(labels), IGNORED_LABEL, labels)[:, 0].astype(np.int64)
    # A small part of the data may lack the last classes; the model still gets an output for each.
    if class_names or int(y.max(initial=-1)) + 1 < num_classes:
        count = max(num_classes, int(y.max(initial=-1)) + 1)
        return y, [class_names.get(str(label), str(label)) for label in range(count)]
    return y, []


def _read_mapping(files: Mapping[str, Path], num_graphs: int) -> Tuple[List[str], List[str]]:
    """Names of the tasks and SMILES of the graphs, from the table that molecules come with; empty if there is none."""
    file = files.get("mapping/mol.csv.gz")
    if file is None:
        return [], []
    import pandas

    try:
        table = unpacked_text(file)
        header = [str(column) for column in pandas.read_csv(io.BytesIO(table), nrows=0).columns]
        column = next((name for name in header if name.casefold() == "smiles"), None)
        if column is None:
            raise DatasetError(f"{file} has no column 'smiles'; it has {', '.join(header)}. Get it again.")
        read = pandas.read_csv(io.BytesIO(table), usecols=[column], dtype=str, keep_default_na=False)
        smiles: List[str] = read[column].tolist()
    except (ValueError, OverflowError) as error:
        raise DatasetError(f"{file} is cut short or damaged ({error}). Get it again.") from error
    if len(smiles) != num_graphs:
        raise DatasetError(f"{file} has {len(smiles):,} rows, expected {num_graphs:,}, one for each graph.")
    return [name for name in header if name not in (column, "mol_id")], smiles
