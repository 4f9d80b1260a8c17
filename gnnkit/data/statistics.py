"""What a graph is like: degrees, classes, and whether neighbours are of one class.

Rules: edges are looked at in chunks, so a graph larger than memory can be described. Self-loops take no part in
homophily: a node is not its own neighbour.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, Iterator, List, Optional, Tuple

import numpy as np
import torch
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from gnnkit.data.fingerprint import MOST_VALUES, is_undirected
from gnnkit.data.graph import IGNORED_LABEL, SPLITS, Graph, expand_indptr, map_arrays

_CHUNK_EDGES = 1 << 22


@dataclass(frozen=True)
class Homophily:
    """Whether edges join nodes of one class.

    Attributes:
        edge: Share of edges between nodes of one class, among those whose two ends have a label; from 0 to 1.
        chance: The share that edges drawn anew between nodes of these degrees would have.
        by_class: The same share among the edges that arrive at each class. Shape [C]; NaN where none does.
    """

    edge: float
    chance: float
    by_class: np.ndarray

    @property
    def adjusted(self) -> float:
        """Homophily with chance taken out: 1 if all edges stay within a class, 0 if they are as chance has it.

        Adjusted homophily of Platonov et al., "Characterizing graph datasets for node classification" (2023); NaN
        where chance alone gives 1.
        """
        return (self.edge - self.chance) / (1 - self.chance) if self.chance < 1 else float("nan")


@dataclass(frozen=True)
class DataStatistics:
    """What a graph is like.

    Attributes:
        name: What the graph is called.
        sizes: Numbers by what they count: nodes, edges, features, classes, self-loops, isolated nodes.
        undirected: Whether every edge has its reverse; None for a graph too large to look.
        degrees: How many nodes have each in-degree, self-loops included. Shape [largest degree + 1].
        class_names: One for each class, in label order; numbers where the data have no names.
        classes: Nodes of each class in each split, and in none. Shape [C, 4]; columns train, valid, test, none.
        multi_label: Whether a node can be in several classes.
        homophily: None for data without labels, with several per node, or without edges between labelled nodes.
    """

    name: str
    sizes: Dict[str, int]
    undirected: Optional[bool]
    degrees: np.ndarray
    class_names: List[str]
    classes: np.ndarray
    multi_label: bool
    homophily: Optional[Homophily]

    @property
    def mean_degree(self) -> float:
        """Mean in-degree."""
        return float((self.degrees * np.arange(len(self.degrees))).sum() / max(self.degrees.sum(), 1))

    @property
    def median_degree(self) -> int:
        """Median in-degree: half of the nodes have no larger one."""
        return int(np.searchsorted(self.degrees.cumsum(), self.degrees.sum() / 2))

    @property
    def max_degree(self) -> int:
        """Largest in-degree."""
        return len(self.degrees) - 1


def describe_graph(graph: Graph) -> DataStatistics:
    """Compute the statistics of a graph.

    Args:
        graph: As its data set gives it, without what a model's preparation adds.

    Example:
        >>> import gnnkit
        >>> describe_graph(gnnkit.load_dataset("karate")).homophily.edge
        0.7564102564102564
    """
    degrees = torch.bincount(graph.in_degrees).numpy() if graph.num_nodes else np.zeros(1, dtype=np.int64)
    homophily, num_self_loops = _edges(graph)
    return DataStatistics(
        name=graph.name,
        sizes={
            "nodes": graph.num_nodes,
            "edges": graph.num_edges,
            "features": graph.num_features,
            "classes": graph.num_classes,
            "self-loops": num_self_loops,
            "nodes without an edge to them": int(degrees[0]),
        },
        undirected=None if graph.num_edges > MOST_VALUES else is_undirected(graph),
        degrees=degrees,
        class_names=class_names(graph),
        classes=_class_counts(graph),
        multi_label=graph.is_multi_label,
        homophily=homophily,
    )


def class_names(graph: Graph) -> List[str]:
    """A name for each class: the data's own, else its number."""
    known = list(graph.class_names)
    return known + [str(i) for i in range(len(known), graph.num_classes)]


def _class_counts(graph: Graph) -> np.ndarray:
    counts = np.zeros((graph.num_classes, len(SPLITS) + 1), dtype=np.int64)
    if graph.y is None or graph.has_numbers:
        return counts
    left = torch.ones(graph.num_nodes, dtype=torch.bool)
    for i, split in enumerate(SPLITS):
        if split in graph.splits:
            nodes = graph.splits[split]
            counts[:, i] = _count(graph.y[nodes], graph.num_classes)
            left[nodes] = False
    counts[:, -1] = _count(graph.y[left], graph.num_classes)
    return counts


def _count(y: Tensor, num_classes: int) -> np.ndarray:
    """Nodes of each class."""
    if y.ndim == 2:
        return (y > 0.5).sum(dim=0).numpy()
    return torch.bincount(y[y != IGNORED_LABEL], minlength=num_classes).numpy()


def _edges(graph: Graph) -> Tuple[Optional[Homophily], int]:
    """Homophily and the number of self-loops, from one pass over the edges."""
    has_classes = graph.y is not None and not graph.is_multi_label and not graph.has_numbers
    same, leaving, arriving = np.zeros((3, graph.num_classes), dtype=np.int64)
    num_self_loops = 0
    for src, dst in _edge_chunks(graph):
        is_loop = src == dst
        num_self_loops += int(is_loop.sum())
        if not has_classes:
            continue
        assert graph.y is not None
        source, target = graph.y[src[~is_loop]], graph.y[dst[~is_loop]]
        known = (source != IGNORED_LABEL) & (target != IGNORED_LABEL)
        source, target = source[known], target[known]
        leaving += _count(source, graph.num_classes)
        arriving += _count(target, graph.num_classes)
        same += _count(target[source == target], graph.num_classes)
    total = int(arriving.sum())
    if not total:
        return None, num_self_loops
    with np.errstate(invalid="ignore"):
        by_class = same / arriving
    chance = float((leaving / total * (arriving / total)).sum())
    return Homophily(float(same.sum() / total), chance, by_class), num_self_loops


def _edge_chunks(graph: Graph) -> Iterator[Tuple[Tensor, Tensor]]:
    """Sources and destinations of the edges that arrive at a range of nodes."""
    first = 0
    while first < graph.num_nodes:
        end = int(graph.indptr[first]) + _CHUNK_EDGES
        last = max(int(torch.searchsorted(graph.indptr, end, right=True)) - 1, first + 1)
        last = min(last, graph.num_nodes)
        offsets = graph.indptr[first : last + 1]
        src = graph.indices[int(offsets[0]) : int(offsets[-1])]
        yield src, expand_indptr(offsets - offsets[0], src.numel()) + first
        first = last


def num_components(graph: Graph) -> Tuple[int, int]:
    """Parts of a graph that no edge joins, whatever its direction.

    Returns:
        How many there are, and how many nodes the largest has.

    Example:
        >>> from gnnkit.data import from_edge_index
        >>> num_components(from_edge_index([[0], [1]], 3))
        (2, 2)
    """
    if not graph.num_nodes:
        return 0, 0
    ones = np.ones(graph.num_edges, dtype=np.int8)
    matrix = csr_matrix((ones, graph.indices.numpy(), graph.indptr.numpy()), shape=(graph.num_nodes,) * 2)
    count, of_node = connected_components(matrix, directed=False)
    return int(count), int(np.bincount(of_node).max())


def num_bytes(graph: Graph) -> int:
    """Bytes of everything in a graph, which are in memory, or on disk where it is memory-mapped.

    Example:
        >>> from gnnkit.data import from_edge_index
        >>> num_bytes(from_edge_index([[0], [1]], 2))
        32
    """
    sizes = [graph.indptr.nbytes, graph.indices.nbytes]

    def count(tensor: Tensor) -> Tensor:
        sizes.append(tensor.nbytes)
        return tensor

    map_arrays(graph, nodes=count, edges=count, graphs=count)
    return sum(sizes)
