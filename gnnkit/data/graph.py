"""The ``Graph`` record: nodes, directed edges stored by destination, features, labels and splits.

Rules: the record is frozen; what acts on it are functions in the modules beside this one. Its arrays are torch
tensors in host memory, which may be memory-mapped, and are never written to. Edges are stored in compressed sparse
column (CSC) form: the in-neighbours of node ``v`` are ``indices[indptr[v]:indptr[v + 1]]``, in ascending order.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple, Union

import torch
from torch import Tensor

from gnnkit.data.links import Links
from gnnkit.data.notes import Notes
from gnnkit.data.remote import Remote
from gnnkit.data.typed import Typed
from gnnkit.html import html_table

IGNORED_LABEL = -100
"""Label of a node that is not a target: unlabelled, outside the split at hand, or padding."""

SPLITS = ("train", "valid", "test")
"""Names of the splits that training and evaluation use."""


_OF_NODES, _OF_EDGES, _OF_GRAPHS = {"axis": "node"}, {"axis": "edge"}, {"axis": "graph"}


@dataclass(frozen=True, eq=False)
class Graph:
    """One graph, or many small graphs side by side, in one record.

    N is the number of nodes, E of directed edges, F of features, C of classes, G of graphs. Undirected data carry
    both directions. Build one with :func:`gnnkit.from_edge_index` or another conversion, which sort the edges and
    check everything; the constructor itself checks nothing, so that a cached or memory-mapped graph opens at once.

    Attributes:
        indptr: Edge offsets by destination. Shape [N + 1], int64, ascending from 0 to E.
        indices: Source node of every edge. Shape [E], int64, zero-based, ascending within a destination.
        x: Node features. Shape [N, F], floating point; int64 codes if they are categories. None if there are none.
        y: Node labels: int64 classes of shape [N] (-100 for an unlabelled node), or for multi-label data floating
            point 0/1 of shape [N, C] (-100 for a missing entry). Or numbers to regress: floating point of shape [N], or
            [N, T] for several a node (NaN for a missing one). None if there are none.
        edge_weight: One weight per edge. Shape [E], floating point. None means that all weights are 1.
        edge_attr: Edge features. Shape [E, D], floating point; int64 codes if they are categories. None if there are
            none.
        splits: Node ids by split name ("train", "valid", "test"). Each int64, one-dimensional, without repeats.
        node_data: Any other node arrays by name. Each of first dimension N.
        edge_data: Any other edge arrays by name. Each of first dimension E, in the order of ``indices``.
        graph_ptr: Node offsets of the graphs in this record. Shape [G + 1], int64. None means one graph.
        graph_y: What is true of graphs: classes, labels or numbers as ``y`` has them. First dimension G. None if there
            is nothing.
        class_names: Names of the classes, in label order. Empty if unknown.
        feature_names: Names of the features, in the order of the columns of ``x``. Empty if unknown.
        name: What messages and run folders call this graph.
        metric: The metric that the data ask for: "accuracy", "macro_f1" or "rocauc". None means "accuracy" for
            classes and "rocauc" for multi-label data.
        evaluator: The Open Graph Benchmark's name of the data, if it is to be judged by that benchmark's own evaluator.
        notes: What the reader of the data noted; :func:`gnnkit.data.summarize` puts it into words.
        links: Pairs of nodes to learn and judge, where a task is about edges. None if there are none.
        graph_splits: Numbers of graphs by split name, as ``splits`` has ids of nodes.
        graph_data: Any other arrays of graphs by name, such as "fold". Each of first dimension G.
        graph_names: A name for each graph, such as an id or a SMILES. Empty if they have none.
        node_categories: Number of categories of each column of ``x``, whose values are 0 up to below it. Shape [F].
            Empty if ``x`` holds numbers.
        edge_categories: The same of ``edge_attr``. Shape [D].
        remote: Where edges and features are, if they lie elsewhere. The record has no edges then, and ``x`` is zeros of
            the right shape that take no room.
        typed: Types of nodes and edges, and the arrays that differ from type to type. None for a homogeneous graph.
            Edges of a typed graph are sorted by (destination, relation, source), and features are in ``typed.x``.
    """

    indptr: Tensor
    indices: Tensor
    x: Optional[Tensor] = field(default=None, metadata=_OF_NODES)
    y: Optional[Tensor] = field(default=None, metadata=_OF_NODES)
    edge_weight: Optional[Tensor] = field(default=None, metadata=_OF_EDGES)
    edge_attr: Optional[Tensor] = field(default=None, metadata=_OF_EDGES)
    splits: Mapping[str, Tensor] = field(default_factory=dict)
    node_data: Mapping[str, Tensor] = field(default_factory=dict, metadata=_OF_NODES)
    edge_data: Mapping[str, Tensor] = field(default_factory=dict, metadata=_OF_EDGES)
    graph_ptr: Optional[Tensor] = None
    graph_y: Optional[Tensor] = field(default=None, metadata=_OF_GRAPHS)
    class_names: Tuple[str, ...] = ()
    name: str = "graph"
    metric: Optional[str] = None
    feature_names: Tuple[str, ...] = ()
    notes: Notes = field(default_factory=Notes)
    evaluator: Optional[str] = None
    links: Optional[Links] = None
    graph_splits: Mapping[str, Tensor] = field(default_factory=dict)
    graph_data: Mapping[str, Tensor] = field(default_factory=dict, metadata=_OF_GRAPHS)
    graph_names: Tuple[str, ...] = ()
    node_categories: Tuple[int, ...] = ()
    edge_categories: Tuple[int, ...] = ()
    remote: Optional[Remote] = None
    typed: Optional[Typed] = None

    @property
    def num_nodes(self) -> int:
        """Number of nodes N, isolated ones included."""
        return self.indptr.numel() - 1

    @property
    def num_edges(self) -> int:
        """Number of directed edges E."""
        return self.indices.numel()

    @property
    def num_graphs(self) -> int:
        """Number of graphs G in this record."""
        return 1 if self.graph_ptr is None else self.graph_ptr.numel() - 1

    @property
    def graph_offsets(self) -> Tensor:
        """Node offsets of the graphs, also where there is one alone. Shape [G + 1], int64."""
        return torch.tensor([0, self.num_nodes]) if self.graph_ptr is None else self.graph_ptr

    @property
    def num_features(self) -> int:
        """Width F of the node features, 0 without features."""
        return 0 if self.x is None else int(self.x.shape[1])

    @cached_property
    def has_numbers(self) -> bool:
        """Whether ``y`` holds numbers to regress instead of labels."""
        if self.y is None or not self.y.is_floating_point():
            return False
        return self.y.ndim == 1 or not are_answers(self.y)

    @property
    def is_multi_label(self) -> bool:
        """Whether a node can belong to several classes at once."""
        return self.y is not None and self.y.ndim == 2 and not self.has_numbers

    @property
    def has_label(self) -> Optional[Tensor]:
        """Which nodes have a label, or a number, one at least where they may have several. Shape [N], bool."""
        if self.y is None:
            return None
        known = ~self.y.isnan() if self.has_numbers else self.y != IGNORED_LABEL
        return known if known.ndim == 1 else known.any(dim=1)

    @cached_property
    def num_classes(self) -> int:
        """Number of classes C: columns of multi-label data, else the class names or the largest label say it.

        0 for numbers to regress.
        """
        if self.has_numbers:
            return 0
        if self.y is None:
            return len(self.class_names)
        if self.is_multi_label:
            return int(self.y.shape[1])
        largest = int(self.y.max()) + 1 if self.y.numel() else 0
        return max(largest, len(self.class_names))

    @cached_property
    def dst(self) -> Tensor:
        """Destination node of every edge, in the order of ``indices``. Shape [E], int64."""
        return expand_indptr(self.indptr, self.num_edges)

    @property
    def edge_index(self) -> Tensor:
        """Edges as source and destination rows. Shape [2, E], int64. A new tensor at every call."""
        return torch.stack([self.indices, self.dst])

    @cached_property
    def in_degrees(self) -> Tensor:
        """Number of incoming edges of every node. Shape [N], int64."""
        return self.indptr.diff()

    def __repr__(self) -> str:
        return f"Graph({self.name!r}, {', '.join(f'{name}={value}' for name, value in self._facts().items())})"

    def _repr_html_(self) -> str:
        rows = {
            name.replace("num_", "").replace("_", " "): f"{value:,}" if isinstance(value, int) else ", ".join(value)
            for name, value in self._facts().items()
        }
        return html_table(f"Graph {self.name}", rows)

    def _facts(self) -> Dict[str, Union[int, List[str]]]:
        """What it is shown by: what can be said without a look at the arrays."""
        facts: Dict[str, Union[int, List[str]]] = {
            "num_nodes": self.num_nodes,
            "num_edges": self.num_edges,
            "num_features": self.num_features,
        }
        if self.typed is not None:
            facts["types"] = list(self.typed.schema.node_types)
            facts["num_relations"] = len(self.typed.schema.relations)
        if self.num_classes:
            facts["num_classes"] = self.num_classes
        if self.num_graphs > 1:
            facts["num_graphs"] = self.num_graphs
        facts.update({split: ids.numel() for split, ids in self.splits.items()})
        facts.update({f"{split}_graphs": ids.numel() for split, ids in self.graph_splits.items()})
        if self.links is not None:
            facts.update({f"{split}_pairs": len(pairs) for split, pairs in self.links.pairs.items()})
        return facts


def map_arrays(
    graph: Graph,
    *,
    nodes: Optional[Callable[[Tensor], Tensor]] = None,
    edges: Optional[Callable[[Tensor], Tensor]] = None,
    graphs: Optional[Callable[[Tensor], Tensor]] = None,
) -> Graph:
    """Apply functions to every array of nodes, edges and graphs but the graph's structure.

    Args:
        graph: The graph.
        nodes: For arrays of nodes. None leaves them as they are.
        edges: For arrays of edges, likewise.
        graphs: For arrays of graphs, likewise.
    """
    functions = {"node": nodes, "edge": edges, "graph": graphs}
    changed: Dict[str, Any] = {}
    for each in fields(graph):
        function, values = functions.get(each.metadata.get("axis", "")), getattr(graph, each.name)
        if function is None or values is None:
            continue
        if isinstance(values, Tensor):
            changed[each.name] = function(values)
        else:
            changed[each.name] = {name: function(rows) for name, rows in values.items()}
    if graph.typed is not None and (nodes is not None or edges is not None):
        from gnnkit.data.typed_views import map_typed

        changed["typed"] = map_typed(graph.typed, nodes=nodes, edges=edges)
    return replace(graph, **changed)


_CHUNK_ROWS = 1 << 16


def are_answers(y: Tensor) -> bool:
    """Whether all values are those of multi-label data."""
    parts = (y[start : start + _CHUNK_ROWS] for start in range(0, len(y), _CHUNK_ROWS))
    return all(bool(((part == 0) | (part == 1) | (part == IGNORED_LABEL)).all()) for part in parts)


def offsets_of(counts: Tensor) -> Tensor:
    """Where each part begins, and where the last one ends. Shape [n] to [n + 1], int64."""
    return torch.cat([counts.new_zeros(1), counts.cumsum(0)])


def expand_indptr(indptr: Tensor, num_edges: int) -> Tensor:
    """Turn CSC offsets into the destination of every edge.

    Args:
        indptr: Offsets. Shape [num_dst + 1], int64.
        num_edges: ``indptr[-1]``, given so that no value has to be read back from a device.

    Returns:
        Destinations. Shape [num_edges], int64.
    """
    rows = torch.arange(indptr.numel() - 1, device=indptr.device)
    return torch.repeat_interleave(rows, indptr.diff(), output_size=num_edges)
