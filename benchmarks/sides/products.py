"""A linear layer, forward and backward, by what the device ``cpu`` chose to multiply with.

``settings``: "products", as the device's option; "rows", "inputs" and "outputs", the layer's size.
"""

from __future__ import annotations

from typing import Any, Optional

import torch

from benchmarks.sides.base import TurnSide
from gnnkit.devices import StepOptions
from gnnkit.devices.cpu import CpuDevice


class ProductsSide(TurnSide):
    """Layers one after another, as many as a turn has batches."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        generator = torch.Generator().manual_seed(self.work.seed)
        rows, inputs, outputs = (self.settings[name] for name in ("rows", "inputs", "outputs"))
        self._x = torch.randn(rows, inputs, generator=generator).requires_grad_()
        self._weight = torch.randn(outputs, inputs, generator=generator).requires_grad_()
        self._bias = torch.randn(outputs, generator=generator).requires_grad_()
        self._gradient = torch.randn(rows, outputs, generator=generator)
        device = CpuDevice()
        device.configure({"products": self.settings["products"]})
        self._mode = device.forward_mode(StepOptions())

    def turn(self) -> Optional[float]:
        """Products and their gradients; the mean of the weight's gradient stands for a loss."""
        operands = (self._x, self._weight, self._bias)
        for _ in range(self.work.batches):
            with self._mode:
                out = torch.nn.functional.linear(*operands)
            gradients = torch.autograd.grad(out, operands, self._gradient)
        return float(gradients[1].abs().mean())
