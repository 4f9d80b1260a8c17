"""The least time that a step can take on this machine: its matrix products, and its features read and written once.

Rules: what must be done follows from the model and the sizes of the blocks alone, so all backends have one floor; how
fast the machine does it is measured on the spot, at the shapes and in the precision of the step. Nothing is taken from
data sheets.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from typing import Callable, Dict, List, Optional, Sequence

import torch

from gnnkit.devices import Device
from gnnkit.loading import BatchSizes
from gnnkit.nn import ModelSpec

_ROUNDS = 5
_COPIED = 2**26  # Bytes; more than caches hold.
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float64": torch.float64}


@dataclass(frozen=True)
class Product:
    """The products of one matrix of parameters in one training step: forward, for its gradient, for its input's.

    Attributes:
        rows: Nodes that it is applied to.
        inner: Width of its input.
        outer: Width of its output.
        passes_gradient: Whether its input needs a gradient; features do not.
    """

    rows: int
    inner: int
    outer: int
    passes_gradient: bool

    @property
    def flops(self) -> int:
        """Floating point operations: two for every multiplication with its addition."""
        return 2 * self.rows * self.inner * self.outer * (3 if self.passes_gradient else 2)


@dataclass(frozen=True)
class Floor:
    """What a step must do, and how fast the machine does it.

    Attributes:
        flops: Floating point operations of the step's matrix products.
        matrix_rate: Operations per second in products of these shapes and this precision.
        feature_bytes: Bytes of feature rows that are read once and written once.
        copy_bandwidth: Bytes per second, read and written, of a copy.
    """

    flops: float
    matrix_rate: float
    feature_bytes: float
    copy_bandwidth: float

    @property
    def matrix_seconds(self) -> float:
        """Time of the matrix products."""
        return self.flops / self.matrix_rate

    @property
    def copy_seconds(self) -> float:
        """Time of reading and writing feature rows."""
        return self.feature_bytes / self.copy_bandwidth

    @property
    def seconds(self) -> float:
        """Both: ``flops / matrix_rate + feature_bytes / copy_bandwidth``."""
        return self.matrix_seconds + self.copy_seconds

    def to_dict(self) -> Dict[str, float]:
        """Plain values."""
        return {**vars(self), **{name: getattr(self, name) for name in ("matrix_seconds", "copy_seconds", "seconds")}}


def step_products(spec: ModelSpec, sizes: BatchSizes) -> Optional[List[Product]]:
    """The matrix products of a training step on blocks of given sizes, at the least.

    A matrix that stands behind a linear sum over neighbours counts for destinations only, even where a library applies
    it to all sources first. Attention's scores, sums over neighbours and everything elementwise are left out.

    Args:
        spec: The model.
        sizes: Of the blocks as they are sampled, without padding.

    Returns:
        One entry for every matrix of parameters. None for layers by name, whose products nobody declares.

    Example:
        >>> spec = ModelSpec("sage", in_channels=100, out_channels=10, num_layers=1)
        >>> [product.flops for product in step_products(spec, BatchSizes((50, 20), (60,)))]
        [80000, 80000]
    """
    if spec.has_layer_classes:
        return None
    products = []
    for layer in range(spec.num_layers):
        conv = spec.conv_spec(layer)
        reads_learnt = layer > 0 or spec.num_embeddings is not None
        sources, destinations = sizes.num_nodes[layer], sizes.num_nodes[layer + 1]
        kind = conv.convolution
        behind = kind.behind_parameters(conv.options)
        for name, parameter in conv.parameters.items():
            if len(parameter.shape) != 2 or name.startswith("att"):
                continue
            # All other matrices need to be applied to destinations only: a sum over neighbours can come before them.
            rows = sources if name in kind.on_sources else destinations
            # What some read in the first layer is not the features themselves, so a gradient goes through them, too.
            passes = reads_learnt or name in behind
            products.append(Product(rows, parameter.shape[1], parameter.shape[0], passes))
        if spec.residual and conv.in_channels != conv.out_width:
            products.append(Product(destinations, conv.in_channels, conv.out_width, reads_learnt))
    if spec.jumping_knowledge != "none":
        widths = [spec.conv_spec(layer).out_width for layer in range(spec.num_layers)]
        inner = sum(widths) if spec.jumping_knowledge == "cat" else max(widths)
        products.append(Product(sizes.num_nodes[-1], inner, spec.out_channels, True))
    return products


def matrix_rate(products: Sequence[Product], precision: str, device: Device) -> float:
    """Floating point operations per second of these products alone: the best of five rounds for each.

    Args:
        products: Their shapes.
        precision: "float32", "bfloat16" or "float64".
        device: Multiplies; where it can in several ways, the fastest one counts.
    """
    place, dtype = torch.device(device.capabilities.torch_device), _DTYPES[precision]
    seconds = 0.0
    for product in products:
        x = torch.ones(product.rows, product.inner, device=place, dtype=dtype)
        w = torch.ones(product.outer, product.inner, device=place, dtype=dtype)
        y = torch.ones(product.rows, product.outer, device=place, dtype=dtype)
        ways = [partial(way, x, w, y, product.passes_gradient) for way in device.product_ways(precision)]
        seconds += min(_best(way, device.synchronize) for way in ways)
    return sum(product.flops for product in products) / seconds


def copy_bandwidth(torch_device: str, synchronize: Callable[[], None]) -> float:
    """Bytes read and written per second in a copy that is too large for caches: the best of five.

    Args:
        torch_device: Where the copy is made, "cpu" or "cuda".
        synchronize: Waits until the device is done.
    """
    source = torch.ones(_COPIED, device=torch.device(torch_device), dtype=torch.uint8)
    target = torch.empty_like(source)
    return 2 * _COPIED / _best(lambda: target.copy_(source), synchronize)


def _best(work: Callable[[], object], synchronize: Callable[[], None]) -> float:
    times = []
    for _ in range(_ROUNDS + 1):
        synchronize()
        start = time.perf_counter()
        work()
        synchronize()
        times.append(time.perf_counter() - start)
    return min(times[1:])
