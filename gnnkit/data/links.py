"""The ``Links`` record: pairs of nodes that are learnt and judged, beside the edges that carry messages.

Rules: a graph's own edges carry messages while training. Pairs of "valid" and "test" are never among them, in either
direction where pairs are undirected; :func:`gnnkit.data.check_leaks` looks. The record is frozen and holds tensors in
host memory.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Dict, Mapping, Optional, Sequence, Tuple

from torch import Tensor

if TYPE_CHECKING:
    from gnnkit.data.graph import Graph


BY_SPLIT = ("pairs", "y", "negatives", "negative_destinations", "relations")
"""Fields of ``Links`` that hold a tensor for each split."""

_EDGE_ARRAYS = ("indptr", "indices", "edge_weight", "edge_attr")


@dataclass(frozen=True, eq=False)
class Links:
    """Pairs of nodes by split, and what is true of them.

    Attributes:
        pairs: Source and destination by split ("train", "valid", "test"). Each [n, 2], int64 node ids.
        undirected: Whether (u, v) and (v, u) are the same pair. Each is then listed once.
        y: What is true of each pair, by split: classes [n] int64 (-100 for a missing one), or numbers [n] or [n, T]
            floating point (NaN for a missing one). Empty where pairs are to be told from others that are none.
        negatives: Pairs that are none, by split, told from all pairs of the split. Each [m, 2], int64 node ids. A split
            without any gets some when they are needed.
        negative_destinations: Destinations that are negatives of each pair's source, by split, told from that pair
            alone. Each [n, K], int64. A split has these, or ``negatives``, or neither.
        test_edges: What carries messages for testing, where that is more than the graph's own edges: a graph with edges
            and their arrays alone. None: the graph's own.
        class_names: Names of the classes, in the order of labels. Empty if unknown.
        relations: In a typed graph, the relation of each pair, by split: positions in ``Schema.relations``. Each [n],
            int64. Empty in other graphs.

    Example:
        >>> import torch
        >>> links = Links({"train": torch.tensor([[0, 1]]), "test": torch.tensor([[1, 2]])}, undirected=True)
        >>> {split: len(pairs) for split, pairs in links.pairs.items()}
        {'train': 1, 'test': 1}
    """

    pairs: Mapping[str, Tensor]
    undirected: bool
    y: Mapping[str, Tensor] = field(default_factory=dict)
    negatives: Mapping[str, Tensor] = field(default_factory=dict)
    negative_destinations: Mapping[str, Tensor] = field(default_factory=dict)
    test_edges: Optional[Graph] = None
    class_names: Tuple[str, ...] = ()
    relations: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def tensors(self) -> Dict[str, Tensor]:
        """All tensors, by names such as "pairs.train", "test_edges.indices" and "test_edges.edge_data.NAME"."""
        parts: Dict[str, Mapping[str, Optional[Tensor]]] = {name: getattr(self, name) for name in BY_SPLIT}
        edges = self.test_edges
        if edges is not None:
            parts["test_edges"] = {name: getattr(edges, name) for name in _EDGE_ARRAYS}
            parts["test_edges.edge_data"] = edges.edge_data
        named = ((f"{part}.{name}", values) for part, held in parts.items() for name, values in held.items())
        return {name: values for name, values in named if values is not None}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor], undirected: bool, class_names: Sequence[str] = ()) -> Links:
        """The inverse of :attr:`tensors`.

        Args:
            tensors: By the names that it gives.
            undirected: See the attribute.
            class_names: Likewise.

        Raises:
            KeyError: A name that it does not give.

        Example:
            >>> import torch
            >>> links = Links({"train": torch.tensor([[0, 1]])}, undirected=True)
            >>> Links.from_tensors(links.tensors, True).pairs
            {'train': tensor([[0, 1]])}
        """
        from gnnkit.data.graph import Graph

        parts: Dict[str, Dict[str, Tensor]] = {name: {} for name in (*BY_SPLIT, "test_edges", "edge_data")}
        for name, values in tensors.items():
            part, _, key = name.partition(".")
            if key.startswith("edge_data."):
                part, key = "edge_data", key[len("edge_data.") :]
            parts[part][key] = values
        edges, edge_data = parts.pop("test_edges"), parts.pop("edge_data")
        test_edges = Graph(**edges, edge_data=edge_data) if edges else None  # type: ignore[arg-type]
        return cls(**parts, undirected=undirected, test_edges=test_edges, class_names=tuple(class_names))


def describe_links(links: Links) -> Dict[str, Any]:
    """Plain values for a manifest: numbers of pairs and negatives by split, and what holds for all of them.

    Example:
        >>> import torch
        >>> describe_links(Links({"train": torch.tensor([[0, 1]])}, undirected=True))["pairs"]
        {'train': 1}
    """
    return {
        "pairs": {split: len(pairs) for split, pairs in links.pairs.items()},
        "negatives": {split: len(pairs) for split, pairs in links.negatives.items()},
        "negative_destinations": {split: list(ids.shape) for split, ids in links.negative_destinations.items()},
        "undirected": links.undirected,
        "labels": bool(links.y),
        "num_test_edges": None if links.test_edges is None else links.test_edges.num_edges,
    }


def message_graph(graph: Graph, split: str) -> Graph:
    """The graph whose edges carry messages when a split is learnt or judged.

    Args:
        graph: With or without links.
        split: "train", "valid" or "test".

    Returns:
        The graph itself, or one with the edges of ``links.test_edges``.
    """
    if split != "test" or graph.links is None or graph.links.test_edges is None:
        return graph
    edges = graph.links.test_edges
    return replace(
        graph,
        indptr=edges.indptr,
        indices=edges.indices,
        edge_weight=edges.edge_weight,
        edge_attr=edges.edge_attr,
        edge_data=edges.edge_data,
    )
