"""Products of float32 matrices by oneDNN, on processors where it is faster than torch's own library.

torch multiplies float32 matrices with Intel's MKL, which takes AVX-512 on Intel's processors only; on others it stays
with AVX2. oneDNN, which torch brings along for other work, looks at what the processor has, whoever made it. On an AMD
EPYC of the fifth generation it multiplies 2.2 times as fast; on one of the fourth, which has AVX-512 of half the width,
it is slower. :mod:`gnnkit.devices.product_choice` finds out.

Rules: torch's own functions are called everywhere, and a mode that holds for the time of a step hands large products
on, so no layer knows of it. Results differ from torch's by rounding alone, and repeat their bits.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Callable, Iterable, Mapping, Optional, Tuple

import torch
from torch import Tensor
from torch.nn import functional

from gnnkit.backends import composing
from gnnkit.devices.product_mode import ProductMode
from gnnkit.nn.packed import ROWS, packed_affine
from gnnkit.nn.tall import SIZES, apart, covering

_WORTH = 2e7
"""Operations from which a product is handed on; below, the call costs more than it saves."""
_WORTH_OF_GRADIENT = 1e8
"""The same for gradients of parameters, whose operands are copied into oneDNN's form first."""
_LEAST_OF_GRADIENT = 1024
"""Rows of a part that gradients of parameters are worth it from. No row may be added up twice: torch gets the rest."""


@lru_cache(maxsize=None)
def has_onednn() -> bool:
    """Whether this torch can multiply with oneDNN: one built without it cannot, nor can torch 2.0."""
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    x, weight = torch.ones(_LEAST_OF_GRADIENT, 1), torch.ones(1, 1)
    try:
        return bool(multiply(x, weight)[0] == 1) and bool(parameter_gradients(x, x, weight)[0] == len(x))
    except (AttributeError, RuntimeError):
        return False


@lru_cache(maxsize=None)
def has_packing() -> bool:
    """Whether this torch can multiply with oneDNN by packed matrices, :func:`gnnkit.nn.packed.packed_affine`."""
    if not has_onednn():
        return False
    term = (torch.ones(ROWS, 1), torch.ones(1, 1))
    try:
        return bool(packed_affine([term, term], None, None)[0] == 2)
    except (AttributeError, RuntimeError):
        return False


def multiply(x: Tensor, weight: Tensor, bias: Optional[Tensor] = None) -> Tensor:
    """``x @ weight.t() + bias`` by oneDNN, without gradients.

    Args:
        x: Shape [rows, in], float32, in host memory.
        weight: Shape [out, in], float32; may be a transposed view.
        bias: Shape [out], float32.

    Returns:
        Shape [rows, out].
    """
    if len(x) < SIZES[-1]:
        return functional.linear(x, weight, bias)
    out = x.new_empty((len(x), len(weight)))
    for part in covering(len(x)):
        out[part] = torch.ops.mkldnn._linear_pointwise(x[part], weight, bias, "none", [], "")
    return out


def parameter_gradients(grad: Tensor, x: Tensor, weight: Tensor) -> Tuple[Tensor, Tensor]:
    """Gradients of ``weight`` and of a bias, by oneDNN: ``grad.t() @ x`` and the sum of ``grad`` over rows.

    Args:
        grad: Gradient of the outputs. Shape [rows, out], float32.
        x: Inputs. Shape [rows, in], float32.
        weight: Shape [out, in]; its values do not matter.
    """
    parts = list(apart(len(x), _LEAST_OF_GRADIENT))
    rest = slice(parts[-1].stop if parts else 0, len(x))
    of_weight, of_bias = grad[rest].t() @ x[rest], grad[rest].sum(0)
    for part in parts:
        found = torch.ops.aten.mkldnn_linear_backward_weights(grad[part].to_mkldnn(), x[part].to_mkldnn(), weight, True)
        of_weight += found[0].to_dense()
        of_bias += found[1].to_dense()
    return of_weight, of_bias


def onednn_products(x: Tensor, w: Tensor, y: Tensor, passes_gradient: bool) -> None:
    """The products of a linear layer by oneDNN; see :data:`gnnkit.devices.base.Way`."""
    multiply(x, w)
    parameter_gradients(y, x, w)
    if passes_gradient:
        multiply(y, w.t())


def linear(x: Tensor, weight: Tensor, bias: Optional[Tensor] = None) -> Tensor:
    """``torch.nn.functional.linear`` by oneDNN, as often differentiable.

    Args:
        x: Inputs. Shape [rows, in], float32, in host memory.
        weight: Shape [out, in], float32; may be a transposed view.
        bias: Shape [out], float32.

    Returns:
        ``x @ weight.t() + bias``. Shape [rows, out].

    Example:
        >>> x, weight = torch.ones(2, 3), torch.ones(4, 3)
        >>> linear(x, weight).tolist() == (x @ weight.t()).tolist()
        True
    """
    out: Tensor = _Linear.apply(x, weight, bias)  # type: ignore[no-untyped-call]
    return out


class OneDnnProducts(ProductMode):
    """While it is entered, large products of ``torch.nn.functional.linear`` and ``torch.matmul`` are oneDNN's.

    It holds for the thread that enters it, and for the gradients of what was computed in it.

    Example:
        >>> layer, x = torch.nn.Linear(64, 64), torch.ones(8192, 64)
        >>> with OneDnnProducts():
        ...     out = layer(x)
        >>> torch.allclose(out, layer(x), atol=1e-6)
        True
    """

    def __init__(self) -> None:
        super().__init__(composing())

    def __torch_function__(
        self, func: Callable[..., Any], types: Iterable[Any], args: Tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """See :class:`torch.overrides.TorchFunctionMode`."""
        as_linear = None if kwargs else _AS_LINEAR.get(func)
        operands = None if as_linear is None else as_linear(*args)
        if operands is not None and _suits(*operands):
            return linear(*operands)
        return func(*args, **(kwargs or {}))


def _of_matmul(x: Tensor, other: Tensor) -> Optional[Tuple[Tensor, Tensor, Optional[Tensor]]]:
    return (x, other.t(), None) if other.dim() == 2 and other.layout == torch.strided else None


_AS_LINEAR: Mapping[Any, Callable[..., Any]] = {
    functional.linear: lambda x, weight, bias=None: (x, weight, bias),
    torch.matmul: _of_matmul,
    Tensor.matmul: _of_matmul,
    Tensor.__matmul__: _of_matmul,
}
"""What multiplies, and its arguments as those of ``linear``."""


def _suits(x: Tensor, weight: Tensor, bias: Optional[Tensor]) -> bool:
    return (
        x.dim() == weight.dim() == 2
        and all(part.dtype == torch.float32 for part in (x, weight, *([] if bias is None else [bias])))
        and x.layout == weight.layout == torch.strided
        and 2 * x.numel() * len(weight) >= _WORTH
    )


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Optional[Tensor]) -> Tensor:
        ctx.save_for_backward(x, weight)
        return multiply(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tuple[Optional[Tensor], Optional[Tensor], Optional[Tensor]]:
        x, weight = ctx.saved_tensors
        wants_x, wants_weight, wants_bias = ctx.needs_input_grad
        if torch.is_grad_enabled():  # Somebody wants gradients of gradients: operations that have them.
            return grad @ weight, grad.t() @ x, grad.sum(0) if wants_bias else None
        grad_x = multiply(grad, weight.t()) if wants_x else None
        if wants_weight and 2 * grad.numel() * x.shape[1] >= _WORTH_OF_GRADIENT:
            grad_weight, grad_bias = parameter_gradients(grad, x, weight)
            return grad_x, grad_weight, grad_bias if wants_bias else None
        return grad_x, grad.t() @ x if wants_weight else None, grad.sum(0) if wants_bias else None
