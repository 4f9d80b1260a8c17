"""A linear layer, forward and backward, by what the device ``cpu`` chose to multiply with, and as torch multiplies.

``settings``: "rows", "inputs" and "outputs", the layer's size.
"""

from __future__ import annotations

import time
from typing import Any, Dict

import torch
from torch import Tensor

from benchmarks.sides.base import Answer, Channel, Side
from gnnkit.devices import StepOptions
from gnnkit.devices.cpu import CpuDevice

WITHIN = "torch"
"""The side whose work is done here as well."""


class ProductsSide(Side):
    """Layers one after another, as many as a turn has batches, each in both ways."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        generator = torch.Generator().manual_seed(self.work.seed)
        rows, inputs, outputs = (self.settings[name] for name in ("rows", "inputs", "outputs"))
        self._operands = (
            torch.randn(rows, inputs, generator=generator).requires_grad_(),
            torch.randn(outputs, inputs, generator=generator).requires_grad_(),
            torch.randn(outputs, generator=generator).requires_grad_(),
        )
        self._gradient = torch.randn(rows, outputs, generator=generator)
        self._modes = {}
        for products in ("auto", WITHIN):
            device = CpuDevice()
            device.configure({"products": products})
            self._modes[products] = device.forward_mode(StepOptions())

    def serve(self, channel: Channel) -> None:
        """Say that everything is in place, then obey."""
        channel.answer({"ready": True})
        for command in channel:
            channel.answer(self._turn() if command["do"] == "turn" else self.other(command))

    def count(self) -> Answer:
        """Rows of a layer."""
        return {"rows": self.settings["rows"]}

    def _turn(self) -> Answer:
        seconds = dict.fromkeys(self._modes, 0.0)
        losses: Dict[str, float] = {}
        for number in range(self.work.batches):
            for products in sorted(self._modes, reverse=number % 2 == 1):
                start = time.perf_counter()
                of_weight = self._layer(products)
                seconds[products] += time.perf_counter() - start
                losses[products] = float(of_weight.abs().mean())  # Stands for a loss.
        own, other = ({"seconds": seconds[name], "loss": losses[name]} for name in self._modes)
        return {**own, "within": {WITHIN: other}}

    def _layer(self, products: str) -> Tensor:
        """The layer and its gradients; that of the weight."""
        with self._modes[products]:
            out = torch.nn.functional.linear(*self._operands)
        return torch.autograd.grad(out, self._operands, self._gradient)[1]
