"""Products over many rows: layers and their gradients, by torch's libraries, in parts that suit these.

Rules: in bfloat16 torch multiplies with oneDNN, which compiles code for every shape that it meets and keeps it: up to a
millisecond and a quarter of a megabyte for each. Sampled batches never have the same number of rows twice, so they are
multiplied in parts of few sizes. In other types parts change nothing but sums over rows.
"""

from __future__ import annotations

from typing import Iterator, Optional

import torch
from torch import Tensor
from torch.nn import functional

SIZES = (4096, 2048, 1024, 512, 256)
"""Rows of a part. So few also stay in the cache between two passes over them."""
_PARTS = 2
"""Parts of each thread, where threads share the rows of a sum."""
_ROWS = 2048
"""Rows of a part of a sum: so many in bfloat16; else at least so many, as adding up smaller parts costs more than it
saves."""


def covering(num_rows: int) -> Iterator[slice]:
    """All rows in parts of so many as ``SIZES`` has, of which there are the least of these at least.

    A part may begin in the one before: to compute some rows twice costs less than calls for a few rows each.

    Example:
        >>> [(part.start, part.stop) for part in covering(4600)]
        [(0, 4096), (4088, 4600)]
    """
    start = 0
    while start < num_rows:
        most = min(num_rows, max(1.25 * (num_rows - start), SIZES[-1]))
        rows = next(rows for rows in SIZES if rows <= most)
        end = min(start + rows, num_rows)
        yield slice(end - rows, end)
        start = end


def apart(num_rows: int, least: int = SIZES[-1]) -> Iterator[slice]:
    """All rows but the last, too few ones, each once, in parts of so many as ``SIZES`` has.

    Args:
        num_rows: How many rows there are.
        least: The smallest of the sizes that is taken.
    """
    start = 0
    for rows in SIZES:
        while rows >= least and num_rows - start >= rows:
            yield slice(start, start + rows)
            start += rows


def product(x: Tensor, matrix: Tensor, bias: Optional[Tensor] = None) -> Tensor:
    """``x @ matrix + bias``.

    Args:
        x: Shape [n, in].
        matrix: Shape [in, out].
        bias: Shape [out].
    """
    if not _goes_in_parts(x):
        return x @ matrix if bias is None else torch.addmm(bias, x, matrix)
    out = x.new_empty(len(x), matrix.shape[1])
    for part in covering(len(x)):
        if bias is None:
            torch.mm(x[part], matrix, out=out[part])
        else:
            torch.addmm(bias, x[part], matrix, out=out[part])
    return out


def add_product(out: Tensor, x: Tensor, matrix: Tensor) -> Tensor:
    """Add ``x @ matrix`` onto ``out``, in place.

    Args:
        out: Shape [n, out].
        x: Shape [n, in].
        matrix: Shape [in, out].
    """
    if not _goes_in_parts(x):
        return out.addmm_(x, matrix)
    done = 0
    for part in apart(len(x)):
        out[part].addmm_(x[part], matrix)
        done = part.stop
    if done < len(x):  # No row may be added twice.
        out[done:] += torch.mm(x[-SIZES[-1] :], matrix)[done - len(x) :]
    return out


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
    if _goes_in_parts(x):
        return _in_fixed_parts(grad, x)
    threads = torch.get_num_threads()
    num = _PARTS * threads
    is_exact = x.dtype in (torch.float32, torch.float64)
    if threads == 1 or not is_exact or x.device.type != "cpu" or len(x) < num * _ROWS:
        return grad.t() @ x
    whole = num * (len(x) // num)
    total = _of_each(grad[:whole], x[:whole], num).sum(0)
    return total if whole == len(x) else total.addmm_(grad[whole:].t(), x[whole:])


def _in_fixed_parts(grad: Tensor, x: Tensor) -> Tensor:
    num, rest = divmod(len(x), _ROWS)
    at = len(x) - rest
    # Sums are in float32: results are rounded once for each part and at the end.
    total = torch.zeros(grad.shape[1], x.shape[1])
    if num:
        total += _of_each(grad[:at], x[:at], num).sum(0, dtype=torch.float32)
    for part in apart(rest):
        total += grad[at:][part].t() @ x[at:][part]
    missing = -rest % SIZES[-1]
    if missing:
        start = len(x) + missing - SIZES[-1]
        last_grad, last_x = (functional.pad(rows[start:], (0, 0, 0, missing)) for rows in (grad, x))
        total += last_grad.t() @ last_x
    return total.to(x.dtype)


def _of_each(grad: Tensor, x: Tensor, num: int) -> Tensor:
    """The gradient from each of so many equal parts. Shape [num, out, in]."""
    size = len(x) // num
    return torch.bmm(grad.reshape(num, size, -1).transpose(1, 2), x.reshape(num, size, -1))


def _goes_in_parts(x: Tensor) -> bool:
    # Writing into a given tensor has no gradient, so nothing is written into one while gradients are recorded.
    return x.dtype == torch.bfloat16 and x.device.type == "cpu" and len(x) >= SIZES[-1] and not torch.is_grad_enabled()
