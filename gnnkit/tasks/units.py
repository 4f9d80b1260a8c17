"""Numbers of nodes: what models compute with, and the data's own units.

Rules: one scale for each number, from the training nodes alone, in float64. Missing numbers are NaN on both sides.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, Mapping, Tuple

import torch
from torch import Tensor

from gnnkit.errors import DataError


@dataclass(frozen=True)
class Units:
    """How numbers of the data and a model's outputs belong together: ``output = (number - mean) / scale``.

    Attributes:
        names: What the numbers are called, in the order of the outputs.
        mean: One for each.
        scale: One for each.
        log: Whether ``number`` is the natural logarithm of what the data have.

    Example:
        >>> units = Units(("visits",), (2.0,), (0.5,), log=False)
        >>> units.to_data(torch.tensor([[2.0]])), units.to_model(torch.tensor([[3.0]]))
        (tensor([[3.]]), tensor([[2.]]))
    """

    names: Tuple[str, ...]
    mean: Tuple[float, ...]
    scale: Tuple[float, ...]
    log: bool = False

    def to_model(self, values: Tensor) -> Tensor:
        """Numbers of the data as a model gives them. Shape [N, T], float32."""
        values = values.double().log() if self.log else values.double()
        return ((values - self._row(self.mean)) / self._row(self.scale)).float()

    def judged(self, outputs: Tensor) -> Tensor:
        """Outputs as they are judged: in the data's units, of logarithms where those are learned. [N, T], float64."""
        return outputs.double() * self._row(self.scale) + self._row(self.mean)

    def to_data(self, outputs: Tensor) -> Tensor:
        """Outputs in the data's units, of the type of ``outputs``."""
        values = self.judged(outputs)
        return (values.exp() if self.log else values).to(outputs.dtype)

    def to_dict(self) -> Dict[str, Any]:
        """Plain values."""
        return {"names": list(self.names), "mean": list(self.mean), "scale": list(self.scale), "log": self.log}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Units:
        """The inverse of :meth:`to_dict`."""
        return cls(tuple(values["names"]), tuple(values["mean"]), tuple(values["scale"]), values["log"])

    @staticmethod
    def _row(values: Tuple[float, ...]) -> Tensor:
        return torch.tensor(values, dtype=torch.float64)


def units_of(values: Tensor, training: Tensor, names: Tuple[str, ...], *, log: bool, standardize: bool) -> Units:
    """The units of numbers.

    Args:
        values: Numbers of the data. Shape [N, T], NaN for a missing one.
        training: Ids of the training nodes.
        names: One for each column.
        log: Whether to learn logarithms.
        standardize: Whether each number has mean 0 and standard deviation 1 on the training nodes.

    Raises:
        DataError: A number has no logarithm, or no training node has one.
    """
    values = values.double()
    if log:
        below = values <= 0
        if bool(below.any()):
            row, column = below.nonzero()[0].tolist()
            problem = f"{names[column]} is {float(values[row, column]):g}, which has no logarithm."
            raise DataError("y", problem, row=row, fix="Leave out task_options.log, or add a constant to the numbers.")
        values = values.log()
    means, scales = [], []
    for name, column in zip(names, values[training].T):
        known = column[~column.isnan()]
        if not known.numel():
            raise DataError("y", f"no training node has a number for {name!r}.", fix="Leave it out of the targets.")
        deviation = float(known.std(unbiased=False)) if standardize else 1.0
        means.append(float(known.mean()) if standardize else 0.0)
        scales.append(deviation or 1.0)
    return Units(names, tuple(means), tuple(scales), log)
