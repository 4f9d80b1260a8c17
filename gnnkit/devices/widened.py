"""Products in bfloat16 by float32, on processors where torch has no fast ones.

Where a processor has no instructions for bfloat16, torch multiplies such matrices one number after the other. On an AMD
EPYC of the third generation that takes 6 to 70 times as long as float32, and a step 15 times as long.
:mod:`gnnkit.devices.product_choice` finds out.

Rules: what is multiplied and what is stored is rounded to bfloat16, as by instructions; only sums of products are in
float32, which instructions add up in, too.
"""

from __future__ import annotations

from typing import Any, Callable, Iterable, Tuple

import torch
from torch import Tensor
from torch.nn import functional

from gnnkit.devices.autocast import is_autocast
from gnnkit.devices.product_mode import ProductMode
from gnnkit.nn.tall import product, weight_gradient
from gnnkit.nn.widening import widening

_CAST = (torch.float32, torch.bfloat16)
"""Types that torch's own autocast rounds."""


def widened_products(x: Tensor, w: Tensor, y: Tensor, passes_gradient: bool) -> None:
    """The products of a linear layer, widened; see :data:`gnnkit.devices.base.Way`."""
    with torch.no_grad(), widening():
        product(x, w.t())
        weight_gradient(y, x)
        if passes_gradient:
            product(y, w)


class WidenedProducts(ProductMode):
    """``torch.autocast`` to bfloat16 on the processor, with products in float32 of what was rounded to bfloat16.

    It holds for the thread that enters it, and for the gradients of what was computed in it.

    Example:
        >>> layer, x = torch.nn.Linear(64, 64), torch.ones(100, 64)
        >>> with WidenedProducts():
        ...     out = layer(x)
        >>> out.dtype
        torch.bfloat16
    """

    def __init__(self) -> None:
        super().__init__(torch.autocast("cpu", dtype=torch.bfloat16), widening())

    def __torch_function__(
        self, func: Callable[..., Any], types: Iterable[Any], args: Tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """See :class:`torch.overrides.TorchFunctionMode`."""
        kwargs = kwargs or {}
        if func not in _PRODUCTS or "out" in kwargs or not is_autocast("cpu"):
            return func(*args, **kwargs)
        operands = [each for each in (*args, *kwargs.values()) if isinstance(each, Tensor)]
        if not all(_is_cast(each) for each in operands):
            return func(*args, **kwargs)
        with torch.autocast("cpu", enabled=False):
            rounded = {name: _rounded(each) for name, each in kwargs.items()}
            return func(*(_rounded(each) for each in args), **rounded).to(torch.bfloat16)


_PRODUCTS = frozenset(
    {
        functional.linear,
        *(torch.matmul, torch.mm, torch.bmm, torch.addmm, torch.baddbmm, torch.addbmm),
        *(Tensor.matmul, Tensor.mm, Tensor.bmm, Tensor.addmm, Tensor.baddbmm, Tensor.addbmm),
        *(Tensor.__matmul__, Tensor.__rmatmul__),
    }
)
"""What multiplies matrices, and is rounded by torch's own autocast."""


def _is_cast(x: Tensor) -> bool:
    return x.dtype in _CAST and x.layout == torch.strided and x.device.type == "cpu"


def _rounded(x: Any) -> Any:
    """A matrix rounded to bfloat16, in float32; anything else as it is."""
    return x.to(torch.bfloat16).float() if isinstance(x, Tensor) else x
