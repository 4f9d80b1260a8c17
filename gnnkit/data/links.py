"""The ``Links`` record: pairs of nodes that are learnt and judged, beside the edges that carry messages.

Rules: a graph's own edges carry messages while training. Pairs of "valid" and "test" are never among them, in either
direction where pairs are undirected; :func:`gnnkit.data.check_leaks` looks. The record is frozen and holds tensors in
host memory.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Dict, Mapping, Optional, Tuple

from torch import Tensor

if TYPE_CHECKING:
    from gnnkit.data.graph import Graph


BY_SPLIT = ("pairs", "y", "negatives", "negative_destinations")
"""Fields of ``Links`` that hold a tensor for each split."""


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

    @property
    def tensors(self) -> Dict[str, Tensor]:
        """All tensors of pairs, labels and negatives, by names such as "pairs.train"."""
        parts = {name: getattr(self, name) for name in BY_SPLIT}
        return {f"{part}.{split}": values for part, held in parts.items() for split, values in held.items()}


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
