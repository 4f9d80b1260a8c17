"""The ``Loader`` interface: a split of a graph as a stream of batches.

Rules: epoch ``n`` of a loader yields the same batches whenever and however often it is asked for. A loader hands
batches through ``transfer`` before it yields them; that may happen in one of its own threads.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from dataclasses import replace
from typing import Callable, Iterator, List, Optional, Tuple

import torch
from torch import Tensor

from gnnkit.data import IGNORED_LABEL, Batch, BatchKey, Graph, missing_array
from gnnkit.errors import DataError, PipelineError
from gnnkit.loading.padding import BatchSizes, PadSpec, batch_sizes, inputs_of, pad_batch

Transfer = Callable[[Batch], Batch]
"""The last stage of loading, for example ``Device.put``."""


Observer = Callable[[str, float], None]
"""Called with the name of a loading stage and the seconds that a batch spent in it."""


class Stages:
    """Which stage of loading a batch is in; each one that it leaves is reported.

    Args:
        observer: Hears of every stage that ends. None: nobody.

    Attributes:
        name: The stage that is going on.
    """

    def __init__(self, observer: Optional[Observer]) -> None:
        self.name = ""
        self._observer = observer
        self._start = 0.0

    def enter(self, name: str) -> None:
        """Leave the stage that is going on, if there is one, and begin another; no name ends the last."""
        now = time.perf_counter()
        if self._observer is not None and self.name:
            self._observer(self.name, now - self._start)
        self.name, self._start = name, now


def identity(batch: Batch) -> Batch:
    """Leave a batch where it is."""
    return batch


def finished(make: Callable[[], Batch], key: BatchKey, pad: Optional[PadSpec], transfer: Transfer) -> Batch:
    """Make a batch, bring it to fixed sizes, and hand it on.

    Args:
        make: Makes the batch.
        key: Which one it is.
        pad: The sizes. None leaves it as large as it is.
        transfer: The last stage.

    Raises:
        PipelineError: One of these failed; the message names the batch.
    """
    try:
        batch = make()
        return transfer(batch if pad is None else pad_batch(batch, pad))
    except Exception as error:  # A device's or a backend's own, which may be anything.
        message = f"Batch {key.number} of epoch {key.epoch} failed: {type(error).__name__}: {error}"
        raise PipelineError(message) from error


Share = Tuple[int, int]
"""Which process this is, from 0, and how many there are."""
WHOLE: Share = (0, 1)
"""All of a batch, for a single process."""


def part_of(num: int, share: Share) -> slice:
    """Which of a batch's items a process has: parts follow each other and differ by one at most.

    Example:
        >>> [part_of(5, (rank, 2)) for rank in range(2)]
        [slice(0, 2, None), slice(2, 5, None)]
    """
    rank, size = share
    return slice(num * rank // size, num * (rank + 1) // size)


def without_targets(batch: Batch) -> Batch:
    """The batch as one that has nothing to learn from, for a process that has no item of its own."""
    targets = batch.targets
    if targets is None:
        return batch
    y = None if targets.y is None else torch.full_like(targets.y, IGNORED_LABEL)
    mask = torch.zeros(targets.size, dtype=torch.bool)
    return replace(batch, targets=replace(targets, y=y, mask=mask, num=0))


def spread(num: int, limit: Optional[int]) -> List[int]:
    """No more than ``limit`` of the numbers below ``num``, ascending and evenly spread; all of them without a limit."""
    count = num if limit is None else min(num, limit)
    return [i * num // count for i in range(count)]


class Loader(ABC):
    """A stream of batches, the same for the same epoch.

    Attributes:
        graph: Where features and labels come from.
        edge_features: Whether blocks have the graph's edge features.

    Example:
        >>> for batch in loader.epoch(0):  # doctest: +SKIP
        ...     step(batch)
    """

    graph: Graph
    edge_features: bool = False

    @abstractmethod
    def __len__(self) -> int:
        """Number of batches in an epoch."""

    @abstractmethod
    def epoch(self, number: int, batches: Optional[range] = None) -> Iterator[Batch]:
        """The batches of one epoch, in order.

        Args:
            number: The epoch, from 0. Order and sampled neighbours depend on it.
            batches: Numbers of the batches, one after the other. None: all.

        Raises:
            PipelineError: While iterating: a stage failed. The message names the batch and the stage.
        """

    def sizes(self, number: int, *, limit: Optional[int] = None) -> Iterator[BatchSizes]:
        """How large the batches of one epoch are before they are padded, for planning their fixed sizes.

        Args:
            number: The epoch.
            limit: Look at no more than so many batches, spread evenly over the epoch. None looks at all.
        """
        wanted = set(spread(len(self), limit))
        for position, batch in enumerate(self.epoch(number)):
            if position in wanted:
                yield batch_sizes(batch.blocks, batch.targets, batch.graphs, inputs_of(batch.x))

    @property
    def num_batches(self) -> int:
        """Number of batches in an epoch."""
        return len(self)


def features_of(graph: Graph) -> Tensor:
    """The node features of a graph that is to be loaded.

    Raises:
        DataError: It has none.
    """
    if graph.x is None:
        raise missing_array("x", "a batch")
    return graph.x


def edge_features_of(graph: Graph) -> Tensor:
    """The edge features of a graph whose model reads them.

    Raises:
        DataError: It has none.
    """
    if graph.edge_attr is None:
        raise DataError(
            "edge_attr",
            f"graph {graph.name!r} has no edge features, and the model reads them.",
            fix="Build the graph with edge_attr=, or take a model that reads none.",
        )
    return graph.edge_attr
