"""The ``Block`` and ``Batch`` records: what a loader hands to a training step.

Rules: both are frozen and hold torch tensors only, all on one device. In a block, destination nodes come first among
the source nodes, so ``h_src[:num_dst]`` are the destinations' own features.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Callable, Dict, Optional, Tuple

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
    """

    indptr: Tensor
    indices: Tensor
    num_src: int
    edge_weight: Optional[Tensor] = None

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
        weight = None if self.edge_weight is None else function(self.edge_weight)
        return replace(self, indptr=function(self.indptr), indices=function(self.indices), edge_weight=weight)


@dataclass(frozen=True, eq=False)
class Batch:
    """What one training step eats.

    Attributes:
        blocks: One block per layer, from the input layer to the output layer. The destinations of one block are the
            sources of the next. A full-graph batch repeats one block.
        x: Features of the first block's source nodes. Shape [blocks[0].num_src, F], floating point.
        y: Targets of the last block's destinations, like ``Graph.y``; -100 where there is no target. Shape [num_dst]
            int64 or [num_dst, C] floating point. None when only outputs are wanted.
        nodes: Node id in the graph of each of the last block's destinations. Shape [num_dst], int64.
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


def full_block(graph: Graph) -> Block:
    """The block of a layer over the whole graph: every node is source and destination."""
    return Block(graph.indptr, graph.indices, graph.num_nodes, graph.edge_weight)
