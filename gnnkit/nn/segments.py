"""Products of slices of rows with a matrix each: one for every relation, or type, of a typed graph.

Rules: slices follow each other. Results and gradients are written into one tensor each, so that a relation costs the
calls of its products and no more.
"""

from __future__ import annotations

from typing import Any, List, Optional, Sequence, Tuple

import torch
from torch import Tensor

from gnnkit.nn.tall import affine, product, weight_gradient
from gnnkit.nn.widening import is_widened, is_widening, widening


def segment_linear(x: Tensor, ptr: Sequence[int], weight: Tensor) -> Tensor:
    """Multiply every slice of rows by a matrix of its own.

    Args:
        x: Rows by slice. Shape [n, in], or [n, G * in] for G blocks side by side.
        ptr: Where each slice begins, and where the last one ends. Length S + 1, from 0 to n.
        weight: A matrix for each slice. Shape [S, out, in], or [S, G, out, in].

    Returns:
        Shape [n, out], or [n, G * out], in the type of ``weight``.

    Example:
        >>> weight = torch.stack([torch.eye(2), 3 * torch.eye(2)])
        >>> segment_linear(torch.ones(3, 2), [0, 1, 3], weight).tolist()
        [[1.0, 1.0], [3.0, 3.0], [3.0, 3.0]]
    """
    out: Tensor = _SegmentLinear.apply(x.to(weight.dtype), tuple(ptr), weight)  # type: ignore[no-untyped-call]
    return out


class _SegmentLinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, ptr: Tuple[int, ...], weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.ptr = ptr
        groups = _groups(weight)
        out = x.new_empty(len(x), groups * weight.shape[-2])
        _multiply(x, ptr, weight.transpose(-1, -2), out)
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tuple[Any, None, Any]:
        x, weight = ctx.saved_tensors
        grad = grad.contiguous()
        grad_x = grad_weight = None
        if ctx.needs_input_grad[0]:
            grad_x = torch.empty_like(x)
            _multiply(grad, ctx.ptr, weight, grad_x)
        if ctx.needs_input_grad[2]:
            grad_weight = torch.zeros_like(weight)
            sizes = _sizes(ctx.ptr)
            slices = zip(torch.split(grad, sizes), torch.split(x, sizes), grad_weight.unbind(), sizes)
            for g, rows, out, size in slices:
                if size and weight.ndim == 3:
                    out.copy_(weight_gradient(g, rows))
                elif size:
                    torch.bmm(_by_group(g, weight).transpose(1, 2), _by_group(rows, weight), out=out)
        return grad_x, None, grad_weight


def tables_linear(tables: Sequence[Tensor], weights: Sequence[Tensor], biases: Sequence[Tensor]) -> Tensor:
    """Multiply tables of any widths by a matrix each, add a bias each, and put the results one under the other.

    Args:
        tables: Each [n_i, in_i].
        weights: Each [out, in_i].
        biases: Each [out].

    Returns:
        Shape [sum of n_i, out], in the type that torch gives to such products here and now.

    Example:
        >>> tables, weights = [torch.ones(1, 2), torch.ones(2, 1)], [torch.eye(2), torch.ones(2, 1)]
        >>> tables_linear(tables, weights, [torch.zeros(2), torch.ones(2)]).tolist()
        [[1.0, 1.0], [2.0, 2.0], [2.0, 2.0]]
    """
    dtype = (tables[0][:0] @ weights[0].t()).dtype
    parts = [part.to(dtype) for part in (*tables, *weights, *biases)]
    out: Tensor = _TablesLinear.apply(*parts)  # type: ignore[no-untyped-call]
    return out


class _TablesLinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *parts: Tensor) -> Tensor:
        num = len(parts) // 3
        tables, weights, biases = parts[:num], parts[num : 2 * num], parts[2 * num :]
        ctx.save_for_backward(*tables, *weights)
        ctx.widens = is_widening()
        sizes = [len(table) for table in tables]
        out = weights[0].new_empty(sum(sizes), len(weights[0]))
        for table, weight, bias, into in zip(tables, weights, biases, torch.split(out, sizes)):
            if is_widened(table):
                affine([(table, weight.t())], bias, into=into)
            else:
                torch.addmm(bias, table, weight.t(), out=into)
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tuple[Optional[Tensor], ...]:
        num = len(ctx.saved_tensors) // 2
        tables, weights = ctx.saved_tensors[:num], ctx.saved_tensors[num:]
        wanted = ctx.needs_input_grad
        grads = torch.split(grad.contiguous(), [len(table) for table in tables])
        with widening(ctx.widens):
            return (
                *(product(g, weight) if wants else None for g, weight, wants in zip(grads, weights, wanted)),
                *(weight_gradient(g, table) if wants else None for g, table, wants in zip(grads, tables, wanted[num:])),
                *(g.sum(0) if wants else None for g, wants in zip(grads, wanted[2 * num :])),
            )


def _multiply(x: Tensor, ptr: Sequence[int], weight: Tensor, out: Tensor) -> None:
    """Write the product of every slice; matrices are [in, out] here."""
    sizes = _sizes(ptr)
    for rows, matrix, into, size in zip(torch.split(x, sizes), weight.unbind(), torch.split(out, sizes), sizes):
        if size and weight.ndim == 3:
            torch.mm(rows, matrix, out=into)
        elif size:
            _by_group(into, weight).copy_(torch.bmm(_by_group(rows, weight), matrix))


def _by_group(rows: Tensor, weight: Tensor) -> Tensor:
    """[n, G * width] as [G, n, width]."""
    groups = _groups(weight)
    return rows.view(len(rows), groups, rows.shape[1] // groups).transpose(0, 1)


def _groups(weight: Tensor) -> int:
    return 1 if weight.ndim == 3 else int(weight.shape[1])


def _sizes(ptr: Sequence[int]) -> List[int]:
    return [end - start for start, end in zip(ptr, ptr[1:])]
