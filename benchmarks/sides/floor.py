"""The least that a step of SAGE must take on this machine: its matrix products and one copy of its features.

For n[l] nodes at level l (0: input nodes, L: seeds) and widths d[l], layer l multiplies n[l+1] rows by two matrices
d[l] x d[l+1], for the node itself and for the mean of its neighbours; the backward pass has two products more for the
matrices' gradients, and but for the first layer two for the inputs' gradients: 2 n[l+1] d[l] d[l+1] operations each.
The features of the n[0] input nodes are read once and written once. These very products and this copy are executed,
on buffers that are there already, with all cores, in turns of their own between those of the others; so the floor is
measured in the same minutes, at the same shapes. Sampling, aggregation, losses and updates are given for nothing.
"""

from __future__ import annotations

import statistics
import time
from functools import partial
from typing import Any, Callable, List, Optional

import torch
from torch import Tensor

from benchmarks.sides.base import Answer, TurnSide, widths
from benchmarks.sides.ours import make_loader


class FloorSide(TurnSide):
    """Matrix products and a copy, as many as a turn needs.

    ``settings``: "precision", "float32" or "bfloat16".
    """

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        sizes = [size.num_nodes for size in make_loader(self).sizes(0)]
        nodes = [round(statistics.mean(level)) for level in zip(*sizes)]
        dtype = getattr(torch, self.settings.get("precision", "float32"))
        self._products: List[Callable[[], Tensor]] = []
        self._operations = 0
        shape = widths(self.work, self.graph)
        for layer in range(self.work.layers):
            self._add_layer(nodes[layer + 1], shape[layer], shape[layer + 1], dtype, has_input_gradient=layer > 0)
        self._source = torch.rand(nodes[0], shape[0])
        self._target = torch.zeros_like(self._source)
        self._batches = len(sizes)

    def _add_layer(self, rows: int, width: int, out: int, dtype: torch.dtype, *, has_input_gradient: bool) -> None:
        x, gradient = torch.rand(rows, width).to(dtype), torch.rand(rows, out).to(dtype)
        weight = torch.rand(out, width).to(dtype)
        pairs = [(x, weight.t()), (gradient.t(), x)]
        if has_input_gradient:
            pairs.append((gradient, weight))
        for a, b in pairs:
            result = torch.zeros(a.shape[0], b.shape[1], dtype=dtype)
            for _ in ("self", "neighbours"):
                self._products.append(partial(torch.mm, a, b, out=result))
                self._operations += 2 * rows * width * out

    def turn(self) -> Optional[float]:
        """The products and copies of a turn's batches."""
        for _ in range(self._batches):
            self._multiply()
            self._copy()
        return None

    def count(self) -> Answer:
        """Rates of the machine at these shapes, the best of ten: "gflops" (10^9 operations/s) and "gbytes" (10^9/s)."""
        moved = 2 * self._source.numel() * self._source.element_size()
        return {
            "gflops": self._operations / _best(self._multiply) / 1e9,
            "gbytes": moved / _best(self._copy) / 1e9,
        }

    def _multiply(self) -> None:
        for product in self._products:
            product()

    def _copy(self) -> None:
        self._target.copy_(self._source)


def _best(action: Callable[[], Any]) -> float:
    seconds = []
    for _ in range(10):
        start = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - start)
    return min(seconds)
