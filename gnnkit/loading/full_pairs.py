"""Batches of pairs on the full graph: every node is source and destination, but a batch's own pairs carry no messages.

Rules: an epoch goes through all pairs, in ten batches, so that nine tenths of them carry messages in each. A batch is a
function of (loader, epoch, number of the batch).
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Dict, Iterator, List, Optional

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gnnkit.data import BLOCK_ARRAYS, Batch, BatchKey, Block, Graph, Targets, full_block
from gnnkit.data.batch import EDGE
from gnnkit.errors import ConfigError
from gnnkit.loading.base import Loader, Transfer, edge_features_of, finished, identity
from gnnkit.loading.drawing import Draw, item_ids
from gnnkit.loading.gather import loaded_dtype
from gnnkit.loading.inputs import InputTable, input_sizes
from gnnkit.loading.padding import BatchSizes, PadSpec
from gnnkit.sampling import Buffers, shuffle_order
from gnnkit.sampling.hiding import edges_between

NUM_BATCHES = 10
"""Batches of an epoch. One would hide all pairs, and leave nothing that carries messages; the more there are, the more
the messages of a training are those of the evaluation."""


class FullGraphPairLoader(Loader):
    """Loads the whole graph for each tenth of the pairs.

    Args:
        graph: The graph, with features.
        items: What ``draw`` takes. One-dimensional, integer, at least one.
        draw: Turns items into pairs to learn from and pairs to hide.
        num_layers: How many layers the model has; a batch repeats its one block so often.
        keep_self_loops: Whether self-loops stay although their pair is hidden, because a convolution has added them.
        shuffle: Whether the tenths are others in every epoch, keyed by (seed, epoch).
        seed: Seed of the order.
        transfer: What to do with a batch last, for example ``Device.put``.
        pad: Bring batches to these sizes. None leaves them as large as they are.
        edge_features: Whether the model reads edge features: blocks get the graph's.

    Raises:
        ConfigError: No items, or ``num_layers`` below 1.
        DataError: No features, or none of edges with ``edge_features``.
    """

    def __init__(
        self,
        graph: Graph,
        items: Tensor,
        draw: Draw,
        *,
        num_layers: int,
        keep_self_loops: bool = False,
        shuffle: bool = True,
        seed: int = 0,
        transfer: Transfer = identity,
        pad: Optional[PadSpec] = None,
        edge_features: bool = False,
    ) -> None:
        if num_layers < 1:
            raise ConfigError(f"num_layers is {num_layers}; expected at least 1.")
        self.graph = graph
        self.num_layers = num_layers
        self.shuffle = shuffle
        self.seed = seed
        self.pad = pad
        self.edge_features = edge_features
        self._inputs = InputTable(graph, Buffers())
        self._items = item_ids(items)
        self._draw = draw
        self._loops = not keep_self_loops
        self._transfer = transfer
        self._block = full_block(graph)
        if edge_features:
            edge_attr = edge_features_of(graph)
            self._block = replace(self._block, edge_attr=edge_attr.to(loaded_dtype(edge_attr.dtype)))

    def __len__(self) -> int:
        """Ten; as many as pairs, if these are fewer."""
        return min(NUM_BATCHES, len(self._items))

    def epoch(self, number: int, batches: Optional[range] = None) -> Iterator[Batch]:
        """See :class:`Loader`."""
        parts = self._parts(number)
        for index in range(len(parts)) if batches is None else batches:
            key = BatchKey(number, index)
            yield finished(partial(self._batch, parts[index], key), key, self.pad, self._transfer)

    def sizes(self, number: int, *, limit: Optional[int] = None) -> Iterator[BatchSizes]:
        """See :class:`Loader`: the largest that there can be, with no edge hidden. Nothing is built."""
        nodes, edges = self.graph.num_nodes, self.graph.num_edges
        largest = max(map(len, self._parts(number)))
        inputs = input_sizes(self.graph, torch.arange(nodes))
        levels = (nodes,) * (self.num_layers + 1)
        yield BatchSizes(levels, (edges,) * self.num_layers, largest, num_inputs=tuple(inputs))

    def _parts(self, epoch: int) -> List[NDArray[np.int64]]:
        order = shuffle_order(len(self._items), seed=self.seed, epoch=epoch)
        items = self._items[order] if self.shuffle else self._items
        return np.array_split(items, len(self))

    def _batch(self, items: NDArray[np.int64], key: BatchKey) -> Batch:
        drawn = self._draw(items, slice(None), key.epoch, key.number)
        nodes = torch.from_numpy(drawn.seeds)
        rows = {name: nodes[row] for name, row in drawn.targets.rows.items()}
        targets: Targets = replace(drawn.targets, rows=rows)
        block = self._block if drawn.hidden is None else without_edges(self._block, drawn.hidden, loops=self._loops)
        features = self._inputs.everything
        everyone = torch.arange(self.graph.num_nodes)
        return Batch((block,) * self.num_layers, features, targets, everyone, key)


def without_edges(block: Block, pairs: NDArray[np.int64], *, loops: bool) -> Block:
    """A block without the edges between pairs of its nodes.

    Args:
        block: Of a whole graph, so that positions are node ids.
        pairs: Source and destination. Shape [n, 2], int64.
        loops: Whether edges from a node to itself are among them.
    """
    types = None if block.edge_type is None else block.edge_type.numpy()
    indptr, indices = block.indptr.numpy(), block.indices.numpy()
    hidden = torch.from_numpy(edges_between(indptr, indices, pairs, loops=loops, types=types))
    kept = torch.ones(block.num_edges, dtype=torch.bool)
    kept[hidden] = False
    before = torch.zeros(block.num_edges + 1, dtype=torch.int64)
    torch.cumsum(kept, 0, out=before[1:])
    arrays: Dict[str, Tensor] = {
        name: values[kept] if BLOCK_ARRAYS[name].axis == EDGE else values for name, values in block.arrays.items()
    }
    return Block(before[block.indptr], block.indices[kept], block.num_src, **arrays)  # type: ignore[arg-type]
