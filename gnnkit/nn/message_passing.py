"""Message passing written once: primitives that a backend supplies, and the layer class built on them.

Rules: messages run from source to destination; a reduction over no edges is 0; primitives take what
``Backend.lower`` returned and never look inside it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Optional

from torch import Tensor, nn


class MessageOps(ABC):
    """What a backend must be able to do with a lowered block. E is its number of edges.

    The trailing dimensions ``...`` of features are free, so that heads can be a dimension of their own.
    """

    @abstractmethod
    def gather_src(self, lowered: Any, h_src: Tensor) -> Tensor:
        """Copy each edge's source features. [num_src, ...] to [E, ...]."""

    @abstractmethod
    def gather_dst(self, lowered: Any, h_dst: Tensor) -> Tensor:
        """Copy each edge's destination features. [num_dst, ...] to [E, ...]."""

    @abstractmethod
    def scatter(self, lowered: Any, messages: Tensor, reduce: str) -> Tensor:
        """Reduce the messages of each destination's in-edges. [E, ...] to [num_dst, ...].

        Args:
            lowered: The lowered block.
            messages: One message per edge.
            reduce: "sum", "mean", "max" or "min".
        """

    @abstractmethod
    def edge_weight(self, lowered: Any) -> Optional[Tensor]:
        """The block's edge weights, shape [E], or None."""

    @abstractmethod
    def edge_softmax(self, lowered: Any, scores: Tensor) -> Tensor:
        """Normalise scores over each destination's in-edges. [E, ...] to [E, ...]."""

    def aggregate(self, lowered: Any, h_src: Tensor, reduce: str, edge_weight: Optional[Tensor] = None) -> Tensor:
        """Reduce each destination's source features, weighted if weights are given.

        Args:
            lowered: The lowered block.
            h_src: Source features, [num_src, ...].
            reduce: "sum", "mean", "max" or "min".
            edge_weight: One factor per edge, [E] or [E, heads].

        Returns:
            [num_dst, ...].
        """
        messages = self.gather_src(lowered, h_src)
        if edge_weight is not None:
            trailing = (1,) * (messages.ndim - edge_weight.ndim)
            messages = messages * edge_weight.reshape(tuple(edge_weight.shape) + trailing)
        return self.scatter(lowered, messages, reduce)


class MessagePassing(nn.Module):
    """Base class of layers written on :class:`MessageOps`; subclasses define ``forward(lowered, h_src, h_dst)``.

    Args:
        ops: The primitives of the backend that the layer runs on, from ``Backend.ops()``.
    """

    def __init__(self, ops: MessageOps) -> None:
        super().__init__()
        self.ops = ops
