"""Products of bfloat16 matrices that are computed in float32, for processors without instructions for bfloat16.

torch multiplies bfloat16 matrices one number after the other where the processor has no instructions for it: 6 to 70
times slower than float32. Widened to float32, they take a fifth longer than float32 and give what instructions give:
what is multiplied is rounded to bfloat16, sums are in float32, and what is stored is rounded again.

Rules: nothing happens unless a device asks for it (:func:`widening`). Rows are widened part by part, so that a part is
still in the cache when it is multiplied.
"""

from __future__ import annotations

from typing import ContextManager

import torch
from torch import Tensor

from gnnkit.nn.thread_switch import ThreadSwitch


def widening(is_on: bool = True) -> ContextManager[None]:
    """While it is entered, bfloat16 matrices in host memory are multiplied in float32 in this thread."""
    return _WIDENING.turned(is_on)


def is_widening() -> bool:
    """Whether it is entered here and now. What computes gradients later remembers it, to enter it again."""
    return _WIDENING.is_on


def is_widened(x: Tensor) -> bool:
    """Whether products of this matrix are computed in float32 here and now: only where no gradients are recorded."""
    return _WIDENING.is_on and x.dtype == torch.bfloat16 and x.device.type == "cpu" and not torch.is_grad_enabled()


def widened(x: Tensor) -> Tensor:
    """A matrix as it is multiplied: in float32 if :func:`is_widened`, else as it is.

    Example:
        >>> x = torch.ones(1, dtype=torch.bfloat16)
        >>> with widening(), torch.no_grad():
        ...     print(widened(x).dtype)
        torch.float32
    """
    return x.float() if is_widened(x) else x


_WIDENING = ThreadSwitch()
