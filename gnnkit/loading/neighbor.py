"""Neighbour-sampled batches: seeds -> sample -> gather or reduce features -> batch -> pad -> transfer, in threads.

Rules: a batch is a function of (loader, epoch, number of the batch), so it is the same for any number of threads.
Every seed comes exactly once in an epoch, whatever the sizes that batches are padded to.
"""

from __future__ import annotations

import copy
import logging
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import Any, Callable, Iterator, List, Optional, Tuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gnnkit.data import Batch, BatchKey, Block, Graph, Inputs, Targets
from gnnkit.errors import BatchOverflowError, ConfigError, PipelineError
from gnnkit.loading.base import (
    WHOLE,
    Loader,
    Observer,
    Share,
    Stages,
    Transfer,
    edge_features_of,
    identity,
    part_of,
    spread,
    without_targets,
)
from gnnkit.loading.drawing import Draw, item_ids
from gnnkit.loading.gather import gathered
from gnnkit.loading.inputs import InputTable, input_sizes
from gnnkit.loading.padding import BatchSizes, PadSpec, batch_sizes, pad_batch
from gnnkit.loading.prefetch import Pace, num_cores, prefetch
from gnnkit.loading.reducing import InputReduction
from gnnkit.sampling import Buffers, SampledBlocks, Sampler, row_keys, shuffle_order
from gnnkit.sampling.neighbor import check_node_ids

_LOG = logging.getLogger(__name__)

OVERFLOW = ("carry", "error")
"""What can be done with seeds whose batch is too large for fixed sizes."""


class NeighborLoader(Loader):
    """Loads the nodes of a split in batches, each with its sampled neighbourhood.

    Args:
        graph: Where features and labels come from.
        nodes: Ids of the nodes to load; with ``draw``, of the items that it takes. One-dimensional, integer, at least
            one.
        sampler: Picks the blocks. It samples ``graph``, or one of the same nodes in the same order.
        batch_size: Seeds in a batch; the last batch has what is left.
        shuffle: Visit the nodes in a new order every epoch, keyed by (seed, epoch).
        drop_last: Leave out a last batch that is smaller than the others.
        seed: Seed of the order.
        num_threads: Threads that prepare batches. 0 prepares each in the caller's thread. None: with ``overlap`` one at
            first, and from the next epoch on as many as keep up with the use of batches; without, one for each core.
        prefetch: Finished batches to hold beyond one for each thread; without ``overlap``, for each thread.
        overlap: Whether batches are prepared while others are in use. False is for a consumer that needs all cores
            itself: then some batches are prepared at once, whenever none is left, and nobody waits for a core that is
            busy with something else.
        transfer: The last stage, run in the thread that prepared the batch, for example ``Device.put``.
        pad: Bring every batch to these sizes, a last smaller one too; see :func:`gnnkit.loading.plan_padding`. None
            leaves batches as large as they are.
        reduction: What the model's first layer does with its neighbours before it uses a parameter; it is done while
            loading, which never copies the neighbours' features. None leaves it to the model.
        overflow: What to do with a batch that is too large for ``pad``: "carry" splits its seeds in halves until they
            fit, each part a batch of its own directly after the other, so that an epoch may have more batches than
            ``len`` says; "error" stops with the margin of every size. One seed that is too large alone always stops.
        draw: Turns the items of a batch into its seeds and what is to be learnt at them, such as
            :func:`gnnkit.loading.paired`. None: the nodes themselves with their labels.
        edge_features: Whether the model reads edge features: blocks get those of the sampler's graph. Nothing is spent
            on them otherwise.
        share: Which process this is, and of how many: of every batch the loader has that process's part. Where a batch
            has fewer items than there are processes, some get its first item without targets.
        dropout_keys: Whether blocks have keys for dropout, by (seed, epoch, batch, layer, node), so that shares of a
            batch leave out the same of a node. Blocks of ``reduction`` have none.

    Raises:
        ConfigError: Settings out of range, no nodes, not one whole batch with ``drop_last``, or ``reduction`` with
            ``edge_features``, which a sum over neighbours would lose.
        DataError: No features, or none of edges with ``edge_features``, or nodes that the graph does not have.

    Example:
        >>> from gnnkit.data import Graph
        >>> from gnnkit.sampling import NeighborSampler
        >>> ring = Graph(torch.arange(7), torch.tensor([5, 0, 1, 2, 3, 4]), x=torch.eye(6))
        >>> loader = NeighborLoader(ring, torch.arange(6), NeighborSampler(ring, [1]), batch_size=4, shuffle=False)
        >>> [batch.nodes.tolist() for batch in loader.epoch(0)]
        [[0, 1, 2, 3], [4, 5]]
    """

    def __init__(
        self,
        graph: Graph,
        nodes: Tensor,
        sampler: Sampler,
        *,
        batch_size: int,
        shuffle: bool,
        drop_last: bool = False,
        seed: int = 0,
        num_threads: Optional[int] = 1,
        prefetch: int = 2,
        overlap: bool = True,
        transfer: Transfer = identity,
        pad: Optional[PadSpec] = None,
        overflow: str = "carry",
        reduction: Optional[InputReduction] = None,
        draw: Optional[Draw] = None,
        edge_features: bool = False,
        share: Share = WHOLE,
        dropout_keys: bool = False,
    ) -> None:
        if overflow not in OVERFLOW:
            raise ConfigError(f"overflow is {overflow!r}; expected one of {', '.join(OVERFLOW)}.")
        for name, value, least in (
            ("batch_size", batch_size, 1),
            ("num_threads", num_threads or 0, 0),
            ("prefetch", prefetch, 0),
        ):
            if value < least:
                raise ConfigError(f"{name} is {value}; expected at least {least}.")
        if sampler.graph.num_nodes != graph.num_nodes:
            raise ConfigError(
                f"The sampler's graph has {sampler.graph.num_nodes} nodes, the loader's {graph.num_nodes}; "
                "give both the same graph."
            )
        if edge_features and reduction is not None:
            raise ConfigError(
                "reduction and edge_features exclude each other: neighbours that are added up while loading have no "
                "edges left. Leave reduction out."
            )
        self.graph = graph
        self.sampler = sampler
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.drop_last = drop_last
        self.seed = seed
        self.num_threads = num_threads
        self.prefetch = prefetch
        self.pad = pad
        self.overflow = overflow
        self.reduction = reduction
        self.edge_features = edge_features
        self.share = share
        self.dropout_keys = dropout_keys
        self._draw = draw
        if reduction is not None and graph.typed is not None:
            _check_typed_reduction(reduction, pad)
        self._edge_attr = edge_features_of(sampler.graph) if edge_features else None
        self._buffers = Buffers()
        self._inputs = InputTable(graph, self._buffers)
        self._items = item_ids(nodes) if draw is not None else check_node_ids(nodes, graph.num_nodes, "nodes")
        self._transfer = transfer
        self.overlap = overlap
        if graph.remote is not None:  # What answers takes one question at a time.
            self.num_threads = 0
        elif num_threads is None and not overlap:
            self.num_threads = num_cores()
        self._pace = Pace() if self.num_threads is None else None
        self._observer: Optional[Observer] = None
        if len(self) == 0:
            raise ConfigError(
                f"drop_last leaves no batch: batch_size is {batch_size} and there are {len(self._items)} nodes. "
                "Use a smaller batch_size or turn drop_last off."
            )

    def __len__(self) -> int:
        """Number of batches in an epoch; with ``pad`` the least number, if none of them is too large."""
        whole, rest = divmod(len(self._items), self.batch_size)
        return whole + (1 if rest and not self.drop_last else 0)

    def epoch(self, number: int, batches: Optional[range] = None) -> Iterator[Batch]:
        """The batches of one epoch, in order. Threads run from the first ``next`` to the end, or to ``close``.

        Args:
            number: As for :class:`Loader`.
            batches: Numbers of the batches, one after the other. None: all.
        """
        wanted = range(len(self)) if batches is None else batches
        build: Callable[[int], List[Batch]] = partial(self._build, self._order(number), number, wanted.start)
        if self._pace is not None:
            build = self._pace.making(build)
        num_threads = 1 if self.num_threads is None else self.num_threads
        try:
            made = prefetch(build, len(wanted), num_threads=num_threads, ahead=self.prefetch, overlap=self.overlap)
            with closing(made) as groups:
                for parts in groups if self._pace is None else self._pace.using(groups):
                    yield from parts
        finally:
            self._set_pace()

    def observed(self, observer: Observer) -> NeighborLoader:
        """A loader of the same batches that prepares each in the caller's thread and reports its stages.

        Args:
            observer: Called with "sampling", "gathering features" or "reducing features", "padding" (if there is any)
                and "transfer", and the seconds that a batch spent there.
        """
        other = copy.copy(self)
        other.num_threads, other._pace, other._observer = 0, None, observer
        return other

    def _set_pace(self) -> None:
        """Settle the number of threads once enough has been measured."""
        chosen = None if self._pace is None else self._pace.num_threads()
        if chosen is not None:
            _LOG.info("Batches are prepared in %d thread(s) from here on.", chosen)
            self.num_threads, self._pace = chosen, None

    def sizes(self, number: int, *, limit: Optional[int] = None) -> Iterator[BatchSizes]:
        """See :class:`Loader`; neighbours are sampled, features are not read."""
        order = self._order(number)
        for index in spread(len(self), limit):
            _, targets, sampled = self._sample_part(self._items_of(order, index), slice(None), number, index)
            yield self._sizes_of(targets, sampled)

    def _order(self, epoch: int) -> NDArray[np.int64]:
        if not self.shuffle:
            return self._items
        return self._items[shuffle_order(len(self._items), seed=self.seed, epoch=epoch)]

    def _items_of(self, order: NDArray[np.int64], index: int) -> NDArray[np.int64]:
        return order[index * self.batch_size : (index + 1) * self.batch_size]

    def _sample_part(self, items: NDArray[np.int64], part: slice, epoch: int, index: int) -> _Sampled:
        """Seeds of a part of a batch, targets if they are not just the seeds with their labels, and neighbourhoods."""
        if self._draw is None:
            drawn: Tuple[NDArray[np.int64], Optional[Targets], Any] = (items[part], None, None)
        else:
            drawn = self._draw(items, part, epoch, index)
        seeds, targets, hidden = drawn
        sampled = self.sampler.sample(seeds, epoch=epoch, batch=index, edge_ids=self.edge_features, hidden=hidden)
        return seeds, targets, sampled

    def _build(self, order: NDArray[np.int64], epoch: int, first: int, position: int) -> List[Batch]:
        """One batch, or the parts of one that was too large."""
        stages, index = Stages(self._observer), first + position
        try:
            stages.enter("sampling")
            parts = self._sample(self._items_of(order, index), epoch, index)
            stages.enter("gathering features" if self.reduction is None else "reducing features")
            batches = [self._gather(*each, BatchKey(epoch, index, part)) for part, each in enumerate(parts)]
            if self._is_empty(order, index):
                batches = [without_targets(batch) for batch in batches]
            if self.pad is not None:
                stages.enter("padding")
                batches = [pad_batch(batch, self.pad) for batch in batches]
            stages.enter("transfer")
            batches = [self._transfer(batch) for batch in batches]
            stages.enter("")
            return batches
        except BatchOverflowError as error:
            raise BatchOverflowError(f"Batch {index} of epoch {epoch}: {error}", error.excess) from error
        except Exception as error:
            # Whatever a stage raises, the user needs to know which batch it was.
            message = f"Batch {index} of epoch {epoch} failed in {stages.name}: {type(error).__name__}: {error}"
            raise PipelineError(message) from error

    def _sample(self, items: NDArray[np.int64], epoch: int, index: int) -> List[_Sampled]:
        """Draw targets of items and sample their neighbourhoods, in as many parts as it takes to fit.

        Parts draw what the whole would.
        """
        part = part_of(len(items), self.share)
        return self._sample_in_parts(items, part.start, max(part.stop, part.start + 1), epoch, index)

    def _is_empty(self, order: NDArray[np.int64], index: int) -> bool:
        """Whether this process has no item of a batch."""
        part = part_of(len(self._items_of(order, index)), self.share)
        return bool(part.start == part.stop)

    def _sample_in_parts(
        self, items: NDArray[np.int64], start: int, end: int, epoch: int, index: int
    ) -> List[_Sampled]:
        whole = self._sample_part(items, slice(start, end), epoch, index)
        if self.pad is None:
            return [whole]
        sizes = self._sizes_of(*whole[1:])
        if self.overflow == "error" or end - start == 1:
            self.pad.check(sizes)
        if self.pad.fits(sizes):
            return [whole]
        half = start + (end - start + 1) // 2
        first = self._sample_in_parts(items, start, half, epoch, index)
        return first + self._sample_in_parts(items, half, end, epoch, index)

    def _blocks(self, sampled: SampledBlocks) -> Tuple[Block, ...]:
        """The blocks that a batch will have."""
        if self.reduction is None:
            return sampled.blocks
        return (self._inputs.reduced_block(sampled.blocks[0], self.reduction), *sampled.blocks[1:])

    def _sizes_of(self, targets: Optional[Targets], sampled: SampledBlocks) -> BatchSizes:
        inputs = input_sizes(self.graph, sampled.nodes) if self.reduction is None else ()
        return batch_sizes(self._blocks(sampled), targets, inputs=inputs)

    def _gather(
        self, seeds: NDArray[np.int64], targets: Optional[Targets], sampled: SampledBlocks, key: BatchKey
    ) -> Batch:
        x: Inputs
        if self.reduction is None:
            blocks, x = sampled.blocks, self._features(sampled)
        else:
            first, x = self._inputs.reduced(sampled.nodes, sampled.blocks[0], self.reduction)
            blocks = (first, *sampled.blocks[1:])
        nodes = torch.from_numpy(seeds.copy())
        if targets is None and self.graph.y is not None:
            targets = Targets.of_labels(self.graph.y.index_select(0, nodes))  # Indexing takes twice as long.
        if self._edge_attr is not None:
            blocks = tuple(self._with_edge_features(block, self._edge_attr) for block in blocks)
        if self.dropout_keys:
            blocks = self._with_dropout_keys(blocks, sampled.nodes.numpy(), key)
        return Batch(blocks, x, targets, nodes, key)

    def _with_dropout_keys(self, blocks: Tuple[Block, ...], ids: NDArray[np.int64], key: BatchKey) -> Tuple[Block, ...]:
        """Blocks that say how the dropout of their sources, which are the first of ``ids``, is drawn."""
        made = []
        for layer, block in enumerate(blocks):
            if not block.is_reduced:
                keys = row_keys(ids[: block.num_src], self.seed, key.epoch, key.number, layer)
                block = replace(block, dropout_keys=torch.from_numpy(keys))
            made.append(block)
        return tuple(made)

    def _features(self, sampled: SampledBlocks) -> Inputs:
        remote = self.graph.remote
        if remote is not None:
            return remote.neighbors.features(sampled.nodes)
        return self._inputs.rows(sampled.nodes, sampled.blocks[0].src_type)

    def _with_edge_features(self, block: Block, edge_attr: Tensor) -> Block:
        assert block.edge_ids is not None, "the sampler was asked for them"
        return replace(block, edge_attr=gathered(edge_attr, block.edge_ids, self._buffers), edge_ids=None)


_Sampled = Tuple[NDArray[np.int64], Optional[Targets], SampledBlocks]
"""Seeds, targets and neighbourhoods of a batch or of a part of one."""


def _check_typed_reduction(reduction: InputReduction, pad: Optional[PadSpec]) -> None:
    if pad is not None:
        raise ConfigError(
            "reduction and pad exclude each other for a typed graph: means of relations have no slots. Leave reduction "
            "out."
        )
    if reduction.reduce != "mean" or not reduction.keep_own:
        raise ConfigError(
            f"reduction is {reduction}, but a typed graph can be reduced by the mean of each relation alone, beside "
            "the destinations' own features. Give InputReduction('mean')."
        )
