"""The standard convolutions as dense-matrix formulas in float64: the numbers that every backend is held to.

Rules: nothing here goes through a backend, the reference one included, which is held to the same formulas; clarity
comes before speed.
"""

from __future__ import annotations

from typing import Dict, Mapping

import torch
from torch import Tensor
from torch.nn import functional

from gnnkit.data import Block
from gnnkit.nn import ConvSpec, conv_parameters
from gnnkit.testing.graphs import draw

CONV_SPECS: Mapping[str, ConvSpec] = {
    "gcn": ConvSpec("gcn", 6, 4),
    "gcn, widening": ConvSpec("gcn", 3, 8),
    "sage mean": ConvSpec("sage", 6, 4),
    "sage mean, widening": ConvSpec("sage", 3, 8),
    "sage max": ConvSpec("sage", 6, 4, aggregation="max"),
    "gat": ConvSpec("gat", 6, 4, heads=3),
    "gat, averaged": ConvSpec("gat", 6, 4, heads=3, concat=False),
    "gatv2": ConvSpec("gatv2", 6, 4, heads=3),
    "gatv2, averaged": ConvSpec("gatv2", 6, 4, heads=2, concat=False),
    "gin": ConvSpec("gin", 6, 4, eps=0.25),
    "gin, wide inside": ConvSpec("gin", 6, 4, mlp_channels=5),
}
"""Every convolution in every shape that matters, by name."""


def random_parameters(spec: ConvSpec, seed: int = 3) -> Dict[str, Tensor]:
    """A value for every canonical parameter, biases included, the same at every call."""
    shapes = {name: parameter.shape for name, parameter in conv_parameters(spec).items()}
    return {name: draw(*shape, seed=seed + 100 * i) for i, (name, shape) in enumerate(shapes.items())}


def adjacency(block: Block, weighted: bool) -> Tensor:
    """Dense [num_dst, num_src] float64 matrix of edge weights or multiplicities; parallel edges add up."""
    weight = block.edge_weight if weighted and block.edge_weight is not None else torch.ones(block.num_edges)
    matrix = torch.zeros(block.num_dst, block.num_src, dtype=torch.float64)
    return matrix.index_put((block.dst, block.indices), weight.double(), accumulate=True)


def dense_conv(spec: ConvSpec, p: Mapping[str, Tensor], block: Block, h: Tensor) -> Tensor:
    """The output of a convolution by its formula.

    Args:
        spec: The convolution.
        p: Its canonical parameters.
        block: Its message flow.
        h: Features of the sources. Shape [num_src, in_channels].

    Returns:
        Shape [num_dst, out_width], float64; gradients flow to ``p`` and ``h``.
    """
    p = {name: value.double() for name, value in p.items()}
    h = h.double()
    h_dst = h[: block.num_dst]
    a = adjacency(block, weighted=spec.kind == "gcn")
    if spec.kind == "gcn":
        return a @ h @ p["lin.weight"].T + p["bias"]
    if spec.kind == "gin":
        z = (1 + spec.eps) * h_dst + a @ h
        z = functional.relu(z @ p["mlp.0.weight"].T + p["mlp.0.bias"])
        return z @ p["mlp.2.weight"].T + p["mlp.2.bias"]
    if spec.kind == "sage":
        neighbours = _mean(a, h) if spec.aggregation == "mean" else _max_pool(p, a, h)
        return h_dst @ p["lin_self.weight"].T + neighbours @ p["lin_neigh.weight"].T + p["bias"]
    return _attention(spec, p, a, h, h_dst)


def _mean(a: Tensor, h: Tensor) -> Tensor:
    return a @ h / a.sum(1, keepdim=True).clamp(min=1)


def _max_pool(p: Mapping[str, Tensor], a: Tensor, h: Tensor) -> Tensor:
    pooled = functional.relu(h @ p["lin_pool.weight"].T + p["lin_pool.bias"])
    nothing = pooled.new_zeros(pooled.shape[1])
    return torch.stack([pooled[row > 0].amax(0) if bool((row > 0).any()) else nothing for row in a])


def _attention(spec: ConvSpec, p: Mapping[str, Tensor], a: Tensor, h: Tensor, h_dst: Tensor) -> Tensor:
    slope, heads = spec.negative_slope, []
    for k in range(spec.heads):
        rows = slice(k * spec.out_channels, (k + 1) * spec.out_channels)
        if spec.kind == "gat":
            src, dst = h @ p["lin.weight"][rows].T, h_dst @ p["lin.weight"][rows].T
            scores = functional.leaky_relu((dst @ p["att_dst"][k])[:, None] + (src @ p["att_src"][k])[None], slope)
        else:
            src = h @ p["lin_src.weight"][rows].T + p["lin_src.bias"][rows]
            dst = h_dst @ p["lin_dst.weight"][rows].T + p["lin_dst.bias"][rows]
            scores = functional.leaky_relu(dst[:, None] + src[None], slope) @ p["att"][k]
        # Parallel edges each have their own coefficient, so they count by multiplicity. The largest score is taken
        # out, which changes no quotient, so that large ones do not overflow.
        largest = torch.where(a > 0, scores, -torch.inf).amax(1, keepdim=True).clamp(min=-1e30).detach()
        powers = a * torch.where(a > 0, scores - largest, 0.0).exp()
        heads.append(powers / powers.sum(1, keepdim=True).clamp(min=1e-300) @ src)
    out = torch.cat(heads, 1) if spec.concat else torch.stack(heads).mean(0)
    return out + p["bias"]
