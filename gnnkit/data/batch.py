"""The ``Block`` and ``Batch`` records: what a loader hands to a training step.

Rules: both are frozen and hold torch tensors only, all on one device. In a block, destination nodes come first among
the source nodes, so ``h_src[:num_dst]`` are the destinations' own features. In a padded batch, real nodes and edges
come first and padding last; the masks say which is which.

Arrays of a block are declared once, with the axis that they run along and what padding is filled with. Moving, padding,
flattening and planning go by ``BLOCK_ARRAYS``, so that one more array is one more field.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

import torch
from torch import Tensor

from gnnkit.data.graph import Graph, expand_indptr
from gnnkit.data.inputs import TypedInputs
from gnnkit.data.targets import BatchKey, Targets, named_targets

SOURCE, DESTINATION, EDGE = "source", "destination", "edge"
"""What the first dimension of a block's array runs along."""


@dataclass(frozen=True)
class BlockArray:
    """How an array of a block is treated.

    Attributes:
        axis: What its first dimension runs along: ``SOURCE``, ``DESTINATION`` or ``EDGE``.
        fill: What padding is filled with.
    """

    axis: str
    fill: float


def _array(axis: str, fill: float) -> Any:
    """An array that a block may have; None where it has not."""
    return field(default=None, metadata={"array": BlockArray(axis, fill)})


@dataclass(frozen=True, eq=False)
class Block:
    """The message flow of one layer, from source nodes to destination nodes.

    Attributes:
        indptr: Edge offsets by destination. Shape [num_dst + 1], int64.
        indices: Position of each edge's source among the block's source nodes. Shape [E], int64.
        num_src: Number of source nodes. The first ``num_dst`` of them are the destinations.
        edge_weight: One weight per edge. Shape [E], floating point. None means that all weights are 1.
        edge_attr: Edge features. Shape [E, D], floating point, 0 for padding. None if there are none, or if the model
            does not read them.
        edge_ids: Position of each edge in the graph's ``indices``. Shape [E], int64, -1 for padding. None unless asked
            for.
        dropout_keys: What the dropout of each source's features is a function of, see :mod:`gnnkit.nn.dropout`. Shape
            [num_src], int64. None: dropout is drawn by torch's generator.
        edge_type: Relation of each edge, ascending within a destination. Shape [E], int64. None if the graph has no
            types.
        src_type: Type of each source node. Shape [num_src], int64. None likewise.
        dst_mask: Which destinations are real. Shape [num_dst], bool. None means all: the block is not padded.
        edge_mask: Which edges are real. Shape [E], bool. None means all.
        is_reduced: Whether neighbours were added up while loading: every destination has one in-edge, of weight 1, from
            its finished aggregate. See :func:`gnnkit.backends.aggregates`. In a typed block it has one of each relation
            that it has neighbours by; the sources are the destinations, then the aggregates by (relation, destination).
    """

    indptr: Tensor
    indices: Tensor
    num_src: int
    edge_weight: Optional[Tensor] = _array(EDGE, 0)  # noqa: RUF009
    edge_attr: Optional[Tensor] = _array(EDGE, 0)  # noqa: RUF009
    edge_ids: Optional[Tensor] = _array(EDGE, -1)  # noqa: RUF009
    dropout_keys: Optional[Tensor] = _array(SOURCE, 0)  # noqa: RUF009
    edge_type: Optional[Tensor] = _array(EDGE, 0)  # noqa: RUF009
    src_type: Optional[Tensor] = _array(SOURCE, 0)  # noqa: RUF009
    dst_mask: Optional[Tensor] = _array(DESTINATION, False)  # noqa: RUF009
    edge_mask: Optional[Tensor] = _array(EDGE, False)  # noqa: RUF009
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

    @property
    def arrays(self) -> Dict[str, Tensor]:
        """The arrays of ``BLOCK_ARRAYS`` that this block has, by name."""
        found = {name: getattr(self, name) for name in BLOCK_ARRAYS}
        return {name: tensor for name, tensor in found.items() if tensor is not None}

    def map(self, function: Callable[[Tensor], Tensor]) -> Block:
        """Apply ``function`` to every tensor; used to move a block to a device."""
        arrays: Dict[str, Any] = {name: function(tensor) for name, tensor in self.arrays.items()}
        return replace(self, indptr=function(self.indptr), indices=function(self.indices), **arrays)


BLOCK_ARRAYS: Mapping[str, BlockArray] = {
    each.name: each.metadata["array"] for each in fields(Block) if "array" in each.metadata
}
"""The arrays that a block may have besides its structure, by name."""


_FIRST = BatchKey(0, 0)


@dataclass(frozen=True, eq=False)
class Batch:
    """What one training step eats.

    Attributes:
        blocks: One block per layer, from the input layer to the output layer. The destinations of one block are the
            sources of the next. A full-graph batch repeats one block.
        x: Features of the first block's source nodes. Shape [blocks[0].num_src, F], floating point. On a typed graph
            features by type, a :class:`TypedInputs`.
        targets: What is to be predicted. None when only outputs are wanted.
        nodes: Node id in the graph of each of the last block's destinations, -1 for padding. Shape [num_dst], int64. In
            a batch of whole graphs, the number of each graph.
        key: Which batch this is.
        graphs: In a batch of whole graphs, the message flow from the last block's destinations to graphs: edge i runs
            from node i to its graph. None in other batches.
    """

    blocks: Tuple[Block, ...]
    x: Any  # Inputs; whoever reads a batch knows which of the two it has.
    targets: Optional[Targets]
    nodes: Tensor
    key: BatchKey = _FIRST
    graphs: Optional[Block] = None

    @property
    def num_targets(self) -> int:
        """How many targets there are to learn from; 0 when only outputs are wanted."""
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
            x=self.x.map(function) if isinstance(self.x, TypedInputs) else function(self.x),
            targets=None if self.targets is None else self.targets.map(function),
            nodes=function(self.nodes),
            graphs=None if self.graphs is None else self.graphs.map(function),
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
            targets=None if self.targets is None else self.targets.names,
            graphs=None if self.graphs is None else _block_layout(self.graphs),
            num_tables=len(self.x.tables) if isinstance(self.x, TypedInputs) else None,
        )

    def flatten(self) -> Tuple[Tensor, ...]:
        """All tensors that a model needs, in a fixed order, for devices whose compiled programs take tensors only.

        Returns:
            For every distinct block, and then ``graphs``, ``indptr``, ``indices``, ``dst``, and those of
            ``BLOCK_ARRAYS`` that it has; then ``x``, or its ``TypedInputs.tensors``; then ``Targets.tensors`` if there
            are targets. Node ids are left out.

        Example:
            >>> block = Block(torch.tensor([0, 1]), torch.tensor([1]), num_src=2)
            >>> batch = Batch((block, block), torch.ones(2, 3), None, torch.tensor([7]))
            >>> again = batch.layout.unflatten(batch.flatten())
            >>> again.blocks[0] is again.blocks[1], again.x is batch.x
            (True, True)
        """
        tensors: List[Tensor] = []
        for block in [*self._distinct_blocks(), *([] if self.graphs is None else [self.graphs])]:
            tensors += [getattr(block, name) for name in _block_layout(block).names]
        inputs = self.x.tensors if isinstance(self.x, TypedInputs) else (self.x,)
        return (*tensors, *inputs, *(() if self.targets is None else self.targets.tensors))

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
        targets: Names of the targets' tensors, which come last; None if there are no targets.
        graphs: Layout of the flow from nodes to graphs, None if there is none.
        num_tables: How many tables of features a typed batch has; None for a batch with one matrix.
    """

    blocks: Tuple[BlockLayout, ...]
    order: Tuple[int, ...]
    targets: Optional[Tuple[str, ...]] = None
    graphs: Optional[BlockLayout] = None
    num_tables: Optional[int] = None

    def unflatten(self, tensors: Sequence[Tensor]) -> Batch:
        """The inverse of :meth:`Batch.flatten`, by reference: nothing is computed.

        Args:
            tensors: As ``flatten`` gave them, of a batch with this layout.

        Returns:
            A batch for a model's ``forward``: it has no node ids and no key, and ``num_targets`` is 0.
        """
        rest = list(tensors)
        assert len(rest) == self.num_tensors, "the tensors are of another layout"
        blocks = []
        for layout in self._layouts:
            values: Dict[str, Any] = {name: rest.pop(0) for name in layout.names}
            dst = values.pop("dst")
            block = Block(num_src=layout.num_src, **values)
            # Where cached properties keep their values: what is given need not be computed from the offsets, and
            # compilers cannot look into the lock under which Python before 3.12 computes such a property.
            vars(block).update(dst=dst, lowered={})
            blocks.append(block)
        x: Any = rest.pop(0)
        if self.num_tables is not None:
            x = TypedInputs((x, *rest[: self.num_tables - 1]), rest[self.num_tables - 1])
            rest = rest[self.num_tables :]
        targets = None if self.targets is None else named_targets(self.targets, rest)
        graphs = None if self.graphs is None else blocks[-1]
        return Batch(tuple(blocks[i] for i in self.order), x, targets, _NO_NODES, graphs=graphs)

    @property
    def _layouts(self) -> Tuple[BlockLayout, ...]:
        """All blocks, in the order of their tensors."""
        return self.blocks if self.graphs is None else (*self.blocks, self.graphs)

    @property
    def num_tensors(self) -> int:
        """How many tensors a flattened batch has."""
        inputs = 1 if self.num_tables is None else self.num_tables + 1
        return sum(len(block.names) for block in self._layouts) + inputs + len(self.targets or ())


_NO_NODES = torch.empty(0, dtype=torch.int64)


def _block_layout(block: Block) -> BlockLayout:
    return BlockLayout(block.num_src, ("indptr", "indices", "dst", *block.arrays))


def full_block(graph: Graph, *, edge_features: bool = False) -> Block:
    """The block of a layer over the whole graph: every node is source and destination.

    Args:
        graph: The graph.
        edge_features: Whether the block gets the graph's edge features.
    """
    edge_attr = graph.edge_attr if edge_features else None
    block = Block(graph.indptr, graph.indices, graph.num_nodes, graph.edge_weight, edge_attr)
    if graph.typed is None:
        return block
    return replace(block, edge_type=graph.typed.edge_type.long(), src_type=graph.typed.node_type.long())
