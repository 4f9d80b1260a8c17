"""Batches that are parts of the graph with all edges inside of them: Cluster-GCN (Chiang et al., 2019).

Rules: a batch is a function of (loader, epoch, number of the batch). Every part comes exactly once in an epoch. A batch
is one block, repeated for every layer, as that of a whole graph is.
"""

from __future__ import annotations

import math
from contextlib import closing
from functools import partial
from typing import Any, Iterator, List, Optional

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gnnkit.data import IGNORED_LABEL, Batch, BatchKey, Block, Graph, Targets
from gnnkit.errors import ConfigError
from gnnkit.jit import kernel
from gnnkit.loading.base import Loader, Transfer, edge_features_of, finished, identity, spread
from gnnkit.loading.gather import gathered
from gnnkit.loading.inputs import InputTable, input_sizes, with_types
from gnnkit.loading.padding import BatchSizes, PadSpec
from gnnkit.loading.prefetch import prefetch
from gnnkit.sampling import Buffers, shuffle_order
from gnnkit.sampling.neighbor import check_node_ids


class ClusterLoader(Loader):
    """Loads parts of a graph, several in a batch, with all edges between their nodes.

    Args:
        graph: The graph, with features.
        nodes: Ids of the nodes that are targets. Labels of all others are ignored; a batch without any is left out.
        parts: The part of every node, from 0. Shape [N], int64, such as of :func:`gnnkit.loading.grown_parts`.
        num_layers: How many layers the model has.
        per_batch: Parts of a batch; the last batch has what is left.
        shuffle: Whether parts are drawn anew for every epoch, keyed by (seed, epoch).
        seed: Seed of that.
        rescale: Multiply the weights of edges by (neighbours / neighbours in the batch), so that sums are as large as
            those of the whole graph; self-loops keep theirs. For weights of GCN.
        num_threads: Threads that prepare batches. 0 prepares each in the caller's thread.
        prefetch: Finished batches to hold beyond one for each thread.
        transfer: The last stage, for example ``Device.put``.
        pad: Bring every batch to these sizes. None leaves batches as large as they are.
        edge_features: Whether the model reads edge features.

    Raises:
        ConfigError: Settings out of range, or parts that do not fit the graph.
        DataError: No features, or nodes that the graph does not have.

    Example:
        >>> from gnnkit.data import from_edge_index
        >>> graph = from_edge_index([[0, 1, 2, 3], [1, 0, 3, 2]], x=torch.eye(4), y=[0, 1, 0, 1])
        >>> loader = ClusterLoader(graph, torch.arange(4), torch.tensor([0, 0, 1, 1]), num_layers=2, shuffle=False)
        >>> [batch.nodes.tolist() for batch in loader.epoch(0)]
        [[0, 1], [2, 3]]
    """

    def __init__(
        self,
        graph: Graph,
        nodes: Tensor,
        parts: Tensor,
        *,
        num_layers: int,
        per_batch: int = 1,
        shuffle: bool = True,
        seed: int = 0,
        rescale: bool = False,
        num_threads: int = 0,
        prefetch: int = 2,
        transfer: Transfer = identity,
        pad: Optional[PadSpec] = None,
        edge_features: bool = False,
    ) -> None:
        for name, value in (("num_layers", num_layers), ("per_batch", per_batch)):
            if value < 1:
                raise ConfigError(f"{name} is {value}; expected at least 1.")
        if parts.shape != (graph.num_nodes,) or int(parts.min()) < 0:
            raise ConfigError(
                f"parts have shape {list(parts.shape)}; expected a part from 0 for each of {graph.num_nodes} nodes."
            )
        self.graph = graph
        self.num_layers, self.per_batch, self.shuffle, self.seed = num_layers, per_batch, shuffle, seed
        self.rescale, self.pad, self.edge_features = rescale, pad, edge_features
        self.num_threads, self.prefetch = num_threads, prefetch
        self._indptr, self._indices = graph.indptr.numpy(), graph.indices.numpy()
        self._edge_attr = edge_features_of(graph) if edge_features else None
        self._transfer = transfer
        self._buffers = Buffers()
        self._inputs = InputTable(graph, self._buffers)
        order = np.argsort(parts.numpy(), kind="stable")
        counts = np.bincount(parts.numpy())
        self._members = [each for each in np.split(order, counts.cumsum()[:-1]) if len(each)]
        self._is_target = np.zeros(graph.num_nodes, dtype=np.bool_)
        self._is_target[check_node_ids(nodes, graph.num_nodes, "nodes")] = True

    def __len__(self) -> int:
        """Most batches of an epoch; those without targets are left out."""
        return math.ceil(len(self._members) / self.per_batch)

    def epoch(self, number: int, batches: Optional[range] = None) -> Iterator[Batch]:
        """See :class:`Loader`. Threads run from the first ``next`` to the end, or to ``close``."""
        every = self._batches(number)
        wanted = range(len(every)) if batches is None else range(batches.start, min(batches.stop, len(every)))
        build = partial(self._build, every, number, wanted.start)
        made = prefetch(build, len(wanted), num_threads=self.num_threads, ahead=self.prefetch)
        with closing(made) as found:
            yield from found

    def sizes(self, number: int, *, limit: Optional[int] = None) -> Iterator[BatchSizes]:
        """See :class:`Loader`; features are not read."""
        batches = self._batches(number)
        for index in spread(len(batches), limit):
            offsets = np.empty(len(batches[index]) + 1, dtype=np.int64)
            _count(self._indptr, self._indices, batches[index], self._positions(batches[index]), offsets)
            nodes, edges = len(batches[index]), int(offsets[-1])
            inputs = tuple(input_sizes(self.graph, torch.from_numpy(batches[index])))
            yield BatchSizes((nodes,) * (self.num_layers + 1), (edges,) * self.num_layers, num_inputs=inputs)

    def _batches(self, epoch: int) -> List[NDArray[np.int64]]:
        """The nodes of every batch, ascending."""
        num = len(self._members)
        order = shuffle_order(num, seed=self.seed, epoch=epoch) if self.shuffle else np.arange(num)
        found = []
        for start in range(0, num, self.per_batch):
            nodes = np.sort(np.concatenate([self._members[i] for i in order[start : start + self.per_batch]]))
            if self._is_target[nodes].any():
                found.append(nodes)
        return found

    def _positions(self, nodes: NDArray[np.int64]) -> NDArray[np.int64]:
        positions = np.full(self.graph.num_nodes, -1, dtype=np.int64)
        positions[nodes] = np.arange(len(nodes))
        return positions

    def _build(self, batches: List[NDArray[np.int64]], epoch: int, first: int, position: int) -> Batch:
        key = BatchKey(epoch, first + position)
        return finished(partial(self._batch, batches[key.number], key), key, self.pad, self._transfer)

    def _batch(self, chosen: NDArray[np.int64], key: BatchKey) -> Batch:
        positions, offsets = self._positions(chosen), np.empty(len(chosen) + 1, dtype=np.int64)
        _count(self._indptr, self._indices, chosen, positions, offsets)
        edges, sources = (np.empty(int(offsets[-1]), dtype=np.int64) for _ in range(2))
        _pick(self._indptr, self._indices, chosen, positions, offsets, edges, sources)
        rows, nodes = torch.from_numpy(edges), torch.from_numpy(chosen)
        weight = None if self.graph.edge_weight is None else self.graph.edge_weight[rows]
        if weight is not None and self.rescale:
            factors = np.empty(len(edges))
            _factors(self._indptr, self._indices, chosen, offsets, sources, factors)
            weight = weight * torch.from_numpy(factors).to(weight.dtype)
        block = Block(
            torch.from_numpy(offsets),
            torch.from_numpy(sources),
            len(chosen),
            edge_weight=weight,
            edge_attr=None if self._edge_attr is None else gathered(self._edge_attr, rows, self._buffers),
        )
        block = with_types(block, self.graph, rows, nodes)
        blocks = (block,) * self.num_layers
        return Batch(blocks, self._inputs.rows(nodes, blocks[0].src_type), self._targets(chosen), nodes, key)

    def _targets(self, chosen: NDArray[np.int64]) -> Optional[Targets]:
        if self.graph.y is None:
            return None
        y, mask = self.graph.y[torch.from_numpy(chosen)], torch.from_numpy(self._is_target[chosen])
        is_number = y.is_floating_point() and y.ndim == 1
        y[~mask] = math.nan if is_number else IGNORED_LABEL
        return Targets.of_labels(y, mask)


@kernel
def _count(indptr: Any, indices: Any, chosen: Any, positions: Any, offsets: Any) -> None:
    """Write where the edges of every chosen node begin in the batch."""
    offsets[0] = 0
    for place in range(len(chosen)):
        inside = 0
        for edge in range(indptr[chosen[place]], indptr[chosen[place] + 1]):
            inside += positions[indices[edge]] >= 0
        offsets[place + 1] = offsets[place] + inside


@kernel
def _pick(indptr: Any, indices: Any, chosen: Any, positions: Any, offsets: Any, edges: Any, sources: Any) -> None:
    """Write the edges between chosen nodes, by their number in the graph and their source in the batch."""
    for place in range(len(chosen)):
        at = offsets[place]
        for edge in range(indptr[chosen[place]], indptr[chosen[place] + 1]):
            if positions[indices[edge]] >= 0:
                edges[at] = edge
                sources[at] = positions[indices[edge]]
                at += 1


@kernel
def _factors(indptr: Any, indices: Any, chosen: Any, offsets: Any, sources: Any, factors: Any) -> None:
    """Write (neighbours / neighbours in the batch) of every edge's destination; 1 for self-loops."""
    for place in range(len(chosen)):
        own = chosen[place]
        neighbours = indptr[own + 1] - indptr[own]
        for edge in range(indptr[own], indptr[own + 1]):
            neighbours -= indices[edge] == own
        inside = offsets[place + 1] - offsets[place]
        for at in range(offsets[place], offsets[place + 1]):
            inside -= sources[at] == place
        for at in range(offsets[place], offsets[place + 1]):
            factors[at] = 1.0 if sources[at] == place else neighbours / inside
