"""Full-graph batches: one batch an epoch, every node both source and destination in every layer.

Rules: the batch is built and transferred once, at the first epoch, and yielded again at every other.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cached_property
from typing import Iterator, Optional

import torch
from torch import Tensor

from gnnkit.data import IGNORED_LABEL, Batch, Block, Graph, Targets, full_block
from gnnkit.errors import ConfigError, PipelineError
from gnnkit.loading.base import Loader, Transfer, edge_features_of, identity
from gnnkit.loading.gather import loaded_dtype
from gnnkit.loading.inputs import InputTable, input_sizes
from gnnkit.loading.padding import BatchSizes, PadSpec, pad_batch
from gnnkit.sampling import Buffers
from gnnkit.sampling.neighbor import check_node_ids


class FullGraphLoader(Loader):
    """Loads the whole graph as one batch.

    Args:
        graph: The graph, with features.
        nodes: Ids of the nodes that are targets. One-dimensional, integer. Labels of all others become -100 in the
            batch (NaN, if labels are numbers), and its mask leaves them out. None when only outputs are wanted: the
            batch then has no targets.
        num_layers: How many layers the model has; the batch repeats its one block so often.
        transfer: What to do with the batch last, for example ``Device.put``.
        pad: Bring the batch to these sizes. None leaves it as large as the graph.
        edge_features: Whether the model reads edge features: blocks get the graph's.

    Raises:
        ConfigError: No nodes, or ``num_layers`` below 1.
        DataError: No features, or none of edges with ``edge_features``, or nodes that the graph does not have.
        BatchOverflowError: At the first epoch: the graph is too large for ``pad``.

    Example:
        >>> from gnnkit.data import Graph
        >>> graph = Graph(torch.tensor([0, 1, 2]), torch.tensor([1, 0]), x=torch.eye(2), y=torch.tensor([0, 1]))
        >>> batch = next(FullGraphLoader(graph, torch.tensor([1]), num_layers=2).epoch(0))
        >>> batch.targets.y.tolist(), batch.targets.mask.tolist(), batch.num_targets
        ([-100, 1], [False, True], 1)
    """

    def __init__(
        self,
        graph: Graph,
        nodes: Optional[Tensor],
        *,
        num_layers: int,
        transfer: Transfer = identity,
        pad: Optional[PadSpec] = None,
        edge_features: bool = False,
    ) -> None:
        if num_layers < 1:
            raise ConfigError(f"num_layers is {num_layers}; expected at least 1.")
        self.graph = graph
        self.num_layers = num_layers
        self._inputs = InputTable(graph, Buffers())
        self._nodes = None if nodes is None else torch.from_numpy(check_node_ids(nodes, graph.num_nodes, "nodes"))
        self._transfer = transfer
        self.pad = pad
        self.edge_features = edge_features
        if edge_features:
            edge_features_of(graph)

    def __len__(self) -> int:
        """One."""
        return 1

    def epoch(self, number: int, batches: Optional[range] = None) -> Iterator[Batch]:
        """Yield the one batch, the same object at every epoch."""
        if batches is None or 0 in batches:
            yield self._batch

    def sizes(self, number: int, *, limit: Optional[int] = None) -> Iterator[BatchSizes]:
        """See :class:`Loader`; nothing is built."""
        nodes, edges = self.graph.num_nodes, self.graph.num_edges
        inputs = tuple(input_sizes(self.graph, torch.arange(nodes)))
        yield BatchSizes((nodes,) * (self.num_layers + 1), (edges,) * self.num_layers, num_inputs=inputs)

    @cached_property
    def _batch(self) -> Batch:
        blocks = (self._block(),) * self.num_layers
        batch = Batch(blocks, self._inputs.everything, self._targets(), torch.arange(self.graph.num_nodes))
        if self.pad is not None:
            batch = pad_batch(batch, self.pad)
        try:
            return self._transfer(batch)
        except Exception as error:  # A device's or a backend's own, which may be anything.
            raise PipelineError(f"The full-graph batch failed in transfer: {type(error).__name__}: {error}") from error

    def _block(self) -> Block:
        block = full_block(self.graph, edge_features=self.edge_features)
        if block.edge_attr is None:
            return block
        return replace(block, edge_attr=block.edge_attr.to(loaded_dtype(block.edge_attr.dtype)))

    def _targets(self) -> Optional[Targets]:
        y = self.graph.y
        if self._nodes is None or y is None:
            return None
        is_number = y.is_floating_point() and y.ndim == 1
        ours = torch.full_like(y, math.nan if is_number else IGNORED_LABEL)
        ours[self._nodes] = y[self._nodes]
        mask = torch.zeros(len(y), dtype=torch.bool)
        mask[self._nodes] = True
        return Targets.of_labels(ours, mask)
