"""Outputs of a trained model for nodes of a graph: over the whole graph, layer by layer, or sampled.

Rules: on a device with fixed shapes, every batch of one prepared step has the same shapes. Sizes are planned for all
nodes of the graph, so that it does not matter which nodes are asked for. Memory is bounded by what a batch takes and,
layer by layer, by a setting: a larger result lies in a temporary file.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from functools import partial
from typing import Callable, List, Optional, Sequence, Tuple

import torch
from torch import Tensor, nn

from gnnkit.data import Batch, Graph
from gnnkit.devices import Device, Step, StepOptions
from gnnkit.loading import FullGraphLoader, InputReduction, NeighborLoader, PadSpec, Transfer, plan_padding
from gnnkit.loading.base import identity
from gnnkit.nn import GNN
from gnnkit.sampling import NeighborSampler
from gnnkit.tasks import LossModule
from gnnkit.train.files import mapped_tensor

Report = Callable[[int, int], None]
"""Told how many batches of an evaluation are done, and how many there are."""


def _quiet(_done: int, _total: int) -> None:
    pass


class Inference(ABC):
    """A way to compute a model's outputs with the weights that it has at the time of the call."""

    @abstractmethod
    def outputs(self, nodes: Tensor, report: Report = _quiet) -> Tensor:
        """Compute outputs.

        Args:
            nodes: Node ids. Shape [M], int64.
            report: Told about progress.

        Returns:
            Logits in host memory. Shape [M, out_channels], float32; float64 where that is the precision.
        """

    def outputs_of_each(self, lists: Sequence[Tensor], report: Report = _quiet) -> List[Tensor]:
        """Compute outputs for several lists of nodes; what they share is computed once.

        Args:
            lists: Node ids, as for :meth:`outputs`.
            report: Told about progress.
        """
        return list(torch.split(self.outputs(torch.cat(list(lists)), report), [nodes.numel() for nodes in lists]))


class FullGraphInference(Inference):
    """One pass over the whole graph.

    Args:
        step: An evaluating step of the model.
        batch: The whole graph, on the device.
    """

    def __init__(self, step: Step, batch: Batch) -> None:
        self._step = step
        self._batch = replace(batch, y=None, num_targets=0)

    def outputs(self, nodes: Tensor, report: Report = _quiet) -> Tensor:
        """See :class:`Inference`."""
        return _widened(self._step(self._batch).outputs)[nodes]


class SampledInference(Inference):
    """Sampled batches with fan-outs of their own; every call draws the same samples.

    Args:
        step: An evaluating step of the model.
        graph: The prepared graph.
        sampler: Picks the blocks.
        device: Where the step runs.
        batch_size: Nodes per batch.
        reduction: What of the first layer is done while loading, as in training.
    """

    def __init__(
        self,
        step: Step,
        graph: Graph,
        sampler: NeighborSampler,
        device: Device,
        batch_size: int,
        reduction: Optional[InputReduction] = None,
    ) -> None:
        self._step = step
        self._graph = replace(graph, y=None)
        self._sampler = sampler
        self._device = device
        self._batch_size = batch_size
        self._reduction = reduction
        self._pad: Optional[PadSpec] = None
        if device.capabilities.static_shapes:
            everyone = torch.arange(graph.num_nodes)
            loader = NeighborLoader(
                self._graph, everyone, sampler, batch_size=batch_size, shuffle=True, reduction=reduction
            )
            self._pad = plan_padding(loader).spec

    def outputs(self, nodes: Tensor, report: Report = _quiet) -> Tensor:
        """See :class:`Inference`."""
        loader = NeighborLoader(
            self._graph,
            nodes,
            self._sampler,
            batch_size=self._batch_size,
            shuffle=False,
            transfer=self._device.put,
            pad=self._pad,
            reduction=self._reduction,
        )
        results = []
        for batch in loader.epoch(0):
            results.append(_real_outputs(self._step, batch))
            report(min(len(results), len(loader)), len(loader))
        return torch.cat(results)

    def outputs_of_each(self, lists: Sequence[Tensor], report: Report = _quiet) -> List[Tensor]:
        """See :class:`Inference`; one by one, so that the samples of a list do not depend on the others."""
        return [self.outputs(nodes, report) for nodes in lists]


class LayerwiseInference(Inference):
    """All nodes, one layer after the other, each over all neighbours and in chunks of nodes.

    No node is computed twice in a layer, however many neighbours share it; large graphs are evaluated in this way in
    the GraphSAGE examples of the Open Graph Benchmark. The last layer is computed for the nodes asked for alone.

    Args:
        model: The model, on the device.
        graph: The prepared graph.
        device: Where the layers run.
        options: Precision.
        batch_size: Nodes per chunk.
        memory: Bytes that the result of a layer may take in memory; a larger one is mapped from a temporary file. The
            results of two layers are there at a time.
    """

    def __init__(
        self,
        model: GNN,
        graph: Graph,
        device: Device,
        options: StepOptions,
        batch_size: int,
        memory: float = float("inf"),
    ) -> None:
        self._model = model
        self._graph = replace(graph, y=None)
        self._sampler = NeighborSampler(graph, [-1])
        self._device = device
        self._batch_size = batch_size
        self._memory = memory
        self._steps = [device.prepare(LayerModule(model, i), None, options) for i in range(model.num_layers)]
        self._head = device.prepare(HeadModule(model), None, options)
        self._everyone = torch.arange(graph.num_nodes)
        self._pad: Optional[PadSpec] = None
        if device.capabilities.static_shapes:
            loader = self._loader(self._graph, self._everyone)
            # Epochs are all alike, and no node will need more than here. Other chunks are split if need be.
            self._pad = plan_padding(loader, overflow_rate=0, epochs=range(1)).spec

    def outputs(self, nodes: Tensor, report: Report = _quiet) -> Tensor:
        """See :class:`Inference`."""
        rows, place = torch.unique(nodes, return_inverse=True)
        joins = self._model.spec.jumping_knowledge != "none"
        if joins and self._pad is not None:  # Fixed shapes: the head is computed for all nodes, whichever are wanted.
            rows, place = self._everyone, nodes
        asked = [self._everyone] * (len(self._steps) - 1) + [rows]
        total = sum(-(-some.numel() // self._batch_size) for some in asked)
        done = 0
        h, kept = self._graph.x, []
        for step, some in zip(self._steps, asked):
            h = self._layer(step, h, some, lambda now, done=done: report(done + now, total))  # type: ignore[misc]
            done += -(-some.numel() // self._batch_size)
            if joins:
                kept.append(h if some is rows else h[rows])
        assert h is not None
        if not joins:
            return h[place]
        batch = self._device.put(Batch((), torch.stack(kept, dim=1), None, rows, 0))
        return _widened(self._head(batch).outputs)[place]

    def layers(self) -> List[Tensor]:
        """The output of every layer for every node, in host memory or memory-mapped.

        Each [N, width], of the type of outputs.
        """
        results: List[Tensor] = []
        h = self._graph.x
        for step in self._steps:
            h = self._layer(step, h, self._everyone)
            results.append(h)
        return results

    def _layer(
        self, step: Step, h: Optional[Tensor], nodes: Tensor, report: Callable[[int], None] = lambda _done: None
    ) -> Tensor:
        """The output of one layer for some nodes, [len(nodes), width], from that of the layer before for all."""
        loader = self._loader(replace(self._graph, x=h), nodes, self._device.put, self._pad)
        result, start = torch.empty(0), 0
        for number, batch in enumerate(loader.epoch(0), start=1):
            part = _real_outputs(step, batch)
            if start == 0:
                shape = (nodes.numel(), part.shape[1])
                make = mapped_tensor if part.element_size() * shape[0] * shape[1] > self._memory else torch.empty
                result = make(shape, dtype=part.dtype)
            result[start : start + len(part)] = part
            start += len(part)
            report(min(number, len(loader)))
        return result

    def _loader(
        self, graph: Graph, nodes: Tensor, transfer: Transfer = identity, pad: Optional[PadSpec] = None
    ) -> NeighborLoader:
        return NeighborLoader(
            graph, nodes, self._sampler, batch_size=self._batch_size, shuffle=False, transfer=transfer, pad=pad
        )


def _real_outputs(step: Step, batch: Batch) -> Tensor:
    """Outputs of the batch's real nodes, in host memory."""
    return _widened(step(batch).outputs)[(batch.nodes >= 0).cpu()]


def _widened(outputs: Tensor) -> Tensor:
    """In host memory, and at least in float32."""
    return outputs.cpu().to(torch.promote_types(outputs.dtype, torch.float32))


class LayerModule(nn.Module):
    """One layer of a model as a module that a device can prepare."""

    def __init__(self, model: GNN, index: int) -> None:
        super().__init__()
        self.model = model
        self.index = index

    def forward(self, batch: Batch) -> Tuple[Tensor, Tensor]:
        """No loss (0), and the features of the block's destinations, [num_dst, width]."""
        h = self.model.layer(self.index, batch.blocks[0], batch.x)
        return h.new_zeros(()), h


class HeadModule(nn.Module):
    """What follows a model's last layer; ``batch.x`` holds the outputs of all layers, [n, layers, width]."""

    def __init__(self, model: GNN) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: Batch) -> Tuple[Tensor, Tensor]:
        """No loss (0), and outputs, [n, out_channels]."""
        h = self.model.output(batch.x.unbind(1))
        return h.new_zeros(()), h


def make_inference(
    method: str,
    module: LossModule,
    graph: Graph,
    device: Device,
    options: StepOptions,
    *,
    batch_size: int,
    memory: float = float("inf"),
    sampler: Optional[NeighborSampler] = None,
    reduction: Optional[InputReduction] = None,
) -> Inference:
    """Make the inference that a configuration names.

    Args:
        method: "full", "layerwise" or "sampled".
        module: The model with its task.
        graph: The prepared graph.
        device: Where to compute.
        options: Precision.
        batch_size: Nodes per batch, for "layerwise" and "sampled".
        memory: Bytes that the result of a layer may take in memory, for "layerwise".
        sampler: Picks the blocks, for "sampled".
        reduction: What of the first layer is done while loading, for "sampled".
    """
    if method == "layerwise":
        return LayerwiseInference(module.model, graph, device, options, batch_size, memory)
    step = device.prepare(module, None, options)
    if method == "sampled":
        assert sampler is not None
        return SampledInference(step, graph, sampler, device, batch_size, reduction)
    loader_for = partial(FullGraphLoader, graph, None, num_layers=module.model.num_layers, transfer=device.put)
    pad = plan_padding(loader_for()).spec if device.capabilities.static_shapes else None
    loader = loader_for(pad=pad)
    return FullGraphInference(step, next(iter(loader.epoch(0))))
