"""Dropout whose masks belong to nodes, so that all processes which have a node leave out the same of it.

Rules: a mask is a function of the rows' keys and the column, computed with whole numbers, so it is the same on every
device, for any order of the rows and beside any others. Without keys dropout is torch's.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Optional

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from gnnkit.sampling import row_keys

_ROUNDS = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB))
"""Shifts and factors that scramble 64 bits, as in :mod:`gnnkit.sampling.random`."""
_PIECE = 1 << 16
"""Values that are worked on at a time on a processor, so that they stay in its cache."""


def dropout(h: Tensor, p: float, training: bool, keys: Optional[Tensor] = None) -> Tensor:
    """Set values to 0 with probability ``p`` while training, and scale what is left (Srivastava et al., 2014).

    Args:
        h: Shape [n, width], floating point.
        p: From 0 to 1.
        training: Whether the model trains.
        keys: From :func:`gnnkit.sampling.row_keys`. Shape [n], int64. None: torch's generator draws.

    Returns:
        Shape [n, width].

    Example:
        >>> keys = torch.from_numpy(row_keys(np.array([5, 7, 5]), 0))
        >>> out = dropout(torch.ones(3, 8), 0.5, True, keys)
        >>> bool((out[0] == out[2]).all()), bool((out[0] == out[1]).all())
        (True, False)
    """
    if keys is None or not training or p in (0.0, 1.0):
        return functional.dropout(h, p, training)
    return h * _kept(keys, h.shape[1], p, h.dtype)


@torch.no_grad()
def _kept(keys: Tensor, width: int, p: float, dtype: torch.dtype) -> Tensor:
    """What values are multiplied by: 0 or 1 / (1 - p). Shape [n, width]."""
    out = torch.empty(len(keys), width, dtype=dtype, device=keys.device)
    least = int(p * 2.0**64) - 2**63
    columns = _columns(width).to(keys.device)
    rows = max(1, _PIECE // width) if keys.device.type == "cpu" else max(1, len(keys))
    for start in range(0, len(keys), rows):
        mixed = keys[start : start + rows, None] ^ columns
        for shift, factor in _ROUNDS:
            mixed ^= (mixed >> shift) & (2 ** (64 - shift) - 1)  # A shift of a signed number brings in its sign.
            mixed *= factor - 2**64
        torch.ge(mixed, least, out=out[start : start + rows])
    return out.mul_(1 / (1 - p))


@lru_cache(maxsize=64)
def _columns(width: int) -> Tensor:
    return torch.from_numpy(row_keys(np.arange(width)))
