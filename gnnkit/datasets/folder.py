"""A user's own data: a folder of tables and arrays."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from gnnkit.data import Graph, Notes, from_edge_index, to_undirected
from gnnkit.data.build import check_count
from gnnkit.data.check import METRICS, PAIR_METRICS, is_metric
from gnnkit.data.notes import warn_one_way
from gnnkit.datasets.base import Dataset, NodeNames, seeded_split
from gnnkit.datasets.cache import is_graph, load_graph
from gnnkit.datasets.files import Finder
from gnnkit.datasets.folder_edges import read_edges
from gnnkit.datasets.folder_files import SETTINGS, TABLES, find_files, other_files, read_settings
from gnnkit.datasets.folder_graphs import GraphTable, read_graphs
from gnnkit.datasets.folder_labels import read_labels
from gnnkit.datasets.folder_nodes import (
    Choices,
    Found,
    NodeTable,
    open_nodes,
    read_features,
)
from gnnkit.datasets.folder_pairs import PAIR_ROLES, PairTable, read_pairs
from gnnkit.datasets.folder_splits import read_splits
from gnnkit.datasets.folder_typed import TypedChoices, find_typed_files, is_typed, read_typed
from gnnkit.datasets.tables import read_table
from gnnkit.errors import ConfigError, DataError, DatasetError, UnknownNameError
from gnnkit.options import make_options

_SAVED = "saved graph"
_FIELDS = {"edge_index": "edges", "edge_weight": "edges", "x": "features", "y": "labels"}
_OF_GRAPHS = ("graph", "graph_id", "fold", "name")
_ROLES = ("id", "label", "split", "words", "source", "target", "weight", *_OF_GRAPHS)
_OF_ONE_TYPE = ("undirected", "file_names", "array_order", "targets")


@dataclass(frozen=True)
class Folder(Dataset):
    r"""A graph of your own, from a folder: ``load_dataset("path/to/folder")``.

    One file of edges is needed, everything else is optional. A file is known by its name, or by the end of it
    (``chameleon_edges.csv``). CSV files are UTF-8 with commas and a header line; Parquet needs gnnkit[pandas].

    ``edges.csv``, ``edges.parquet``
        Columns ``source`` and ``target``, in any order: an edge runs from one to the other. A column ``weight`` gives
        edge weights; all other columns of numbers become ``edge_data``, whole numbers as they are.
        Those that ``edge_features`` names become ``edge_attr``.
    ``edges.npy``
        Instead: whole numbers of shape [2, E] or [E, 2], sources and targets.
    ``nodes.csv``, ``nodes.parquet`` (or ``target.csv``, ``labels.csv``)
        One row for each node. Column ``id``: the name that edges use; without it nodes are numbered by row, from 0.
        Column ``label``: classes as whole numbers from 0, or as text, which is numbered in alphabetical order; missing
        for a node without a label. Column ``split``: train, valid, test or nothing. All other columns of numbers are
        features, in the order of the columns; so are lists of words, as a 0/1 column for each word.
    ``features.npy``, ``features.npz``, ``features.json``
        Instead of the feature columns: shape [N, F], a matrix of scipy's ``save_npz``, or lists of words by node id.
    ``labels.npy``
        Instead of the label column: classes of shape [N], or 0/1 of shape [N, C] for data with several labels a node.
    ``split.csv``, ``split.parquet``
        Instead of the split column: columns ``id`` and ``split``.
    ``train.npy``, ``valid.npy``, ``test.npy``
        Instead: row numbers of nodes, masks of N booleans, or masks of several splits, [N, S] or [S, N], of which
        ``split=NUMBER`` picks one. ``split.npz`` has them as ``train_mask``, ``val_mask`` and ``test_mask``.
    ``pairs.csv``, ``pairs.parquet``
        Pairs to learn and judge (``graph.links``), where a task is about edges; the edges above carry messages then.
        Columns ``source``, ``target``, ``split`` and perhaps ``label``: classes as in the table of nodes, or numbers to
        regress. A pair is undirected if ``undirected`` is true or every edge has its reverse.
    ``graphs.csv``, ``graphs.parquet``
        Many graphs: one row for each. Column ``graph``: the id by which the table of nodes names the graph of each node
        in a column ``graph`` of its own; without it graphs are numbered by row. ``label``: classes, words or numbers
        to regress; several columns are named by ``targets``. ``split``, ``fold`` and ``name`` (or ``smiles``) as they
        say; all other columns of numbers become ``graph_data``. Ids of nodes may repeat between graphs if the table of
        edges has a column ``graph``, too. A graph without a node is one of no nodes.
    ``ANY.npz``
        Instead of all of these: arrays ``edges``, ``features`` (or ``node_features``, ``x``), ``labels`` (or
        ``node_labels``, ``y``), and masks such as ``train_mask`` or ``train_masks``.
    ``meta.json``
        The options below as a JSON object, so that nobody has to give them.

    A typed graph is a folder of one of these forms:

    ``edges/SOURCE__NAME__DESTINATION.csv`` (``.parquet``, ``.npy``), ``nodes/TYPE.csv`` (``.parquet``)
        A table for each relation and one for each type of nodes, with columns as above. A type without a table has
        nodes that are numbered from 0. Wide features are ``features/TYPE.npy``; labels and splits may be
        ``labels/TYPE.npy`` and ``train/TYPE.npy``, ``valid/``, ``test/``; ``pairs/SOURCE__NAME__DESTINATION.csv`` has
        pairs of a relation to learn and judge.
    ``*.nt``, ``*.nt.gz``
        RDF as N-Triples: one type of nodes, a relation for each predicate.
    ``train2id.txt``, ``entity2id.txt``, ``relation2id.txt``, perhaps ``valid2id.txt``, ``test2id.txt``
        Triples "head tail relation" as numbers, after a line with their count, and the names of the numbers.
    ``train.txt`` (``.tsv``), perhaps ``valid.txt``, ``test.txt``
        Triples of names: head, relation and tail, with tabs between them.

    Other words are understood for columns, such as ``src`` and ``dst`` (``gnnkit.data.words.COLUMN_WORDS``). A missing
    value is an empty cell or one of ``gnnkit.data.words.MISSING_TEXT``, as a label also one of ``MISSING_LABELS``. Rows
    and ids: what has ids is joined by them, arrays go by row. What was understood, left out and warned of stands in
    ``graph.notes``.

    Or the folder is what ``gnnkit data import`` or :func:`gnnkit.datasets.save_graph` wrote: then its arrays are opened
    memory-mapped where they are, without a copy, and only ``undirected`` and ``metric`` can be given.

    Without any split of nodes, labelled nodes are split 60/20/20 by the seed.

    Attributes:
        path: The folder.
        undirected: Whether to add the reverse of every edge that has none.
        columns: Names of columns by what they hold: id, label, split, words, source, target, weight; of many graphs
            also graph, fold, name, and graph_id for the ids in the table of graphs. A column of words has words
            separated by blanks, commas or semicolons.
        file_names: Names of files by what they hold: edges, nodes, features, labels, split, pairs, graphs, train,
            valid, test.
        ignore: Columns and files to leave out.
        missing: Marks of a missing value, instead of the usual ones: ["", "unknown", -1].
        label_bins: Put labels that are numbers into so many classes of about equal size.
        number_classes: Whether labels that are numbers are codes of classes, however many or far apart: they are
            numbered in ascending order, and name the classes.
        num_features: Width to which lists of words are projected (TF-IDF, leading singular vectors). None: a 0/1
            column for each word.
        array_order: Whether arrays go by "rows" or by "ids" of the nodes, where these are the numbers from 0 in another
            order than the rows.
        metric: "accuracy", "macro_f1" or "rocauc", or for pairs "hits@K", "mrr", "auc" or "average_precision"; None
            lets the labels decide.
        edge_features: Columns of the table of edges that are features of edges (``edge_attr``).
        targets: Columns of the table of graphs that are labels of graphs together: 0/1, or numbers to regress.
        relations: Of a typed graph, [source type, name, destination type] by file of edges, without its ending, where
            the name of the file does not say it.
        reverses: By relation, the one that has the same edges in the other direction, such as {writes: written_by}.
        num_nodes: Number of nodes by type, for types without a table.
        add_reverses: Whether every relation without a reverse gets one. None: those of triples and RDF do.
        literals: "drop": triples of RDF with a literal are left out; "nodes": a node for each different literal.
        drop_known: Whether triples to judge that are in an earlier split are left out; else they are refused.

    Example:
        >>> import tempfile, pathlib, gnnkit
        >>> with tempfile.TemporaryDirectory() as home:
        ...     folder = pathlib.Path(home, "pets")
        ...     folder.mkdir()
        ...     _ = (folder / "edges.csv").write_text("source,target\nrex,tom\ntom,rex\n")
        ...     _ = (folder / "nodes.csv").write_text("id,label,age,split\nrex,dog,3,train\ntom,cat,5,test\n")
        ...     gnnkit.load_dataset(str(folder), cache_dir=home)
        Graph('pets', num_nodes=2, num_edges=2, num_features=1, num_classes=2, train=1, test=1)
    """

    name = "folder"
    summary = "Your own data: give the path of a folder with edges.csv and more instead of a name."

    version = 4

    path: str = ""
    undirected: Optional[bool] = None
    columns: Mapping[str, str] = field(default_factory=dict)
    file_names: Mapping[str, str] = field(default_factory=dict)
    ignore: List[str] = field(default_factory=list)
    missing: Optional[List[Any]] = None
    label_bins: Optional[int] = None
    number_classes: Optional[bool] = None
    num_features: Optional[int] = None
    array_order: Optional[str] = None
    metric: Optional[str] = None
    edge_features: List[str] = field(default_factory=list)
    targets: List[str] = field(default_factory=list)
    relations: Mapping[str, Any] = field(default_factory=dict)
    reverses: Mapping[str, Any] = field(default_factory=dict)
    num_nodes: Mapping[str, Any] = field(default_factory=dict)
    add_reverses: Optional[bool] = None
    literals: str = "drop"
    drop_known: bool = False

    def __post_init__(self) -> None:
        for role in self.columns:
            if role not in _ROLES:
                raise ConfigError(f"columns names {role!r}, expected {', '.join(_ROLES)}.")
        if self.number_classes and self.label_bins is not None:
            raise ConfigError("label_bins and number_classes contradict each other. Leave one out.")
        if self.metric is not None and not is_metric(self.metric):
            raise ConfigError(f"metric is {self.metric!r}, expected one of {', '.join((*METRICS, *PAIR_METRICS))}.")

    def locate(self, finder: Finder) -> Mapping[str, Path]:
        """List the files that the format knows."""
        if not self.path:
            raise ConfigError("Data set 'folder' needs the option path=FOLDER, or give the folder instead of a name.")
        folder = Path(self.path).expanduser()
        if not folder.is_dir():
            raise DatasetError(f"There is no folder {folder}. Give the path of a folder with edges.csv.")
        if is_graph(folder):
            return {_SAVED: folder / "meta.json"}
        settings = folder / "meta.json"
        chosen = self._with_settings(settings) if settings.is_file() else self
        typed = find_typed_files(folder, chosen.ignore)
        if typed:
            return typed
        return find_files(folder, chosen.file_names, chosen.ignore)

    def reads_in_place(self, files: Mapping[str, Path]) -> bool:
        """A saved graph is opened where it is."""
        return _SAVED in files

    def read(self, files: Mapping[str, Path]) -> Graph:
        """Read the folder."""
        if _SAVED in files:
            self._check_saved(files[_SAVED])
            graph = load_graph(files[_SAVED].parent)
            graph = to_undirected(graph) if self.undirected else graph
            return graph if self.metric is None else replace(graph, metric=self.metric)
        chosen = self._with_settings(files[SETTINGS]) if SETTINGS in files else self
        if is_typed(files):
            chosen._check_idle(_OF_ONE_TYPE, "a typed graph")
            return read_typed(files, chosen.choices, chosen.typed_choices, chosen.metric)[0]
        chosen._check_idle([item.name for item in fields(TypedChoices)], "a graph without types")
        graph, pairs = _read(files, chosen.choices, chosen.metric)
        if chosen.undirected:
            graph = to_undirected(graph)
            graph = replace(graph, notes=replace(graph.notes, edges="with the reverse of each"))
        else:
            graph = warn_one_way(graph, "say dataset.options.undirected=true")
        return graph if pairs is None else pairs.link(graph, chosen.undirected)

    @property
    def choices(self) -> Choices:
        """What is said about the nodes."""
        values = {item.name: getattr(self, item.name) for item in fields(Choices)}
        return Choices(**{**values, "number_classes": bool(self.number_classes)})

    @property
    def typed_choices(self) -> TypedChoices:
        """What is said about types."""
        return TypedChoices(**{item.name: getattr(self, item.name) for item in fields(TypedChoices)})

    def _check_idle(self, names: Sequence[str], what: str) -> None:
        """Refuse options that have no effect."""
        for name in names:
            if getattr(self, name) != getattr(Folder(), name):
                raise ConfigError(f"Option {name!r} has no effect on {what}. Leave it out.")

    def _with_settings(self, file: Path) -> Folder:
        """These options, and for those not given the ones in a file."""
        settings = read_settings(file)
        mine, usual = self.options(), Folder().options()
        given = {name: value for name, value in mine.items() if value != usual[name]}
        return make_options(Folder, {**settings, **given}, str(file), requested=self.requested, seed=self.seed)

    def _check_saved(self, file: Path) -> None:
        usual = Folder().options()
        for name, value in self.options().items():
            if name not in ("path", "undirected", "metric") and value != usual[name]:
                raise ConfigError(f"Option {name!r} has no effect on a saved graph ({file}). Leave it out.")

    def node_names(self, files: Mapping[str, Path]) -> NodeNames:
        """The ids of the nodes, and the names of the features."""
        if is_typed(files):
            chosen = self._with_settings(files[SETTINGS]) if SETTINGS in files else self
            names = read_typed(files, chosen.choices, chosen.typed_choices, None)[1]
            return NodeNames(None if names is None else list(names))
        if "nodes" not in files:
            return NodeNames()
        chosen = self._with_settings(files[SETTINGS]) if SETTINGS in files else self
        nodes = open_nodes(files, chosen.choices)
        ids = None if nodes.ids is None else list(nodes.ids)
        graphs = read_graphs(files, nodes, chosen.choices, Found())
        if graphs is not None and nodes.table is not None and "id" in nodes.roles:
            cells = nodes.table.text(nodes.roles["id"])
            ids = [cells[row] for row in graphs.order.tolist()]
        if chosen.num_features is not None:
            return NodeNames(ids)  # Projected columns have no names, and take long to compute.
        _, names, _ = read_features(files, nodes, chosen.choices, Found())
        return NodeNames(ids, list(names) or None)

    def split(self, graph: Graph) -> Graph:
        """Split nodes by the seed if the folder has no split, and is not about pairs or graphs alone."""
        is_about_others = graph.links is not None or graph.graph_ptr is not None
        return graph if is_about_others and graph.y is None else seeded_split(graph, self.seed)


def _read(files: Mapping[str, Path], choices: Choices, metric: Optional[str]) -> Tuple[Graph, Optional[PairTable]]:
    found = Found()
    _check_roles(files, choices)
    nodes = open_nodes(files, choices)
    x, feature_names, feature_note = read_features(files, nodes, choices, found)
    labels = read_labels(files, nodes, choices, found)
    counts = {
        "nodes": None if nodes.table is None else nodes.table.num_rows,
        "features": None if x is None else len(x),
        "labels": labels.num_rows,
    }
    num_nodes = _agree(files, counts)
    graphs = read_graphs(files, nodes, choices, found)
    edges, edge_fields = read_edges(files["edges"], nodes, graphs, num_nodes, choices, found)
    pairs = read_pairs(files, nodes, num_nodes, choices, found)
    if num_nodes is None and pairs is not None and edges.ndim == 2 and len(edges) == 2:
        num_nodes = max(pairs.most_nodes, int(edges.max(initial=-1)) + 1)
        check_count(num_nodes, edges.shape[1] + sum(map(len, pairs.pairs.values())))
    splits, several, split_note = read_splits(files, nodes, num_nodes, choices)
    notes = Notes(
        nodes=_order_note(files, nodes, graphs),
        features=feature_note,
        labels=_joined(labels.note, "" if graphs is None else graphs.labels),
        splits=_joined(split_note, "" if graphs is None else graphs.splits)
        or ("" if pairs is None else pairs.file.name),
        left_out=(*found.left_out, *other_files(files)),
        warnings=tuple(found.warnings),
        numbers=tuple(labels.values),
    )
    arrays: Dict[str, Any] = {"x": x, "y": labels.y, "splits": splits, "node_data": {**labels.values, **several}}
    if graphs is not None:
        edges, arrays = _in_order(edges, arrays, graphs)
        if labels.y is not None and labels.names and graphs.fields["class_names"]:
            raise DatasetError(
                f"labels in {files['nodes']} and in {graphs.file} both have names, and a graph has one list of names. "
                "Number one of them, or leave it out with ignore."
            )
        arrays.update(graphs.fields, graph_ptr=graphs.pointer)
    names = (arrays.pop("class_names", ()) or labels.names) if graphs is not None else labels.names
    try:
        graph = from_edge_index(
            edges,
            num_nodes,
            class_names=names,
            feature_names=feature_names,
            metric=metric,
            notes=notes,
            **arrays,
            **edge_fields,
        )
    except DataError as error:
        raise DatasetError(f"{_file_of(error.field, files)}: {error}") from error
    return graph, pairs


def _check_roles(files: Mapping[str, Path], choices: Choices) -> None:
    """Refuse choices without effect: columns where there is no table, and things to ignore that are not there."""
    tables = {stem: file for stem, file in files.items() if file.suffix in TABLES}
    for role, column in choices.columns.items():
        homes = ("edges",) if role in ("source", "target", "weight") else ("nodes", "split", "graphs")
        homes = ("graphs",) if role in _OF_GRAPHS else homes
        if not any(home in tables for home in homes) and not (role in PAIR_ROLES and "pairs" in tables):
            raise DatasetError(
                f"columns.{role} is {column!r}, but {files['edges'].parent} has no table of {homes[0]}. Leave it out, "
                f"or say which file it is: dataset.options.file_names.{homes[0]}=NAME."
            )
    if choices.ignore:
        known = {column for file in tables.values() for column in read_table(file).columns}
        known |= {file.name for file in files["edges"].parent.iterdir()}
        for name in choices.ignore:
            if name not in known:
                raise UnknownNameError("column or file to ignore:", name, sorted(known))


def _file_of(name: str, files: Mapping[str, Path]) -> Path:
    """The file that a field of a graph was read from."""
    if name.startswith("graph_") and "graphs" in files:
        return files["graphs"]
    split = name[len("splits['") : -len("']")] if name.startswith("splits['") else ""
    for stem in (_FIELDS.get(name, split), "split" if split else "", "nodes"):
        if stem in files:
            return files[stem]
    return files["edges"]


def _in_order(edges: np.ndarray, arrays: Mapping[str, Any], graphs: GraphTable) -> Tuple[np.ndarray, Dict[str, Any]]:
    """Edges and arrays of nodes with the nodes in the order of their graphs."""
    order, rank = graphs.order, graphs.rank
    if bool((order == np.arange(len(order))).all()):
        return edges, dict(arrays)
    splits = {name: ids[order] if ids.dtype == np.bool_ else rank[ids] for name, ids in arrays["splits"].items()}
    rows = {name: None if arrays[name] is None else arrays[name][order] for name in ("x", "y")}
    node_data = {name: values[order] for name, values in arrays["node_data"].items()}
    return rank[edges], {**rows, "splits": splits, "node_data": node_data}


def _joined(*parts: str) -> str:
    return ", ".join(part for part in parts if part)


def _order_note(files: Mapping[str, Path], nodes: NodeTable, graphs: Optional[GraphTable]) -> str:
    if graphs is not None:
        return f"of {len(graphs.numbers):,} graphs in the order of {graphs.file.name}"
    if nodes.ids is not None:
        return f"in the order of {files['nodes'].name}, ids in column {nodes.roles['id']!r}"
    return "numbered by row" if nodes.table is not None else ""


def _agree(files: Mapping[str, Path], rows: Mapping[str, Optional[int]]) -> Optional[int]:
    """The number of nodes, which all node files must agree on."""
    counts = {stem: count for stem, count in rows.items() if count is not None}
    if len(set(counts.values())) > 1:
        told = ", ".join(f"{files.get(stem, files.get('nodes'))} has {count} rows" for stem, count in counts.items())
        raise DatasetError(f"The files disagree about the number of nodes: {told}. Is one cut short?")
    return next(iter(counts.values()), None)
