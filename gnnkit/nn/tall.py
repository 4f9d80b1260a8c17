"""Products over many rows: layers and their gradients, by torch's libraries, in parts that suit these.

Rules: in bfloat16 torch multiplies with oneDNN, which compiles code for every shape that it meets and keeps it: up to a
millisecond and a quarter of a megabyte for each. Sampled batches never have the same number of rows twice, so they are
multiplied in parts of few sizes, unless they are widened to float32 (:mod:`gnnkit.nn.widening`). In other types parts
change nothing but sums over rows. They are so large that what one operation has written is still in the cache when the
next one reads it.
"""

from __future__ import annotations

from typing import Iterator, List, Optional, Sequence, Tuple

import torch
from torch import Tensor

from gnnkit.nn.activations import activated, gradient_before
from gnnkit.nn.packed import is_packed, packed_affine
from gnnkit.nn.widening import is_widened, widened

SIZES = (4096, 2048, 1024, 512, 256)
"""Rows of a part. So few also stay in the cache between two passes over them."""
_PARTS = 2
"""Parts of each thread, where threads share the rows of a sum."""
_ROWS = 2048
"""Rows of a part of a sum: so many in bfloat16, and in other types as many for each thread. Several operations then
find in the cache what the one before has written."""
_SHARED = 640
"""Rows for each part of a thread from which on threads share the rows of a sum."""


def covering(num_rows: int, start: int = 0) -> Iterator[slice]:
    """The rows from ``start`` on in parts of so many as ``SIZES`` has.

    A part may begin in the one before, or before ``start``: to compute some rows twice costs less than calls for a few
    rows each.

    Args:
        num_rows: How many rows there are, as many as the least of these sizes at least.
        start: The first row that is wanted.

    Example:
        >>> [(part.start, part.stop) for part in covering(4600)]
        [(0, 4096), (4088, 4600)]
    """
    while start < num_rows:
        most = min(num_rows, max(1.25 * (num_rows - start), SIZES[-1]))
        rows = next(rows for rows in SIZES if rows <= most)
        end = max(min(start + rows, num_rows), rows)
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


def affine(
    terms: Sequence[Tuple[Tensor, Tensor]],
    bias: Optional[Tensor],
    activation: Optional[str] = None,
    into: Optional[Tensor] = None,
) -> Tensor:
    """A layer of several products, without gradients: ``activation(x_1 @ matrix_1 + x_2 @ matrix_2 + ... + bias)``.

    Args:
        terms: Features, [n, in_i], and matrices, [in_i, out].
        bias: Shape [out].
        activation: One of :data:`gnnkit.nn.activations.ACTIVATIONS`.
        into: Where the result is written, [n, out]. None: new memory.

    Returns:
        Shape [n, out].

    Example:
        >>> with torch.no_grad():
        ...     affine([(torch.ones(1, 2), torch.eye(2)), (torch.ones(1, 1), torch.ones(1, 2))], None, "relu").tolist()
        [[2.0, 2.0]]
    """
    if into is None and is_packed(terms):
        return packed_affine(terms, bias, activation)
    first = terms[0][0]
    out = first.new_empty(len(first), terms[0][1].shape[1]) if into is None else into
    (matrix, *others), bias = [widened(each) for _, each in terms], None if bias is None else widened(bias)
    for part in covering(len(first)) if _goes_in_parts(first) else in_turn(len(first)):
        target = out[part]
        rows = target if matrix.dtype == out.dtype else torch.empty_like(target, dtype=matrix.dtype)
        if bias is None:
            torch.mm(widened(first[part]), matrix, out=rows)
        else:
            torch.addmm(bias, widened(first[part]), matrix, out=rows)
        for (x, _), other in zip(terms[1:], others):
            rows.addmm_(widened(x[part]), other)
        activated(rows, activation, into=rows)
        if rows is not target:
            target.copy_(rows)
    return out


def affine_gradients(
    grad: Tensor,
    out: Optional[Tensor],
    activation: Optional[str],
    xs: Sequence[Optional[Tensor]],
    *,
    wants_before: bool = False,
    wants_bias: bool = True,
) -> Tuple[Optional[Tensor], List[Optional[Tensor]], Optional[Tensor]]:
    """Gradients of :func:`affine`.

    Libraries share a product out among threads by rows and columns of the result. That of a weight's gradient is small,
    and its sum goes over all rows: where these are many, each thread has parts of them instead.

    Args:
        grad: Gradient of its result. Shape [n, out].
        out: Its result. None if there is no activation.
        activation: As there.
        xs: Features, [n, in_i], of which matrices have a gradient; None for others.
        wants_before: Whether the gradient before the activation is needed as a whole.
        wants_bias: Whether the bias has a gradient.

    Returns:
        The gradient of what the activation was applied to, [n, out], or None; the gradient of each transposed matrix,
        [out, in_i], or None; that of the bias, [out], or None.
    """
    parts = _parts_of_sum(grad)
    if len(parts) == 1 and not _goes_in_parts(grad):
        before = gradient_before(grad, out, activation)
        wide = widened(before)
        of_weights = [None if x is None else _sum_of_all(wide, widened(x)).to(grad.dtype) for x in xs]
        return before, of_weights, before.sum(0) if wants_bias else None
    kept = grad if activation is None else torch.empty_like(grad) if wants_before else None
    scratch = grad.new_empty(max(part.stop - part.start for part, _ in parts), grad.shape[1])
    sums = [None if x is None else _WeightSum(_num_parts()) for x in xs]
    of_bias = torch.zeros(grad.shape[1], dtype=_sum_type(grad))
    for part, again in reversed(parts):  # What was read last on the way here may still be in the cache.
        if activation is None and not again:
            before = grad[part]
        else:
            into = scratch[: part.stop - part.start] if kept is None or again else kept[part]
            of_part = None if out is None else out[part]
            before = gradient_before(grad[part], of_part, activation, into)
        if again:
            if kept is not None and kept is not grad:
                kept[part.start + again : part.stop] = before[again:]
            before[:again] = 0
        before = widened(before)
        if wants_bias:
            of_bias += before.sum(0)
        for total, x in zip(sums, xs):
            if total is not None and x is not None:
                total.add(before, widened(x[part]))
    of_weights = [None if total is None else total.total(grad.dtype) for total in sums]
    return kept, of_weights, of_bias.to(grad.dtype) if wants_bias else None


def weight_gradient(grad: Tensor, x: Tensor) -> Tensor:
    """The gradient of a weight W from that of x W^T; see :func:`affine_gradients`.

    Args:
        grad: Gradient of the product. Shape [n, out].
        x: Shape [n, in].

    Returns:
        ``grad.t() @ x``. Shape [out, in].
    """
    found = affine_gradients(grad, None, None, [x], wants_bias=False)[1][0]
    assert found is not None, "it was asked for"
    return found


def _parts_of_sum(grad: Tensor) -> List[Tuple[slice, int]]:
    """Parts of rows, and how many of the first ones of each were in the part before."""
    num_rows, num = len(grad), _num_parts()
    if _goes_in_parts(grad):
        whole = num_rows // _ROWS * _ROWS
        parts = [(slice(start, min(start + num * _ROWS, whole)), 0) for start in range(0, whole, num * _ROWS)]
        done = whole
        for part in covering(num_rows, whole):
            parts.append((part, done - part.start))
            done = part.stop
        return parts
    is_one = num_rows < max(num, 2) * _ROWS or not _is_exact(grad)
    return [(slice(0, num_rows), 0)] if is_one else [(part, 0) for part in in_turn(num_rows)]


def _sum_of_all(grad: Tensor, x: Tensor) -> Tensor:
    """``grad.t() @ x`` of few rows, which threads share all the same if there are enough."""
    num = _num_parts()
    if num == 1 or len(grad) < num * _SHARED or not _is_exact(grad):
        return grad.t() @ x
    total = _WeightSum(num)
    total.add(grad, x)
    return total.total(grad.dtype)


def _is_exact(grad: Tensor) -> bool:
    """Whether a sum may be made of parts in memory: they are not rounded, and nothing records them."""
    is_exact = grad.dtype in (torch.float32, torch.float64) or is_widened(grad)
    return is_exact and grad.device.type == "cpu" and not torch.is_grad_enabled()


def _num_parts() -> int:
    """In how many parts threads share the rows of a sum."""
    threads = torch.get_num_threads()
    return 1 if threads == 1 else _PARTS * threads


def _sum_type(x: Tensor) -> torch.dtype:
    return torch.float32 if x.dtype == torch.bfloat16 else x.dtype


class _WeightSum:
    """``grad.t() @ x``, added up part by part, each of which threads share by its rows.

    In bfloat16 the result of every product is rounded, and then added up in float32.
    """

    def __init__(self, num: int) -> None:
        self._num = num
        self._sums: Optional[Tensor] = None

    def add(self, grad: Tensor, x: Tensor) -> None:
        """Add the product of some rows, in bfloat16 of so many as compiled code is there for."""
        is_rounded = x.dtype == torch.bfloat16
        num = max(1, len(x) // _ROWS) if is_rounded else self._num
        whole = num * (len(x) // num)
        grads, rows = (part[:whole].reshape(num, whole // num, part.shape[1]) for part in (grad, x))
        if self._sums is not None and not is_rounded:
            self._sums.baddbmm_(grads.transpose(1, 2), rows)
        else:
            found = torch.bmm(grads.transpose(1, 2), rows)
            found = found.sum(0, keepdim=True, dtype=torch.float32) if is_rounded else found
            self._sums = found if self._sums is None else self._sums.add_(found)
        if whole < len(x):
            self._sums[0].addmm_(grad[whole:].t(), x[whole:])

    def total(self, dtype: torch.dtype) -> Tensor:
        """The sum of all that was added."""
        assert self._sums is not None, "there is a part"
        return self._sums.sum(0).to(dtype)


def product(x: Tensor, matrix: Tensor, bias: Optional[Tensor] = None) -> Tensor:
    """``x @ matrix + bias``.

    Args:
        x: Shape [n, in].
        matrix: Shape [in, out].
        bias: Shape [out].
    """
    if _goes_in_parts(x) or is_widened(x):
        return affine([(x, matrix)], bias)
    return x @ matrix if bias is None else torch.addmm(bias, x, matrix)


def add_product(out: Tensor, x: Tensor, matrix: Tensor) -> Tensor:
    """Add ``x @ matrix`` onto ``out``, in place.

    Args:
        out: Shape [n, out].
        x: Shape [n, in].
        matrix: Shape [in, out].
    """
    if is_widened(x):
        for part in in_turn(len(x)):
            out[part] = widened(out[part]).addmm_(widened(x[part]), widened(matrix))
        return out
    if not _goes_in_parts(x):
        return out.addmm_(x, matrix)
    done = 0
    for part in covering(len(x)):
        if part.start == done:
            out[part].addmm_(x[part], matrix)
        else:  # No row may be added twice.
            out[done : part.stop] += torch.mm(x[part], matrix)[done - part.start :]
        done = part.stop
    return out


def _goes_in_parts(x: Tensor) -> bool:
    if x.dtype != torch.bfloat16 or x.device.type != "cpu" or is_widened(x):
        return False
    # Writing into a given tensor has no gradient, so nothing is written into one while gradients are recorded.
    return len(x) >= SIZES[-1] and not torch.is_grad_enabled()
