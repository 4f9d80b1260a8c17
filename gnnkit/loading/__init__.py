"""Loaders: a split of a graph as a stream of batches, whole or neighbour-sampled, prepared in threads, padded."""

from gnnkit.loading.base import Loader, Transfer
from gnnkit.loading.clusters import ClusterLoader
from gnnkit.loading.drawing import Draw, Drawn, LinkDraw, paired
from gnnkit.loading.full import FullGraphLoader
from gnnkit.loading.full_pairs import FullGraphPairLoader
from gnnkit.loading.graphs import GraphLoader
from gnnkit.loading.neighbor import NeighborLoader
from gnnkit.loading.packing import Packing, largest_batch, pack_graphs, pad_to_maximum, propose_bins
from gnnkit.loading.padding import BatchSizes, PadSpec, batch_sizes, pad_batch, pad_targets
from gnnkit.loading.partition import grown_parts
from gnnkit.loading.planning import PaddingPlan, batch_bytes, plan_padding
from gnnkit.loading.records import PaddedGraphs, graph_sizes, pad_graphs, take_graphs
from gnnkit.loading.reducing import InputReduction

__all__ = [
    "BatchSizes",
    "ClusterLoader",
    "Draw",
    "Drawn",
    "FullGraphLoader",
    "FullGraphPairLoader",
    "GraphLoader",
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
    "graph_sizes",
    "grown_parts",
    "largest_batch",
    "pack_graphs",
    "pad_batch",
    "pad_graphs",
    "pad_targets",
    "pad_to_maximum",
    "paired",
    "plan_padding",
    "propose_bins",
    "take_graphs",
]
