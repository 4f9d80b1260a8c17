"""Outputs and embeddings of a trained model for nodes of a graph: over the whole graph, layer by layer, or sampled.

Rules: on a device with fixed shapes, every batch of one prepared step has the same shapes. Sizes are planned for all
nodes of the graph, so that it does not matter which nodes are asked for. Memory is bounded by what a batch takes and,
layer by layer, by a setting: a larger result lies in a temporary file.

The result may be outputs or, with :class:`JoinedLayers`, the outputs of several layers side by side.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from functools import partial
from typing import Callable, Dict, List, Optional, Sequence, Tuple, Union

import torch
from torch import Tensor, nn

from gnnkit.data import Batch, Graph
from gnnkit.devices import Device, Step, StepOptions
from gnnkit.engine.loading import evaluation_loader, transfer_to
from gnnkit.engine.rows import SharedRows, result_room, table_rows, widened
from gnnkit.loading import FullGraphLoader, InputReduction, NeighborLoader, PadSpec, plan_padding
from gnnkit.nn import GNN
from gnnkit.parallel import ALONE, World
from gnnkit.sampling import NeighborSampler, Sampler
from gnnkit.tasks import LossModule

Report = Callable[[int, int], None]
"""Told how many batches of an evaluation are done, and how many there are."""


def quiet(_done: int, _total: int) -> None:
    """Tell nobody."""


class Inference(ABC):
    """A way to compute a model's outputs with the weights that it has at the time of the call."""

    @abstractmethod
    def outputs(self, nodes: Tensor, report: Report = quiet) -> Tensor:
        """Compute outputs.

        Args:
            nodes: Node ids; numbers of graphs for a model of graphs. Shape [M], int64.
            report: Told about progress.

        Returns:
            Logits in host memory. Shape [M, out_channels], float32; float64 where that is the precision.
        """

    def outputs_of_each(self, lists: Sequence[Tensor], report: Report = quiet) -> List[Tensor]:
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
        self._batch = replace(batch, targets=None)

    def outputs(self, nodes: Tensor, report: Report = quiet) -> Tensor:
        """See :class:`Inference`."""
        return widened(self._step(self._batch).outputs)[nodes]


class SampledInference(Inference):
    """Sampled batches with fan-outs of their own; every call draws the same samples.

    Args:
        step: An evaluating step of the model.
        model: The model, on the device.
        graph: The prepared graph.
        sampler: Picks the blocks.
        device: Where the step runs.
        batch_size: Nodes per batch.
        reduction: What of the first layer is done while loading, as in training.
        memory: Bytes that the outputs may take in memory; larger ones are mapped from a temporary file.
        world: The processes that share the batches; all of them call the same methods.
    """

    def __init__(
        self,
        step: Step,
        model: GNN,
        graph: Graph,
        sampler: Sampler,
        device: Device,
        batch_size: int,
        reduction: Optional[InputReduction] = None,
        memory: float = float("inf"),
        world: World = ALONE,
    ) -> None:
        self._step = step
        self._memory = memory
        self._world = world
        self._loader_for = partial(
            evaluation_loader,
            device,
            replace(graph, y=None),
            sampler=sampler,
            batch_size=batch_size,
            transfer=transfer_to(device, model),
            reduction=reduction,
            edge_features=model.spec.reads_edges,
        )
        self._pad: Optional[PadSpec] = None
        if device.capabilities.static_shapes:
            loader = self._loader_for(torch.arange(graph.num_nodes), shuffle=True)
            self._pad = plan_padding(loader).spec

    def outputs(self, nodes: Tensor, report: Report = quiet) -> Tensor:
        """See :class:`Inference`."""
        loader = self._loader_for(nodes, pad=self._pad)
        told = partial(_told, report, 0, len(loader))
        return _joined(self._step, loader, nodes.numel(), self._memory, told, self._world)

    def outputs_of_each(self, lists: Sequence[Tensor], report: Report = quiet) -> List[Tensor]:
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
            results of two layers are there at a time, besides those that are asked for.
        world: The processes that share the chunks; all of them call the same methods. Results are one copy a machine.
    """

    def __init__(
        self,
        model: GNN,
        graph: Graph,
        device: Device,
        options: StepOptions,
        batch_size: int,
        memory: float = float("inf"),
        world: World = ALONE,
    ) -> None:
        self._model = model
        self._world = world
        self._graph = replace(graph, y=None)
        self._sampler = NeighborSampler(graph, [-1])
        self._device = device
        self._transfer = transfer_to(device, model)
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

    def outputs(self, nodes: Tensor, report: Report = quiet) -> Tensor:
        """See :class:`Inference`."""
        rows, place = torch.unique(nodes, return_inverse=True)
        joins = self._model.spec.jumping_knowledge != "none"
        if joins and self._pad is not None:  # Fixed shapes: the head is computed for all nodes, whichever are wanted.
            rows, place = self._everyone, nodes
        last = len(self._steps)
        layers = self._layers(rows, range(1, last + 1) if joins else [last], report)
        result = self._head_outputs(list(layers.values())) if joins else layers[last]
        return table_rows(result, place, self._memory)

    def layers(
        self, nodes: Optional[Tensor] = None, wanted: Optional[Sequence[int]] = None, report: Report = quiet
    ) -> Dict[int, Tensor]:
        """The outputs of layers, each as the layer hands it on: after normalisation and activation.

        Args:
            nodes: Node ids. Shape [M], int64. None: all nodes.
            wanted: Which layers, counted from 1 at the input. None: all.
            report: Told about progress.

        Returns:
            By layer, [M, width] in host memory or mapped from a temporary file, of the type of outputs.
        """
        rows, place = torch.unique(self._everyone if nodes is None else nodes, return_inverse=True)
        layers = self._layers(rows, range(1, len(self._steps) + 1) if wanted is None else wanted, report)
        return {layer: table_rows(result, place, self._memory) for layer, result in layers.items()}

    def _layers(self, rows: Tensor, wanted: Sequence[int], report: Report) -> Dict[int, Tensor]:
        """Layers for ascending nodes; layers after the last one wanted are not computed."""
        last = max(wanted)
        asked = [self._everyone] * (last - 1) + [rows]
        total = sum(-(-some.numel() // self._batch_size) for some in asked)
        done = 0
        h, found = self._graph.x, {}
        for layer, some in enumerate(asked, start=1):
            loader = self._loader(replace(self._graph, x=h), some)
            told = partial(_told, report, done, total)
            h = _joined(self._steps[layer - 1], loader, some.numel(), self._memory, told, self._world)
            done += len(loader)
            if layer in wanted:
                found[layer] = h if some is rows else table_rows(h, rows, self._memory)
        return found

    def _head_outputs(self, layers: Sequence[Tensor]) -> Tensor:
        """What the model makes of the outputs of all its layers, in chunks of one size."""
        num = len(layers[0])
        size = min(self._batch_size, num)
        result = torch.empty(0)
        for begin in range(0, num, size):
            start = min(begin, num - size)  # The last chunk begins earlier rather than being smaller.
            chunk = torch.stack([layer[start : start + size] for layer in layers], dim=1)
            batch = self._device.put(Batch((), chunk, None, torch.arange(start, start + size)))
            part = widened(self._head(batch).outputs)
            if begin == 0:
                result = result_room((num, part.shape[1]), part.dtype, self._memory)
            result[start : start + size] = part
        return result

    def _loader(self, graph: Graph, nodes: Tensor) -> NeighborLoader:
        pad = self._pad
        if pad is not None and graph.x is not None:  # What a layer hands on is one matrix, also on a typed graph.
            pad = replace(pad, num_inputs=())
        return evaluation_loader(
            self._device,
            graph,
            nodes,
            self._sampler,
            batch_size=self._batch_size,
            transfer=self._transfer,
            pad=pad,
            edge_features=self._model.spec.reads_edges,
        )


def _told(report: Report, before: int, total: int, done: int) -> None:
    report(before + done, total)


def _joined(
    step: Step, loader: NeighborLoader, num: int, memory: float, report: Callable[[int], None], world: World
) -> Tensor:
    """The outputs of a step for all of a loader's nodes, in their order.

    Args:
        step: An evaluating step.
        loader: Loads the nodes in order.
        num: How many nodes it loads.
        memory: Bytes that the result may take in memory.
        report: Told how many batches are done.
        world: The processes that share the batches.
    """
    rows = SharedRows(world, num, len(loader), loader.batch_size, memory)
    for number, batch in enumerate(loader.epoch(0, rows.batches), start=1):
        rows.add(widened(step(batch).outputs)[(batch.nodes >= 0).cpu()])
        report(min(number * world.size, len(loader)))
    return rows.complete()


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


class JoinedLayers(nn.Module):
    """The outputs of several of a model's layers as one module that a device can prepare.

    Args:
        model: The model.
        layers: Which layers, counted from 1, ascending.
    """

    def __init__(self, model: GNN, layers: Sequence[int]) -> None:
        super().__init__()
        self.model = model
        self.wanted = list(layers)

    def forward(self, batch: Batch) -> Tuple[Tensor, Tensor]:
        """No loss (0), and the layers of the last block's destinations side by side, [num_dst, sum of widths]."""
        h, found = batch.x, []
        for layer, block in zip(range(1, self.wanted[-1] + 1), batch.blocks):
            h = self.model.layer(layer - 1, block, h)
            if layer in self.wanted:  # Destinations come first among sources, so the last block's lead in every layer.
                found.append(h[: batch.blocks[-1].num_dst])
        joined = torch.cat(found, dim=1)
        return joined.new_zeros(()), joined


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
    module: Union[LossModule, JoinedLayers],
    graph: Graph,
    device: Device,
    options: StepOptions,
    *,
    batch_size: int,
    memory: float = float("inf"),
    sampler: Optional[Sampler] = None,
    reduction: Optional[InputReduction] = None,
    world: World = ALONE,
) -> Inference:
    """Make the inference that a configuration names.

    Args:
        method: "full", "layerwise" or "sampled".
        module: The model with its task, or some of its layers; for "layerwise", the model alone counts.
        graph: The prepared graph.
        device: Where to compute.
        options: Precision.
        batch_size: Nodes per batch, for "layerwise" and "sampled".
        memory: Bytes that the result of a layer may take in memory, for "layerwise" and "sampled".
        sampler: Picks the blocks, for "sampled".
        reduction: What of the first layer is done while loading, for "sampled".
        world: The processes that share the work. "full" is one pass, which every process makes.
    """
    if method == "layerwise":
        return LayerwiseInference(module.model, graph, device, options, batch_size, memory, world)
    step = device.prepare(module, None, options)
    if method == "sampled":
        assert sampler is not None
        return SampledInference(step, module.model, graph, sampler, device, batch_size, reduction, memory, world)
    spec = module.model.spec
    loader_for = partial(
        FullGraphLoader,
        graph,
        None,
        num_layers=spec.num_layers,
        transfer=device.put,
        edge_features=spec.reads_edges,
    )
    pad = plan_padding(loader_for()).spec if device.capabilities.static_shapes else None
    loader = loader_for(pad=pad)
    return FullGraphInference(step, next(iter(loader.epoch(0))))
