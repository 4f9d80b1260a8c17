"""What follows a layer: activations by name, and their gradients from what they gave."""

from __future__ import annotations

from typing import Any, Optional, Tuple

import torch
from torch import Tensor
from torch.nn import functional

ACTIVATIONS = ("relu", "elu")
"""Activations that models know."""


def activated(h: Tensor, activation: Optional[str], into: Optional[Tensor] = None) -> Tensor:
    """Apply an activation.

    Args:
        h: Any shape, floating point.
        activation: One of ``ACTIVATIONS``. None: the values of ``h``.
        into: Where the result is written, of the same shape; ``h`` itself may be overwritten.

    Returns:
        The shape of ``h``.

    Example:
        >>> activated(torch.tensor([-1.0, 2.0]), "relu").tolist()
        [0.0, 2.0]
    """
    if activation is None:
        return h if into is None or into is h else into.copy_(h)
    if into is h:  # The only way that has a gradient.
        return functional.elu_(h) if activation == "elu" else functional.relu_(h)
    if into is None:
        return functional.elu(h) if activation == "elu" else functional.relu(h)
    return torch.ops.aten.elu(h, out=into) if activation == "elu" else torch.clamp_min(h, 0, out=into)


def gradient_before(
    grad: Tensor, out: Optional[Tensor], activation: Optional[str], into: Optional[Tensor] = None
) -> Tensor:
    """The gradient of what an activation was applied to.

    Args:
        grad: Gradient of the activation's output.
        out: The output, of the same shape. It is not read if there is no activation.
        activation: One of ``ACTIVATIONS``. None: the gradient is ``grad``.
        into: Where the result is written, of the same shape. Leave it out if gradients are recorded.

    Returns:
        The shape of ``grad``.

    Example:
        >>> gradient_before(torch.ones(2), torch.tensor([0.0, 2.0]), "relu").tolist()
        [0.0, 1.0]
    """
    if activation is None:
        return grad if into is None else into.copy_(grad)
    arguments: Tuple[Any, ...] = (grad, 1, 1, 1, True, out) if activation == "elu" else (grad, out, 0)
    aten = torch.ops.aten.elu_backward if activation == "elu" else torch.ops.aten.threshold_backward
    found: Tensor = aten(*arguments) if into is None else aten.grad_input(*arguments, grad_input=into)
    return found
