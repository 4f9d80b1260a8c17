"""Corso et al., 2020, "Principal neighbourhood aggregation for graph nets"."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any, Callable, Dict, FrozenSet, List, Mapping, Optional

import torch
from torch import Tensor, nn

from gnnkit.data import Block, Graph
from gnnkit.errors import ConfigError
from gnnkit.nn.convs.base import Convolution, ConvSpec, ParameterSpec, ReferenceConv
from gnnkit.nn.convs.dense import edge_features, extreme, incidence
from gnnkit.nn.message_passing import MessageOps
from gnnkit.options import check_types

AGGREGATORS = ("mean", "max", "min", "std")
SCALERS = ("identity", "amplification", "attenuation")
_LEAST_VARIANCE = 1e-5


@dataclass(frozen=True)
class PNAOptions:
    """Options of "pna".

    Attributes:
        aggregators: How neighbours are reduced, side by side: "mean", "max", "min", "std".
        scalers: By what all aggregates are multiplied, side by side: "identity" (1), "amplification" (log(d + 1) /
            delta) and "attenuation" (delta / log(d + 1)) for an in-degree of d.
        delta: Mean of log(d + 1) over the nodes of the training's graph. None: it is taken from the graph when the
            model is built.
    """

    aggregators: List[str] = field(default_factory=lambda: list(AGGREGATORS))
    scalers: List[str] = field(default_factory=lambda: list(SCALERS))
    delta: Optional[float] = None

    def __post_init__(self) -> None:
        check_types(self)
        for name, allowed in (("aggregators", AGGREGATORS), ("scalers", SCALERS)):
            given = getattr(self, name)
            if not given or len(set(given)) < len(given) or not set(given) <= set(allowed):
                raise ConfigError(f"{name} is {given!r}, expected one or more of {', '.join(allowed)}, each once.")
        if self.delta is not None and self.delta <= 0:
            raise ConfigError(f"delta is {self.delta}, expected a number above 0.")


class PNA(Convolution):
    """W (U [h_v, aggregates of M [h_v, h_u, W_edge e_uv]]), each of W, U, M and W_edge linear with a bias.

    The aggregates are all of ``aggregators``, each times all of ``scalers``. A standard deviation is
    that of the messages themselves (divided by d), and 0 where the variance is at most 1e-5; aggregates over no edges
    are 0. There is one tower.
    """

    name = "pna"
    options_class = PNAOptions
    reads_edges = True
    on_sources = frozenset({"pre.weight"})

    def behind_parameters(self, options: Any) -> FrozenSet[str]:
        """See :class:`Convolution`."""
        return frozenset({"post.weight", "lin.weight"})

    def from_graph(self, options: PNAOptions, prepared: Callable[[], Graph]) -> PNAOptions:
        """See :class:`Convolution`."""
        if options.delta is not None:
            return options
        mean = float(prepared().in_degrees.double().log1p().mean())
        return replace(options, delta=mean or 1.0)  # Without a single edge there is nothing to scale.

    def parameters(self, spec: ConvSpec) -> Dict[str, ParameterSpec]:
        """See :class:`Convolution`."""
        inner = spec.in_channels
        shapes = {
            "pre": (inner, (2 if spec.edge_channels is None else 3) * inner),
            "post": (spec.out_channels, (num_aggregates(spec) + 1) * inner),
            "lin": (spec.out_channels, spec.out_channels),
        }
        if spec.edge_channels is not None:
            shapes["lin_edge"] = (inner, spec.edge_channels)
        parameters = {}
        for name, shape in shapes.items():
            parameters[f"{name}.weight"] = ParameterSpec(shape)
            parameters[f"{name}.bias"] = ParameterSpec(shape[:1], "zeros")
        return parameters

    def dense(self, spec: ConvSpec, p: Mapping[str, Tensor], block: Block, h: Tensor) -> Tensor:
        """See :class:`Convolution`."""
        ends = [h[block.dst], h[block.indices]]
        if spec.edge_channels is not None:
            ends.append(edge_features(block) @ p["lin_edge.weight"].T + p["lin_edge.bias"])
        messages = torch.cat(ends, 1) @ p["pre.weight"].T + p["pre.bias"]
        into = incidence(block)
        degree = into.sum(1, keepdim=True)
        mean = into @ messages / degree.clamp(min=1)
        found = {
            "mean": mean,
            "max": extreme(into, messages, largest=True),
            "min": extreme(into, messages, largest=False),
            "std": _root(into @ (messages - mean[block.dst]).square() / degree.clamp(min=1)),
        }
        aggregates = torch.cat([found[name] for name in spec.options.aggregators], 1)
        scaled = _scaled(spec, aggregates, degree)
        out = torch.cat([h[: block.num_dst], *scaled], 1) @ p["post.weight"].T + p["post.bias"]
        return out @ p["lin.weight"].T + p["lin.bias"]

    def reference(self, spec: ConvSpec, ops: MessageOps) -> ReferenceConv:
        """See :class:`Convolution`."""
        return PNAConv(spec, ops)


def num_aggregates(spec: ConvSpec) -> int:
    """How many aggregates of a node's neighbours stand side by side."""
    return len(spec.options.aggregators) * len(spec.options.scalers)


def delta_of(spec: ConvSpec) -> float:
    """The mean of log(d + 1), which must be known.

    Raises:
        ConfigError: It is not.
    """
    if spec.options.delta is None:
        raise ConfigError(
            "delta of 'pna' is None: the mean of log(d + 1) over the graph's in-degrees d is not known. Build the "
            "model with gnnkit.build_model, which takes it from the graph, or give it."
        )
    return float(spec.options.delta)


def _root(variance: Tensor) -> Tensor:
    """The standard deviation, with a gradient of 0 where the square root has none."""
    root = variance.clamp(min=_LEAST_VARIANCE).sqrt()
    return root.masked_fill(root <= math.sqrt(_LEAST_VARIANCE), 0.0)


def _scaled(spec: ConvSpec, aggregates: Tensor, degree: Tensor) -> List[Tensor]:
    """Aggregates [num_dst, F] by every scaler; in-degrees are [num_dst, 1]."""
    delta, logarithm = delta_of(spec), degree.clamp(min=1).log1p()
    factors = {"amplification": logarithm / delta, "attenuation": delta / logarithm}
    return [aggregates if name == "identity" else aggregates * factors[name] for name in spec.options.scalers]


class PNAConv(ReferenceConv):
    """See :class:`PNA`."""

    def __init__(self, spec: ConvSpec, ops: MessageOps) -> None:
        super().__init__(spec, ops)
        delta_of(spec)
        inner = spec.in_channels
        self.pre = nn.Linear((2 if spec.edge_channels is None else 3) * inner, inner)
        self.post = nn.Linear((num_aggregates(spec) + 1) * inner, spec.out_channels)
        self.lin = nn.Linear(spec.out_channels, spec.out_channels)
        if spec.edge_channels is not None:
            self.lin_edge = nn.Linear(spec.edge_channels, inner)

    def forward(self, lowered: Any, h_src: Tensor, h_dst: Tensor) -> Tensor:
        """Features of the destinations, [num_dst, out_channels]."""
        ends = [self.ops.gather_dst(lowered, h_dst), self.ops.gather_src(lowered, h_src)]
        if self.spec.edge_channels is not None:
            ends.append(self.lin_edge(self.ops.edge_attr(lowered)))
        messages = self.pre(torch.cat(ends, dim=-1))
        aggregates = [self._aggregate(lowered, messages, name) for name in self.spec.options.aggregators]
        degree = self.ops.scatter(lowered, torch.ones_like(messages[:, :1]), "sum")
        scaled = _scaled(self.spec, torch.cat(aggregates, dim=-1), degree)
        out: Tensor = self.lin(self.post(torch.cat([h_dst, *scaled], dim=-1)))
        return out

    def _aggregate(self, lowered: Any, messages: Tensor, name: str) -> Tensor:
        if name != "std":
            return self.ops.scatter(lowered, messages, name)
        mean = self.ops.scatter(lowered, messages, "mean")
        # The difference of mean(m^2) and mean(m)^2 is the same, but of its digits few are right in float32.
        centred = messages - self.ops.gather_dst(lowered, mean)
        return _root(self.ops.scatter(lowered, centred * centred, "mean"))
