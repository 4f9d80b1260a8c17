"""Outputs of a trained model for nodes of a graph: over the whole graph, layer by layer, or sampled.

Rules: on a device with fixed shapes, every batch of one prepared step has the same shapes. Sizes are planned for all
nodes of the graph, so that it does not matter which nodes are asked for.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from functools import partial
from typing import List, Optional, Sequence, Tuple

import torch
from torch import Tensor, nn

from gnnkit.data import Batch, Graph
from gnnkit.devices import Device, Step, StepOptions
from gnnkit.loading import FullGraphLoader, NeighborLoader, PadSpec, Transfer, plan_padding
from gnnkit.loading.base import identity
from gnnkit.nn import GNN
from gnnkit.sampling import NeighborSampler
from gnnkit.tasks import LossModule


class Inference(ABC):
    """A way to compute a model's outputs with the weights that it has at the time of the call."""

    @abstractmethod
    def outputs(self, nodes: Tensor) -> Tensor:
        """Compute outputs.

        Args:
            nodes: Node ids. Shape [M], int64.

        Returns:
            Logits in host memory. Shape [M, out_channels], float32; float64 where that is the precision.
        """


class FullGraphInference(Inference):
    """One pass over the whole graph.

    Args:
        step: An evaluating step of the model.
        batch: The whole graph, on the device.
    """

    def __init__(self, step: Step, batch: Batch) -> None:
        self._step = step
        self._batch = replace(batch, y=None, num_targets=0)

    def outputs(self, nodes: Tensor) -> Tensor:
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
    """

    def __init__(self, step: Step, graph: Graph, sampler: NeighborSampler, device: Device, batch_size: int) -> None:
        self._step = step
        self._graph = replace(graph, y=None)
        self._sampler = sampler
        self._device = device
        self._batch_size = batch_size
        self._pad: Optional[PadSpec] = None
        if device.capabilities.static_shapes:
            everyone = torch.arange(graph.num_nodes)
            loader = NeighborLoader(self._graph, everyone, sampler, batch_size=batch_size, shuffle=True)
            self._pad = plan_padding(loader).spec

    def outputs(self, nodes: Tensor) -> Tensor:
        """See :class:`Inference`."""
        loader = NeighborLoader(
            self._graph,
            nodes,
            self._sampler,
            batch_size=self._batch_size,
            shuffle=False,
            transfer=self._device.put,
            pad=self._pad,
        )
        return torch.cat([_real_outputs(self._step, batch) for batch in loader.epoch(0)])


class LayerwiseInference(Inference):
    """All nodes, one layer after the other, each over all neighbours and in chunks of nodes.

    No node is computed twice in a layer, however many neighbours share it; large graphs are
    evaluated in this way in the GraphSAGE examples of the Open Graph Benchmark.

    Args:
        model: The model, on the device.
        graph: The prepared graph.
        device: Where the layers run.
        options: Precision.
        batch_size: Nodes per chunk.
    """

    def __init__(self, model: GNN, graph: Graph, device: Device, options: StepOptions, batch_size: int) -> None:
        self._model = model
        self._graph = replace(graph, y=None)
        self._device = device
        self._batch_size = batch_size
        self._steps = [device.prepare(LayerModule(model, i), None, options) for i in range(model.num_layers)]
        self._head = device.prepare(HeadModule(model), None, options)
        self._pad: Optional[PadSpec] = None
        if device.capabilities.static_shapes:
            loader = self._loader(self._graph)
            self._pad = plan_padding(loader, overflow_rate=0, epochs=range(1)).spec  # Epochs are all alike.

    def outputs(self, nodes: Tensor) -> Tensor:
        """See :class:`Inference`."""
        return self._combine(self.layers(), nodes)

    def layers(self) -> List[Tensor]:
        """The output of every layer for every node, in host memory. Each [N, width], of the type of outputs."""
        results: List[Tensor] = []
        h = self._graph.x
        for step in self._steps:
            loader = self._loader(replace(self._graph, x=h), self._device.put, self._pad)
            h = torch.cat([_real_outputs(step, batch) for batch in loader.epoch(0)])
            results.append(h)
        return results

    def _loader(self, graph: Graph, transfer: Transfer = identity, pad: Optional[PadSpec] = None) -> NeighborLoader:
        return NeighborLoader(
            graph,
            torch.arange(graph.num_nodes),
            NeighborSampler(graph, [-1]),
            batch_size=self._batch_size,
            shuffle=False,
            transfer=transfer,
            pad=pad,
        )

    def _combine(self, layers: Sequence[Tensor], nodes: Tensor) -> Tensor:
        if self._model.spec.jumping_knowledge == "none":
            return layers[-1][nodes]
        # Fixed shapes: the head is computed for all nodes, whichever are wanted.
        wanted = torch.arange(self._graph.num_nodes) if self._pad is not None else nodes
        joined = torch.stack([layer[wanted] for layer in layers], dim=1)
        batch = self._device.put(Batch((), joined, None, wanted, 0))
        outputs = _widened(self._head(batch).outputs)
        return outputs[nodes] if self._pad is not None else outputs


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
    sampler: NeighborSampler | None = None,
) -> Inference:
    """Make the inference that a configuration names.

    Args:
        method: "full", "layerwise" or "sampled".
        module: The model with its task.
        graph: The prepared graph.
        device: Where to compute.
        options: Precision.
        batch_size: Nodes per batch, for "layerwise" and "sampled".
        sampler: Picks the blocks, for "sampled".
    """
    if method == "layerwise":
        return LayerwiseInference(module.model, graph, device, options, batch_size)
    step = device.prepare(module, None, options)
    if method == "sampled":
        assert sampler is not None
        return SampledInference(step, graph, sampler, device, batch_size)
    loader_for = partial(FullGraphLoader, graph, None, num_layers=module.model.num_layers, transfer=device.put)
    pad = plan_padding(loader_for()).spec if device.capabilities.static_shapes else None
    loader = loader_for(pad=pad)
    return FullGraphInference(step, next(iter(loader.epoch(0))))
