"""Products over many rows: layers and their gradients, by torch's libraries, in parts that suit these.

Rules: in bfloat16 torch multiplies with oneDNN, which compiles code for every shape that it meets and keeps it: up to a
millisecond and a quarter of a megabyte for each. Sampled batches never have the same number of rows twice, so they are
multiplied in parts of few sizes. In other types parts change nothing but sums over rows. They are so large that what
one operation has written is still in the cache when the next one reads it.
"""

from __future__ import annotations

from typing import Iterator, List, Optional, Sequence, Tuple

import torch
from torch import Tensor
from torch.nn import functional

from gnnkit.nn.activations import activated, gradient_before

SIZES = (4096, 2048, 1024, 512, 256)
"""Rows of a part. So few also stay in the cache between two passes over them."""
_PARTS = 2
"""Parts of each thread, where threads share the rows of a sum."""
_ROWS = 2048
"""Rows of a part of a sum: so many in bfloat16; else at least so many, as adding up smaller parts costs more than it
saves. Of as many for each thread, several operations find in the cache what the one before has written."""


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


def in_turn(num_rows: int) -> Iterator[slice]:
    """All rows, each once, in parts that stay in the cache of the threads which share them.

    The last part may have half as many rows more or less than the others.

    Args:
        num_rows: How many rows there are.
    """
    rows = _ROWS * torch.get_num_threads()
    num = max(1, round(num_rows / rows))
    for i in range(num):
        yield slice(i * rows, num_rows if i == num - 1 else (i + 1) * rows)


def affine(terms: Sequence[Tuple[Tensor, Tensor]], bias: Optional[Tensor], activation: Optional[str] = None) -> Tensor:
    """A layer of several products, without gradients: ``activation(x_1 @ matrix_1 + x_2 @ matrix_2 + ... + bias)``.

    Args:
        terms: Features, [n, in_i], and matrices, [in_i, out].
        bias: Shape [out].
        activation: One of :data:`gnnkit.nn.activations.ACTIVATIONS`.

    Returns:
        Shape [n, out].

    Example:
        >>> with torch.no_grad():
        ...     affine([(torch.ones(1, 2), torch.eye(2)), (torch.ones(1, 1), torch.ones(1, 2))], None, "relu").tolist()
        [[2.0, 2.0]]
    """
    first, matrix = terms[0]
    out = first.new_empty(len(first), matrix.shape[1])
    for part in covering(len(first)) if _goes_in_parts(first) else in_turn(len(first)):
        rows = out[part]
        if bias is None:
            torch.mm(first[part], matrix, out=rows)
        else:
            torch.addmm(bias, first[part], matrix, out=rows)
        for x, other in terms[1:]:
            rows.addmm_(x[part], other)
        activated(rows, activation, in_place=True)
    return out


def affine_gradients(
    grad: Tensor, out: Tensor, activation: Optional[str], xs: Sequence[Optional[Tensor]], *, wants_before: bool
) -> Tuple[Optional[Tensor], List[Optional[Tensor]], Tensor]:
    """Gradients of :func:`affine`.

    Args:
        grad: Gradient of its result. Shape [n, out].
        out: Its result. It is not read if there is no activation.
        activation: As there.
        xs: Features, [n, in_i], of which matrices have a gradient; None for others.
        wants_before: Whether the gradient before the activation is needed as a whole.

    Returns:
        The gradient of what the activation was applied to, [n, out], or None; the gradient of each transposed matrix,
        [out, in_i]; that of the bias, [out].
    """
    num = _PARTS * torch.get_num_threads()
    if activation is None or not _is_exact(grad) or torch.is_grad_enabled() or len(grad) < num * _ROWS:
        before = gradient_before(grad, out, activation)
        return before, [None if x is None else weight_gradient(before, x) for x in xs], before.sum(0)
    parts = list(in_turn(len(grad)))
    kept = torch.empty_like(out) if wants_before else None
    scratch = out.new_empty(max(part.stop - part.start for part in parts), out.shape[1])
    sums = [None if x is None else _SumOfParts(grad, x, num) for x in xs]
    of_bias = torch.zeros_like(out[0])
    for part in parts:
        into = scratch[: part.stop - part.start] if kept is None else kept[part]
        before = gradient_before(grad[part], out[part], activation, into)
        of_bias += before.sum(0)
        for total, x in zip(sums, xs):
            if total is not None and x is not None:
                total.add(before, x[part])
    return kept, [None if total is None else total.total() for total in sums], of_bias


class _SumOfParts:
    """``grad.t() @ x``, added up part by part; threads share the rows of each."""

    def __init__(self, grad: Tensor, x: Tensor, num: int) -> None:
        self._sums = x.new_zeros(num, grad.shape[1], x.shape[1])

    def add(self, grad: Tensor, x: Tensor) -> None:
        num = len(self._sums)
        whole = num * (len(x) // num)
        grads, rows = (part[:whole].reshape(num, whole // num, part.shape[1]) for part in (grad, x))
        self._sums.baddbmm_(grads.transpose(1, 2), rows)
        if whole < len(x):
            self._sums[0].addmm_(grad[whole:].t(), x[whole:])

    def total(self) -> Tensor:
        return self._sums.sum(0)


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
    if threads == 1 or not _is_exact(x) or len(x) < num * _ROWS:
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


def _is_exact(x: Tensor) -> bool:
    return x.dtype in (torch.float32, torch.float64) and x.device.type == "cpu"


def _goes_in_parts(x: Tensor) -> bool:
    # Writing into a given tensor has no gradient, so nothing is written into one while gradients are recorded.
    return x.dtype == torch.bfloat16 and x.device.type == "cpu" and len(x) >= SIZES[-1] and not torch.is_grad_enabled()
