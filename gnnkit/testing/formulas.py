"""The standard convolutions by their dense formulas in float64: the numbers that every backend is held to.

Rules: nothing here goes through a backend, the reference one included, which is held to the same formulas.
"""

from __future__ import annotations

from typing import Dict, Mapping

from torch import Tensor

from gnnkit.data import Block
from gnnkit.nn import ConvSpec, dense_relational
from gnnkit.testing.graphs import draw

CONV_SPECS: Mapping[str, ConvSpec] = {
    "gcn": ConvSpec("gcn", 6, 4),
    "gcn, widening": ConvSpec("gcn", 3, 8),
    "sage mean": ConvSpec("sage", 6, 4),
    "sage mean, widening": ConvSpec("sage", 3, 8),
    "sage max": ConvSpec("sage", 6, 4, {"aggregation": "max"}),
    "gat": ConvSpec("gat", 6, 4, {"heads": 3}),
    "gat, averaged": ConvSpec("gat", 6, 4, {"out_heads": 3}, is_output=True),
    "gatv2": ConvSpec("gatv2", 6, 4, {"heads": 3}),
    "gatv2, averaged": ConvSpec("gatv2", 6, 4, {"out_heads": 2}, is_output=True),
    "gin": ConvSpec("gin", 6, 4, {"eps": 0.25}),
    "gin, wide inside": ConvSpec("gin", 6, 4, {"mlp_channels": 5}),
    "sage mean, normalized": ConvSpec("sage", 6, 4, {"normalize": True, "bias": False}),
    "gatv2, edges": ConvSpec("gatv2", 6, 4, {"heads": 3}, edge_channels=3),
    "gine": ConvSpec("gine", 6, 4, {"eps": 0.25}, edge_channels=3),
    "pna": ConvSpec("pna", 6, 4, {"delta": 1.2}),
    "pna, edges": ConvSpec("pna", 6, 4, {"delta": 1.2, "aggregators": ["std", "max"]}, edge_channels=3),
    "transformer": ConvSpec("transformer", 6, 4, {"heads": 3}),
    "transformer, edges": ConvSpec("transformer", 6, 4, {"heads": 2, "beta": True}, edge_channels=3),
    "transformer, averaged": ConvSpec("transformer", 6, 4, {"out_heads": 2, "beta": True}, is_output=True),
    "graphconv": ConvSpec("graphconv", 6, 4),
    "graphconv, widening": ConvSpec("graphconv", 3, 8),
    "rgcn": ConvSpec("rgcn", 6, 4),
    "rgcn, bases": ConvSpec("rgcn", 6, 4, {"num_bases": 2}),
    "rgat": ConvSpec("rgat", 6, 4, {"heads": 3}),
    "hgt": ConvSpec("hgt", 6, 4, {"heads": 2}),
    "appnp, first": ConvSpec("appnp", 6, 4),
    "appnp, between": ConvSpec("appnp", 8, 4, {"alpha": 0.3}, is_input=False),
    "appnp, last": ConvSpec("appnp", 8, 4, is_input=False, is_output=True),
}
"""Every convolution in every shape that matters, by name."""


def random_parameters(spec: ConvSpec, seed: int = 3) -> Dict[str, Tensor]:
    """A value for every canonical parameter, biases included, the same at every call."""
    shapes = {name: parameter.shape for name, parameter in spec.parameters.items()}
    values = {name: draw(*shape, seed=seed + 100 * i) for i, (name, shape) in enumerate(shapes.items())}
    return {name: value / 8 if _is_of_scores(name) else value for name, value in values.items()}


def _is_of_scores(name: str) -> bool:
    """Whether a parameter makes scores of attention that are products of two linear maps.

    Such scores would be so large that only one neighbour of a node counts. Then the gradients of scores are differences
    of nearly equal numbers, and a comparison in float32 measures rounding.
    """
    return name.split(".")[-1].startswith(("query_", "att_src", "att_dst")) or "lin_query" in name.split(".")


def dense_conv(spec: ConvSpec, p: Mapping[str, Tensor], block: Block, h: Tensor) -> Tensor:
    """The output of a convolution by its formula.

    Args:
        spec: The convolution.
        p: Its canonical parameters.
        block: Its message flow, with edge features where the convolution reads them.
        h: Features of the sources. Shape [num_src, in_channels].

    Returns:
        Shape [num_dst, out_width], float64; gradients flow to ``p`` and ``h``.
    """
    values = {name: value.double() for name, value in p.items()}
    if spec.relational != "none":
        return dense_relational(spec, values, block, h.double())
    return spec.convolution.dense(spec, values, block, h.double())
