"""Outputs of a trained model for whole graphs."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain
from typing import Iterable, Iterator, Optional, Sequence, Tuple

import torch
from torch import Tensor, nn

from gnnkit.data import Batch, Graph
from gnnkit.devices import Device, Step
from gnnkit.engine.inference import Inference, Report, quiet
from gnnkit.engine.loading import transfer_to
from gnnkit.engine.rows import result_room, table_rows, widened
from gnnkit.loading import GraphLoader, graph_sizes, pack_graphs, propose_bins
from gnnkit.nn import GNN
from gnnkit.parallel import ALONE, World


class GraphInference(Inference):
    """Batches of whole graphs; on devices with fixed shapes packed into bins, whose sizes hold any of the graphs.

    Args:
        step: An evaluating step of the model.
        model: The model, on the device.
        graph: The prepared record.
        device: Where the step runs.
        batch_size: Graphs per batch.
        memory: Bytes that the outputs may take in memory; larger ones are mapped from a temporary file.
        world: The processes that share the batches; all of them call the same methods.
    """

    def __init__(
        self,
        step: Step,
        model: GNN,
        graph: Graph,
        device: Device,
        batch_size: int,
        memory: float = float("inf"),
        world: World = ALONE,
    ) -> None:
        self._step = step
        self._world = world
        self._model = model
        self._graph = replace(graph, graph_y=None)
        self._transfer = transfer_to(device, model)
        self._batch_size = batch_size
        self._memory = memory
        self._sizes = graph_sizes(graph)
        self._bin = propose_bins(self._sizes, batch_size).spec if device.capabilities.static_shapes else None

    def outputs(self, nodes: Tensor, report: Report = quiet) -> Tensor:
        """See :class:`Inference`; ``nodes`` are numbers of graphs."""
        graphs, place = torch.unique(nodes, return_inverse=True)
        loader = self._loader(graphs)
        row = torch.empty(self._graph.num_graphs, dtype=torch.int64)
        row[graphs] = torch.arange(len(graphs))
        result = torch.empty(0)
        for number, (rows, part) in enumerate(self._everybody(self._parts(loader, row, report))):
            if number == 0:
                result = result_room((len(graphs), part.shape[1]), part.dtype, self._memory)
            result[rows] = part
        return table_rows(result, place, self._memory)

    def _parts(self, loader: GraphLoader, row: Tensor, report: Report) -> Iterator[Tuple[Tensor, Tensor]]:
        """Rows of the result, and what is in them, by batch of this process."""
        batches = loader.epoch(0, range(*self._world.share(len(loader))))
        for number, batch in enumerate(batches, start=1):
            real = batch.nodes.cpu()
            yield row[real[real >= 0]], widened(self._step(batch).outputs)[real >= 0]
            report(min(number * self._world.size, len(loader)), len(loader))

    def _everybody(self, parts: Iterator[Tuple[Tensor, Tensor]]) -> Iterable[Tuple[Tensor, Tensor]]:
        if self._world.size == 1:
            return parts
        return chain.from_iterable(self._world.gathered(list(parts), "outputs of graphs"))

    def _loader(self, graphs: Tensor) -> GraphLoader:
        packing, pad = None, None
        if self._bin is not None:
            nodes, edges, most = self._bin.num_nodes[0], self._bin.num_edges[0], self._bin.num_graphs
            assert most is not None
            sizes = self._sizes[graphs.numpy()]
            packing = pack_graphs(sizes, num_nodes=nodes, num_edges=edges, num_graphs=most)
            pad = self._bin.repeated(self._model.num_layers)
        return GraphLoader(
            self._graph,
            graphs,
            num_layers=self._model.num_layers,
            batch_size=self._batch_size,
            shuffle=False,
            packing=packing,
            transfer=self._transfer,
            pad=pad,
            edge_features=self._model.spec.reads_edges,
        )


class PooledLayers(nn.Module):
    """What a model of graphs makes of its graphs before the head, as a module that a device can prepare.

    Args:
        model: The model.
        layers: Layers whose features are pooled each by itself, counted from 1. None: what the head reads.
    """

    def __init__(self, model: GNN, layers: Optional[Sequence[int]] = None) -> None:
        super().__init__()
        self.model = model
        self.wanted = None if layers is None else list(layers)

    def forward(self, batch: Batch) -> Tuple[Tensor, Tensor]:
        """No loss (0), and pooled features, those of several layers side by side, [num_graphs, width]."""
        model, graphs = self.model, batch.graphs
        assert graphs is not None
        layers = model.node_layers(batch.blocks, batch.x, graphs)
        if self.wanted is None:
            pooled = model.joined(layers, graphs)
        else:
            pooled = torch.cat([model.pooling(model.lower(graphs), layers[each - 1]) for each in self.wanted], dim=1)
        return pooled.new_zeros(()), pooled
