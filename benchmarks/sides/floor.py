"""The least that a step of SAGE must take on this machine: its matrix products and one copy of its features.

For n[l] nodes at level l (0: input nodes, L: seeds) and widths d[l], layer l multiplies n[l+1] rows by two matrices
d[l] x d[l+1], for the node itself and for the mean of its neighbours; the backward pass has two products more for the
matrices' gradients, and but for the first layer two for the inputs' gradients: 2 n[l+1] d[l] d[l+1] operations each.
The features of the n[0] input nodes are read once and written once. These very products and this copy are executed,
with all cores, in turns of their own between those of the others; so the floor is measured in the same minutes, at the
same shapes. Sampling, aggregation, losses and updates are given for nothing.

There are two floors: that of torch's own products, on buffers that are there already, and that of the fastest products
known here, each by torch or by oneDNN (:mod:`gnnkit.devices.products`), whichever took less time before the contest.
"""

from __future__ import annotations

import statistics
import time
from functools import partial
from typing import Any, Callable, List, Optional, Tuple

import torch
from torch import Tensor

from benchmarks.sides.base import Answer, TurnSide, widths
from benchmarks.sides.ours import make_loader
from gnnkit.devices.products import has_onednn, multiply, parameter_gradients


class FloorSide(TurnSide):
    """Matrix products and a copy, as many as a turn needs.

    ``settings``: "fastest", whether oneDNN's float32 products are tried beside torch's.
    """

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        sizes = [size.num_nodes for size in make_loader(self).sizes(0)]
        nodes = [round(statistics.mean(level)) for level in zip(*sizes)]
        self._products: List[Callable[[], Any]] = []
        self._operations = 0
        shape = widths(self.work, self.graph)
        for layer in range(self.work.layers):
            self._add_layer(nodes[layer + 1], shape[layer], shape[layer + 1], has_input_gradient=layer > 0)
        self._source = torch.rand(nodes[0], shape[0])
        self._target = torch.zeros_like(self._source)
        self._batches = len(sizes)

    def _add_layer(self, rows: int, width: int, out: int, *, has_input_gradient: bool) -> None:
        x, gradient, weight = torch.rand(rows, width), torch.rand(rows, out), torch.rand(out, width)
        ways: List[Tuple[Callable[[], Any], Callable[[], Any]]] = [
            (_by_torch(x, weight.t()), partial(multiply, x, weight)),
            (_by_torch(gradient.t(), x), partial(parameter_gradients, gradient, x, weight)),
            (_by_torch(gradient, weight), partial(multiply, gradient, weight.t())),
        ]
        try_both = self.settings.get("fastest", False) and has_onednn()
        for torchs, onednns in ways if has_input_gradient else ways[:2]:
            fastest = min((torchs, onednns), key=_best) if try_both else torchs
            self._products += [fastest, fastest]  # For the node itself and for its neighbours.
            self._operations += 2 * 2 * rows * width * out

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


def _by_torch(a: Tensor, b: Tensor) -> Callable[[], Any]:
    return partial(torch.mm, a, b, out=torch.zeros(a.shape[0], b.shape[1]))


def _best(action: Callable[[], Any]) -> float:
    seconds = []
    for _ in range(10):
        start = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - start)
    return min(seconds)
