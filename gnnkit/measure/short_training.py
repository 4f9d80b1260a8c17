"""A training that goes through a few batches alone, by training's own loop, and says what they took.

Rules: epochs are real but short, so that memory is taken and freed in the order of a training: every second one is
evaluated. The first one warms up, and is where tensors are counted; the second one is timed.
"""

from __future__ import annotations

import time
from contextlib import nullcontext, suppress
from dataclasses import replace
from typing import Any, ContextManager, Iterator, List, Optional

import torch
from torch import Tensor

from gnnkit.data import Batch
from gnnkit.devices import GroupingStep, TimedStep
from gnnkit.devices.resident import peak_resident
from gnnkit.loading import BatchSizes, FullGraphLoader, FullGraphPairLoader, Loader, NeighborLoader, batch_sizes
from gnnkit.loading.base import spread
from gnnkit.measure.tensors import Storages, num_bytes, storages
from gnnkit.runs.callback import Callback
from gnnkit.runs.history import EpochRecord
from gnnkit.train.job import Job
from gnnkit.train.loop import train

WARM_UP = 2
"""Batches of an epoch that is not timed."""
_TIMED = 2
"""The epoch that is."""
_EPOCHS = 4
"""How many there are; of the full graph, two more than batches are to be timed."""
_SECONDS = 5.0
"""After so long, no further batch is timed, and no evaluation is made again."""
_EVALUATION_SECONDS = 20.0
"""After so long, an evaluation is left, and its time extrapolated."""
_LOOKED_AT = 64
"""Batches of whole graphs, or of parts of a graph, among which the largest is looked for."""


class Left(Exception):  # noqa: N818 - no error
    """Enough has been seen."""


class ShortTraining(Loader):
    """A job's loader, of which an epoch has a few batches; it watches what is done with them.

    Args:
        job: Its loader is replaced by this one, and its listeners.
        num_batches: How many batches to time.
        evaluates: Whether to evaluate.

    Attributes:
        batch: The largest batch.
        largest: Its sizes, those of padding included.
        activations: Bytes that it kept from forward for backward. None: nobody saw any.
        seconds: Of each timed step.
        total_seconds: Of all timed batches, loading included.
        evaluation_seconds: Of one evaluation; extrapolated if it was left. None: there was none.
        evaluated: How much of the evaluation was done, from 0 to 1.
        evaluation_bytes: What evaluations added to the peak of resident memory.
    """

    def __init__(self, job: Job, num_batches: int, evaluates: bool) -> None:
        self.batch: Optional[Batch] = None
        self.largest: Optional[BatchSizes] = None
        self.activations: Optional[int] = None
        self.seconds: List[float] = []
        self.total_seconds = 0.0
        self.evaluation_seconds: Optional[float] = None
        self.evaluated = 1.0
        self.evaluation_bytes = 0
        self._job, self._loader = job, job.loader
        self._num = 1 if is_whole(job.loader) else num_batches
        self._timed = range(_TIMED, num_batches + _TIMED) if is_whole(job.loader) else range(_TIMED, _TIMED + 1)
        self._evaluates = evaluates
        self._most_bytes = 0
        self._begun = self._ended = time.perf_counter()
        self._peak = 0
        self.graph, self.edge_features = job.loader.graph, job.loader.edge_features

    def run(self) -> None:
        """Train, and end when enough has been seen."""
        job = self._job
        epochs = max(_EPOCHS, self._timed.stop)
        every = (min(job.config.eval_every, 2) if is_whole(self._loader) else 2) if self._evaluates else epochs + 1
        job.config = replace(job.config, epochs=epochs + (not self._evaluates), eval_every=every)
        job.loader, job.callbacks = self, [_Watch(self)]
        try:
            with suppress(Left):
                train(job, None, None)
        finally:
            job.loader = self._loader

    def __len__(self) -> int:
        """Batches of an epoch."""
        return min(self._num, len(self._loader))

    def epoch(self, number: int, batches: Optional[range] = None) -> Iterator[Batch]:
        """See :class:`Loader`."""
        self._begin(number)
        if number == 1:
            yield from self._counted()
        elif number in self._timed:
            yield from self._clocked(number)
        else:
            yield from self._first(number, WARM_UP)
        self._job.device.synchronize()
        self._ended, self._peak = time.perf_counter(), peak_resident()

    def _first(self, number: int, num: int) -> Iterator[Batch]:
        return self._loader.epoch(number, range(min(num, len(self))))

    def _begin(self, number: int) -> None:
        """An epoch begins; leave if there is nothing more to see."""
        taken = (self.evaluation_seconds or 0.0) if number > _TIMED else 0.0
        is_late = time.perf_counter() - self._begun > 2 * _SECONDS
        is_done = number >= self._timed.stop and not self._evaluates
        if number > _TIMED and (is_done or is_late or taken > _SECONDS):
            raise Left

    def _counted(self) -> Iterator[Batch]:
        """Batches whose tensors are counted, the largest one among them."""
        for batch in self._of_each_size():
            size = num_bytes(batch, without={})
            known = {**storages(batch), **storages(list(self._job.module.state_dict(keep_vars=True).values()))}
            found: Storages = {}
            # What a compiler traces is no memory.
            with _keeping(found) if isinstance(self._job.step, TimedStep) else nullcontext():
                yield batch
            if size > self._most_bytes:
                self._most_bytes, self.batch = size, batch
                self.largest = batch_sizes(batch.blocks, batch.targets, batch.graphs)
                kept = sum(size for place, size in found.items() if place not in known)
                self.activations = kept if found else None

    def _of_each_size(self) -> Iterator[Batch]:
        """Sampled batches are about as large as each other. Whole graphs are not, and neither are parts of a graph."""
        loader = self._loader
        if not isinstance(loader, NeighborLoader) and not is_whole(loader):
            sizes = [size.num_nodes[0] + sum(size.num_edges) for size in loader.sizes(1, limit=_LOOKED_AT)]
            largest = spread(len(loader), _LOOKED_AT)[max(range(len(sizes)), key=sizes.__getitem__)]
            yield from loader.epoch(1, range(largest, largest + 1))
        yield from self._first(1, WARM_UP)

    def _clocked(self, number: int) -> Iterator[Batch]:
        job = self._job
        is_waited_for = not isinstance(job.step, GroupingStep)  # Waiting would end a group of batches early.
        job.device.synchronize()
        start, compiled = time.perf_counter(), job.device.compile_seconds()
        for batch in self._first(number, self._num):
            begun = time.perf_counter()
            yield batch
            if is_waited_for:
                job.device.synchronize()
            self.seconds.append(time.perf_counter() - begun)
            if time.perf_counter() - start > _SECONDS:
                break
        job.device.synchronize()
        self.total_seconds += time.perf_counter() - start - (job.device.compile_seconds() - compiled)

    def evaluating(self, done: int, total: int) -> None:
        """An evaluation has come so far; it is left if it takes long."""
        seconds = time.perf_counter() - self._ended
        if done < total and seconds > _EVALUATION_SECONDS and self.seconds:
            self.evaluated = done / total
            self.evaluation_seconds = seconds / self.evaluated
            self._add_peak()
            raise Left

    def epoch_done(self, record: EpochRecord) -> None:
        """An epoch has ended, its evaluation included."""
        if record.valid_metric is not None:
            self.evaluation_seconds = time.perf_counter() - self._ended
            self._add_peak()

    def _add_peak(self) -> None:
        self.evaluation_bytes += peak_resident() - self._peak


class _Watch(Callback):
    """Tells a short training of its evaluations."""

    def __init__(self, training: ShortTraining) -> None:
        self._training = training

    def on_evaluation(self, done: int, total: int) -> None:
        self._training.evaluating(done, total)

    def on_epoch(self, record: EpochRecord) -> None:
        self._training.epoch_done(record)


def _keeping(found: Storages) -> ContextManager[Any]:
    """A context in which the memory of what autograd keeps for backward is noted down."""

    def keep(tensor: Tensor) -> Tensor:
        found.update(storages(tensor))
        return tensor

    return torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor)


def is_whole(loader: Loader) -> bool:
    """Whether a batch is the full graph, which is loaded once."""
    return isinstance(loader, (FullGraphLoader, FullGraphPairLoader))
