"""Loaders: a split of a graph as a stream of batches, whole or neighbour-sampled, prepared in threads, padded."""

from gnnkit.loading.base import Loader, Transfer
from gnnkit.loading.full import FullGraphLoader
from gnnkit.loading.neighbor import NeighborLoader
from gnnkit.loading.padding import BatchSizes, PadSpec, batch_sizes, pad_batch
from gnnkit.loading.planning import PaddingPlan, batch_bytes, plan_padding

__all__ = [
    "BatchSizes",
    "FullGraphLoader",
    "Loader",
    "NeighborLoader",
    "PadSpec",
    "PaddingPlan",
    "Transfer",
    "batch_bytes",
    "batch_sizes",
    "pad_batch",
    "plan_padding",
]
