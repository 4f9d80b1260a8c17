"""What brings features of nodes to the width of a model before its first convolution."""

from __future__ import annotations

from typing import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import skip_init

from gnnkit.errors import ConfigError


class CategoryEncoder(nn.Module):
    """The sum of one embedding for each column of categories, as the Open Graph Benchmark encodes atoms.

    Args:
        sizes: Number of categories of each column.
        width: Width of the embeddings.

    Example:
        >>> encoder = CategoryEncoder([3, 2], 4)
        >>> encoder(torch.tensor([[2, 0], [1, 1]])).shape
        torch.Size([2, 4])
    """

    def __init__(self, sizes: Sequence[int], width: int) -> None:
        super().__init__()
        self.sizes = tuple(sizes)
        self.weight = nn.Parameter(torch.zeros(sum(sizes), width))
        self.starts: Tensor
        self.register_buffer("starts", torch.tensor([0, *sizes[:-1]]).cumsum(0), persistent=False)

    def forward(self, codes: Tensor) -> Tensor:
        """Embed.

        Args:
            codes: Categories. Shape [n, columns], integers; 0 for padding.

        Returns:
            Shape [n, width].

        Raises:
            ConfigError: Numbers come instead of categories.
        """
        if codes.is_floating_point() or codes.shape[1] != len(self.sizes):
            raise ConfigError(
                f"The model reads {len(self.sizes)} categories of every node, received {list(codes.shape)} of "
                f"{codes.dtype}. Give a graph with the node_categories that the model was built for."
            )
        return functional.embedding(codes + self.starts, self.weight).sum(dim=1)


def make_encoder(in_channels: int, categories: Sequence[int], width: int) -> nn.Module:
    """The encoder of a model: linear, or the embeddings of categories. Its parameters have no values yet."""
    if categories:
        return CategoryEncoder(categories, width)
    return skip_init(nn.Linear, in_channels, width)  # type: ignore[no-untyped-call,no-any-return]
