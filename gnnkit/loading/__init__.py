"""Loaders: a split of a graph as a stream of batches, whole or neighbour-sampled, prepared in threads, padded."""

from gnnkit.loading.base import Loader, Transfer
from gnnkit.loading.drawing import Draw, Drawn, LinkDraw, paired
from gnnkit.loading.full import FullGraphLoader
from gnnkit.loading.full_pairs import FullGraphPairLoader
from gnnkit.loading.neighbor import NeighborLoader
from gnnkit.loading.packing import Packing, PaddedGraphs, pack_graphs, pad_graphs, pad_to_maximum, take_graphs
from gnnkit.loading.padding import BatchSizes, PadSpec, batch_sizes, pad_batch, pad_targets
from gnnkit.loading.planning import PaddingPlan, batch_bytes, plan_padding
from gnnkit.loading.reducing import InputReduction

__all__ = [
    "BatchSizes",
    "Draw",
    "Drawn",
    "FullGraphLoader",
    "FullGraphPairLoader",
    "InputReduction",
    "LinkDraw",
    "Loader",
    "NeighborLoader",
    "Packing",
    "PadSpec",
    "PaddedGraphs",
    "PaddingPlan",
    "Transfer",
    "batch_bytes",
    "batch_sizes",
    "pack_graphs",
    "pad_batch",
    "pad_graphs",
    "pad_targets",
    "pad_to_maximum",
    "paired",
    "plan_padding",
    "take_graphs",
]
