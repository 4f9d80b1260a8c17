"""The ``Block`` and ``Batch`` records: what a loader hands to a training step.

Rules: both are frozen and hold torch tensors only, all on one device. In a block, destination nodes come first among
the source nodes, so ``h_src[:num_dst]`` are the destinations' own features. In a padded batch, real nodes and edges
come first and padding last; the masks say which is which.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import torch
from torch import Tensor

from gnnkit.data.graph import Graph, expand_indptr
from gnnkit.data.targets import Targets


@dataclass(frozen=True, eq=False)
class Block:
    """The message flow of one layer, from source nodes to destination nodes.

    Every array is declared here once, with its axis and what padding is filled with (None for masks, which padding
    makes): moving, padding and flattening go by that.

    Attributes:
        indptr: Edge offsets by destination. Shape [num_dst + 1], int64.
        indices: Position of each edge's source among the block's source nodes. Shape [E], int64.
        num_src: Number of source nodes. The first ``num_dst`` of them are the destinations.
        edge_weight: One weight per edge. Shape [E], floating point. None means that all weights are 1.
        dst_mask: Which destinations are real. Shape [num_dst], bool. None means all: the block is not padded.
        edge_mask: Which edges are real. Shape [E], bool. None means all.
        is_reduced: Whether neighbours were added up while loading: every destination has one in-edge, of weight 1, from
            its finished aggregate. See :func:`gnnkit.backends.aggregates`.
        edge_attr: Features of the edges. Shape [E, D], floating point. None if the graph has none, or no layer reads
            them.
        edge_ids: Position of each edge in the graph, -1 for padding. Shape [E], int64. None unless asked for.
    """

    indptr: Tensor
    indices: Tensor
    num_src: int
    edge_weight: Optional[Tensor] = field(default=None, metadata={"axis": "edge", "fill": 0})
    dst_mask: Optional[Tensor] = field(default=None, metadata={"axis": "destination", "fill": None})
    edge_mask: Optional[Tensor] = field(default=None, metadata={"axis": "edge", "fill": None})
    is_reduced: bool = False
    edge_attr: Optional[Tensor] = field(default=None, metadata={"axis": "edge", "fill": 0})
    edge_ids: Optional[Tensor] = field(default=None, metadata={"axis": "edge", "fill": -1})

    @property
    def num_dst(self) -> int:
        """Number of destination nodes."""
        return self.indptr.numel() - 1

    @property
    def num_edges(self) -> int:
        """Number of edges."""
        return self.indices.numel()

    @cached_property
    def dst(self) -> Tensor:
        """Destination of every edge, in the order of ``indices``. Shape [E], int64."""
        return expand_indptr(self.indptr, self.num_edges)

    @cached_property
    def lowered(self) -> Dict[str, Any]:
        """Native graph objects made from this block, by backend name, so that each is made once."""
        return {}

    @property
    def optional_arrays(self) -> Dict[str, Tensor]:
        """Arrays besides ``indptr`` and ``indices``, as far as they are there, by name in the order of the fields."""
        found = {name: getattr(self, name) for name in BLOCK_ARRAYS}
        return {name: value for name, value in found.items() if value is not None}

    def map(self, function: Callable[[Tensor], Tensor]) -> Block:
        """Apply ``function`` to every tensor; used to move a block to a device."""
        optional: Dict[str, Any] = {name: function(value) for name, value in self.optional_arrays.items()}
        return replace(self, indptr=function(self.indptr), indices=function(self.indices), **optional)


BLOCK_ARRAYS: Mapping[str, Mapping[str, Any]] = {item.name: item.metadata for item in fields(Block) if item.metadata}
"""Arrays that a block may have, with "axis" and "fill"."""


class BatchKey(NamedTuple):
    """What a batch depends on, besides the seed.

    Attributes:
        epoch: Number of the epoch.
        number: Number of the batch in its epoch.
        part: Which part of that, where it was too large for fixed sizes and has been split.
    """

    epoch: int = 0
    number: int = 0
    part: int = 0


@dataclass(frozen=True, eq=False)
class Batch:
    """What one training step eats.

    Attributes:
        blocks: One block per layer, from the input layer to the output layer. The destinations of one block are the
            sources of the next. A full-graph batch repeats one block.
        x: Features of the first block's source nodes. Shape [blocks[0].num_src, F], floating point.
        targets: What is to be predicted from the outputs for the last block's destinations. None when only outputs are
            wanted.
        nodes: Node id in the graph of each of the last block's destinations, -1 for padding. Shape [num_dst], int64.
        key: Which batch this is.
    """

    blocks: Tuple[Block, ...]
    x: Tensor
    targets: Optional[Targets]
    nodes: Tensor
    key: BatchKey = field(default_factory=BatchKey)

    @property
    def y(self) -> Optional[Tensor]:
        """What is true of the targets, ``targets.y``. None if nothing is known, or without targets."""
        return None if self.targets is None else self.targets.y

    @property
    def num_targets(self) -> int:
        """How many targets are known, ``targets.num``; 0 without targets."""
        return 0 if self.targets is None else self.targets.num

    def map(self, function: Callable[[Tensor], Tensor]) -> Batch:
        """Apply ``function`` to every tensor; a block that stands for several layers stays one block."""
        done: Dict[int, Block] = {}
        for block in self.blocks:
            if id(block) not in done:
                done[id(block)] = block.map(function)
        return replace(
            self,
            blocks=tuple(done[id(block)] for block in self.blocks),
            x=function(self.x),
            targets=None if self.targets is None else self.targets.map(function),
            nodes=function(self.nodes),
        )

    def to(self, device: torch.device, *, non_blocking: bool = False) -> Batch:
        """Move every tensor to ``device``; the batch itself if it is there already."""
        if self.x.device == device:
            return self
        return self.map(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    @property
    def layout(self) -> BatchLayout:
        """What it takes to put the tensors of :meth:`flatten` together again. Equal for batches of equal shapes."""
        distinct = self._distinct_blocks()
        return BatchLayout(
            blocks=tuple(_block_layout(block) for block in distinct),
            order=tuple(next(i for i, other in enumerate(distinct) if other is block) for block in self.blocks),
            targets=None if self.targets is None else tuple(self.targets.arrays),
        )

    def flatten(self) -> Tuple[Tensor, ...]:
        """All tensors that a model needs, in a fixed order, for devices whose compiled programs take tensors only.

        Returns:
            For every distinct block ``indptr``, ``indices``, ``dst``, and those of its other arrays that are there;
            then ``x``; then the arrays of the targets if there are any. Ids of nodes and edges are left out.

        Example:
            >>> block = Block(torch.tensor([0, 1]), torch.tensor([1]), num_src=2)
            >>> batch = Batch((block, block), torch.ones(2, 3), None, torch.tensor([7]))
            >>> again = batch.layout.unflatten(batch.flatten())
            >>> again.blocks[0] is again.blocks[1], again.x is batch.x
            (True, True)
        """
        tensors: List[Tensor] = []
        for block in self._distinct_blocks():
            tensors += [getattr(block, name) for name in _block_layout(block).names]
        return (*tensors, self.x, *([] if self.targets is None else self.targets.arrays.values()))

    def _distinct_blocks(self) -> List[Block]:
        return list({id(block): block for block in self.blocks}.values())


@dataclass(frozen=True)
class BlockLayout:
    """Which tensors a flattened block has.

    Attributes:
        num_src: Number of source nodes.
        names: Names of the tensors in their order.
    """

    num_src: int
    names: Tuple[str, ...]


@dataclass(frozen=True)
class BatchLayout:
    """How a flattened batch is put together again.

    Attributes:
        blocks: Layout of every distinct block.
        order: Which of them each layer uses.
        targets: Names of the arrays of the targets, which come last. None: the batch has no targets.
    """

    blocks: Tuple[BlockLayout, ...]
    order: Tuple[int, ...]
    targets: Optional[Tuple[str, ...]] = None

    def unflatten(self, tensors: Sequence[Tensor]) -> Batch:
        """The inverse of :meth:`Batch.flatten`, by reference: nothing is computed.

        Args:
            tensors: As ``flatten`` gave them, of a batch with this layout.

        Returns:
            A batch for a model's ``forward``: it has no node ids, and its number of targets is not known.
        """
        rest = list(tensors)
        assert len(rest) == self.num_tensors, "the tensors are of another layout"
        blocks = []
        for layout in self.blocks:
            values: Dict[str, Any] = {name: rest.pop(0) for name in layout.names}
            dst = values.pop("dst")
            block = Block(num_src=layout.num_src, **values)
            # Where cached properties keep their values: what is given need not be computed from the offsets, and
            # compilers cannot look into the lock under which Python before 3.12 computes such a property.
            vars(block).update(dst=dst, lowered={})
            blocks.append(block)
        targets = None if self.targets is None else Targets().with_arrays(dict(zip(self.targets, rest[1:])))
        return Batch(tuple(blocks[i] for i in self.order), rest[0], targets, _NO_NODES)

    @property
    def num_tensors(self) -> int:
        """How many tensors a flattened batch has."""
        return sum(len(block.names) for block in self.blocks) + 1 + len(self.targets or ())


_NO_NODES = torch.empty(0, dtype=torch.int64)


def _block_layout(block: Block) -> BlockLayout:
    optional = [name for name in block.optional_arrays if name != "edge_ids"]
    return BlockLayout(block.num_src, ("indptr", "indices", "dst", *optional))


def full_block(graph: Graph, *, edge_features: bool = False) -> Block:
    """The block of a layer over the whole graph: every node is source and destination.

    Args:
        graph: The graph.
        edge_features: Whether the layer reads features of edges.
    """
    attr = graph.edge_attr if edge_features else None
    return Block(graph.indptr, graph.indices, graph.num_nodes, graph.edge_weight, edge_attr=attr)
