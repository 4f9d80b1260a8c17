"""How batches reach a device: the same for training and evaluation."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from gnnkit.data import Batch, Graph
from gnnkit.devices import Device
from gnnkit.loading import NeighborLoader, Transfer
from gnnkit.loading.prefetch import num_cores
from gnnkit.nn import GNN
from gnnkit.sampling import Sampler

_AT_ONCE = 4
"""Batches of an evaluation that are in memory at a time."""


def transfer_to(device: Device, model: GNN) -> Transfer:
    """Bring a batch to a device and lower its blocks, so that neither happens between two steps.

    A device with fixed shapes takes tensors alone and lowers blocks inside of its program.

    Args:
        device: Where the batch goes.
        model: What will read its blocks.
    """
    if device.capabilities.static_shapes:
        return device.put

    def transfer(batch: Batch) -> Batch:
        batch = device.put(batch)
        for block in batch.blocks:
            model.lower(block)
        if batch.graphs is not None:
            model.lower(batch.graphs)
        return batch

    return transfer


def evaluation_loader(
    device: Device, graph: Graph, nodes: Tensor, sampler: Sampler, *, shuffle: bool = False, **settings: Any
) -> NeighborLoader:
    """The loader of an evaluation.

    Batches are prepared beside the device's steps, or between them where these need the cores of the host.

    Args:
        device: Where the steps run.
        graph: The prepared graph.
        nodes: Node ids. Shape [M], int64.
        sampler: Picks the blocks.
        shuffle: Whether nodes come in random order.
        settings: Others of :class:`gnnkit.loading.NeighborLoader`.
    """
    if device.capabilities.uses_host:
        settings.update(overlap=False, num_threads=min(num_cores(), _AT_ONCE), prefetch=0)
    return NeighborLoader(graph, nodes, sampler, shuffle=shuffle, **settings)
