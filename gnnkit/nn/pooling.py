"""From features of nodes to those of their graphs: pooling, and a virtual node in every graph.

Rules: both go over the message flow from nodes to graphs, ``Batch.graphs``, by the primitives of the backend, so a
graph without nodes gets 0. That flow has one edge a node, in the order of the nodes.
"""

from __future__ import annotations

from typing import Any, Callable, Optional

import torch
from torch import Tensor, nn
from torch.nn import functional

from gnnkit.nn.message_passing import MessageOps
from gnnkit.nn.norm import apply_norm

POOLINGS = ("none", "sum", "mean", "max", "attention")
"""How features of nodes become those of their graph; "none" for models of nodes."""


class Pooling(nn.Module):
    """Reduce the features of every graph's nodes.

    "attention" is a mean with weights that are learnt: a softmax over the nodes of a graph of one score for each (Li et
    al., 2016, "Gated graph sequence neural networks").

    Args:
        kind: One of ``POOLINGS`` but "none".
        width: Width of the features.
        ops: The primitives of the backend.
    """

    def __init__(self, kind: str, width: int, ops: MessageOps) -> None:
        super().__init__()
        self.kind = kind
        self.ops = ops
        if kind == "attention":
            self.gate = nn.Linear(width, 1)

    def forward(self, lowered: Any, h: Tensor) -> Tensor:
        """Pool.

        Args:
            lowered: The lowered block from nodes to graphs.
            h: Features of nodes. Shape [num_nodes, width].

        Returns:
            Shape [num_graphs, width].
        """
        if self.kind != "attention":
            return self.ops.aggregate(lowered, h, self.kind)
        weights = self.ops.edge_softmax(lowered, self.ops.gather_src(lowered, self.gate(h)))
        return self.ops.aggregate(lowered, h, "sum", weights[:, 0])


class VirtualNode(nn.Module):
    """A node of every graph that is joined to all others (Gilmer et al., 2017).

    What it knows is added to all nodes before a layer, and it learns their sum after one, as in the models of the Open
    Graph Benchmark.

    Args:
        width: Width of nodes between layers.
        num_layers: Number of convolutions.
        make_norm: Makes the model's normalisation, of a width.
        ops: The primitives of the backend.
    """

    def __init__(self, width: int, num_layers: int, make_norm: Callable[[int], nn.Module], ops: MessageOps) -> None:
        super().__init__()
        self.ops = ops
        self.start = nn.Parameter(torch.zeros(1, width))
        between = range(num_layers - 1)
        self.first = nn.ModuleList([nn.Linear(width, width) for _ in between])
        self.second = nn.ModuleList([nn.Linear(width, width) for _ in between])
        self.first_norms = nn.ModuleList([make_norm(width) for _ in between])
        self.second_norms = nn.ModuleList([make_norm(width) for _ in between])

    def initial(self, num_graphs: int) -> Tensor:
        """What the virtual nodes know before the first layer. Shape [num_graphs, width]."""
        return self.start.expand(num_graphs, -1)

    def to_nodes(self, lowered: Any, state: Tensor) -> Tensor:
        """What each node hears from its graph's virtual node. [num_graphs, width] to [num_nodes, width]."""
        return self.ops.gather_dst(lowered, state)

    def update(self, i: int, lowered: Any, state: Tensor, h: Tensor, mask: Optional[Tensor]) -> Tensor:
        """What the virtual nodes know after layer ``i``.

        Args:
            i: The layer, counted from the input.
            lowered: The lowered block from nodes to graphs.
            state: What they knew. Shape [num_graphs, width].
            h: What the layer read. Shape [num_nodes, width].
            mask: Which graphs are real. Shape [num_graphs], bool. None means all.
        """
        heard = state + self.ops.aggregate(lowered, h, "sum")
        inner = functional.relu(apply_norm(self.first_norms[i], self.first[i](heard), mask))
        out = functional.relu(apply_norm(self.second_norms[i], self.second[i](inner), mask))
        return out if mask is None else out * mask.to(out.dtype).unsqueeze(-1)
