"""The data loader: one item is what one call of a model eats, all its micro-batches joined along dimension 0."""

# ruff: noqa: N802 - the names are PopTorch's.
from __future__ import annotations

import logging
from typing import Any, Dict, Iterator, List, Optional

import torch
from torch import Tensor

from .enums import DataLoaderMode
from .errors import Error
from .options import Options
from .structure import rebuild, tensors_of

_LOG = logging.getLogger(__name__)


class DataLoader(torch.utils.data.DataLoader):  # type: ignore[type-arg]
    """Loader of batches for a model with the same options; freezes them.

    Args:
        options: Options of the model.
        dataset: Data set in torch's sense.
        batch_size: Samples of a micro-batch; None leaves batching to the data set.
        shuffle: Whether the order is random.
        num_workers: Loading processes.
        drop_last: Whether samples that do not fill a batch are left out. A last batch that is not full is only warned
            of here; a compiled model refuses its shape.
        persistent_workers: Whether loading processes outlive an epoch.
        auto_distributed_partitioning: Without effect, the emulator is one process.
        mode: The other modes give the same batches from a process of their own; here they load as ``Sync`` does.
        async_options: Options of the other modes, without effect.
        rebatched_worker_size: Option of the other modes, without effect.
        batch_sampler: Yields the indices of micro-batches; as many as a call needs are joined.
        kwargs: Passed on to torch.

    Raises:
        Error: ``batch_sampler`` beside a batch size or an order.
        ValueError: No batch size, and ``drop_last``.
    """

    def __init__(
        self,
        options: Options,
        dataset: Any,
        batch_size: Optional[int] = 1,
        shuffle: Optional[bool] = None,
        num_workers: int = 0,
        drop_last: bool = True,
        persistent_workers: Optional[bool] = None,
        auto_distributed_partitioning: bool = True,
        mode: DataLoaderMode = DataLoaderMode.Sync,
        async_options: Optional[Dict[str, Any]] = None,
        rebatched_worker_size: Optional[int] = None,
        batch_sampler: Any = None,
        **kwargs: Any,
    ) -> None:
        self._options = options
        options._freeze()
        self._joined = micro_batches(options)
        self._combined = None if batch_size is None else batch_size * self._joined
        self._joins = batch_sampler is not None and self._joined > 1
        if persistent_workers is not None:
            kwargs["persistent_workers"] = persistent_workers
        if batch_sampler is not None:
            if batch_size != 1 or shuffle:
                raise Error("batch_sampler excludes batch_size and shuffle: it makes the batches itself.")
            super().__init__(dataset, batch_sampler=batch_sampler, num_workers=num_workers, **kwargs)
            return
        if self._combined and not drop_last and hasattr(dataset, "__len__") and len(dataset) % self._combined:
            _LOG.warning(
                "%d samples do not fill batches of %d: the last one has %d, and a model that is compiled refuses it.",
                *(len(dataset), self._combined, len(dataset) % self._combined),
            )
        super().__init__(
            dataset,
            batch_size=self._combined,
            shuffle=bool(shuffle),
            num_workers=num_workers,
            drop_last=drop_last,
            **kwargs,
        )

    @property
    def combinedBatchSize(self) -> Optional[int]:
        """Samples that one call of a model eats; None if the data set makes the batches."""
        return self._combined

    @property
    def options(self) -> Options:
        """The frozen options."""
        return self._options

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        """Yield the joined micro-batches of one call after the other."""
        batches = super().__iter__()
        return self._join(batches) if self._joins else batches

    def _join(self, batches: Iterator[Any]) -> Iterator[Any]:
        """Groups of micro-batches; a last one that is not full is dropped."""
        waiting: List[Any] = []
        for batch in batches:
            waiting.append(batch)
            if len(waiting) == self._joined:
                yield _joined(waiting)
                waiting = []

    def terminate(self) -> None:
        """Stop the loading process: there is none."""


def _joined(batches: List[Any]) -> Any:
    """The tensors of batches along dimension 0; graphs of PyTorch Geometric are joined as dictionaries are."""
    if hasattr(batches[0], "to_dict"):
        joined = batches[0].clone()
        for name, value in batches[0].to_dict().items():
            if isinstance(value, Tensor):
                joined[name] = torch.cat([batch[name] for batch in batches])
        return joined
    columns = zip(*[tensors_of(batch) for batch in batches])
    return rebuild(batches[0], [torch.cat(column) for column in columns])


def micro_batches(options: Options) -> int:
    """Micro-batches that one call of a model eats."""
    accumulation = options.Training.gradient_accumulation
    return int(options.device_iterations * accumulation * options.replication_factor)


def split(tensor: Tensor, parts: int) -> List[Tensor]:
    """Micro-batches of a tensor, in the order in which the device takes them."""
    return [tensor] if parts == 1 else list(tensor.chunk(parts))
