"""Samplers: from seed nodes to blocks, and random walks, with random numbers that depend on what they are for alone."""

from gnnkit.sampling.buffers import Buffers
from gnnkit.sampling.fanouts import (
    Fanouts,
    check_fanout_lists,
    check_fanouts,
    num_hops,
    plain_fanouts,
    takes_all,
)
from gnnkit.sampling.known_pairs import KnownPairs, known_pairs
from gnnkit.sampling.negatives import NegativeSampler
from gnnkit.sampling.neighbor import NeighborSampler, SampledBlocks
from gnnkit.sampling.random import row_keys, shuffle_order, uniform_by_id
from gnnkit.sampling.remote import RemoteSampler, Sampler
from gnnkit.sampling.walks import PairSampler, SampledPairs, random_walks

__all__ = [
    "Buffers",
    "Fanouts",
    "KnownPairs",
    "NegativeSampler",
    "NeighborSampler",
    "PairSampler",
    "RemoteSampler",
    "SampledBlocks",
    "SampledPairs",
    "Sampler",
    "check_fanout_lists",
    "check_fanouts",
    "known_pairs",
    "num_hops",
    "plain_fanouts",
    "random_walks",
    "row_keys",
    "shuffle_order",
    "takes_all",
    "uniform_by_id",
]
