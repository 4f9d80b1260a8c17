"""Canonical parameters: the same names, shapes and initial values on every backend.

Rules: a parameter's initial value depends on its canonical name, its shape and the seed alone, never on the order in
which modules are made or on what else has drawn random numbers.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import Mapping, Optional, Tuple

import torch
from torch import Tensor

from gnnkit.errors import CheckpointError
from gnnkit.nn.convs import ParameterSpec


@dataclass(frozen=True)
class NativeParameter:
    """Where a canonical parameter lies in a library's own layer, and how it lies there.

    Attributes:
        name: Dotted name of the parameter in the module that ``Backend.conv`` made.
        transpose: Whether the library stores the matrix as [in, out].
        shape: The library's shape where it is only a reshaping of ours, such as [1, heads, out]; None if the same.
    """

    name: str
    transpose: bool = False
    shape: Optional[Tuple[int, ...]] = None

    def to_native(self, value: Tensor) -> Tensor:
        """Lay a canonical value out as the library does."""
        value = value.t() if self.transpose else value
        return value if self.shape is None else value.reshape(self.shape)

    def to_canonical(self, value: Tensor, shape: Tuple[int, ...]) -> Tensor:
        """Lay a native value out canonically."""
        return value.t().reshape(shape) if self.transpose else value.reshape(shape)


def name_seed(name: str, seed: int) -> int:
    """Seed of the random numbers that belong to one name within a run of this seed."""
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def initial_value(name: str, spec: ParameterSpec, seed: int) -> Tensor:
    """The initial value of one parameter.

    Args:
        name: Canonical name within the model, for example ``"convs.0.lin.weight"``.
        spec: Its shape and distribution.
        seed: The run's seed.

    Returns:
        A float32 tensor in host memory of shape ``spec.shape``.
    """
    if spec.init != "glorot":
        return torch.full(spec.shape, 1.0 if spec.init == "ones" else 0.0)
    generator = torch.Generator().manual_seed(name_seed(name, seed))
    bound = math.sqrt(6.0 / (spec.shape[-1] + spec.shape[-2]))
    return (torch.rand(spec.shape, generator=generator) * 2 - 1) * bound


def compare_shapes(expected: Mapping[str, Tuple[int, ...]], received: Mapping[str, Tuple[int, ...]]) -> None:
    """Refuse parameters that are not those of a model.

    Args:
        expected: Shapes of the model's parameters by name.
        received: Shapes of the others.

    Raises:
        CheckpointError: Names or shapes differ; the message lists them.
    """
    problems = [f"{name} is missing" for name in expected if name not in received]
    problems += [f"{name} is not part of this model" for name in received if name not in expected]
    problems += [
        f"{name} is {list(received[name])}, expected {list(shape)}"
        for name, shape in expected.items()
        if name in received and received[name] != shape
    ]
    if problems:
        raise CheckpointError(
            "The weights belong to another architecture: "
            + "; ".join(problems)
            + ". Take weights of a model with these shapes."
        )
