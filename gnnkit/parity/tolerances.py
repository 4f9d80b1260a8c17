"""How far two backends may be apart, in one table.

Rules: a tolerance belongs to a convolution and a dtype. Backends add up the same numbers in another order, so they may
differ by rounding and by nothing else; what is above a tolerance is a mistake of somebody's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Mapping, Tuple

from gnnkit.nn import CONVS, ModelSpec


@dataclass(frozen=True)
class Tolerance:
    """Largest differences that are put down to rounding.

    Attributes:
        outputs: Of a layer's outputs: absolute where the layer's largest output is below 1, else relative to it.
        gradients: Norm of the difference of a parameter's gradient, relative to the gradient's norm.
        losses: Difference of an epoch's training loss, relative to the loss.
    """

    outputs: float
    gradients: float
    losses: float


CUSTOM_LAYERS = "custom layers"
"""What layer classes, custom or of a library, are called in the table."""

_BY_DTYPE = {
    "float32": Tolerance(1e-5, 1e-4, 1e-3),
    "bfloat16": Tolerance(2e-2, 5e-2, 5e-2),
    "float64": Tolerance(1e-12, 1e-10, 1e-9),
}

TOLERANCES: Mapping[Tuple[str, str], Tolerance] = {
    (conv, dtype): values for conv in (*CONVS, CUSTOM_LAYERS) for dtype, values in _BY_DTYPE.items()
}
"""Tolerances by convolution and dtype."""


def tolerance_for(spec: ModelSpec, dtype: str) -> Tuple[str, Tolerance]:
    """The row of the table that holds for a model: convolution and tolerance.

    Args:
        spec: The model.
        dtype: "float32", "bfloat16" or "float64".
    """
    # Rounding is alike in all convolutions, so that the first one stands for a model of several.
    conv = CUSTOM_LAYERS if spec.has_layer_classes else spec.kinds[0]
    return conv, TOLERANCES[conv, dtype]
