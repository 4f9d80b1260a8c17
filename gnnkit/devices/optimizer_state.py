"""The state of torch's optimisers by the names of parameters instead of by numbers.

Rules: what goes out is in host memory and independent of the optimiser; what comes in is copied. Numbers of Python go
out as tensors whose names say so, and come in as the same numbers.
"""

from __future__ import annotations

from typing import Dict, List, Tuple, Union

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from gnnkit.devices.base import OptimizerState
from gnnkit.errors import CapabilityError

_NUMBER = "number:"
"""What the names of numbers begin with."""


def optimizer_state(module: nn.Module, optimizer: Optimizer) -> Dict[str, Dict[str, Tensor]]:
    """The optimiser's tensors for each parameter of a module.

    Args:
        module: Holds the parameters.
        optimizer: One of torch's.

    Returns:
        Tensors in host memory by parameter and by their name in the optimiser; no entry for a parameter without state.

    Raises:
        CapabilityError: The optimiser keeps something else than tensors and numbers for each parameter.
    """
    state = optimizer.state_dict()["state"]
    names = dict(enumerate(parameter_names(module, optimizer)))
    for key in state:
        if key not in names:
            raise _refused(optimizer, f"state under {key!r}, which is no parameter")
    return {
        names[number]: dict(_going_out(optimizer, key, value) for key, value in members.items() if value is not None)
        for number, members in state.items()
    }


def load_optimizer_state(module: nn.Module, optimizer: Optimizer, state: OptimizerState) -> None:
    """Put a state that :func:`optimizer_state` gave into an optimiser of the same kind; its settings stay.

    Args:
        module: Holds the parameters.
        optimizer: Takes the state, on the devices of the parameters.
        state: By parameter.
    """
    names = parameter_names(module, optimizer)
    numbered = {
        number: dict(_coming_in(key, value) for key, value in state[name].items())
        for number, name in enumerate(names)
        if name in state
    }
    optimizer.load_state_dict({"state": numbered, "param_groups": optimizer.state_dict()["param_groups"]})
    # torch makes everything of the parameters' type, counts and flags as well.
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for number, members in numbered.items():
        for key, value in members.items():
            if isinstance(value, Tensor) and not value.is_floating_point():
                optimizer.state[parameters[number]][key] = value.to(parameters[number].device)


def parameter_names(module: nn.Module, optimizer: Optimizer) -> List[str]:
    """Names of an optimiser's parameters in a module, in the order in which the optimiser numbers them."""
    names = {id(parameter): name for name, parameter in module.named_parameters()}
    return [names[id(parameter)] for group in optimizer.param_groups for parameter in group["params"]]


def _going_out(optimizer: Optimizer, key: str, value: object) -> Tuple[str, Tensor]:
    if isinstance(value, Tensor):
        return key, value.detach().cpu().clone()
    if not isinstance(value, (bool, int, float)):
        raise _refused(optimizer, f"a {type(value).__qualname__} under {key!r} for a parameter")
    return f"{_NUMBER}{key}", torch.tensor(value, dtype=torch.float64 if isinstance(value, float) else None)


def _coming_in(key: str, value: Tensor) -> Tuple[str, Union[Tensor, float]]:
    return (key[len(_NUMBER) :], value.item()) if key.startswith(_NUMBER) else (key, value.clone())


def _refused(optimizer: Optimizer, what: str) -> CapabilityError:
    return CapabilityError(
        f"{type(optimizer).__qualname__} keeps {what}. A training can go on from tensors and numbers alone that are "
        "kept for each parameter (Optimizer.state[parameter])."
    )
