"""The ``Block`` and ``Batch`` records: what a loader hands to a training step.

Rules: both are frozen and hold torch tensors only, all on one device. In a block, destination nodes come first among
the source nodes, so ``h_src[:num_dst]`` are the destinations' own features. In a padded batch, real nodes and edges
come first and padding last; the masks say which is which.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

import torch
from torch import Tensor

from gnnkit.data.graph import Graph, expand_indptr


@dataclass(frozen=True, eq=False)
class Block:
    """The message flow of one layer, from source nodes to destination nodes.

    Attributes:
        indptr: Edge offsets by destination. Shape [num_dst + 1], int64.
        indices: Position of each edge's source among the block's source nodes. Shape [E], int64.
        num_src: Number of source nodes. The first ``num_dst`` of them are the destinations.
        edge_weight: One weight per edge. Shape [E], floating point. None means that all weights are 1.
        edge_attr: Features of every edge. Shape [E, D], floating point. None where no layer reads them.
        dst_mask: Which destinations are real. Shape [num_dst], bool. None means all: the block is not padded.
        edge_mask: Which edges are real. Shape [E], bool. None means all.
        is_reduced: Whether neighbours were added up while loading: every destination has one in-edge, of weight 1, from
            its finished aggregate. See :func:`gnnkit.backends.aggregates`.
    """

    indptr: Tensor
    indices: Tensor
    num_src: int
    edge_weight: Optional[Tensor] = None
    edge_attr: Optional[Tensor] = None
    dst_mask: Optional[Tensor] = None
    edge_mask: Optional[Tensor] = None
    is_reduced: bool = False

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

    def map(self, function: Callable[[Tensor], Tensor]) -> Block:
        """Apply ``function`` to every tensor; used to move a block to a device."""
        return replace(
            self,
            indptr=function(self.indptr),
            indices=function(self.indices),
            edge_weight=None if self.edge_weight is None else function(self.edge_weight),
            edge_attr=None if self.edge_attr is None else function(self.edge_attr),
            dst_mask=None if self.dst_mask is None else function(self.dst_mask),
            edge_mask=None if self.edge_mask is None else function(self.edge_mask),
        )


@dataclass(frozen=True, eq=False)
class Batch:
    """What one training step eats.

    Attributes:
        blocks: One block per layer, from the input layer to the output layer. The destinations of one block are the
            sources of the next. A full-graph batch repeats one block.
        x: Features of the first block's source nodes. Shape [blocks[0].num_src, F], floating point.
        y: Targets of the last block's destinations, like ``Graph.y``; -100 where there is no target. Shape [num_dst]
            int64 or [num_dst, C] floating point. None when only outputs are wanted.
        nodes: Node id in the graph of each of the last block's destinations, -1 for padding. Shape [num_dst], int64.
        num_targets: How many destinations are targets.
        index: Position of this batch in its epoch, for messages and for random numbers.
    """

    blocks: Tuple[Block, ...]
    x: Tensor
    y: Optional[Tensor]
    nodes: Tensor
    num_targets: int
    index: int = 0

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
            y=None if self.y is None else function(self.y),
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
            has_targets=self.y is not None,
        )

    def flatten(self) -> Tuple[Tensor, ...]:
        """All tensors that a model needs, in a fixed order, for devices whose compiled programs take tensors only.

        Returns:
            For every distinct block ``indptr``, ``indices``, ``dst``, and where there are such ``edge_weight``,
            ``edge_attr``, ``dst_mask`` and ``edge_mask``; then ``x``; then ``y`` if there are targets.
            Node ids are left out.

        Example:
            >>> block = Block(torch.tensor([0, 1]), torch.tensor([1]), num_src=2)
            >>> batch = Batch((block, block), torch.ones(2, 3), None, torch.tensor([7]), 0)
            >>> again = batch.layout.unflatten(batch.flatten())
            >>> again.blocks[0] is again.blocks[1], again.x is batch.x
            (True, True)
        """
        tensors: List[Tensor] = []
        for block in self._distinct_blocks():
            tensors += [getattr(block, name) for name in _block_layout(block).names]
        return (*tensors, self.x) if self.y is None else (*tensors, self.x, self.y)

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
        has_targets: Whether ``y`` comes last.
    """

    blocks: Tuple[BlockLayout, ...]
    order: Tuple[int, ...]
    has_targets: bool

    def unflatten(self, tensors: Sequence[Tensor]) -> Batch:
        """The inverse of :meth:`Batch.flatten`, by reference: nothing is computed.

        Args:
            tensors: As ``flatten`` gave them, of a batch with this layout.

        Returns:
            A batch for a model's ``forward``: it has no node ids, and ``num_targets`` is 0.
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
        y = rest[1] if self.has_targets else None
        return Batch(tuple(blocks[i] for i in self.order), rest[0], y, _NO_NODES, num_targets=0)

    @property
    def num_tensors(self) -> int:
        """How many tensors a flattened batch has."""
        return sum(len(block.names) for block in self.blocks) + (2 if self.has_targets else 1)


_NO_NODES = torch.empty(0, dtype=torch.int64)


def _block_layout(block: Block) -> BlockLayout:
    optional = [
        name for name in ("edge_weight", "edge_attr", "dst_mask", "edge_mask") if getattr(block, name) is not None
    ]
    return BlockLayout(block.num_src, ("indptr", "indices", "dst", *optional))


def full_block(graph: Graph) -> Block:
    """The block of a layer over the whole graph: every node is source and destination."""
    return Block(graph.indptr, graph.indices, graph.num_nodes, graph.edge_weight)
