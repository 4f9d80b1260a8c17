"""Padding: batches of one fixed shape, for devices that declare ``static_shapes``.

Rules: real nodes and edges come first and padding last, so a padded batch needs no renumbering. At every level one
node slot, and in every block one edge slot, is always spare. Padding edges run from the last source slot to the last
destination slot, which are both padding. Padding changes no loss, no gradient and no output of a real node.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Dict, List, Optional, Sequence, Tuple

import torch
from torch import Tensor
from torch.nn import functional

from gnnkit.data import BLOCK_ARRAYS, IGNORED_LABEL, Batch, Block, Inputs, Targets, TypedInputs
from gnnkit.data.batch import DESTINATION, EDGE, SOURCE
from gnnkit.errors import BatchOverflowError, ConfigError


@dataclass(frozen=True)
class BatchSizes:
    """How large a batch is.

    Attributes:
        num_nodes: Nodes at every level, from the sources of the first block to the targets: one more than blocks.
        num_edges: Edges of every block.
        num_pairs: Pairs to learn from. None where targets are others.
        num_graphs: Graphs in a batch of whole graphs. None in other batches.
        num_inputs: In a typed batch, rows of features of every node type; empty in others.
    """

    num_nodes: Tuple[int, ...]
    num_edges: Tuple[int, ...]
    num_pairs: Optional[int] = None
    num_graphs: Optional[int] = None
    num_inputs: Tuple[int, ...] = ()

    @property
    def values(self) -> Tuple[int, ...]:
        """All sizes: nodes, edges, rows of features by type, and pairs or graphs if there are any."""
        return (*self.num_nodes, *self.num_edges, *self.num_inputs, *_counted(self.num_pairs, self.num_graphs))


def batch_sizes(
    blocks: Sequence[Block],
    targets: Optional[Targets] = None,
    graphs: Optional[Block] = None,
    inputs: Sequence[int] = (),
) -> BatchSizes:
    """The sizes of a batch with these blocks, from input to output layer, targets, graphs, and rows by node type."""
    levels = (*(block.num_src for block in blocks), blocks[-1].num_dst)
    num_pairs = None if targets is None else targets.num_pairs
    num_graphs = None if graphs is None else graphs.num_dst
    return BatchSizes(levels, tuple(block.num_edges for block in blocks), num_pairs, num_graphs, tuple(inputs))


def _counted(*counts: Optional[int]) -> Tuple[int, ...]:
    return tuple(count for count in counts if count is not None)


@dataclass(frozen=True)
class PadSpec:
    """The fixed sizes of padded batches. L is the number of blocks.

    Attributes:
        num_nodes: Node slots at every level. Level 0 are the sources of the first block, level L the targets, and
            level l the destinations of block l - 1 and sources of block l. L + 1 numbers, none larger than the one
            before it.
        num_edges: Edge slots of every block. L numbers.
        num_graphs: Slots for graphs, in records of many graphs and batches of whole ones. None elsewhere.
        num_pairs: Slots for pairs to learn from. None where targets are others.
        num_inputs: In typed batches, slots for the features of every node type. Empty in others.

    Raises:
        ConfigError: Sizes that no batch can have.

    Example:
        >>> spec = PadSpec(num_nodes=(64, 16, 8), num_edges=(128, 32))
        >>> spec.num_blocks, spec.names[-1], spec.excess(BatchSizes((64, 10, 7), (40, 20)))
        (2, 'edges of block 1', {'nodes of level 0': 1})
    """

    num_nodes: Tuple[int, ...]
    num_edges: Tuple[int, ...]
    num_graphs: Optional[int] = None
    num_pairs: Optional[int] = None
    num_inputs: Tuple[int, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "num_nodes", tuple(self.num_nodes))
        object.__setattr__(self, "num_inputs", tuple(self.num_inputs))
        object.__setattr__(self, "num_edges", tuple(self.num_edges))
        nodes, edges = self.num_nodes, self.num_edges
        if not edges or len(nodes) != len(edges) + 1:
            raise ConfigError(
                f"Padded sizes need edges for every block and nodes for one level more; got {len(nodes)} node counts "
                f"and {len(edges)} edge counts."
            )
        if min(nodes) < 2 or min(edges) < 1 or (self.num_graphs is not None and self.num_graphs < 2):
            raise ConfigError(
                f"Padded sizes are nodes {list(nodes)}, edges {list(edges)}, graphs {self.num_graphs}; expected at "
                "least 2 nodes, 1 edge and 2 graphs, because one of each is always left spare."
            )
        if self.num_pairs is not None and self.num_pairs < 1:
            raise ConfigError(f"Padded sizes have {self.num_pairs} pairs; expected at least 1, which is left spare.")
        if any(after > before for before, after in zip(nodes, nodes[1:])):
            raise ConfigError(
                f"Padded node counts are {list(nodes)}; a level holds the nodes of the next one, so none may be larger "
                "than the one before it."
            )

    @property
    def num_blocks(self) -> int:
        """Number of blocks L."""
        return len(self.num_edges)

    @property
    def num_targets(self) -> int:
        """Slots for what a batch gives outputs of: nodes of the last level, or graphs."""
        return self.num_nodes[-1] if self.num_graphs is None else self.num_graphs

    @property
    def values(self) -> Tuple[int, ...]:
        """All sizes: nodes, edges, rows of features by type, and pairs or graphs if there are any."""
        return (*self.num_nodes, *self.num_edges, *self.num_inputs, *_counted(self.num_pairs, self.num_graphs))

    @property
    def names(self) -> List[str]:
        """What messages and tables call each of ``values``."""
        levels = [f"nodes of level {level}" for level in range(len(self.num_nodes))]
        edges = [f"edges of block {block}" for block in range(self.num_blocks)]
        more = {"pairs": self.num_pairs, "graphs": self.num_graphs}
        inputs = [f"features of node type {number}" for number in range(len(self.num_inputs))]
        return levels + edges + inputs + [name for name, count in more.items() if count is not None]

    def excess(self, sizes: BatchSizes) -> Dict[str, int]:
        """By how much a batch is too large, by name of the size. Empty if it fits with one spare of each.

        Raises:
            ConfigError: The batch has another number of blocks, or pairs where the sizes have none.
        """
        theirs, ours = (_what(each.num_pairs, each.num_graphs) for each in (sizes, self))
        if theirs != ours:
            raise ConfigError(f"The targets of the batch are {theirs}, the padded sizes are for {ours}.")
        if len(sizes.num_inputs) != len(self.num_inputs):
            raise ConfigError(
                f"The padded sizes are for features of {len(self.num_inputs)} node types, the batch has "
                f"{len(sizes.num_inputs)}; 0 stands for one matrix."
            )
        if len(sizes.num_edges) != self.num_blocks:
            raise ConfigError(
                f"The padded sizes are for {self.num_blocks} blocks, the batch has {len(sizes.num_edges)}."
            )
        over = {name: have + 1 - room for name, have, room in zip(self.names, sizes.values, self.values)}
        return {name: amount for name, amount in over.items() if amount > 0}

    def fits(self, sizes: BatchSizes) -> bool:
        """Whether a batch fits with one spare of each."""
        return not self.excess(sizes)

    @classmethod
    def least(cls, sizes: BatchSizes) -> PadSpec:
        """The smallest sizes that a batch fits in: one more of each."""
        pairs, graphs = (None if each is None else each + 1 for each in (sizes.num_pairs, sizes.num_graphs))
        nodes, edges = (tuple(size + 1 for size in part) for part in (sizes.num_nodes, sizes.num_edges))
        inputs = tuple(size + 1 for size in sizes.num_inputs)
        return cls(nodes, edges, num_graphs=graphs, num_pairs=pairs, num_inputs=inputs)

    def repeated(self, num_blocks: int) -> PadSpec:
        """The sizes of a batch that repeats the one block of this one.

        Args:
            num_blocks: How often.
        """
        return replace(self, num_nodes=self.num_nodes[:1] * (num_blocks + 1), num_edges=self.num_edges * num_blocks)

    def check(self, sizes: BatchSizes) -> None:
        """Refuse a batch that does not fit.

        Raises:
            BatchOverflowError: It does not; the message has received, capacity and margin of every size.
        """
        if not self.fits(sizes):
            lines = zip(self.names, sizes.values, self.values)
            margins = "; ".join(
                f"{name}: {have} of {room - 1} (margin {room - 1 - have})" for name, have, room in lines
            )
            raise BatchOverflowError(
                f"The batch is larger than the fixed sizes, which keep one slot of each spare: {margins}. "
                "Plan larger sizes, take fewer seeds or neighbours, or let seeds carry over (overflow='carry').",
                excess=self.excess(sizes),
            )


def _what(num_pairs: Optional[int], num_graphs: Optional[int]) -> str:
    if num_pairs is not None:
        return "pairs"
    return "nodes" if num_graphs is None else "graphs"


def pad_batch(batch: Batch, spec: PadSpec) -> Batch:
    """Bring a batch to fixed sizes.

    Padding has features 0, labels -100, node ids -1, edge weights and edge features 0. ``num_targets`` stays the number
    of real ones.

    Args:
        batch: An unpadded batch.
        spec: The sizes.

    Returns:
        A batch of exactly the sizes of ``spec``, its blocks with masks. Layers that shared a block share one still
        where their sizes agree.

    Raises:
        BatchOverflowError: The batch does not fit.
        ConfigError: It has another number of blocks.

    Example:
        >>> block = Block(torch.tensor([0, 2]), torch.tensor([1, 2]), num_src=3)
        >>> batch = Batch((block,), torch.ones(3, 2), Targets(torch.tensor([4])), torch.tensor([9]))
        >>> padded = pad_batch(batch, PadSpec(num_nodes=(5, 2), num_edges=(4,)))
        >>> padded.blocks[0].indices.tolist(), padded.blocks[0].dst.tolist(), padded.targets.y.tolist()
        ([1, 2, 4, 4], [0, 0, 1, 1], [4, -100])
    """
    spec.check(batch_sizes(batch.blocks, batch.targets, batch.graphs, inputs_of(batch.x)))
    done: Dict[Tuple[int, int, int, int], Block] = {}
    blocks = []
    for i, block in enumerate(batch.blocks):
        sizes = spec.num_nodes[i], spec.num_nodes[i + 1], spec.num_edges[i]
        key = (id(block), *sizes)
        if key not in done:
            done[key] = _pad_block(block, *sizes)
        blocks.append(done[key])
    return replace(
        batch,
        blocks=tuple(blocks),
        x=_pad_inputs(batch.x, spec),
        targets=None if batch.targets is None else pad_targets(batch.targets, spec),
        nodes=pad_rows(batch.nodes, spec.num_targets, -1),
        graphs=None if batch.graphs is None else _pad_block(batch.graphs, spec.num_nodes[-1], *_graph_slots(spec)),
    )


def inputs_of(x: Inputs) -> Tuple[int, ...]:
    """Rows of features of every node type; empty for a matrix."""
    return x.sizes if isinstance(x, TypedInputs) else ()


def _pad_inputs(x: Inputs, spec: PadSpec) -> Inputs:
    if isinstance(x, TypedInputs):
        return x.padded(spec.num_inputs, spec.num_nodes[0])
    return pad_rows(x, spec.num_nodes[0], 0)


def _graph_slots(spec: PadSpec) -> Tuple[int, int]:
    """Slots for graphs, and for the edges from nodes to graphs: one a node."""
    assert spec.num_graphs is not None, "it fits the batch"
    return spec.num_graphs, spec.num_nodes[-1]


def _pad_block(block: Block, num_src: int, num_dst: int, num_edges: int) -> Block:
    indptr = pad_rows(block.indptr, num_dst + 1, block.num_edges)
    indptr[-1] = num_edges
    sizes = {SOURCE: num_src, DESTINATION: num_dst, EDGE: num_edges}
    arrays: Dict[str, Any] = {
        name: pad_rows(values, sizes[BLOCK_ARRAYS[name].axis], BLOCK_ARRAYS[name].fill)
        for name, values in block.arrays.items()
    }
    arrays["dst_mask"] = real_mask(block.num_dst, num_dst)
    arrays["edge_mask"] = real_mask(block.num_edges, num_edges)
    indices = pad_rows(block.indices, num_edges, num_src - 1)
    return Block(indptr, indices, num_src, **arrays)


def pad_targets(targets: Targets, spec: PadSpec) -> Targets:
    """Bring the targets of a batch to fixed sizes.

    Labels of padding are -100, whatever their type, and ``mask`` is False there; rows point at the last destination.
    Negatives that all pairs share stay as they are, because all batches have equally many.

    Args:
        targets: Unpadded targets.
        spec: The sizes of the batch.

    Example:
        >>> pairs = Targets(rows={"src": torch.tensor([0]), "dst": torch.tensor([1])}, num=1)
        >>> padded = pad_targets(pairs, PadSpec(num_nodes=(9, 5), num_edges=(9,), num_pairs=2))
        >>> padded.rows["dst"].tolist(), padded.mask.tolist()
        ([1, 4], [True, False])
    """
    num = spec.num_targets if spec.num_pairs is None else spec.num_pairs
    rows = {}
    for name, row in targets.rows.items():
        is_shared = name == "negatives" and row.ndim == 1
        rows[name] = row if is_shared else pad_rows(row, num, spec.num_nodes[-1] - 1)
    mask = real_mask(targets.size, num) if targets.mask is None else pad_rows(targets.mask, num, False)
    y = None if targets.y is None else pad_rows(targets.y, num, IGNORED_LABEL)
    return replace(targets, y=y, rows=rows, mask=mask)


def pad_rows(values: Tensor, num: int, fill: float) -> Tensor:
    """Append rows of one value. Shape [n, ...] to [num, ...]; new memory, because the caller may write to it."""
    return functional.pad(values, (0, 0) * (values.ndim - 1) + (0, num - values.shape[0]), value=fill)


def real_mask(num_real: int, num: int) -> Tensor:
    """True for the first ``num_real`` of ``num`` slots. Shape [num], bool."""
    return torch.arange(num) < num_real
