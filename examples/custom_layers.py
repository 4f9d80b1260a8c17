"""Three custom layers, each written once and trained on every backend.

They are the layers of DGL's tutorial on writing custom message passing: GraphSAGE, GraphSAGE with edge weights, and
the same with messages and their reduction spelt out. Settings are the tutorial's: two layers of width 16, Adam at 0.01,
200 epochs on the full graph of Cora, without dropout and weight decay.

    python examples/custom_layers.py --backend dgl                  # needs the files of Cora, or downloads them
    python examples/custom_layers.py --dataset digits
"""

from __future__ import annotations

from typing import Any, Dict, Optional, Sequence

import torch
from common import launch, options
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
        return self.update(h_dst, self.ops.aggregate(lowered, h_src, "mean"))

    def update(self, h_dst: Tensor, neighbours: Tensor) -> Tensor:
        """New features from a node's own and the mean of its neighbours'."""
        updated: Tensor = self.linear(torch.cat([h_dst, neighbours], dim=1))
        return updated


def edge_weights(ops: MessageOps, lowered: Any, h_src: Tensor) -> Tensor:
    """The graph's edge weights, or ones where it has none. Shape [E]."""
    weight = ops.edge_weight(lowered)
    return torch.ones_like(ops.gather_src(lowered, h_src[:, 0])) if weight is None else weight.to(h_src.dtype)


class WeightedSAGEConv(SAGEConv):
    """W [h_v, mean of w_uv h_u] + b: an aggregation with edge weights."""

    def forward(self, lowered: Any, h_src: Tensor, h_dst: Tensor) -> Tensor:
        """As :meth:`SAGEConv.forward`."""
        weight = edge_weights(self.ops, lowered, h_src)
        return self.update(h_dst, self.ops.aggregate(lowered, h_src, "mean", weight))


class MessageSAGEConv(SAGEConv):
    """The same with a custom message function and a custom reduce function: gather to edges, scatter back."""

    def message(self, src: Tensor, weight: Tensor) -> Tensor:
        """One message per edge: [E, in_channels] and [E] to [E, in_channels]."""
        return src * weight.unsqueeze(-1)

    def forward(self, lowered: Any, h_src: Tensor, h_dst: Tensor) -> Tensor:
        """As :meth:`SAGEConv.forward`."""
        messages = self.message(self.ops.gather_src(lowered, h_src), edge_weights(self.ops, lowered, h_src))
        counts = self.ops.scatter(lowered, torch.ones_like(messages[:, :1]), "sum")
        return self.update(h_dst, self.ops.scatter(lowered, messages, "sum") / counts.clamp(min=1))


LAYERS = (SAGEConv, WeightedSAGEConv, MessageSAGEConv)


def main(argv: Optional[Sequence[str]] = None) -> Dict[str, float]:
    """Train a two-layer model of each layer; returns test accuracies at the best validation accuracy, by layer."""
    given = options(__doc__ or "", dataset="cora").parse_args(argv)
    graph = gnnkit.load_dataset(given.dataset, data_dir=given.data_dir, seed=given.seed)
    found = {}
    for layer in LAYERS:
        model = gnnkit.build_model(layer, graph, seed=given.seed, hidden_channels=16, dropout=0.0)
        trainer = gnnkit.Trainer(given.backend, given.device, seed=given.seed, epochs=given.epochs or 200, lr=0.01)
        result = trainer.fit(model, graph)
        found[layer.__name__] = result.test[result.metric]
        print(f"{layer.__name__:18} {result.backend:10} test {result.metric} {found[layer.__name__]:.4f}")
    return found


if __name__ == "__main__":
    launch(main)
