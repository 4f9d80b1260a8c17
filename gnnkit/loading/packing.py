"""Many small graphs in batches of one fixed size: one graph each, or packed several together.

Rules: as in :mod:`gnnkit.loading.padding`, what is real comes first, and one slot of nodes, edges and graphs is always
spare.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, List, Optional, Sequence, Tuple

import numpy as np
from numpy.typing import NDArray

from gnnkit.errors import ConfigError
from gnnkit.jit import kernel
from gnnkit.loading.padding import BatchSizes, PadSpec
from gnnkit.loading.records import GraphSizes, graph_sizes

_MOST_PERCENT = 8
"""How much larger than all graphs need together bins are tried."""
_OFF = (0.3, 0.1, 0.03, 0.0)
"""By what share sizes are off when the bins of an epoch are dealt, largest first: the smaller, the better they fit."""


@dataclass(frozen=True)
class Packing:
    """Graphs put together in bins of one size.

    Attributes:
        spec: Size of every bin, with ``num_graphs``.
        bins: Numbers of the graphs in each bin, ascending.
        efficiency: Share of the node slots of all bins that real nodes fill, from 0 to 1.
        edge_efficiency: The same of edges.
        sizes: Nodes and edges of every graph. Shape [G, 2], int64.
    """

    spec: PadSpec
    bins: Tuple[Tuple[int, ...], ...]
    efficiency: float
    edge_efficiency: float
    sizes: NDArray[np.int64] = field(compare=False, repr=False)


def pad_to_maximum(graphs: GraphSizes) -> Packing:
    """Give every graph a bin of its own, as large as the largest needs.

    Args:
        graphs: The graphs.

    Returns:
        A packing of one graph a bin.

    Example:
        >>> packing = pad_to_maximum([(3, 4), (7, 12)])
        >>> packing.spec.num_nodes[0], packing.efficiency
        (8, 0.625)
    """
    sizes = graph_sizes(graphs)
    nodes, edges = (int(most) + 1 for most in sizes.max(axis=0))
    spec = _spec(max(nodes, 2), edges, num_graphs=2)
    return _packing(sizes, [[graph] for graph in range(len(sizes))], spec)


def pack_graphs(graphs: GraphSizes, *, num_nodes: int, num_edges: int, num_graphs: int) -> Packing:
    """Pack graphs into bins by first-fit decreasing (Johnson, 1973) on nodes and edges.

    Graphs are taken by falling number of nodes, then of edges; each goes into the first bin that has room for it.

    Args:
        graphs: The graphs.
        num_nodes: Node slots of a bin, one of which stays spare.
        num_edges: Edge slots of a bin, likewise.
        num_graphs: Graph slots of a bin, likewise.

    Returns:
        The packing; every graph is in one bin.

    Raises:
        ConfigError: Sizes of bins too small for anything.
        BatchOverflowError: A graph is larger than a bin.

    Example:
        >>> packing = pack_graphs([(3, 4), (7, 12), (4, 6)], num_nodes=8, num_edges=16, num_graphs=4)
        >>> packing.bins, packing.efficiency
        (((1,), (0, 2)), 0.875)
    """
    sizes = graph_sizes(graphs)
    spec = _spec(num_nodes, num_edges, num_graphs)
    most = sizes.max(axis=0)
    spec.check(BatchSizes((int(most[0]),) * 2, (int(most[1]),), num_graphs=1))
    return _packing(sizes, _first_fit(sizes, (num_nodes - 1, num_edges - 1, num_graphs - 1)), spec)


def propose_bins(graphs: GraphSizes, graphs_per_bin: int) -> Packing:
    """Pack graphs into bins for training: so many bins, equally full, each with large and small graphs.

    Graphs are taken by falling number of nodes; each goes into the bin with the most room (Graham, 1969, "Bounds on
    multiprocessing timing anomalies"). First-fit would put graphs of one size together, and batches that are so unlike
    each other train worse. Where that cannot be had in bins at most 8% too large, it is first-fit decreasing.

    Args:
        graphs: The graphs.
        graphs_per_bin: Mean number of graphs in a bin.

    Returns:
        The packing; every graph is in one bin.

    Raises:
        ConfigError: Less than one graph a bin.

    Example:
        >>> packing = propose_bins([(3, 4), (7, 12), (4, 6), (6, 8)], graphs_per_bin=2)
        >>> packing.bins, packing.spec.num_nodes[0], packing.spec.num_edges[0], packing.spec.num_graphs
        (((0, 1), (2, 3)), 11, 18, 4)
    """
    sizes = graph_sizes(graphs)
    if graphs_per_bin < 1:
        raise ConfigError(f"graphs_per_bin is {graphs_per_bin}; expected at least 1.")
    total, largest = int(sizes[:, 0].sum()), max(int(sizes[:, 0].max()), 1)
    count = max(1, round(len(sizes) / graphs_per_bin))
    order, free = _decreasing(sizes), (int(sizes[:, 1].sum()), len(sizes))
    bins: Optional[List[List[int]]] = None
    for percent in range(_MOST_PERCENT + 1):
        num_nodes = max(math.ceil(total / count * (1 + percent / 100)), largest)
        bins = _spread(sizes, order, (num_nodes, *free), count)
        if bins is not None:
            break
    if bins is None:
        bins = _first_fit(sizes, (num_nodes, *free))
    # Room for the bins of other epochs, which are not quite the same.
    num_edges = math.ceil(1.02 * max(int(sizes[graphs, 1].sum()) for graphs in bins))
    num_graphs = math.ceil(1.1 * max(map(len, bins)))
    return _packing(sizes, bins, _spec(num_nodes + 1, num_edges + 1, num_graphs + 1))


def largest_batch(graphs: GraphSizes, batch_size: int) -> PadSpec:
    """Sizes that hold any batch of so many of these graphs.

    Args:
        graphs: The graphs.
        batch_size: How many of them a batch holds at most.

    Example:
        >>> largest_batch([(3, 4), (7, 12), (4, 6)], batch_size=2).num_nodes
        (12, 12)
    """
    sizes = graph_sizes(graphs)
    nodes, edges = (int(np.sort(column)[-batch_size:].sum()) + 1 for column in sizes.T)
    return _spec(max(nodes, 2), edges, min(batch_size, len(sizes)) + 1)


def deal(packing: Packing, order: NDArray[np.int64]) -> List[NDArray[np.int64]]:
    """Other bins of the same size and number, from a random order of the graphs.

    Graphs are spread as by :func:`propose_bins`, but by sizes up to a third off. Where that does not fit, the bins are
    those of the packing with graphs of equal size in each other's places.

    Args:
        packing: The bins.
        order: Numbers of the graphs in a random order. Shape [G], int64.

    Returns:
        Numbers of the graphs in each bin, ascending.
    """
    spec, sizes = packing.spec, packing.sizes
    assert spec.num_graphs is not None, "a packing is of graphs"
    room = spec.num_nodes[0] - 1, spec.num_edges[0] - 1, spec.num_graphs - 1
    rank = np.empty(len(order))
    rank[order] = np.arange(len(order)) / len(order)
    for off in _OFF:
        taken = np.lexsort((rank, -sizes[:, 0] * (1 + off * rank)))
        bins = _spread(sizes, taken, room, len(packing.bins))
        if bins is not None:
            return [np.sort(np.array(graphs, dtype=np.int64)) for graphs in bins]
    nodes, edges = sizes.T
    by_size = np.lexsort((edges, nodes))
    dealt = np.empty(len(order), dtype=np.int64)
    dealt[by_size] = order[np.lexsort((edges[order], nodes[order]))]
    return [np.sort(dealt[list(graphs)]) for graphs in packing.bins]


def _decreasing(sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.lexsort((np.arange(len(sizes)), -sizes[:, 1], -sizes[:, 0]))


def _spread(
    sizes: NDArray[np.int64], order: NDArray[np.int64], room: Tuple[int, int, int], num_bins: int
) -> Optional[List[List[int]]]:
    """Bins of which each graph in order took the one with most room for nodes; None if a graph fits in none."""
    place = np.empty(len(sizes), dtype=np.int64)
    if not _take_emptiest(sizes, order, np.array(room), num_bins, place):
        return None
    bins: List[List[int]] = [[] for _ in range(num_bins)]
    for graph in order.tolist():
        bins[place[graph]].append(graph)
    return bins if all(bins) else None


@kernel
def _take_emptiest(sizes: Any, order: Any, room: Any, num_bins: int, place: Any) -> bool:
    """Write the bin of every graph; returns whether all fit."""
    left = np.empty((num_bins, 3), dtype=np.int64)
    left[:] = room
    for graph in order:
        best = -1
        for each in range(num_bins):
            fits = left[each, 0] >= sizes[graph, 0] and left[each, 1] >= sizes[graph, 1] and left[each, 2] >= 1
            if fits and (best < 0 or left[each, 0] > left[best, 0]):
                best = each
        if best < 0:
            return False
        left[best, 0] -= sizes[graph, 0]
        left[best, 1] -= sizes[graph, 1]
        left[best, 2] -= 1
        place[graph] = best
    return True


def _first_fit(sizes: NDArray[np.int64], room: Tuple[int, int, int]) -> List[List[int]]:
    """First-fit decreasing: the graphs of each bin, of which none has more nodes, edges and graphs than ``room``."""
    order = _decreasing(sizes)
    place = np.empty(len(sizes), dtype=np.int64)
    num_bins = _place(sizes, order, np.array(room), place)
    bins: List[List[int]] = [[] for _ in range(num_bins)]
    for graph in order.tolist():
        bins[place[graph]].append(graph)
    return bins


@kernel
def _place(sizes: Any, order: Any, room: Any, place: Any) -> int:
    """Write the bin of every graph; returns how many bins there are."""
    left = np.empty((len(order), 3), dtype=np.int64)
    num_bins = 0
    for graph in order:
        nodes, edges = sizes[graph, 0], sizes[graph, 1]
        found = 0
        while found < num_bins and (left[found, 0] < nodes or left[found, 1] < edges or left[found, 2] < 1):
            found += 1
        if found == num_bins:
            left[found, 0], left[found, 1], left[found, 2] = room[0], room[1], room[2]
            num_bins += 1
        left[found, 0] -= nodes
        left[found, 1] -= edges
        left[found, 2] -= 1
        place[graph] = found
    return num_bins


def _spec(num_nodes: int, num_edges: int, num_graphs: int) -> PadSpec:
    return PadSpec((num_nodes, num_nodes), (num_edges,), num_graphs)


def _packing(sizes: NDArray[np.int64], bins: Sequence[Sequence[int]], spec: PadSpec) -> Packing:
    nodes, edges = (int(total) for total in sizes.sum(axis=0))
    return Packing(
        spec=spec,
        bins=tuple(tuple(sorted(graphs)) for graphs in bins),
        efficiency=nodes / (len(bins) * spec.num_nodes[0]),
        edge_efficiency=edges / (len(bins) * spec.num_edges[0]),
        sizes=sizes,
    )
