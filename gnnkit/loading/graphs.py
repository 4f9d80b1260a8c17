"""Batches of whole graphs, of random ones or packed into bins of one size.

Rules: a batch is a function of (loader, epoch, number of the batch). Every graph comes exactly once in an epoch. Nodes
and edges are copied once, from the record into the batch.
"""

from __future__ import annotations

from contextlib import closing
from functools import partial
from typing import Any, Iterator, Optional, Tuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gnnkit.data import Batch, BatchKey, Block, Graph, Targets
from gnnkit.errors import ConfigError
from gnnkit.jit import kernel
from gnnkit.loading.base import (
    WHOLE,
    Loader,
    Share,
    Transfer,
    edge_features_of,
    finished,
    identity,
    part_of,
    without_targets,
)
from gnnkit.loading.drawing import item_ids
from gnnkit.loading.gather import gathered
from gnnkit.loading.inputs import InputTable, with_types
from gnnkit.loading.packing import Packing, deal
from gnnkit.loading.padding import PadSpec
from gnnkit.loading.prefetch import prefetch
from gnnkit.sampling import Buffers, shuffle_order


class GraphLoader(Loader):
    """Loads graphs of a record in batches, each graph whole.

    Args:
        graph: The record, with features.
        graphs: Numbers of the graphs to load. One-dimensional, integer, at least one.
        num_layers: How many layers the model has; a batch repeats its one block so often.
        batch_size: Graphs in a batch; the last batch has what is left. Without effect on packed ones.
        shuffle: Whether graphs come in a new order every epoch, keyed by (seed, epoch).
        drop_last: Leave out a last batch that is smaller than the others.
        seed: Seed of the order.
        packing: Bins for graphs of these sizes, in the order of ``graphs``: each bin is a batch. With ``shuffle`` bins
            come in a new order every epoch, and graphs of equal size change places. None: batches of random graphs.
        num_threads: Threads that prepare batches. 0 prepares each in the caller's thread.
        prefetch: Finished batches to hold beyond one for each thread.
        transfer: The last stage, run in the thread that prepared the batch, for example ``Device.put``.
        pad: Bring every batch to these sizes. None leaves batches as large as they are.
        edge_features: Whether the model reads edge features: blocks get the graph's.
        share: As for :class:`NeighborLoader`.

    Raises:
        ConfigError: Settings out of range, or graphs that the record does not have.
        DataError: No features, or none of edges with ``edge_features``.

    Example:
        >>> from gnnkit.data import from_edge_index
        >>> graph = from_edge_index([[0, 1, 2], [1, 0, 2]], x=torch.eye(3), graph_ptr=[0, 2, 3], graph_y=[1, 0])
        >>> loader = GraphLoader(graph, torch.arange(2), num_layers=1, batch_size=2, shuffle=False)
        >>> batch = next(loader.epoch(0))
        >>> batch.nodes.tolist(), batch.graphs.dst.tolist(), batch.targets.y.tolist()
        ([0, 1], [0, 0, 1], [1, 0])
    """

    def __init__(
        self,
        graph: Graph,
        graphs: Tensor,
        *,
        num_layers: int,
        batch_size: int = 32,
        shuffle: bool = True,
        drop_last: bool = False,
        seed: int = 0,
        packing: Optional[Packing] = None,
        num_threads: int = 0,
        prefetch: int = 2,
        transfer: Transfer = identity,
        pad: Optional[PadSpec] = None,
        edge_features: bool = False,
        share: Share = WHOLE,
    ) -> None:
        for name, value, least in (("num_layers", num_layers, 1), ("batch_size", batch_size, 1)):
            if value < least:
                raise ConfigError(f"{name} is {value}; expected at least {least}.")
        self.graph = graph
        self.num_layers = num_layers
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.drop_last = drop_last
        self.seed = seed
        self.packing = packing
        self.num_threads = num_threads
        self.prefetch = prefetch
        self.pad = pad
        self.edge_features = edge_features
        self.share = share
        self._graphs = item_ids(graphs)
        if self._graphs.min() < 0 or self._graphs.max() >= graph.num_graphs:
            raise ConfigError(f"graphs has numbers beyond 0 to {graph.num_graphs - 1}, which the record has.")
        if packing is not None and sum(map(len, packing.bins)) != len(self._graphs):
            raise ConfigError(
                f"The packing holds {sum(map(len, packing.bins))} graphs, and {len(self._graphs)} are to be loaded."
            )
        self._edge_attr = edge_features_of(graph) if edge_features else None
        self._transfer = transfer
        self._buffers = Buffers()
        self._inputs = InputTable(graph, self._buffers)
        self._pointer = np.ascontiguousarray(graph.graph_offsets.numpy())
        if len(self) == 0:
            raise ConfigError(
                f"drop_last leaves no batch: batch_size is {batch_size} and there are {len(self._graphs)} graphs. Use "
                "a smaller batch_size or turn drop_last off."
            )

    def __len__(self) -> int:
        """Number of batches in an epoch."""
        if self.packing is not None:
            return len(self.packing.bins)
        whole, rest = divmod(len(self._graphs), self.batch_size)
        return whole + (1 if rest and not self.drop_last else 0)

    def epoch(self, number: int, batches: Optional[range] = None) -> Iterator[Batch]:
        """The batches of one epoch, in order. Threads run from the first ``next`` to the end, or to ``close``.

        Args:
            number: As for :class:`Loader`.
            batches: Numbers of the batches, one after the other. None: all.
        """
        wanted = range(len(self)) if batches is None else batches
        build = partial(self._build, self._batches(number), number, wanted.start)
        made = prefetch(build, len(wanted), num_threads=self.num_threads, ahead=self.prefetch)
        with closing(made) as found:
            yield from found

    def _batches(self, epoch: int) -> Tuple[NDArray[np.int64], ...]:
        """The graphs of every batch."""
        num = len(self._graphs)
        order = shuffle_order(num, seed=self.seed, epoch=epoch) if self.shuffle else np.arange(num)
        if self.packing is None:
            return tuple(np.split(self._graphs[order], range(self.batch_size, num, self.batch_size)))
        bins = deal(self.packing, order) if self.shuffle else self.packing.bins
        visited = shuffle_order(len(bins), seed=self.seed, epoch=epoch) if self.shuffle else range(len(bins))
        return tuple(self._graphs[np.asarray(bins[each], dtype=np.int64)] for each in visited)

    def _build(self, batches: Tuple[NDArray[np.int64], ...], epoch: int, first: int, position: int) -> Batch:
        key = BatchKey(epoch, first + position)
        return finished(partial(self._part, batches[key.number], key), key, self.pad, self._transfer)

    def _part(self, chosen: NDArray[np.int64], key: BatchKey) -> Batch:
        """This process's part of a batch."""
        part = part_of(len(chosen), self.share)
        if part.start < part.stop:
            return self._batch(chosen[part], key)
        return without_targets(self._batch(chosen[:1], key))

    def _batch(self, chosen: NDArray[np.int64], key: BatchKey) -> Batch:
        graph, pointer = self.graph, self._pointer
        indptr, indices = graph.indptr.numpy(), graph.indices.numpy()
        sizes = np.empty((2, len(chosen) + 1), dtype=np.int64)
        _measure(pointer, indptr, chosen, sizes)
        num_nodes, num_edges = sizes[:, -1]
        nodes, edges = np.empty(num_nodes, dtype=np.int64), np.empty(num_edges, dtype=np.int64)
        offsets, sources = np.empty(num_nodes + 1, dtype=np.int64), np.empty(num_edges, dtype=np.int64)
        _join(pointer, indptr, indices, chosen, sizes, nodes, edges, offsets, sources)
        rows = torch.from_numpy(edges)
        weight = graph.edge_weight
        block = Block(
            torch.from_numpy(offsets),
            torch.from_numpy(sources),
            int(num_nodes),
            edge_weight=None if weight is None else weight[rows],
            edge_attr=None if self._edge_attr is None else gathered(self._edge_attr, rows, self._buffers),
        )
        block = with_types(block, graph, rows, torch.from_numpy(nodes))
        numbers = torch.from_numpy(chosen)
        return Batch(
            (block,) * self.num_layers,
            self._inputs.rows(torch.from_numpy(nodes), block.src_type),
            None if graph.graph_y is None else Targets.of_labels(graph.graph_y[numbers]),
            numbers,
            key,
            graphs=Block(torch.from_numpy(sizes[0].copy()), torch.arange(int(num_nodes)), int(num_nodes)),
        )


@kernel
def _measure(pointer: Any, indptr: Any, chosen: Any, sizes: Any) -> None:
    """Write where nodes and edges of every chosen graph begin in the batch: [2, chosen + 1]."""
    sizes[:, 0] = 0
    for place in range(len(chosen)):
        start, end = pointer[chosen[place]], pointer[chosen[place] + 1]
        sizes[0, place + 1] = sizes[0, place] + end - start
        sizes[1, place + 1] = sizes[1, place] + indptr[end] - indptr[start]


@kernel
def _join(
    pointer: Any,
    indptr: Any,
    indices: Any,
    chosen: Any,
    sizes: Any,
    nodes: Any,
    edges: Any,
    offsets: Any,
    sources: Any,
) -> None:
    """Write the nodes and edges of the chosen graphs, and the edges' structure in the batch."""
    offsets[0] = 0
    for place in range(len(chosen)):
        start, end = pointer[chosen[place]], pointer[chosen[place] + 1]
        node, edge = sizes[0, place], sizes[1, place]
        for i in range(end - start):
            nodes[node + i] = start + i
            offsets[node + i + 1] = edge + indptr[start + i + 1] - indptr[start]
        for i in range(indptr[end] - indptr[start]):
            edges[edge + i] = indptr[start] + i
            sources[edge + i] = indices[indptr[start] + i] - start + node
