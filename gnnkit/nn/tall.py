"""Products over many rows, as gradients of weights are."""

from __future__ import annotations

import torch
from torch import Tensor

_PARTS = 2
"""Parts of each thread."""
_ROWS = 2048
"""Rows that a part has at least: adding the parts up costs more than fewer of them save."""


def weight_gradient(grad: Tensor, x: Tensor) -> Tensor:
    """The gradient of a weight W from that of x W^T.

    Libraries share a product out among threads by rows and columns of the result. This one is small, and its sum goes
    over all rows: where these are many, each thread has parts of them instead.

    Args:
        grad: Gradient of the product. Shape [n, out].
        x: Shape [n, in].

    Returns:
        ``grad.t() @ x``. Shape [out, in].
    """
    threads = torch.get_num_threads()
    num = _PARTS * threads
    is_exact = grad.dtype in (torch.float32, torch.float64)  # Parts in half precision would be rounded one by one.
    if threads == 1 or not is_exact or grad.device.type != "cpu" or len(x) < num * _ROWS:
        return grad.t() @ x
    size = len(x) // num
    whole = num * size
    parts = torch.bmm(grad[:whole].reshape(num, size, -1).transpose(1, 2), x[:whole].reshape(num, size, -1))
    total = parts.sum(0)
    return total if whole == len(x) else total.addmm_(grad[whole:].t(), x[whole:])
