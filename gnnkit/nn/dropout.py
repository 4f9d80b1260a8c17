"""Dropout whose masks are functions of a key for each row and of the column.

Rules: masks are computed with whole numbers, so they are the same on every device, for any order of the rows and beside
any others. Keys of nodes make all processes that have a node leave out the same of it. Without them a device that runs
eagerly on the processor draws a key for each row, because torch's own masks take longer there than all else that a
layer does. Everywhere else dropout without keys is torch's.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, ContextManager, Optional, Tuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from gnnkit.jit import kernel
from gnnkit.nn.thread_switch import ThreadSwitch
from gnnkit.sampling import row_keys

_ROUNDS = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB))
"""Shifts and factors that scramble 64 bits, as in :mod:`gnnkit.sampling.random`."""
_SHIFTS = tuple(np.uint64(shift) for shift, _ in _ROUNDS)
_FACTORS = tuple(np.uint64(factor) for _, factor in _ROUNDS)


_HOST_MASKS = ThreadSwitch()


def masks_on_host(is_on: bool = True) -> ContextManager[None]:
    """While it is entered, dropout without keys draws masks by our kernel. For devices that run eagerly on the CPU.

    Args:
        is_on: False leaves masks to torch again, for runs that began with such.

    Example:
        >>> with masks_on_host():
        ...     out = dropout(torch.ones(2000, 8), 0.5, True)
        >>> sorted(set(out.flatten().tolist())), bool(900 < out.mean(1).sum() < 3100)
        ([0.0, 2.0], True)
    """
    return _HOST_MASKS.turned(is_on)


def dropout(h: Tensor, p: float, training: bool, keys: Optional[Tensor] = None) -> Tensor:
    """Set values to 0 with probability ``p`` while training, and scale what is left (Srivastava et al., 2014).

    Args:
        h: Shape [n, width], floating point.
        p: From 0 to 1.
        training: Whether the model trains.
        keys: From :func:`gnnkit.sampling.row_keys`. Shape [n], int64. None: they are drawn, or torch draws the mask.

    Returns:
        Shape [n, width].

    Example:
        >>> keys = torch.from_numpy(row_keys(np.array([5, 7, 5]), 0))
        >>> out = dropout(torch.ones(3, 8), 0.5, True, keys)
        >>> bool((out[0] == out[2]).all()), bool((out[0] == out[1]).all())
        (True, False)
    """
    if not training or p in (0.0, 1.0):
        return functional.dropout(h, p, training)
    is_on_host = h.device.type == "cpu" and h.ndim == 2
    if keys is None:
        if not (is_on_host and _HOST_MASKS.is_on) or _is_traced():
            return functional.dropout(h, p, training)
        keys = _drawn_keys(len(h))
    if not is_on_host:
        return h * _kept(keys, h.shape[1], p, h.dtype)
    wide = h if h.dtype == torch.float64 else h.float()  # NumPy knows no bfloat16.
    out: Tensor = _Dropout.apply(wide, keys, p)  # type: ignore[no-untyped-call]
    return out.to(h.dtype)


def _is_traced() -> bool:
    """Whether somebody writes down what is called, who would take a mask for a constant."""
    compiler = getattr(torch, "compiler", None)
    return bool(torch._C._get_tracing_state()) or bool(getattr(compiler, "is_compiling", lambda: False)())


def _drawn_keys(num: int) -> Tensor:
    """A key for each row, by torch's generator."""
    seed = int(torch.empty((), dtype=torch.int64).random_())
    return torch.from_numpy(row_keys(np.arange(num), seed))


class _Dropout(torch.autograd.Function):
    """The mask is never stored: the gradient's is computed again."""

    @staticmethod
    def forward(ctx: Any, h: Tensor, keys: Tensor, p: float) -> Tensor:
        ctx.save_for_backward(keys)
        ctx.p = p
        h = h.detach().contiguous()
        out = torch.empty_like(h)
        rows, columns = (each.numpy().view(np.uint64) for each in (keys, _columns(h.shape[1])))
        scale = h.new_tensor(1 / (1 - p)).numpy()[()]
        _drop(h.numpy(), rows, columns, _least(p), scale, out.numpy())
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tuple[Tensor, None, None]:
        (keys,) = ctx.saved_tensors
        out: Tensor = _Dropout.apply(grad, keys, ctx.p)  # type: ignore[no-untyped-call]
        return out, None, None


@kernel
def _drop(h: Any, keys: Any, columns: Any, least: int, scale: Any, out: Any) -> None:
    for row in range(h.shape[0]):
        for column in range(h.shape[1]):
            mixed = keys[row] ^ columns[column]
            mixed = (mixed ^ (mixed >> _SHIFTS[0])) * _FACTORS[0]
            mixed = (mixed ^ (mixed >> _SHIFTS[1])) * _FACTORS[1]
            out[row, column] = h[row, column] * scale if np.int64(mixed) >= least else 0


@torch.no_grad()
def _kept(keys: Tensor, width: int, p: float, dtype: torch.dtype) -> Tensor:
    """What values are multiplied by: 0 or 1 / (1 - p). Shape [n, width]."""
    mixed = keys[:, None] ^ _columns(width).to(keys.device)
    for shift, factor in _ROUNDS:
        mixed ^= (mixed >> shift) & (2 ** (64 - shift) - 1)  # A shift of a signed number brings in its sign.
        mixed *= factor - 2**64
    return (mixed >= _least(p)).to(dtype).mul_(1 / (1 - p))


def _least(p: float) -> int:
    """The least signed number of 64 bits that is kept."""
    return int(p * 2.0**64) - 2**63


@lru_cache(maxsize=64)
def _columns(width: int) -> Tensor:
    return torch.from_numpy(row_keys(np.arange(width)))
