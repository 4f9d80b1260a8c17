"""The MLP of linear, ReLU, linear that several convolutions have."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Dict, Mapping

from torch import Tensor, nn
from torch.nn import functional

from gnnkit.nn.convs.base import ConvSpec, ParameterSpec


def mlp_width(spec: ConvSpec) -> int:
    """Width inside: the option ``mlp_channels``, or the convolution's output."""
    return spec.out_channels if spec.options.mlp_channels is None else int(spec.options.mlp_channels)


def with_mlp_channels(options: Any, hidden_channels: int) -> Any:
    """Options in which the width inside is the model's hidden width, where they do not say."""
    return options if options.mlp_channels is not None else replace(options, mlp_channels=hidden_channels)


def mlp_parameters(spec: ConvSpec) -> Dict[str, ParameterSpec]:
    """Canonical parameters."""
    width = mlp_width(spec)
    return {
        "mlp.0.weight": ParameterSpec((width, spec.in_channels)),
        "mlp.0.bias": ParameterSpec((width,), "zeros"),
        "mlp.2.weight": ParameterSpec((spec.out_channels, width)),
        "mlp.2.bias": ParameterSpec((spec.out_channels,), "zeros"),
    }


def dense_mlp(p: Mapping[str, Tensor], z: Tensor) -> Tensor:
    """The formula."""
    z = functional.relu(z @ p["mlp.0.weight"].T + p["mlp.0.bias"])
    return z @ p["mlp.2.weight"].T + p["mlp.2.bias"]


def mlp_places(module: str) -> Dict[str, str]:
    """Where the parameters of :func:`make_mlp` lie, by canonical name.

    Args:
        module: Dotted name of the MLP in the layer that has it.
    """
    return {f"mlp.{i}.{name}": f"{module}.{i}.{name}" for i in (0, 2) for name in ("weight", "bias")}


def make_mlp(spec: ConvSpec) -> nn.Sequential:
    """The module, as libraries take it, too."""
    width = mlp_width(spec)
    return nn.Sequential(nn.Linear(spec.in_channels, width), nn.ReLU(inplace=True), nn.Linear(width, spec.out_channels))
