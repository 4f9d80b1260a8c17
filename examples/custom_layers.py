"""Three layers of one's own, each written once and trained on every backend.

They are the layers of DGL's tutorial "Write your own GNN module": GraphSAGE, GraphSAGE with edge weights, and the same
with messages and their reduction spelt out. Run me:

    python examples/custom_layers.py --backend dgl
"""

from __future__ import annotations

import argparse
from typing import Any

import torch
from torch import Tensor, nn

import gnnkit
from gnnkit.nn import MessageOps, MessagePassing


class SAGEConv(MessagePassing):
    """W [h_v, mean of h_u] + b: one built-in aggregation."""

    def __init__(self, ops: MessageOps, in_channels: int, out_channels: int) -> None:
        super().__init__(ops)
        self.linear = nn.Linear(2 * in_channels, out_channels)

    def forward(self, lowered: Any, h_src: Tensor, h_dst: Tensor) -> Tensor:
        """[num_src, in_channels] and [num_dst, in_channels] to [num_dst, out_channels]."""
        neighbours = self.ops.aggregate(lowered, h_src, "mean")
        return self.linear(torch.cat([h_dst, neighbours], dim=1))


def edge_weights(ops: MessageOps, lowered: Any, h_src: Tensor) -> Tensor:
    """The graph's edge weights, or ones where it has none. Shape [E]."""
    weight = ops.edge_weight(lowered)
    return torch.ones_like(ops.gather_src(lowered, h_src[:, 0])) if weight is None else weight.to(h_src.dtype)


class WeightedSAGEConv(SAGEConv):
    """W [h_v, mean of w_uv h_u] + b: an aggregation with edge weights."""

    def forward(self, lowered: Any, h_src: Tensor, h_dst: Tensor) -> Tensor:
        """As :meth:`SAGEConv.forward`."""
        weight = edge_weights(self.ops, lowered, h_src)
        neighbours = self.ops.aggregate(lowered, h_src, "mean", weight)
        return self.linear(torch.cat([h_dst, neighbours], dim=1))


class MessageSAGEConv(SAGEConv):
    """The same with a message function and a reduce function of one's own: gather to edges, scatter back."""

    def message(self, src: Tensor, weight: Tensor) -> Tensor:
        """One message per edge: [E, in_channels] and [E] to [E, in_channels]."""
        return src * weight.unsqueeze(-1)

    def forward(self, lowered: Any, h_src: Tensor, h_dst: Tensor) -> Tensor:
        """As :meth:`SAGEConv.forward`."""
        messages = self.message(self.ops.gather_src(lowered, h_src), edge_weights(self.ops, lowered, h_src))
        counts = self.ops.scatter(lowered, torch.ones_like(messages[:, :1]), "sum")
        neighbours = self.ops.scatter(lowered, messages, "sum") / counts.clamp(min=1)
        return self.linear(torch.cat([h_dst, neighbours], dim=1))


LAYERS = (SAGEConv, WeightedSAGEConv, MessageSAGEConv)


def main() -> None:
    """Train a two-layer model of each layer and print its test accuracy."""
    parser = argparse.ArgumentParser(description="Train three layers of one's own.")
    parser.add_argument("--backend", default="reference")
    parser.add_argument("--dataset", default="cora")
    parser.add_argument("--epochs", type=int, default=100)
    arguments = parser.parse_args()
    graph = gnnkit.load_dataset(arguments.dataset)
    for layer in LAYERS:
        model = gnnkit.build_model(layer, graph, hidden_channels=16)
        trainer = gnnkit.Trainer(arguments.backend, epochs=arguments.epochs, lr=0.01, weight_decay=5e-4)
        result = trainer.fit(model, graph)
        print(f"{layer.__name__:18} {result.backend:10} test {result.metric} {result.test[result.metric]:.4f}")


if __name__ == "__main__":
    main()
