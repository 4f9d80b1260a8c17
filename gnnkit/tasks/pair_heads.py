"""Heads of tasks about pairs: from the embeddings of two nodes to scores.

Rules: written once above all backends. Of undirected pairs a score does not depend on which node is called the source.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from gnnkit.data import Targets
from gnnkit.errors import ConfigError
from gnnkit.nn.dropout import dropout
from gnnkit.tasks.base import Head

_TABLE_NUMBERS = 1 << 24
"""Numbers that a table of scores may need at a time, where each pair of embeddings is read."""


class PairHead(Head, ABC):
    """Base of heads that score pairs. C is how many scores a pair has, D the width of embeddings."""

    @abstractmethod
    def score(self, sources: Tensor, destinations: Tensor) -> Tensor:
        """Scores of pairs; leading dimensions broadcast.

        Args:
            sources: Embeddings. Shape [..., D].
            destinations: Embeddings. Shape [..., D].

        Returns:
            Shape [..., C].
        """

    def table(self, sources: Tensor, destinations: Tensor) -> Tensor:
        """The first score of every source with every destination.

        Args:
            sources: Embeddings. Shape [B, D].
            destinations: Embeddings. Shape [N, D].

        Returns:
            Shape [B, N].
        """
        size = max(1, _TABLE_NUMBERS // max(sources.numel(), 1))
        parts = [destinations[start : start + size] for start in range(0, max(len(destinations), 1), size)]
        return torch.cat([self.score(sources[:, None], part[None])[..., 0] for part in parts], dim=1)

    def forward(self, h: Tensor, targets: Targets) -> Tensor:
        """Scores of the pairs, followed by those of their negatives, if there are any.

        Args:
            h: Embeddings. Shape [M, D].
            targets: Their rows "src" [T] and "dst" [T] are pairs, "negatives" [T, K] destinations of negatives and
                "negative_sources" [T, K] their sources, without which these are the pairs' own.

        Returns:
            Shape [T, C]; with negatives [T, 1 + K], where C is 1.
        """
        rows = targets.rows
        sources, destinations = _rows(h, rows["src"]), _rows(h, rows["dst"])
        own = self.score(sources, destinations)
        if "negatives" not in rows:
            return own
        others = _rows(h, rows["negatives"])
        starts = _rows(h, rows["negative_sources"]) if "negative_sources" in rows else sources[:, None]
        return torch.cat([own, self.score(starts, others)[..., 0]], dim=1)


def _rows(h: Tensor, rows: Tensor) -> Tensor:
    """Rows of embeddings, [..., D]. Its gradient is several times faster than that of ``h[rows]``."""
    return h.index_select(0, rows.reshape(-1)).reshape(*rows.shape, h.shape[1])


class DotHead(PairHead):
    """``z_u . z_v``."""

    def score(self, sources: Tensor, destinations: Tensor) -> Tensor:
        """See :class:`PairHead`."""
        return (sources * destinations).sum(dim=-1, keepdim=True)

    def table(self, sources: Tensor, destinations: Tensor) -> Tensor:
        """See :class:`PairHead`."""
        return sources @ destinations.T


class CosineHead(DotHead):
    """``scale * cos(z_u, z_v) + shift``, with a scale and a shift that are learnt: a cosine alone is never certain."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(5.0))
        self.shift = nn.Parameter(torch.tensor(0.0))

    def score(self, sources: Tensor, destinations: Tensor) -> Tensor:
        """See :class:`PairHead`."""
        cosine = super().score(functional.normalize(sources, dim=-1), functional.normalize(destinations, dim=-1))
        return self.scale * cosine + self.shift

    def table(self, sources: Tensor, destinations: Tensor) -> Tensor:
        """See :class:`PairHead`."""
        cosine = functional.normalize(sources, dim=-1) @ functional.normalize(destinations, dim=-1).T
        return self.scale * cosine + self.shift


class BilinearHead(PairHead):
    """``z_u W_c z_v + b_c``; of undirected pairs W is made symmetric.

    Args:
        width: Width D of embeddings.
        num_scores: How many scores a pair has.
        symmetric: Whether pairs are undirected.
    """

    def __init__(self, width: int, num_scores: int = 1, *, symmetric: bool = False) -> None:
        super().__init__()
        self.symmetric = symmetric
        self.weight = nn.Parameter(torch.empty(num_scores, width, width))
        self.bias = nn.Parameter(torch.zeros(num_scores))
        nn.init.xavier_uniform_(self.weight)

    def _weights(self) -> Tensor:
        return (self.weight + self.weight.transpose(1, 2)) / 2 if self.symmetric else self.weight

    def score(self, sources: Tensor, destinations: Tensor) -> Tensor:
        """See :class:`PairHead`."""
        moved = torch.stack([sources @ weight for weight in self._weights()], dim=-2)
        return (moved * destinations.unsqueeze(-2)).sum(dim=-1) + self.bias

    def table(self, sources: Tensor, destinations: Tensor) -> Tensor:
        """See :class:`PairHead`."""
        return sources @ self._weights()[0] @ destinations.T + self.bias[0]


class MlpHead(PairHead):
    """A multi-layer perceptron on the product of both embeddings, entry by entry, or on both side by side.

    Side by side, scores of undirected pairs are the mean over both orders.

    Args:
        width: Width D of embeddings.
        num_scores: How many scores a pair has.
        channels: Width between layers.
        num_layers: Number of linear layers, at least 1.
        dropout: Dropout probability between them while training.
        joined: Whether embeddings stand side by side.
        symmetric: Whether pairs are undirected.
    """

    def __init__(
        self,
        width: int,
        num_scores: int = 1,
        *,
        channels: int = 64,
        num_layers: int = 2,
        dropout: float = 0.0,
        joined: bool = False,
        symmetric: bool = False,
    ) -> None:
        super().__init__()
        self.joined = joined
        self.symmetric = symmetric
        self.dropout = dropout
        widths = [2 * width if joined else width, *[channels] * (num_layers - 1), num_scores]
        self.layers = nn.ModuleList([nn.Linear(a, b) for a, b in zip(widths, widths[1:])])

    def score(self, sources: Tensor, destinations: Tensor) -> Tensor:
        """See :class:`PairHead`."""
        if not self.joined:
            return self._perceptron(sources * destinations)
        sources, destinations = torch.broadcast_tensors(sources, destinations)  # type: ignore[no-untyped-call]
        forth = self._perceptron(torch.cat([sources, destinations], dim=-1))
        if not self.symmetric:
            return forth
        return (forth + self._perceptron(torch.cat([destinations, sources], dim=-1))) / 2

    def _perceptron(self, h: Tensor) -> Tensor:
        for i, layer in enumerate(self.layers):
            if i:
                h = dropout(functional.relu(h), self.dropout, self.training)
            h = layer(h)
        return h


HEADS: Mapping[str, Callable[..., PairHead]] = {
    "dot": DotHead,
    "cosine": CosineHead,
    "bilinear": BilinearHead,
    "mlp": MlpHead,
    "mlp_joined": MlpHead,
}
"""Heads by name: "mlp" reads the product of embeddings, "mlp_joined" both side by side."""


def pair_head(
    kind: str, width: int, num_scores: int, *, channels: int, num_layers: int, dropout: float, symmetric: bool
) -> PairHead:
    """A head by name.

    Args:
        kind: A key of :data:`HEADS`.
        width: Width of embeddings.
        num_scores: How many scores a pair has.
        channels: Width between layers of a perceptron.
        num_layers: Number of its layers.
        dropout: Its dropout probability.
        symmetric: Whether pairs are undirected.

    Raises:
        ConfigError: The head gives one score, and more are wanted.

    Example:
        >>> head = pair_head("dot", 8, 1, channels=8, num_layers=2, dropout=0.0, symmetric=True)
        >>> head.score(torch.ones(3, 8), torch.ones(3, 8)).tolist()
        [[8.0], [8.0], [8.0]]
    """
    if kind in ("dot", "cosine"):
        if num_scores != 1:
            raise ConfigError(
                f"Head {kind!r} gives one number for a pair, and {num_scores} are wanted. Take one of "
                f"{', '.join(name for name in HEADS if name not in ('dot', 'cosine'))}."
            )
        return HEADS[kind]()
    if kind == "bilinear":
        return BilinearHead(width, num_scores, symmetric=symmetric)
    return MlpHead(
        width,
        num_scores,
        channels=channels,
        num_layers=num_layers,
        dropout=dropout,
        joined=kind == "mlp_joined",
        symmetric=symmetric,
    )
