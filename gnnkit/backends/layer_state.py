"""Reading the state of a library's own layer.

Rules: every parameter is accounted for, or the layer is refused with a reason.
"""

from __future__ import annotations

from typing import Dict, Mapping, Optional, Tuple

import torch
from torch import Tensor
from torch.nn.parameter import is_lazy

from gnnkit.errors import CheckpointError
from gnnkit.nn.convs import ConvSpec


class LayerState:
    """The state of one layer, to be taken from piece by piece.

    Args:
        state: Tensors by name within the layer.
        layer: What the layer is called in messages, for example ``"a SAGEConv of PyTorch Geometric"``.

    Example:
        >>> import torch
        >>> state = LayerState({"weight": torch.ones(2, 2)}, "a layer")
        >>> state.take("weight").shape, state.finish()
        (torch.Size([2, 2]), None)
    """

    def __init__(self, state: Mapping[str, Tensor], layer: str) -> None:
        self._rest: Dict[str, Tensor] = dict(state)
        self.layer = layer

    def __contains__(self, name: str) -> bool:
        return name in self._rest

    def take(self, name: str, ndim: Optional[int] = None) -> Tensor:
        """A tensor that must be there.

        Args:
            name: Its name.
            ndim: How many dimensions it must have.

        Raises:
            CheckpointError: It is not there, has another number of dimensions, or no shape yet.
        """
        if name not in self._rest:
            raise self.refusal(f"it has no {name!r}; it has {', '.join(sorted(self._rest)) or 'nothing'}")
        value = self._rest.pop(name)
        if is_lazy(value):
            raise self.refusal(f"{name!r} has no shape yet, because the lazy layer has not seen a batch")
        if ndim is not None and value.ndim != ndim:
            raise self.refusal(f"{name!r} has shape {list(value.shape)}, expected {ndim} dimensions")
        return value.detach().cpu()

    def take_if_there(self, name: str) -> Optional[Tensor]:
        """A tensor that may be missing."""
        return self.take(name) if name in self._rest else None

    def take_or_zeros(self, name: str, width: int) -> Tensor:
        """A bias that may be missing, which is the same as one of zeros. Shape [width]."""
        value = self.take_if_there(name)
        return torch.zeros(width) if value is None else value

    def refuse(self, name: str, reason: str) -> None:
        """Refuse the layer if it has a tensor of this name.

        Raises:
            CheckpointError: It has.
        """
        if name in self._rest:
            raise self.refusal(reason)

    def finish(self) -> None:
        """Refuse the layer if anything is left.

        Raises:
            CheckpointError: Something is.
        """
        if self._rest:
            raise self.refusal(f"the standard layer has no {', '.join(sorted(self._rest))}")

    def refusal(self, reason: str) -> CheckpointError:
        """The error that says why this layer cannot be converted."""
        return CheckpointError(f"This is not {self.layer} that can be converted: {reason}.")


def attention_spec(kind: str, in_channels: int, out_channels: int, heads: int, concat: bool) -> ConvSpec:
    """A convolution with so many attention heads, concatenated or averaged."""
    name = "heads" if concat else "out_heads"
    return ConvSpec(kind, in_channels, out_channels, {name: heads}, is_output=not concat)


def read_gin(layer: LayerState, mlp: str) -> Tuple[ConvSpec, Dict[str, Tensor]]:
    """Read a GIN layer, which libraries keep alike but for what they call its MLP.

    Args:
        layer: The state of the layer.
        mlp: The library's name of an MLP of linear, ReLU, linear.

    Raises:
        CheckpointError: It is another MLP.
    """
    first, last = layer.take(f"{mlp}.0.weight", 2), layer.take(f"{mlp}.2.weight", 2)
    eps = layer.take_if_there("eps")
    options = {"eps": 0.0 if eps is None else float(eps), "mlp_channels": first.shape[0]}
    spec = ConvSpec("gin", first.shape[1], last.shape[0], options)
    return spec, {
        "mlp.0.weight": first,
        "mlp.0.bias": layer.take_or_zeros(f"{mlp}.0.bias", first.shape[0]),
        "mlp.2.weight": last,
        "mlp.2.bias": layer.take_or_zeros(f"{mlp}.2.bias", last.shape[0]),
    }
