"""A stand-in for PopTorch Geometric: data loaders whose batches have one size.

Rules: names, parameters, defaults and modules are those of the package; graphs of one type of node and edge. It needs
PyTorch Geometric. What is left out raises :class:`NotEmulatedError`. Where the package pads with an index past the last
node, or gives a batch without padding graph, this raises.

Example:
    >>> import torch
    >>> from torch_geometric.data import Data
    >>> from gnnkit_ipu.emulator.geometric import FixedSizeDataLoader
    >>> ring = torch.tensor([[0, 1, 2], [1, 2, 0]])
    >>> graphs = [Data(x=torch.ones(3, 2), edge_index=ring, y=torch.tensor([1])) for _ in range(4)]
    >>> batch = next(iter(FixedSizeDataLoader(graphs, batch_size=3)))
    >>> batch.x.shape, batch.y.tolist(), batch.graphs_mask.tolist()
    (torch.Size([7, 2]), [1, 1, 0], [True, True, False])
"""

# ruff: noqa: SIM905 - lists of names read better as text.
from __future__ import annotations

from typing import Any, NoReturn, Sequence, Tuple

from torch import nn

from gnnkit_ipu.emulator.errors import NotEmulatedError

from . import collate, dataloader, fixed_size_options, stream_packing_sampler
from .dataloader import FixedSizeDataLoader, FixedSizeStrategy, OverSizeStrategy
from .fixed_size_options import FixedSizeOptions

#: Names of PopTorch Geometric that are left out, its modules among them.
NOT_EMULATED = frozenset(
    "PyGArgsParser TrainingStepper cluster_loader masker neighbor_loader ops override pyg_cluster_loader pyg_collate "
    "pyg_dataloader types".split()
)

__all__ = [
    "NOT_EMULATED",
    "FixedSizeDataLoader",
    "FixedSizeOptions",
    "FixedSizeStrategy",
    "OverSizeStrategy",
    "collate",
    "dataloader",
    "fixed_size_options",
    "make_exclude_keys",
    "set_aggregation_dim_size",
    "stream_packing_sampler",
]


def make_exclude_keys(include_keys: Sequence[str], data: Any) -> Tuple[str, ...]:
    """All names of a graph's attributes but these.

    Args:
        include_keys: Names to keep.
        data: The graph.
    """
    return tuple(sorted(set(data.to_dict()) - set(include_keys)))


def set_aggregation_dim_size(model: nn.Module, dim_size: int) -> None:
    """Give every message-passing layer of a model the number of rows of its result.

    Args:
        model: Changed in place.
        dim_size: Nodes of a batch, padding included.
    """
    from torch_geometric.nn import MessagePassing

    def give(layer: Any, inputs: Any) -> Any:
        return {**inputs[-1], "dim_size": dim_size}

    for layer in model.modules():
        if isinstance(layer, MessagePassing):
            layer.register_aggregate_forward_pre_hook(give)


def __getattr__(name: str) -> NoReturn:
    if name in NOT_EMULATED:
        raise NotEmulatedError(f"poptorch_geometric.{name}")
    raise AttributeError(f"module 'poptorch_geometric' has no attribute {name!r}")
