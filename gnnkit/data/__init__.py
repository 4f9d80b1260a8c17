"""Records for graphs and batches, checks, conversions and transforms."""

from gnnkit.data.batch import Batch, Block, full_block
from gnnkit.data.graph import IGNORED_LABEL, SPLITS, Graph

__all__ = ["IGNORED_LABEL", "SPLITS", "Batch", "Block", "Graph", "full_block"]
