"""PyG's loop for the classification of graphs, written from its documentation and its example ``mutag_gin.py``.

``torch_geometric.loader.DataLoader`` over a list of ``Data`` without worker processes, ``GINConv`` around linear, ReLU,
linear, batch normalisation, ``global_add_pool`` and a linear head, Adam.
"""

from __future__ import annotations

import statistics
from typing import Any, Optional

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch_geometric.data import Data
from torch_geometric.loader import DataLoader
from torch_geometric.nn import GINConv, global_add_pool

from benchmarks.sides.base import NUM_CLASSES, Absent, Answer, single_graphs
from benchmarks.sides.graph_peer import GraphPeer, mlp


class Gin(nn.Module):
    """Layers of ``GINConv`` with batch normalisation and ReLU, then the sum over each graph's nodes."""

    def __init__(self, in_channels: int, hidden: int, num_layers: int) -> None:
        super().__init__()
        widths = [in_channels] + [hidden] * num_layers
        self.convs = nn.ModuleList(GINConv(mlp(*pair)) for pair in zip(widths, widths[1:]))
        self.norms = nn.ModuleList(nn.BatchNorm1d(hidden) for _ in range(num_layers))
        self.head = nn.Linear(hidden, NUM_CLASSES)

    def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor, num_graphs: int) -> Tensor:
        """Logits of the graphs."""
        for conv, norm in zip(self.convs, self.norms):
            x = functional.relu(norm(conv(x, edge_index)))
        out: Tensor = self.head(global_add_pool(x, batch, num_graphs))
        return out


class GraphSide(GraphPeer):
    """The documentation's training loop."""

    inner = "nn"

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        graph, work = self.graph, self.work
        if work.device != "cpu":
            raise Absent("this loop runs on the CPU")
        torch.manual_seed(work.seed)  # Of the order.
        data = [Data(x=x, edge_index=edges, y=y) for x, edges, y in single_graphs(graph)]
        self.loader = DataLoader(data, batch_size=work.batch_size, shuffle=True)
        self.adopt(Gin(graph.num_features, work.hidden, work.layers))

    def turn(self) -> Optional[float]:
        """One epoch of the loop."""
        losses = []
        self.model.train()
        for data in self.loader:
            self.optimizer.zero_grad()
            out = self.model(data.x, data.edge_index, data.batch, data.num_graphs)
            loss = functional.cross_entropy(out, data.y)
            loss.backward()
            self.optimizer.step()
            losses.append(loss.detach())
        return float(torch.stack(losses).mean())

    def count(self) -> Answer:
        """Sizes of the batches of an epoch; every layer runs over all edges."""
        sizes = [(data.num_nodes, data.num_edges * self.work.layers) for data in self.loader]
        return {"nodes": statistics.mean(s[0] for s in sizes), "edges": statistics.mean(s[1] for s in sizes)}
