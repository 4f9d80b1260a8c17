"""The layer of a model without messages: embeddings of nodes, and nothing else."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from gnnkit.errors import ConfigError
from gnnkit.nn.message_passing import MessageOps, MessagePassing, layer_path

EMBEDDING = "embedding"
"""What users call the model."""


class NoMessages(MessagePassing):
    """Hands on what a node has: the layer of the model "embedding".

    Args:
        ops: The primitives of a backend, which it does not use.
        in_channels: Width of what it reads.
        out_channels: The same.

    Raises:
        ConfigError: The widths differ.
    """

    def __init__(self, ops: MessageOps, in_channels: int, out_channels: int) -> None:
        super().__init__(ops)
        if in_channels != out_channels:
            raise ConfigError(
                f"Model {EMBEDDING!r} hands embeddings on as they are: model.embedding_channels is {in_channels} and "
                f"model.out_channels {out_channels}, expected the same."
            )

    def forward(self, lowered: Any, h_src: Tensor, h_dst: Tensor) -> Tensor:
        """What the destinations have. Shape [num_dst, in_channels]."""
        return h_dst


NO_MESSAGES = layer_path(NoMessages)
"""Its name in specifications."""
