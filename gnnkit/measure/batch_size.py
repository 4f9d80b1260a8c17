"""The largest batch size whose training fits into memory.

Rules: every size is tried in a process of its own, with real steps; nothing is computed from a formula.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Callable, Dict, List, Optional, Tuple

from gnnkit.errors import ConfigError
from gnnkit.measure.trial import Trial, run_trial
from gnnkit.tasks import task_class
from gnnkit.train.config import RunConfig
from gnnkit.train.hardware import choose_hardware

SHARE = 0.8
"""How much of the memory that is free a training may take, unless told otherwise."""
_BATCHES = 5
"""Batches that are timed with each size."""
_DEFAULT = 1024
"""Where the search begins if the configuration names no size."""


@dataclass(frozen=True)
class SizeTried:
    """What one batch size takes.

    Attributes:
        batch_size: Targets in a batch.
        num_bytes: Peak memory. None: more than the limit.
        batch_seconds: Time of a batch, loading included. None likewise.
        target_seconds: Time of an epoch's batches by its targets. None likewise.
    """

    batch_size: int
    num_bytes: Optional[int] = None
    batch_seconds: Optional[float] = None
    target_seconds: Optional[float] = None

    @property
    def fits(self) -> bool:
        """Whether it is within the limit."""
        return self.num_bytes is not None


@dataclass(frozen=True)
class FoundBatchSize:
    """What was tried, and what is best.

    Attributes:
        limit: Bytes that a training may take.
        tried: The sizes, ascending.
        batch_size: The largest that fits.
        num_targets: Training targets of an epoch, beyond which no batch grows.
        evaluation_bytes: Peak memory with this size after an evaluation. None: more than the limit.
    """

    limit: int
    tried: List[SizeTried]
    batch_size: int
    num_targets: int
    evaluation_bytes: Optional[int]

    def to_dict(self) -> Dict[str, Any]:
        """Plain values."""
        return {**vars(self), "tried": [vars(each) for each in self.tried]}


def find_batch_size(
    config: RunConfig, *, memory: Optional[int] = None, report: Optional[Callable[[SizeTried], None]] = None
) -> FoundBatchSize:
    """Find the largest batch size whose training fits into memory.

    Sizes are doubled from the configuration's own until one does not fit, or all targets are in one batch; between the
    last two, one more is tried. Training is tried without its evaluation, and the size that is found once more with it,
    because an evaluation's memory does not follow from the batch size of training.

    Args:
        config: As :func:`gnnkit.train.load_config` gives it. Training is sampled, or about whole graphs.
        memory: Bytes that may be taken: of the process, or on a GPU of the GPU's memory. None: 80 % of what is free.
        report: Told of every size that has been tried.

    Raises:
        ConfigError: Training is on the full graph, no size fits, or the system does not say what memory is free.
        GnnkitError: What the training raises before its first step.

    Example:
        >>> from gnnkit.train import load_config
        >>> config = load_config(overrides=["dataset.name=digits", "device=cpu", "train.batch_size=512"])
        >>> find_batch_size(config, memory=4 * 10**9).batch_size  # doctest: +SKIP
        1257
    """
    if not config.train.is_sampled and task_class(config.task).level != "graphs":
        raise ConfigError(
            "A batch size can be found for sampled training, and this one is on the full graph or on parts of it. Give "
            "train.batch_size or train.fanouts."
        )
    device = choose_hardware(config)[1]
    try:
        watched = device.capabilities.torch_device == "cpu"
        limit = _limit(memory, device.free_memory())
    finally:
        device.close()
    search = _Search(config, limit, watched, report)
    best = search.run()
    last = search.trial(best, evaluates=True)
    tried = sorted(search.tried.values(), key=lambda each: each.batch_size)
    return FoundBatchSize(limit, tried, best, search.num_targets, last.num_bytes)


def _limit(memory: Optional[int], free: Optional[int]) -> int:
    if memory is None and free is None:
        raise ConfigError("The device does not say how much memory is free. Say how much a training may take: memory.")
    if memory is not None and memory < 1:
        raise ConfigError(f"memory is {memory}, expected bytes, above 0.")
    return int(SHARE * (free or 0)) if memory is None else memory


class _Search:
    """Tries sizes, each once."""

    def __init__(
        self, config: RunConfig, limit: int, watched: bool, report: Optional[Callable[[SizeTried], None]]
    ) -> None:
        self.tried: Dict[int, SizeTried] = {}
        self.num_targets = 0
        self._config = replace(config, run_dir=None, track=[])
        self._limit, self._watched, self._report = limit, watched, report

    def trial(self, size: int, *, evaluates: bool) -> Trial:
        """Look at a training with a batch size."""
        config = replace(self._config, train=replace(self._config.train, batch_size=size))
        return run_trial(config, limit=self._limit, watched=self._watched, num_batches=_BATCHES, evaluates=evaluates)

    def run(self) -> int:
        """The largest size that fits."""
        start = self._config.train.batch_size or _DEFAULT
        if self._fits(start):
            fits, beyond = self._grown(start)
        elif start > 1 and self._fits(1):
            fits, beyond = 1, start
        else:
            raise ConfigError(
                f"Not even a batch of one fits into {self._limit:,} bytes: the libraries, the data and the model take "
                "them. Allow more memory, or take smaller data or a smaller model."
            )
        while beyond is not None and beyond > 2 * fits:
            middle = fits * 2 ** ((beyond // fits).bit_length() // 2)
            fits, beyond = (middle, beyond) if self._fits(middle) else (fits, middle)
        if beyond is not None and beyond - fits > 1:
            middle = (fits + beyond) // 2
            fits = middle if self._fits(middle) else fits
        return fits

    def _grown(self, size: int) -> Tuple[int, Optional[int]]:
        """The largest doubling that fits, and the one after it, which does not; None if all targets fit."""
        while size < self.num_targets:
            larger = min(2 * size, self.num_targets)
            if not self._fits(larger):
                return size, larger
            size = larger
        return min(size, self.num_targets), None

    def _fits(self, size: int) -> bool:
        if size not in self.tried:
            found = self.trial(size, evaluates=False).found
            if found is None:
                self.tried[size] = SizeTried(size)
            else:
                self.num_targets, seconds = found["num_targets"], found["batch_seconds"]
                a_target = found["batches_per_epoch"] * seconds / self.num_targets
                self.tried[size] = SizeTried(size, found["limited"], seconds, a_target)
            if self._report is not None:
                self._report(self.tried[size])
        return self.tried[size].fits
