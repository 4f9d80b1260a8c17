"""Sampling blocks from a graph whose edges lie elsewhere.

Rules: the other side draws, and all else is done here: self-loops, weights of GCN, and edges that a batch must not see.
Which neighbours are drawn is not keyed by (seed, epoch, batch, hop, node), as it is in a sampler of our own.
"""

from __future__ import annotations

from typing import Optional, Sequence, Tuple, Union

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from gnnkit.data import Block, Graph
from gnnkit.errors import ConfigError
from gnnkit.sampling.fanouts import check_fanouts
from gnnkit.sampling.neighbor import NeighborSampler, SampledBlocks, check_node_ids

Ids = NDArray[np.int64]


class RemoteSampler:
    """Samples blocks as :class:`gnnkit.sampling.NeighborSampler` does, where ``graph.remote`` says where edges are.

    Args:
        graph: A graph with ``remote``.
        fanouts: Neighbours per layer, seeds first; -1 takes all.
        replace: Whether neighbours are drawn with replacement.
        keep_self_loops: Whether every destination has one self-loop, besides the neighbours that are drawn.
        weighted: Whether edges have the weights of GCN (Kipf and Welling, 2017), multiplied for drawn neighbours by
            (neighbours / neighbours taken). They take the self-loops into account.

    Raises:
        ConfigError: Fan-outs that are not integers from 1 or -1, or a graph that is here.
    """

    def __init__(
        self,
        graph: Graph,
        fanouts: Sequence[int],
        *,
        replace: bool = False,
        keep_self_loops: bool = False,
        weighted: bool = False,
    ) -> None:
        if graph.remote is None:
            raise ConfigError("The graph has its edges here. Take NeighborSampler.")
        self.graph = graph
        self.fanouts = check_fanouts(fanouts)
        self.replace = replace
        self.keep_self_loops = keep_self_loops
        self.weighted = weighted
        self._neighbors = graph.remote.neighbors

    @property
    def num_layers(self) -> int:
        """How many blocks a sample has: one per fan-out."""
        return len(self.fanouts)

    def sample(
        self,
        seeds: Union[Tensor, ArrayLike],
        *,
        epoch: int,
        batch: int,
        edge_ids: bool = False,
        hidden: Optional[Ids] = None,
    ) -> SampledBlocks:
        """Sample the blocks of one batch.

        Args:
            seeds: Node ids whose outputs are wanted, each once. Integers of shape [B], at least one.
            epoch: Has no influence here, nor has ``batch``: the other side draws.
            batch: Likewise.
            edge_ids: Not to be had.
            hidden: Pairs of source and destination whose edges are taken out of every block. Shape [n, 2], int64.
                Self-loops that are always taken stay.

        Returns:
            Blocks from input to output layer, and the ids of the nodes whose features the first one needs.

        Raises:
            ConfigError: There are no seeds.
            DataError: Seeds are not node ids of the graph.
        """
        assert not edge_ids, "models that read edge features were refused"
        nodes = check_node_ids(seeds, self.graph.num_nodes, "seeds")
        keys = None if hidden is None else np.unique(self._keys(hidden[:, 0], hidden[:, 1]))
        blocks = []
        for fanout in self.fanouts:
            block, nodes = self._hop(nodes, fanout, keys)
            blocks.append(block)
        return SampledBlocks(tuple(reversed(blocks)), torch.from_numpy(nodes))

    def _keys(self, sources: Ids, destinations: Ids) -> Ids:
        """One number for each pair."""
        return sources * self.graph.num_nodes + destinations

    def _hop(self, dst: Ids, fanout: int, hidden: Optional[Ids]) -> Tuple[Block, Ids]:
        """The block whose destinations are given, and its source nodes."""
        sources, ends = self._neighbors.sample(dst, fanout, replace=self.replace and fanout >= 0)
        if self.keep_self_loops:
            other = sources != ends
            sources, ends = sources[other], ends[other]
        rows = positions(dst, ends)
        taken = np.bincount(rows, minlength=len(dst))
        if hidden is not None:
            seen = ~np.isin(self._keys(sources, ends), hidden)
            sources, rows = sources[seen], rows[seen]
        if self.keep_self_loops:
            sources = np.concatenate([sources, dst])
            rows = np.concatenate([rows, np.arange(len(dst))])
        order = np.lexsort((sources, rows))
        sources, rows = sources[order], rows[order]
        local = positions(dst, sources)
        more, places = np.unique(sources[local < 0], return_inverse=True)
        local[local < 0] = len(dst) + places
        nodes = np.concatenate([dst, more])
        indptr = np.zeros(len(dst) + 1, dtype=np.int64)
        np.cumsum(np.bincount(rows, minlength=len(dst)), out=indptr[1:])
        weight = self._weights(nodes, local, rows, taken) if self.weighted else None
        return Block(torch.from_numpy(indptr), torch.from_numpy(local), len(nodes), weight), nodes

    def _weights(self, nodes: Ids, local: Ids, rows: Ids, taken: Ids) -> Tensor:
        """GCN's weights of a block's edges. Before hidden edges went, ``taken`` neighbours of each row were drawn."""
        degrees = self._neighbors.degrees(nodes)
        scale = 1 / np.sqrt(degrees + 1.0)
        weights = scale[local] * scale[rows]
        is_loop = local == rows
        share = degrees[rows] / np.maximum(taken[rows], 1)
        return torch.from_numpy(np.where(is_loop, weights, weights * share).astype(np.float32))


Sampler = Union[NeighborSampler, RemoteSampler]
"""What gives blocks for seeds."""


def positions(nodes: Ids, wanted: Ids) -> Ids:
    """Where ids stand in a list of node ids, each of which comes once; -1 for those that are not there.

    Example:
        >>> positions(np.array([7, 3]), np.array([3, 5, 7])).tolist()
        [1, -1, 0]
    """
    order = np.argsort(nodes, kind="stable")
    ordered = nodes[order]
    place = np.searchsorted(ordered, wanted).clip(max=max(len(nodes) - 1, 0))
    return np.where(ordered[place] == wanted, order[place], -1)
