"""Neighbour-sampled batches: seeds -> sample -> gather features -> batch -> transfer, in threads.

Rules: a batch is a function of (loader, epoch, number of the batch), so it is the same for any number of threads.
"""

from __future__ import annotations

from functools import partial
from typing import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gnnkit.data import Batch, Graph
from gnnkit.errors import ConfigError, PipelineError
from gnnkit.loading.base import Loader, Transfer, count_targets, features_of, identity
from gnnkit.loading.gather import gather_rows
from gnnkit.loading.prefetch import prefetch
from gnnkit.sampling import NeighborSampler, shuffle_order
from gnnkit.sampling.neighbor import check_node_ids


class NeighborLoader(Loader):
    """Loads the nodes of a split in batches, each with its sampled neighbourhood.

    Args:
        graph: Where features and labels come from.
        nodes: Ids of the nodes to load. One-dimensional, integer, at least one.
        sampler: Picks the blocks. It samples ``graph``, or one of the same nodes in the same order.
        batch_size: Seeds in a batch; the last batch has what is left.
        shuffle: Visit the nodes in a new order every epoch, keyed by (seed, epoch).
        drop_last: Leave out a last batch that is smaller than the others.
        seed: Seed of the order.
        num_threads: Threads that prepare batches. 0 prepares each in the caller's thread.
        prefetch: Finished batches to hold beyond one for each thread.
        transfer: The last stage, run in the thread that prepared the batch, for example ``Device.put``.

    Raises:
        ConfigError: Settings out of range, no nodes, or not one whole batch with ``drop_last``.
        DataError: No features, or nodes that the graph does not have.

    Example:
        >>> from gnnkit.data import Graph
        >>> ring = Graph(torch.arange(7), torch.tensor([5, 0, 1, 2, 3, 4]), x=torch.eye(6))
        >>> loader = NeighborLoader(ring, torch.arange(6), NeighborSampler(ring, [1]), batch_size=4, shuffle=False)
        >>> [batch.nodes.tolist() for batch in loader.epoch(0)]
        [[0, 1, 2, 3], [4, 5]]
    """

    def __init__(
        self,
        graph: Graph,
        nodes: Tensor,
        sampler: NeighborSampler,
        *,
        batch_size: int,
        shuffle: bool,
        drop_last: bool = False,
        seed: int = 0,
        num_threads: int = 1,
        prefetch: int = 2,
        transfer: Transfer = identity,
    ) -> None:
        for name, value, least in (
            ("batch_size", batch_size, 1),
            ("num_threads", num_threads, 0),
            ("prefetch", prefetch, 0),
        ):
            if value < least:
                raise ConfigError(f"{name} is {value}; expected at least {least}.")
        if sampler.graph.num_nodes != graph.num_nodes:
            raise ConfigError(
                f"The sampler's graph has {sampler.graph.num_nodes} nodes, the loader's {graph.num_nodes}; "
                "give both the same graph."
            )
        self.graph = graph
        self.sampler = sampler
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.drop_last = drop_last
        self.seed = seed
        self.num_threads = num_threads
        self.prefetch = prefetch
        self._x = features_of(graph)
        self._nodes = check_node_ids(nodes, graph.num_nodes, "nodes")
        self._transfer = transfer
        if len(self) == 0:
            raise ConfigError(
                f"drop_last leaves no batch: batch_size is {batch_size} and there are {len(self._nodes)} nodes. "
                "Use a smaller batch_size or turn drop_last off."
            )

    def __len__(self) -> int:
        """Number of batches in an epoch."""
        whole, rest = divmod(len(self._nodes), self.batch_size)
        return whole + (1 if rest and not self.drop_last else 0)

    def epoch(self, number: int) -> Iterator[Batch]:
        """The batches of one epoch, in order. Threads run from the first ``next`` to the end, or to ``close``."""
        order = self._nodes
        if self.shuffle:
            order = order[shuffle_order(len(order), seed=self.seed, epoch=number)]
        build = partial(self._build, order, number)
        return prefetch(build, len(self), num_threads=self.num_threads, ahead=self.prefetch)

    def _build(self, order: NDArray[np.int64], epoch: int, index: int) -> Batch:
        seeds = order[index * self.batch_size : (index + 1) * self.batch_size]
        stage = "sampling"
        try:
            sampled = self.sampler.sample(seeds, epoch=epoch, batch=index)
            stage = "gathering features"
            x = gather_rows(self._x, sampled.nodes)
            nodes = torch.from_numpy(seeds.copy())
            y = None if self.graph.y is None else self.graph.y[nodes]
            batch = Batch(sampled.blocks, x, y, nodes, 0 if y is None else count_targets(y), index)
            stage = "transfer"
            return self._transfer(batch)
        except Exception as error:
            # Whatever a stage raises, the user needs to know which batch it was.
            message = f"Batch {index} of epoch {epoch} failed in {stage}: {type(error).__name__}: {error}"
            raise PipelineError(message) from error
