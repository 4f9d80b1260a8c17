"""Neighbour sampling: from seed nodes to the blocks that a GNN needs for their outputs.

Rules: a sample depends on nothing but (graph, fan-outs, options, seed, epoch, batch, seeds). Every hop samples afresh
for all of its destinations, which are the sources of the hop before it (message-flow graphs, as in DGL). A sampler
holds no state between calls except scratch memory, so any number of threads may use one.
"""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import replace as replace_fields
from typing import Any, List, Mapping, Optional, Tuple, Union

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from gnnkit.data import Block, Graph
from gnnkit.errors import ConfigError, DataError
from gnnkit.sampling import kernels, typed_kernels
from gnnkit.sampling.buffers import Buffers
from gnnkit.sampling.fanouts import Fanouts, check_fanouts, relation_fanouts
from gnnkit.sampling.hiding import NOTHING, Hidden, hide
from gnnkit.sampling.random import stream_key

MAX_DENSE_NODES = 1 << 28
"""Nodes of a graph up to which every thread keeps a number for each of them (4 bytes); larger ones are hashed."""


@dataclass(frozen=True, eq=False)
class SampledBlocks:
    """What a sampler returns for one batch.

    Attributes:
        blocks: One block per layer, from the input layer to the output layer. The seeds are the destinations of the
            last one, in the order given.
        nodes: Node id in the graph of each source of the first block. Shape [blocks[0].num_src], int64. The sources
            of a later block are the first ``num_src`` of them.
    """

    blocks: Tuple[Block, ...]
    nodes: Tensor


class NeighborSampler:
    """Samples in-neighbours hop by hop, as in Hamilton et al., "Inductive representation learning on large graphs".

    Args:
        graph: The graph; its edges are sorted by destination, then source, as conversions leave them.
        fanouts: Neighbours to take at each hop, the seeds' first; -1 takes all. One per layer. Or such a list for each
            relation of a typed graph by name, ``"*"`` for all others: then every node's edges of a relation are drawn
            by themselves.
        seed: Seed of the random numbers.
        replace: Draw ``fanout`` neighbours independently, so that one may come several times. A node without
            neighbours gets none; -1 still takes each once.
        weighted: Draw with probability proportional to edge weight. Edges of weight 0 are never taken, even by -1.
        keep_self_loops: Always take a destination's edges to itself, over and above the fan-out.
        rescale: Multiply the weights of sampled edges by (neighbours / neighbours taken), so that the expected weighted
            sum is the whole graph's. Self-loops that are kept count in neither and stay as they are.

    Raises:
        ConfigError: Fan-outs that are not integers from 1 or -1, or options that exclude each other.
        UnknownNameError: Fan-outs for a relation that the graph does not have.
        DataError: ``weighted`` without edge weights, or with negative or infinite ones.

    Example:
        >>> import torch
        >>> from gnnkit.data import Graph
        >>> star = Graph(indptr=torch.tensor([0, 3, 3, 3, 3]), indices=torch.tensor([1, 2, 3]))
        >>> sampled = NeighborSampler(star, [2]).sample([0], epoch=0, batch=0)
        >>> sampled.blocks[0].num_edges, sampled.nodes.numel()
        (2, 3)
    """

    def __init__(
        self,
        graph: Graph,
        fanouts: Fanouts,
        *,
        seed: int = 0,
        replace: bool = False,
        weighted: bool = False,
        keep_self_loops: bool = False,
        rescale: bool = False,
    ) -> None:
        if rescale and weighted:
            raise ConfigError(
                "rescale and weighted exclude each other: rescaling is right for neighbours drawn uniformly. "
                "Turn one of them off."
            )
        self.graph = graph
        self._by_relation: Optional[List[NDArray[np.int64]]] = None
        if isinstance(fanouts, Mapping):
            self._by_relation = relation_fanouts(fanouts, None if graph.typed is None else graph.typed.schema)
            fanouts = [int(hop.max(initial=0)) if (hop >= 0).all() else -1 for hop in self._by_relation]
        self.fanouts = tuple(fanouts) if self._by_relation is not None else check_fanouts(fanouts)
        _check_typed(graph, by_relation=self._by_relation is not None, drawn=weighted or rescale, loops=keep_self_loops)
        self.seed = int(seed)
        self.replace = replace
        self.weighted = weighted
        self.keep_self_loops = keep_self_loops
        self.rescale = rescale
        self._indptr = np.ascontiguousarray(graph.indptr.numpy())
        self._indices = np.ascontiguousarray(graph.indices.numpy())
        self._weights: NDArray[Any] = np.empty(0, dtype=np.float32)
        if graph.edge_weight is not None:
            # In float64 only where features are, too: computation in float32 asks for no more.
            is_double = graph.x is not None and graph.x.dtype == graph.edge_weight.dtype == torch.float64
            weights = graph.edge_weight if is_double else graph.edge_weight.float()
            self._weights = np.ascontiguousarray(weights.numpy())
        self._types: Optional[NDArray[np.int16]] = None
        self._node_types: Optional[NDArray[np.int16]] = None
        if graph.typed is not None:
            self._types = np.ascontiguousarray(graph.typed.edge_type.numpy())
            self._node_types = np.ascontiguousarray(graph.typed.node_type.numpy())
        self._kept: Optional[NDArray[np.int64]] = None
        if weighted:
            self._check_weights()
            self._drop_weightless_edges()
        self._max_degree = int(np.diff(self._indptr).max(initial=0))
        self._free: List[_Scratch] = []
        self._buffers = Buffers()

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
        hidden: Optional[NDArray[np.int64]] = None,
    ) -> SampledBlocks:
        """Sample the blocks of one batch.

        Args:
            seeds: Node ids whose outputs are wanted. Integers of shape [B], at least one. One that comes twice is two
                destinations with the same neighbours.
            epoch: Number of the epoch, part of the key of the random numbers.
            batch: Number of the batch in its epoch, likewise.
            edge_ids: Whether blocks have the ids of their edges, positions in the graph's ``indices``. They cost one
                more array of the blocks' size.
            hidden: Pairs of source and destination between which no edge may be taken, as if the graph had none. Shape
                [n, 2], int64. Self-loops that are always taken stay. On a typed graph a third column may say of which
                relation, -1 for all.

        Returns:
            Blocks from input to output layer, and the ids of the nodes whose features the first one needs.

        Raises:
            ConfigError: There are no seeds.
            DataError: Seeds are not node ids of the graph.
        """
        checked = check_node_ids(seeds, self.graph.num_nodes, "seeds")
        # The list's own operations are atomic, so threads share the pool without a lock. Scratch memory that an
        # exception left dirty does not come back.
        try:
            scratch = self._free.pop()
        except IndexError:
            scratch = _Scratch(self.graph.num_nodes, self._max_degree, self.weighted)
        sampled = self._sample(checked, scratch, epoch, batch, edge_ids, self._hide(hidden))
        self._free.append(scratch)
        return sampled

    def _hide(self, pairs: Optional[NDArray[np.int64]]) -> Hidden:
        if pairs is None:
            return NOTHING
        return hide(self._indptr, self._indices, pairs, loops=not self.keep_self_loops, types=self._types)

    def _sample(
        self,
        seeds: NDArray[np.int64],
        scratch: _Scratch,
        epoch: int,
        batch: int,
        edge_ids: bool,
        hidden: Hidden,
    ) -> SampledBlocks:
        num = len(seeds)
        nodes = scratch.room_for(num, kept=0)
        kernels.label_seeds(seeds, scratch.keys, scratch.local, nodes)
        blocks = []
        for hop, fanout in enumerate(self.fanouts):
            dst = nodes[:num]
            key = stream_key(self.seed, epoch, batch, hop)
            if self._by_relation is None:
                offsets, edges, weights = self._pick(dst, fanout, key, scratch, hidden)
            else:
                offsets, edges, weights = self._pick_runs(dst, self._by_relation[hop], key, scratch, hidden)
            kept = self._ids_of(edges) if edge_ids else None
            relations = None if self._types is None else self._taken(self._types, edges)
            nodes = scratch.room_for(num + len(edges), kept=num)
            sources = self._room_for(len(edges))
            num = kernels.relabel(self._indices, edges, scratch.keys, scratch.local, nodes, num, sources)
            weight = None if weights is None else torch.from_numpy(weights)
            block = Block(torch.from_numpy(offsets), torch.from_numpy(sources), num, weight, edge_ids=kept)
            if self._node_types is not None:
                block = replace_fields(block, edge_type=relations, src_type=self._taken(self._node_types, nodes[:num]))
            blocks.append(block)
        kernels.forget(nodes[:num], scratch.keys, scratch.local)
        ids = self._room_for(num)
        ids[:] = nodes[:num]
        return SampledBlocks(tuple(reversed(blocks)), torch.from_numpy(ids))

    def _pick(
        self,
        dst: NDArray[np.int64],
        fanout: int,
        key: np.uint64,
        scratch: _Scratch,
        hidden: Hidden,
    ) -> Tuple[NDArray[np.int64], NDArray[np.int64], Optional[NDArray[Any]]]:
        """Offsets by destination, positions in the graph, and weights of the edges that one hop takes."""
        replace = self.replace and fanout >= 0
        keep = self.keep_self_loops
        offsets = self._room_for(len(dst) + 1)
        kernels.count_edges(self._indptr, self._indices, dst, fanout, replace, keep, *hidden, offsets)
        edges = scratch.edges(int(offsets[-1]))
        graph = (self._indptr, self._indices, self._weights)
        options = (replace, self.weighted, keep)
        kernels.pick_edges(*graph, dst, offsets, key, *options, *hidden, scratch.marks, scratch.numbers, edges)
        if self._types is not None:
            typed_kernels.sort_picks(offsets, edges)
        if self.graph.edge_weight is None and not self.rescale:
            return offsets, edges, None
        return offsets, edges, kernels.edge_weights(*graph, dst, offsets, edges, self.rescale, keep, *hidden)

    def _pick_runs(
        self,
        dst: NDArray[np.int64],
        fanouts: NDArray[np.int64],
        key: np.uint64,
        scratch: _Scratch,
        hidden: Hidden,
    ) -> Tuple[NDArray[np.int64], NDArray[np.int64], Optional[NDArray[Any]]]:
        """As :meth:`_pick`, with a fan-out for each relation."""
        offsets = self._room_for(len(dst) + 1)
        room = scratch.edges(typed_kernels.most_picks(self._indptr, dst, fanouts, self.replace))
        arrays = (self._indptr, self._types, dst, fanouts)
        typed_kernels.pick_runs(*arrays, key, self.replace, *hidden, scratch.marks, offsets, room)
        edges = room[: offsets[-1]]
        return offsets, edges, self._weights[edges] if len(self._weights) else None

    def _taken(self, types: NDArray[np.int16], positions: NDArray[np.int64]) -> Tensor:
        """Types of nodes or edges."""
        taken = self._room_for(len(positions))
        typed_kernels.take_types(types, positions, taken)
        return torch.from_numpy(taken)

    def _ids_of(self, edges: NDArray[np.int64]) -> Tensor:
        """Ids in the graph of picked edges."""
        ids = self._room_for(len(edges))
        if self._kept is None:
            ids[:] = edges
        else:
            np.take(self._kept, edges, out=ids)
        return torch.from_numpy(ids)

    def _room_for(self, num: int) -> NDArray[np.int64]:
        """Memory for numbers that leave the sampler."""
        return self._buffers.empty((num,), torch.int64).numpy()

    def _check_weights(self) -> None:
        if self.graph.edge_weight is None:
            raise DataError("edge_weight", "weighted sampling needs edge weights, the graph has none.")
        bad = ~(np.isfinite(self._weights) & (self._weights >= 0))
        if bad.any():
            row = int(bad.argmax())
            raise DataError(
                "edge_weight",
                f"weighted sampling needs finite weights from 0, got {self._weights[row]}.",
                row=row,
                fix="Correct the weight or sample without weights.",
            )

    def _drop_weightless_edges(self) -> None:
        """Leave edges of weight 0 out of the sampler's own arrays; self-loops that are always taken stay."""
        wanted = self._weights > 0
        if self.keep_self_loops:
            wanted |= self._indices == self.graph.dst.numpy()
        if not wanted.all():
            self._kept = np.flatnonzero(wanted)
            self._indptr = np.concatenate([[0], np.cumsum(wanted, dtype=np.int64)])[self._indptr]
            self._indices = self._indices[wanted]
            self._weights = self._weights[wanted]
            if self._types is not None:
                self._types = self._types[wanted]


class _Scratch:
    """Memory that one call of ``sample`` works in; between calls ``local`` is all -1 and ``marks`` all 0.

    ``local`` has a place for every node, or where that would be too large, ``keys`` is the hash table that says where
    in ``local`` a node stands; it grows with the nodes of a batch.
    """

    def __init__(self, num_nodes: int, max_degree: int, weighted: bool) -> None:
        self.keys: Optional[NDArray[np.int64]] = None
        if num_nodes > MAX_DENSE_NODES:
            self.keys, num_nodes = np.empty(0, dtype=np.int64), 0
        self.local = np.full(num_nodes, -1, dtype=np.int32)
        self.marks = np.zeros(max_degree, dtype=np.uint8)
        self.numbers = np.empty(2 * max_degree if weighted else 0, dtype=np.float64)
        self.nodes = np.empty(0, dtype=np.int64)
        self._edges = np.empty(0, dtype=np.int64)

    def edges(self, num: int) -> NDArray[np.int64]:
        """Memory for the positions of edges."""
        if num > len(self._edges):
            self._edges = np.empty(num + num // 2, dtype=np.int64)
        return self._edges[:num]

    def room_for(self, num: int, *, kept: int) -> NDArray[np.int64]:
        """The list of sampled nodes with room for ``num`` in all, its first ``kept`` as they were."""
        if num > len(self.nodes):
            grown = np.empty(num + num // 2, dtype=np.int64)
            grown[:kept] = self.nodes[:kept]
            self.nodes = grown
        if self.keys is not None and 2 * num > len(self.keys):
            size = 1 << (2 * num).bit_length()  # At most half full, so that chains of probes stay short.
            self.keys, self.local = np.full(size, -1, dtype=np.int64), np.full(size, -1, dtype=np.int32)
            kernels.label_seeds(self.nodes[:kept], self.keys, self.local, self.nodes)
        return self.nodes


def _check_typed(graph: Graph, *, by_relation: bool, drawn: bool, loops: bool) -> None:
    """Refuse options that a typed graph, or fan-outs by relation, cannot have."""
    if loops and graph.typed is not None:
        raise ConfigError("Self-loops that are always taken belong to no relation of a typed graph. Leave them out.")
    if by_relation and drawn:
        raise ConfigError(
            "Fan-outs by relation draw uniformly within each relation, so weighted and rescale exclude them. Give one "
            "list of fan-outs, or turn these off."
        )


def check_node_ids(ids: Union[Tensor, ArrayLike], num_nodes: int, field: str) -> NDArray[np.int64]:
    """Check node ids: a list of at least one integer in [0, num_nodes).

    Args:
        ids: What was received.
        num_nodes: Number of nodes of the graph.
        field: What messages call the ids.

    Returns:
        The ids. Shape [len(ids)], int64, contiguous.

    Raises:
        ConfigError: There are none.
        DataError: They are not integers, not one-dimensional, or out of range.
    """
    array: NDArray[Any] = np.asarray(ids)
    if array.size == 0:
        raise ConfigError(f"No {field}: there is nothing to load. Give at least one node id.")
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise DataError(field, f"expected integer node ids of shape [n], got {array.dtype} of shape {array.shape}.")
    if int(array.min()) < 0 or int(array.max()) >= num_nodes:
        row = int(((array < 0) | (array >= num_nodes)).argmax())
        raise DataError(field, f"node id {array[row]} is not in [0, {num_nodes}).", row=row)
    return np.ascontiguousarray(array, dtype=np.int64)
