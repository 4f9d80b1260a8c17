"""The state of torch's optimisers by the names of parameters instead of by numbers.

Rules: what goes out is in host memory and independent of the optimiser; what comes in is copied.
"""

from __future__ import annotations

from typing import Dict, List

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from gnnkit.devices.base import OptimizerState


def optimizer_state(module: nn.Module, optimizer: Optimizer) -> Dict[str, Dict[str, Tensor]]:
    """The optimiser's tensors for each parameter of a module.

    Args:
        module: Holds the parameters.
        optimizer: One of torch's.

    Returns:
        Tensors in host memory by parameter and by their name in the optimiser; no entry for a parameter without state.
    """
    state = optimizer.state_dict()["state"]
    return {
        name: {key: _on_host(value) for key, value in state[number].items() if value is not None}
        for number, name in enumerate(parameter_names(module, optimizer))
        if number in state
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
        number: {key: value.clone() for key, value in state[name].items()}
        for number, name in enumerate(names)
        if name in state
    }
    optimizer.load_state_dict({"state": numbered, "param_groups": optimizer.state_dict()["param_groups"]})


def parameter_names(module: nn.Module, optimizer: Optimizer) -> List[str]:
    """Names of an optimiser's parameters in a module, in the order in which the optimiser numbers them."""
    names = {id(parameter): name for name, parameter in module.named_parameters()}
    return [names[id(parameter)] for group in optimizer.param_groups for parameter in group["params"]]


def _on_host(value: object) -> Tensor:
    # Some optimisers of some releases count steps in plain numbers.
    return torch.as_tensor(value).detach().cpu().clone()
