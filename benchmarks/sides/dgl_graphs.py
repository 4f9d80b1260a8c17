"""DGL's loop for the classification of graphs, written from its user guide, chapter 5.4, "Graph Classification".

``dgl.dataloading.GraphDataLoader`` over a list of graphs and labels without worker processes, ``dgl.nn.GINConv`` around
linear, ReLU, linear, batch normalisation, ``dgl.nn.SumPooling`` and a linear head, Adam.
"""

from __future__ import annotations

import statistics
from typing import Any, Optional

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.sides.base import NUM_CLASSES, Absent, Answer, single_graphs
from benchmarks.sides.dgl_peer import dgl
from benchmarks.sides.graph_peer import GraphPeer, mlp


class Gin(nn.Module):
    """Layers of ``dgl.nn.GINConv`` with batch normalisation and ReLU, then the sum over each graph's nodes."""

    def __init__(self, in_channels: int, hidden: int, num_layers: int) -> None:
        super().__init__()
        widths = [in_channels] + [hidden] * num_layers
        self.convs = nn.ModuleList(dgl.nn.GINConv(mlp(*pair), "sum") for pair in zip(widths, widths[1:]))
        self.norms = nn.ModuleList(nn.BatchNorm1d(hidden) for _ in range(num_layers))
        self.pool = dgl.nn.SumPooling()
        self.head = nn.Linear(hidden, NUM_CLASSES)

    def forward(self, graph: Any, h: Tensor) -> Tensor:
        """Logits of the graphs."""
        for conv, norm in zip(self.convs, self.norms):
            h = functional.relu(norm(conv(graph, h)))
        out: Tensor = self.head(self.pool(graph, h))
        return out


class GraphSide(GraphPeer):
    """The guide's training loop."""

    inner = "apply_func"

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        graph, work = self.graph, self.work
        if work.device != "cpu":
            raise Absent("this loop runs on the CPU")
        dgl.seed(work.seed)
        torch.manual_seed(work.seed)  # Of the order.
        self.loader = dgl.dataloading.GraphDataLoader(
            [(_native(x, edges), y[0]) for x, edges, y in single_graphs(graph)],
            batch_size=work.batch_size,
            drop_last=False,
            shuffle=True,
        )
        self.adopt(Gin(graph.num_features, work.hidden, work.layers))

    def turn(self) -> Optional[float]:
        """One epoch of the loop."""
        losses = []
        self.model.train()
        for graph, labels in self.loader:
            logits = self.model(graph, graph.ndata["attr"])
            loss = functional.cross_entropy(logits, labels)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            losses.append(loss.detach())
        return float(torch.stack(losses).mean())

    def count(self) -> Answer:
        """Sizes of the batches of an epoch; every layer runs over all edges."""
        sizes = [(graph.num_nodes(), graph.num_edges() * self.work.layers) for graph, _ in self.loader]
        return {"nodes": statistics.mean(s[0] for s in sizes), "edges": statistics.mean(s[1] for s in sizes)}


def _native(x: Tensor, edges: Tensor) -> Any:
    native = dgl.graph((edges[0], edges[1]), num_nodes=len(x))
    native.ndata["attr"] = x
    return native
