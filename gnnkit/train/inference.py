"""Outputs of a trained model for nodes of a graph: over the whole graph, layer by layer, or sampled."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from typing import List, Sequence, Tuple

import torch
from torch import Tensor, nn

from gnnkit.data import Batch, Graph
from gnnkit.devices import Device, Step, StepOptions
from gnnkit.loading import FullGraphLoader, NeighborLoader
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
            Logits in host memory. Shape [M, out_channels], float32.
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
        return self._step(self._batch).outputs.float().cpu()[nodes]


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

    def outputs(self, nodes: Tensor) -> Tensor:
        """See :class:`Inference`."""
        loader = NeighborLoader(
            self._graph,
            nodes,
            self._sampler,
            batch_size=self._batch_size,
            shuffle=False,
            transfer=self._device.put,
        )
        return torch.cat([self._step(batch).outputs.float().cpu() for batch in loader.epoch(0)])


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
        self._steps = [device.prepare(_Layer(model, i), None, options) for i in range(model.num_layers)]
        self._head = device.prepare(_Head(model), None, options)

    def outputs(self, nodes: Tensor) -> Tensor:
        """See :class:`Inference`."""
        return self._combine(self.layers(), nodes)

    def layers(self) -> List[Tensor]:
        """The output of every layer for every node, in host memory. Each [N, width], float32."""
        everyone = torch.arange(self._graph.num_nodes)
        results: List[Tensor] = []
        h = self._graph.x
        for step in self._steps:
            graph = replace(self._graph, x=h)
            loader = NeighborLoader(
                graph,
                everyone,
                NeighborSampler(graph, [-1]),
                batch_size=self._batch_size,
                shuffle=False,
                transfer=self._device.put,
            )
            h = torch.cat([step(batch).outputs.float().cpu() for batch in loader.epoch(0)])
            results.append(h)
        return results

    def _combine(self, layers: Sequence[Tensor], nodes: Tensor) -> Tensor:
        if self._model.spec.jumping_knowledge == "none":
            return layers[-1][nodes]
        joined = torch.stack([layer[nodes] for layer in layers], dim=1)
        batch = self._device.put(Batch((), joined, None, nodes, 0))
        return self._head(batch).outputs.float().cpu()


class _Layer(nn.Module):
    """One layer of a model as a module that a device can prepare."""

    def __init__(self, model: GNN, index: int) -> None:
        super().__init__()
        self.model = model
        self.index = index

    def forward(self, batch: Batch) -> Tuple[Tensor, Tensor]:
        h = self.model.layer(self.index, batch.blocks[0], batch.x)
        return h.new_zeros(()), h


class _Head(nn.Module):
    """What follows a model's last layer; ``batch.x`` holds the outputs of all layers, [n, layers, width]."""

    def __init__(self, model: GNN) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: Batch) -> Tuple[Tensor, Tensor]:
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
    loader = FullGraphLoader(graph, None, num_layers=module.model.num_layers, transfer=device.put)
    return FullGraphInference(step, next(iter(loader.epoch(0))))
