"""Pairs of nodes that are known, in a form that can be asked: negatives leave them out, and so do rankings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, List, Optional, Sequence

import numpy as np
from numpy.typing import NDArray

from gnnkit.data import SPLITS, Graph, Links, relation_pairs
from gnnkit.jit import kernel
from gnnkit.sampling.kernels import first_not_below

Array = Any
"""A NumPy array; the kernels' own docstrings give dtype and shape."""


@dataclass(frozen=True, eq=False)
class KnownPairs:
    """For each node as a source, the nodes that it has a known pair with.

    Attributes:
        indptr: Offsets by source. Shape [N + 1], int64, ascending.
        indices: Destinations of each source. Shape [P], int64, ascending within a source and without repeats.
    """

    indptr: NDArray[np.int64]
    indices: NDArray[np.int64]

    def contains(self, sources: NDArray[np.int64], destinations: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which pairs are known.

        Args:
            sources: Node ids. Shape [n], int64.
            destinations: Node ids. Shape [n], int64.

        Returns:
            Shape [n], bool.

        Example:
            >>> known = KnownPairs(np.array([0, 2, 2]), np.array([0, 1]))
            >>> known.contains(np.array([0, 1]), np.array([1, 0])).tolist()
            [True, False]
        """
        out = np.empty(len(sources), dtype=np.bool_)
        ends = np.ascontiguousarray(sources), np.ascontiguousarray(destinations)
        _contains(self.indptr, self.indices, *ends, out)
        return out

    def among(self, wanted: NDArray[np.int64]) -> KnownPairs:
        """The same with destinations by their position among some nodes, without those that are not among them.

        A node that is among them is known to itself, because positions no longer say that it is the source.

        Args:
            wanted: Node ids, ascending. Shape [M], int64.

        Example:
            >>> known = KnownPairs(np.array([0, 2, 2]), np.array([0, 1])).among(np.array([1]))
            >>> known.indptr.tolist(), known.indices.tolist()
            ([0, 1, 2], [0, 0])
        """
        num = len(self.indptr) - 1
        sources = np.concatenate([np.repeat(np.arange(num), np.diff(self.indptr)), wanted])
        destinations = np.concatenate([self.indices, wanted])
        places = np.minimum(np.searchsorted(wanted, destinations), max(len(wanted) - 1, 0))
        kept = wanted[places] == destinations
        keys = np.unique(sources[kept] * max(len(wanted), 1) + places[kept])
        sources, places = np.divmod(keys, max(len(wanted), 1))
        return KnownPairs(np.searchsorted(sources, np.arange(num + 1)).astype(np.int64, copy=False), places)


def known_pairs(graph: Graph, splits: Sequence[str] = SPLITS) -> KnownPairs:
    """The edges of a graph and the pairs of its links.

    Where these are of one relation of a typed graph, the edges of this relation, and of its declared reverse turned
    round.

    Args:
        graph: With or without links. Pairs of undirected links are known in both directions; an edge is in those that
            the graph has. Edges that carry messages for testing alone are known with the split "test".
        splits: Splits whose pairs are known.

    Example:
        >>> import gnnkit
        >>> known = known_pairs(gnnkit.load_dataset("karate"))
        >>> known.contains(np.array([0, 0]), np.array([1, 9])).tolist()
        [True, False]
    """
    links, num_nodes = graph.links, graph.num_nodes
    keys = _edge_keys(graph, links)
    if links is not None:
        if links.test_edges is not None and "test" in splits:
            keys += _edge_keys(links.test_edges, links)
        for split in splits:
            if split in links.pairs:
                source, destination = links.pairs[split].numpy().T
                keys.append(source * num_nodes + destination)
                if links.undirected:
                    keys.append(destination * num_nodes + source)
    found = np.concatenate(keys)
    found.sort()
    found = found[np.diff(found, prepend=-1) > 0]
    indptr = np.searchsorted(found, np.arange(num_nodes + 1, dtype=np.int64) * num_nodes)
    return KnownPairs(indptr.astype(np.int64, copy=False), found % max(num_nodes, 1))


def _edge_keys(graph: Graph, links: Optional[Links]) -> List[NDArray[np.int64]]:
    """Edges as numbers, source * N + destination, in any order."""
    if graph.typed is None or links is None:
        return [graph.indices.numpy() * graph.num_nodes + graph.dst.numpy()]
    relation = int(next(iter(links.relations.values()))[0])
    return [(edges[:, 0] * graph.num_nodes + edges[:, 1]).numpy() for edges in relation_pairs(graph, relation)]


@kernel
def is_known(indptr: Array, indices: Array, source: int, destination: int) -> bool:
    """Whether a pair is among those of a :class:`KnownPairs`, given by its int64 arrays."""
    end = indptr[source + 1]
    place = first_not_below(indices, indptr[source], end, destination)
    return bool(place < end and indices[place] == destination)


@kernel
def _contains(indptr: Array, indices: Array, sources: Array, destinations: Array, out: Array) -> None:
    for i in range(len(sources)):
        out[i] = is_known(indptr, indices, sources[i], destinations[i])
