"""Samplers: from seed nodes to blocks, with random numbers that depend on what they are for alone."""

from gnnkit.sampling.neighbor import NeighborSampler, SampledBlocks, check_fanouts
from gnnkit.sampling.random import shuffle_order

__all__ = ["NeighborSampler", "SampledBlocks", "check_fanouts", "shuffle_order"]
