"""Message passing written once: primitives that a backend supplies, and the layer class built on them.

Rules: messages run from source to destination; a reduction over no edges is 0; primitives take what
``Backend.lower`` returned and never look inside it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Dict, Optional, Tuple, Type

import torch
from torch import Tensor, nn

from gnnkit.errors import CapabilityError, ConfigError
from gnnkit.nn.relations import Relations

REDUCTIONS = ("sum", "mean", "max", "min")
"""How messages of a destination's in-edges become one."""

SCORES = ("add", "dot", "concatenate")
"""How the features of an edge's two ends become one."""


def check_choice(what: str, value: str, allowed: Tuple[str, ...]) -> None:
    """Refuse a word that is not one of those allowed.

    Raises:
        ConfigError: It is not.
    """
    if value not in allowed:
        raise ConfigError(f"{what} is {value!r}, expected one of {', '.join(allowed)}.")


class MessageOps(ABC):
    """What a backend must be able to do with a lowered block. E is its number of edges.

    The trailing dimensions ``...`` of features are free, so that heads can be a dimension of their own. Primitives have
    no state: copies of a layer share them.
    """

    def __deepcopy__(self, memo: Dict[int, Any]) -> MessageOps:
        return self

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

    def edge_attr(self, lowered: Any) -> Optional[Tensor]:
        """The block's edge features, shape [E, D], or None.

        A backend that declares convolutions which read edge features (``BackendCapabilities.edge_convs``) gives them.
        """
        return None

    def relations(self, lowered: Any) -> Relations:
        """The block by its relations.

        A backend that declares convolutions which read types gives it; see :class:`gnnkit.nn.Relations`.
        """
        raise CapabilityError(f"{type(self).__name__} gives no relations, so convolutions that read types cannot run.")

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

    def edge_scores(self, lowered: Any, a_src: Tensor, a_dst: Tensor, op: str) -> Tensor:
        """Join the features of each edge's two ends.

        Args:
            lowered: The lowered block.
            a_src: Source features, [num_src, ...].
            a_dst: Destination features, [num_dst, ...].
            op: "add", "dot" (product over the last dimension, which goes), or "concatenate" (along the last dimension,
                sources first).

        Returns:
            One score per edge, [E, ...].

        Raises:
            ConfigError: Another ``op``.
        """
        check_choice("op", op, SCORES)
        src, dst = self.gather_src(lowered, a_src), self.gather_dst(lowered, a_dst)
        if op == "add":
            return src + dst
        return (src * dst).sum(-1) if op == "dot" else torch.cat([src, dst], dim=-1)


class MessagePassing(nn.Module):
    """Base class of layers that run on every backend.

    A subclass takes ``(ops, in_channels, out_channels)`` and defines ``forward(lowered, h_src, h_dst)``, which gives
    [num_dst, out_channels]. :func:`gnnkit.build_model` makes a whole model of it.

    Attributes:
        self_loops: Whether every node of the graph gets a self-loop before training.
        gcn_norm: Whether edges carry the symmetric normalisation of GCN as weights.
        ops: The primitives of the backend that the layer runs on.

    Args:
        ops: From ``Backend.ops()``.

    Example:
        >>> class Mean(MessagePassing):
        ...     def __init__(self, ops, in_channels, out_channels):
        ...         super().__init__(ops)
        ...         self.lin = nn.Linear(in_channels, out_channels)
        ...     def forward(self, lowered, h_src, h_dst):
        ...         return self.lin(self.ops.aggregate(lowered, h_src, "mean"))
        >>> import gnnkit
        >>> model = gnnkit.build_model(Mean, gnnkit.load_dataset("karate"), hidden_channels=8)
    """

    self_loops: ClassVar[bool] = False
    gcn_norm: ClassVar[bool] = False

    def __init__(self, ops: MessageOps) -> None:
        super().__init__()
        self.ops = ops

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        _LAYERS[layer_path(cls)] = cls


_LAYERS: Dict[str, Type[MessagePassing]] = {}


def layer_path(layer: Type[MessagePassing]) -> str:
    """The name under which a custom layer stands in specifications: ``module:Class``."""
    return f"{layer.__module__}:{layer.__qualname__}"


def is_custom_layer(path: str) -> bool:
    """Whether a layer class of that name has been defined."""
    return path in _LAYERS


def custom_layer(path: str) -> Type[MessagePassing]:
    """The layer class of that name, for which :func:`is_custom_layer` holds."""
    return _LAYERS[path]


def make_layer(layer: Type[MessagePassing], ops: MessageOps, in_channels: int, out_channels: int) -> MessagePassing:
    """Make a custom layer.

    Raises:
        ConfigError: Its constructor does not take ``(ops, in_channels, out_channels)``.
    """
    try:
        return layer(ops, in_channels, out_channels)  # type: ignore[call-arg]
    except TypeError as error:
        raise ConfigError(f"{layer_path(layer)} was made with (ops, in_channels, out_channels): {error}.") from error
