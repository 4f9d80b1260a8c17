"""Data loaders of graphs, for PopTorch's models."""

from __future__ import annotations

from enum import Enum
from typing import Any, Optional, Sequence

from torch.utils.data import RandomSampler, SequentialSampler
from torch_geometric.data import Batch

from gnnkit_ipu.emulator import dataloader
from gnnkit_ipu.emulator.errors import BatchSizeError, Error
from gnnkit_ipu.emulator.options import Options

from .collate import CombinedBatchingCollater, FixedSizeCollater
from .fixed_size_options import FixedSizeOptions
from .stream_packing_sampler import StreamPackingSampler


class FixedSizeStrategy(Enum):
    """How batches get one size: the same number of graphs in each, or as many as fit."""

    PadToMax = 0
    StreamPack = 1


class OverSizeStrategy(Enum):
    """What is done with what does not fit: raise, leave graphs out (when packing), or leave nodes or edges out."""

    Error = 0
    Skip = 1
    TrimNodes = 2
    TrimEdges = 3
    TrimNodesAndEdges = 4


class DataLoader(dataloader.DataLoader):
    """Batches of graphs, as large as they are.

    Args:
        dataset: Graphs by number.
        batch_size: Graphs of a step.
        shuffle: Whether the order is random.
        follow_batch: See :class:`torch_geometric.data.Batch`.
        exclude_keys: Attributes that are left out.
        options: Those of the model; None for the defaults.
        kwargs: As for PopTorch's data loader.
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int = 1,
        shuffle: bool = False,
        follow_batch: Optional[Sequence[str]] = None,
        exclude_keys: Optional[Sequence[str]] = None,
        options: Optional[Options] = None,
        **kwargs: Any,
    ) -> None:
        kwargs.pop("collate_fn", None)

        def join(graphs: Any) -> Any:
            return Batch.from_data_list(graphs, follow_batch, exclude_keys)

        collate = CombinedBatchingCollater(join, batch_size)
        super().__init__(options or Options(), dataset, batch_size, shuffle, collate_fn=collate, **kwargs)


class FixedSizeDataLoader(dataloader.DataLoader):
    """Batches of graphs, padded to one size.

    Args:
        dataset: Graphs by number.
        batch_size: Graphs of a step, one of padding among them.
        shuffle: Whether the order is random.
        fixed_size_options: The sizes. None: such that any graphs of the data set fit.
        fixed_size_strategy: See :class:`FixedSizeStrategy`.
        over_size_strategy: See :class:`OverSizeStrategy`.
        add_pad_masks: Whether batches say what is real.
        follow_batch: See :class:`torch_geometric.data.Batch`.
        exclude_keys: Attributes that are left out.
        options: Those of the model; None for the defaults.
        kwargs: As for PopTorch's data loader.

    Raises:
        BatchSizeError: The options are for another number of graphs.
        Error: Settings that exclude each other.
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int = 2,
        shuffle: bool = False,
        fixed_size_options: Optional[FixedSizeOptions] = None,
        fixed_size_strategy: FixedSizeStrategy = FixedSizeStrategy.PadToMax,
        over_size_strategy: OverSizeStrategy = OverSizeStrategy.Error,
        add_pad_masks: Optional[bool] = True,
        follow_batch: Optional[Sequence[str]] = None,
        exclude_keys: Optional[Sequence[str]] = None,
        options: Optional[Options] = None,
        **kwargs: Any,
    ) -> None:
        if "collate_fn" in kwargs:
            raise Error("FixedSizeDataLoader joins graphs by itself. Leave collate_fn out.")
        sizes = fixed_size_options or FixedSizeOptions.from_dataset(dataset, batch_size)
        if batch_size != sizes.num_graphs:
            raise BatchSizeError(f"batch_size is {batch_size}, expected num_graphs of the sizes, {sizes.num_graphs}.")
        self.fixed_size_options = sizes
        strategy = OverSizeStrategy(over_size_strategy)
        if fixed_size_strategy is FixedSizeStrategy.StreamPack:
            if kwargs.get("batch_sampler") is not None:
                raise Error("Packing makes batches by itself. Leave batch_sampler out.")
            kwargs["batch_sampler"] = StreamPackingSampler(
                dataset,
                batch_size - 1,
                sizes.num_nodes - 1,
                sizes.num_edges - 1,
                RandomSampler(dataset) if shuffle else SequentialSampler(dataset),
                strategy is OverSizeStrategy.Skip,
            )
        packed = kwargs.get("batch_sampler") is not None
        collate = FixedSizeCollater(
            sizes,
            add_pad_masks,
            strategy in (OverSizeStrategy.TrimNodes, OverSizeStrategy.TrimNodesAndEdges),
            strategy in (OverSizeStrategy.TrimEdges, OverSizeStrategy.TrimNodesAndEdges),
            follow_batch,
            exclude_keys,
        )
        super().__init__(
            options or Options(),
            dataset,
            1 if packed else batch_size - 1,
            None if packed else shuffle,
            collate_fn=CombinedBatchingCollater(collate, None if packed else batch_size - 1),
            **kwargs,
        )
