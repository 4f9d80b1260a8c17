"""Loaders: a split of a graph as a stream of batches, whole or neighbour-sampled, prepared in threads."""

from gnnkit.loading.base import Loader, Transfer
from gnnkit.loading.full import FullGraphLoader
from gnnkit.loading.neighbor import NeighborLoader

__all__ = ["FullGraphLoader", "Loader", "NeighborLoader", "Transfer"]
