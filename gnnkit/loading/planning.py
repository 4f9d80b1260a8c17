"""Planning the fixed sizes of padded batches from real ones.

Rules: sizes are chosen on one half of the sampled batches and must hold their rate on the other half, because the
largest of a sample are smaller than the largest to come. Such planning samples epochs that no training reaches. Where
no batch may be too large, the very batches to come are looked at instead: they depend on the seed, the epoch and the
batch alone. No features are read.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from itertools import count, islice
from typing import Iterable, Iterator, List, Optional, Sequence, Tuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gnnkit.data import BLOCK_ARRAYS, Graph, full_block
from gnnkit.data.batch import DESTINATION, EDGE, SOURCE
from gnnkit.errors import ConfigError
from gnnkit.loading.base import Loader
from gnnkit.loading.gather import loaded_dtype
from gnnkit.loading.padding import BatchSizes, PadSpec

_LOG = logging.getLogger(__name__)

MOST_BATCHES = 4096
"""How many batches are looked at at most where none may be too large; sampling one takes milliseconds."""

_FIRST_EPOCH = 2**30
_MULTIPLE = 8
_MARGIN_STEP = 0.125  # Standard deviations.


@dataclass(frozen=True, eq=False)
class PaddingPlan:
    """Proposed sizes, and what to expect of them.

    Attributes:
        spec: The proposed sizes.
        sizes: Sizes of the batches that were looked at, one row a batch, columns as ``spec.names``. Shape
            [n, 2L + 1], in typed batches one more for each node type, and one more with pairs; int64.
        expected_overflow: Share of batches that are too large, from 0 to 1, counted on the half of them that had no
            part in choosing the sizes but for the margin.
        bytes_per_batch: Memory of one padded batch as loaded, in bytes; see :func:`batch_bytes`.
        is_exact: Whether all batches to come were looked at, so that none of them is too large.
    """

    spec: PadSpec
    sizes: NDArray[np.int64]
    expected_overflow: float
    bytes_per_batch: int
    is_exact: bool

    @property
    def waste(self) -> Tuple[float, ...]:
        """Mean share of padding among the slots of each of ``spec.names``, from 0 to 1, over batches that fit."""
        room = np.array(self.spec.values)
        fitting = self.sizes[(self.sizes < room).all(axis=1)]
        if not len(fitting):
            return (math.nan,) * len(room)
        return tuple(float(share) for share in 1 - fitting.mean(axis=0) / room)


def plan_padding(
    loader: Loader, *, overflow_rate: float = 0.01, num_batches: int = 256, epochs: Optional[Sequence[int]] = None
) -> PaddingPlan:
    """Propose the sizes with the least waste at a given rate of batches that are too large.

    On one half of the sampled batches those are left out, up to the rate, without which a batch takes least memory; the
    sizes hold all the others. A margin is added, as small as the rate on the other half allows, and the sizes are
    rounded up to multiples of 8.

    With rate 0 and ``epochs``, sizes are those of all batches of these epochs and no margin is needed; if they have
    more than 4,096 batches, a warning says so and sizes are chosen as for other rates.

    Args:
        loader: Gives the batches; its own ``pad``, if it has one, does not matter.
        overflow_rate: Share of batches that may be too large, from 0 up to below 1.
        num_batches: How many batches to sample; at least 2. A rate below 2 / num_batches counts as 0.
        epochs: The epochs that will be loaded, such as ``range(1, 21)``. None: not known.

    Returns:
        The plan.

    Raises:
        ConfigError: Settings out of range.

    Example:
        >>> from gnnkit.loading import NeighborLoader
        >>> from gnnkit.sampling import NeighborSampler
        >>> ring = Graph(torch.arange(101), torch.arange(100).roll(1), x=torch.rand(100, 4))
        >>> loader = NeighborLoader(ring, torch.arange(100), NeighborSampler(ring, [1]), batch_size=10, shuffle=True)
        >>> plan = plan_padding(loader, num_batches=20)
        >>> plan.spec.num_targets, plan.expected_overflow
        (16, 0.0)
    """
    if not 0 <= overflow_rate < 1:
        raise ConfigError(f"overflow_rate is {overflow_rate}; expected a share from 0 up to below 1, such as 0.01.")
    if num_batches < 2:
        raise ConfigError(f"num_batches is {num_batches}; expected at least 2.")
    if overflow_rate == 0 and epochs is not None:
        total = len(epochs) * len(loader)
        if total <= MOST_BATCHES:
            sizes = _Sizes(each for epoch in epochs for each in loader.sizes(epoch))
            return _plan(loader, sizes, sizes.room(sizes.table.max(axis=0)), overflow=0.0, is_exact=True)
        _LOG.warning(
            "No batch may be too large, but there are %s batches, more than the %s that are looked at: sizes come from "
            "a sample of %s and a margin, and a batch may still be too large.",
            *(f"{count:,}" for count in (total, MOST_BATCHES, num_batches)),
        )
    return _sampled_plan(loader, _Sizes(islice(_sizes(loader, num_batches), num_batches)), overflow_rate)


class _Sizes:
    """Sizes of batches as a table: one row a batch, columns as names of a ``PadSpec``."""

    def __init__(self, sizes: Iterable[BatchSizes]) -> None:
        found = list(sizes)
        self.num_levels = len(found[0].num_nodes)
        self.has_pairs = found[0].num_pairs is not None
        self.num_inputs = len(found[0].num_inputs)
        self.table: NDArray[np.int64] = np.array([each.values for each in found], dtype=np.int64)

    def room(self, largest: NDArray[np.int64]) -> NDArray[np.int64]:
        """Slots that hold the largest with one spare, rounded up; a level holds all nodes of the next."""
        room: NDArray[np.int64] = -(-(largest + 1) // _MULTIPLE) * _MULTIPLE
        levels = self.num_levels
        room[:levels] = np.maximum.accumulate(room[levels - 1 :: -1])[::-1]
        return room

    def spec(self, room: NDArray[np.int64]) -> PadSpec:
        """The sizes of a row of the table as a record."""
        values = room.tolist()
        num_pairs = values.pop() if self.has_pairs else None
        edges = 2 * self.num_levels - 1
        nodes, edges_of, inputs = values[: self.num_levels], values[self.num_levels : edges], values[edges:]
        return PadSpec(tuple(nodes), tuple(edges_of), num_pairs=num_pairs, num_inputs=tuple(inputs))


def _sampled_plan(loader: Loader, sizes: _Sizes, overflow_rate: float) -> PaddingPlan:
    # Halves at random: batches of an epoch need not be alike from its beginning to its end.
    order = np.random.default_rng(0).permutation(len(sizes.table))
    chosen, held_out = sizes.table[order[::2]], sizes.table[order[1::2]]
    costs = _slot_bytes(loader.graph, sizes.num_levels - 1, sizes.has_pairs, loader.edge_features)
    largest = _leave_out(chosen, costs, int(overflow_rate * len(chosen)))
    spread = np.maximum(chosen.std(axis=0), 1)  # At least one, so that a larger margin always means more room.
    for step in count():
        room = sizes.room(largest + np.ceil(step * _MARGIN_STEP * spread).astype(np.int64))
        overflow = float((held_out >= room).any(axis=1).mean())
        if overflow <= overflow_rate:
            break
    return _plan(loader, sizes, room, overflow=overflow, is_exact=False)


def _plan(loader: Loader, sizes: _Sizes, room: NDArray[np.int64], *, overflow: float, is_exact: bool) -> PaddingPlan:
    spec = sizes.spec(room)
    num_bytes = batch_bytes(spec, loader.graph, edge_features=loader.edge_features)
    return PaddingPlan(spec, sizes.table, overflow, num_bytes, is_exact)


def batch_bytes(spec: PadSpec, graph: Graph, *, edge_features: bool = False) -> int:
    """Memory of one padded batch of a graph, as loaded, in bytes.

    Counted are the tensors of ``Batch.flatten`` with 64-bit indices, every layer with a block of its own. Activations
    of a model come on top.

    Args:
        spec: The sizes.
        graph: The graph.
        edge_features: Whether blocks have edge features.
    """
    has_pairs = spec.num_pairs is not None
    slots = _slot_bytes(graph, spec.num_blocks, has_pairs, edge_features) @ np.array(spec.values)
    mask = 0 if has_pairs or graph.y is None else spec.num_targets
    return int(slots) + 8 * spec.num_blocks + mask


def _sizes(loader: Loader, num: int) -> Iterator[BatchSizes]:
    epoch = _FIRST_EPOCH
    while True:
        yield from loader.sizes(epoch, limit=num)
        epoch += 1


def _slot_bytes(graph: Graph, num_blocks: int, has_pairs: bool, edge_features: bool) -> NDArray[np.int64]:
    """Bytes of one more slot of each size: nodes, edges, and pairs if there are any.

    The mask of nodes that are targets is left out: plans made before there was one should not change.
    """
    # What every padded block has: an offset a destination, source and destination of an edge, and the two masks.
    axes = {SOURCE: 0, DESTINATION: 8 + 1, EDGE: 8 + 8 + 1}
    for name, array in full_block(graph, edge_features=edge_features).arrays.items():
        axes[BLOCK_ARRAYS[name].axis] += _row_bytes(array)
    inputs = _input_bytes(graph)
    levels = np.zeros(num_blocks + 1, dtype=np.int64)
    levels[:-1] += axes[SOURCE]
    levels[1:] += axes[DESTINATION]
    levels[0] += 8 if inputs else 0 if graph.x is None else _row_bytes(graph.x)
    levels[-1] += 0 if graph.y is None or has_pairs else _row_bytes(graph.y)
    pairs = [8 + 8 + 1] if has_pairs else []
    return np.array([*levels, *[axes[EDGE]] * num_blocks, *inputs, *pairs], dtype=np.int64)


def _input_bytes(graph: Graph) -> List[int]:
    """Bytes of a row of features of every node type; empty where features are one matrix."""
    if graph.x is not None or graph.typed is None:
        return []
    tables = [graph.typed.x.get(name) for name in graph.typed.schema.node_types]
    return [8 if table is None else _row_bytes(table) for table in tables]


def _row_bytes(array: Tensor) -> int:
    """Bytes of a row, as loaded."""
    return math.prod(array.shape[1:]) * torch.empty(0, dtype=loaded_dtype(array.dtype)).element_size()


def _leave_out(sizes: NDArray[np.int64], costs: NDArray[np.int64], num: int) -> NDArray[np.int64]:
    """The largest of each size after leaving out ``num`` batches, each time the one whose absence saves most memory."""
    kept = sizes
    for _ in range(num):
        best: Optional[Tuple[int, int]] = None
        for row in np.unique(kept.argmax(axis=0)):
            cost = int(costs @ np.delete(kept, row, axis=0).max(axis=0))
            best = min(best or (cost, int(row)), (cost, int(row)))
        assert best is not None
        kept = np.delete(kept, best[1], axis=0)
    largest: NDArray[np.int64] = kept.max(axis=0)
    return largest
