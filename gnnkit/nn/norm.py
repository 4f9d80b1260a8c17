"""Normalisation between layers; that of batches does not see padding.

Rules: shapes depend on nothing but the input's shape, so that a compiler with fixed shapes can take the module; names
of parameters and buffers are those of ``torch.nn.BatchNorm1d``.
"""

from __future__ import annotations

from typing import Optional

import torch
from torch import Tensor, nn


class MaskedBatchNorm(nn.BatchNorm1d):
    """``torch.nn.BatchNorm1d`` over the rows that a mask marks as real (Ioffe and Szegedy, 2015).

    Real rows get what torch gives them without the others. A single real row, which torch refuses while training,
    has variance 0 and becomes the bias.

    Example:
        >>> norm, h = MaskedBatchNorm(3), torch.randn(5, 3)
        >>> mask = torch.tensor([True, True, True, False, False])
        >>> bool(torch.allclose(norm(h, mask)[:3], nn.BatchNorm1d(3)(h[:3]), atol=1e-6))
        True
    """

    def forward(self, h: Tensor, mask: Optional[Tensor] = None) -> Tensor:
        """Normalise.

        Args:
            h: Features. Shape [n, width], floating point.
            mask: Which rows are real. Shape [n], bool. None means all.

        Returns:
            Shape [n, width], of the dtype of ``h``. What padding rows hold is finite and of no meaning.
        """
        if not self.training or (mask is None and h.shape[0] > 1):
            return super().forward(h)
        wide = h.to(self.weight.dtype)  # Statistics are never taken in half precision.
        real = torch.ones_like(wide[:, :1]) if mask is None else mask.to(wide.dtype).unsqueeze(-1)
        num = real.sum().clamp(min=1)
        mean = (wide * real).sum(dim=0) / num
        centred = wide - mean
        variance = (centred * centred * real).sum(dim=0) / num
        self._track(mean.detach(), variance.detach() * (num / (num - 1).clamp(min=1)))
        out = centred * torch.rsqrt(variance + self.eps) * self.weight + self.bias
        return out.to(h.dtype)

    def _track(self, mean: Tensor, variance: Tensor) -> None:
        """Update running statistics as torch does, with the unbiased variance."""
        assert self.running_mean is not None and self.running_var is not None
        assert self.num_batches_tracked is not None and self.momentum is not None
        self.num_batches_tracked.add_(1)
        for running, new in ((self.running_mean, mean), (self.running_var, variance)):
            running.mul_(1 - self.momentum).add_(self.momentum * new)


def make_norm(kind: str, width: int) -> nn.Module:
    """The module of a model's option ``norm``.

    Args:
        kind: "batch", "layer" or "none".
        width: Width of the features.
    """
    if kind == "batch":
        return MaskedBatchNorm(width)
    return nn.LayerNorm(width) if kind == "layer" else nn.Identity()


def apply_norm(norm: nn.Module, h: Tensor, mask: Optional[Tensor]) -> Tensor:
    """Normalise features of which some rows may be padding."""
    out: Tensor = norm(h, mask) if isinstance(norm, MaskedBatchNorm) else norm(h)
    return out
