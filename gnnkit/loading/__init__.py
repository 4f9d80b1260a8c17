"""Loaders: a split of a graph as a stream of batches, whole or neighbour-sampled, prepared in threads, padded."""

from gnnkit.loading.base import Loader, Transfer
from gnnkit.loading.full import FullGraphLoader
from gnnkit.loading.neighbor import NeighborLoader
from gnnkit.loading.padding import BatchSizes, PadSpec, batch_sizes, pad_batch

__all__ = [
    "BatchSizes",
    "FullGraphLoader",
    "Loader",
    "NeighborLoader",
    "PadSpec",
    "Transfer",
    "batch_sizes",
    "pad_batch",
]
