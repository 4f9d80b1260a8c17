"""Samplers: from seed nodes to blocks, with random numbers that depend on what they are for alone."""

from gnnkit.sampling.buffers import Buffers
from gnnkit.sampling.neighbor import NeighborSampler, SampledBlocks, check_fanouts
from gnnkit.sampling.random import shuffle_order

__all__ = ["Buffers", "NeighborSampler", "SampledBlocks", "check_fanouts", "shuffle_order"]
