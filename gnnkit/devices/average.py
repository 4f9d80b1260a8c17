"""A moving average of weights (Polyak and Juditsky, 1992), which is evaluated instead of the weights themselves."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Dict, Iterator, Mapping

import torch
from torch import Tensor, nn

STATE_KEY = "train.average"
"""What it is called among an optimiser's tensors; no optimiser has such a name for one of its own."""


class MovingAverage:
    """After each update: ``average = decay * average + (1 - decay) * weights``, beginning with the first weights.

    Args:
        module: Its trainable parameters are averaged; buffers, such as statistics of batch normalisation, are not.
        decay: From 0 up to below 1.

    Example:
        >>> module = nn.Linear(1, 1, bias=False)
        >>> average = MovingAverage(module, 0.5)
        >>> before = module.weight.item()
        >>> with torch.no_grad():
        ...     _ = module.weight.add_(2)
        >>> average.update()
        >>> with average.applied():
        ...     round(module.weight.item() - before, 4)
        1.0
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self._parameters = {name: value for name, value in module.named_parameters() if value.requires_grad}
        self._values = {name: value.detach().clone() for name, value in self._parameters.items()}
        self._decay = decay

    def update(self) -> None:
        """Take in the weights just now."""
        for name, value in self._parameters.items():
            self._values[name].lerp_(value.detach(), 1 - self._decay)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """A context in which the module has the averaged weights."""
        own = {name: value.detach().clone() for name, value in self._parameters.items()}
        self._put(self._values)
        try:
            yield
        finally:
            self._put(own)

    def state(self) -> Dict[str, Tensor]:
        """Averages by the parameters' names, copies in host memory."""
        return {name: value.cpu().clone() for name, value in self._values.items()}

    def load(self, values: Mapping[str, Tensor]) -> None:
        """Go on from what :meth:`state` gave; the average of a parameter that is not there begins with its weights."""
        for name, parameter in self._parameters.items():
            self._values[name].copy_(values.get(name, parameter.detach()))

    def _put(self, values: Mapping[str, Tensor]) -> None:
        with torch.no_grad():
            for name, parameter in self._parameters.items():
                parameter.copy_(values[name])
