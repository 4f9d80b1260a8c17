"""What the loops of the peers have in common that learn classes of graphs."""

from __future__ import annotations

from typing import ClassVar, Dict

import torch
from torch import Tensor, nn

from benchmarks.sides.base import TurnSide, initial_weights


def mlp(in_channels: int, out_channels: int) -> nn.Sequential:
    """What a layer does with its sums."""
    return nn.Sequential(nn.Linear(in_channels, out_channels), nn.ReLU(), nn.Linear(out_channels, out_channels))


class GraphPeer(TurnSide):
    """A loop over a GIN of another library.

    Attributes:
        inner: What the library calls the perceptron of a layer.
        model: The library's model.
        optimizer: Its Adam.
    """

    inner: ClassVar[str]
    model: nn.Module
    optimizer: torch.optim.Optimizer

    def adopt(self, model: nn.Module) -> None:
        """Take a model with our initial weights, and its optimiser."""
        work = self.work
        ours = initial_weights(work, self.graph)
        weights = {name.replace(".mlp.", f".{self.inner}."): value for name, value in ours.items()}
        eps = {name: value for name, value in model.state_dict().items() if name.endswith(".eps")}
        model.load_state_dict({**weights, **eps})
        self.model = model
        self.optimizer = torch.optim.Adam(model.parameters(), lr=work.lr, weight_decay=work.weight_decay)

    def weights(self) -> Dict[str, Tensor]:
        """As they are now, by our names."""
        state = self.model.state_dict().items()
        return {name.replace(f".{self.inner}.", ".mlp."): value for name, value in state if not name.endswith(".eps")}
