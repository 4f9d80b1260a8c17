"""What the device makes of an optimiser: which it has, what it compiles in, and its counterpart on the device."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Type

import torch

from .errors import Error
from .optim import LAMB, SGD, Adam, AdamW, RMSprop, _LambStep, check_betas
from .restrictions import refuse

#: Groups' entries that are not hyper-parameters.
_NOT_HYPER = frozenset({"params", "param_names"})
_KINDS: Dict[type, Type[torch.optim.Optimizer]] = {
    torch.optim.SGD: torch.optim.SGD,
    torch.optim.Adam: torch.optim.Adam,
    torch.optim.AdamW: torch.optim.AdamW,
    torch.optim.RMSprop: torch.optim.RMSprop,
    SGD: torch.optim.SGD,
    Adam: torch.optim.Adam,
    AdamW: torch.optim.AdamW,
    RMSprop: torch.optim.RMSprop,
    LAMB: _LambStep,
}
_SPEED_ONLY = {"foreach": False, "fused": None, "capturable": False, "differentiable": False}


def check_optimizer(optimizer: Any) -> None:
    """Refuse an optimiser that the device lacks.

    Raises:
        RestrictionError: Number 22.
    """
    if type(optimizer) not in _KINDS:
        refuse(22, f"{type(optimizer).__name__} is no optimiser of the device", where="")
    for group in optimizer.param_groups:
        check_betas(group.get("betas", ()))
    if any(group.get("amsgrad") for group in optimizer.param_groups):
        refuse(22, "amsgrad=True was asked for", where="")


def hyper_parameters(optimizer: torch.optim.Optimizer) -> List[Dict[str, Any]]:
    """Every group's hyper-parameters."""
    return [{k: v for k, v in group.items() if k not in _NOT_HYPER} for group in optimizer.param_groups]


def have_changed(compiled: List[Dict[str, Any]], optimizer: Optional[torch.optim.Optimizer]) -> bool:
    """Whether an optimiser's hyper-parameters differ; what a scheduler adds to groups, a first rate, is none."""
    assert optimizer is not None
    now = hyper_parameters(optimizer)
    return len(now) != len(compiled) or any(
        before[name] != after.get(name) for before, after in zip(compiled, now) for name in before
    )


def device_optimizer(optimizer: torch.optim.Optimizer, on_device: Dict[int, torch.Tensor]) -> torch.optim.Optimizer:
    """The counterpart of a host optimiser over the device's parameters.

    Args:
        optimizer: The user's.
        on_device: Parameter on the device by ``id`` of the host's.

    Raises:
        Error: It holds a parameter that the model has not.
    """
    groups = []
    for group, values in zip(optimizer.param_groups, hyper_parameters(optimizer)):
        if any(id(p) not in on_device for p in group["params"]):
            raise Error("The optimiser holds a parameter that the model has not. Build it from model.parameters().")
        speed = {k: v for k, v in _SPEED_ONLY.items() if k in values}
        groups.append({**values, **speed, "params": [on_device[id(p)] for p in group["params"]]})
    built: torch.optim.Optimizer = _KINDS[type(optimizer)](groups, lr=groups[0]["lr"])  # type: ignore[call-arg]
    load_state(built, getattr(optimizer, "_loaded_state", None))
    return built


def load_state(on_device: torch.optim.Optimizer, loaded: Optional[Dict[str, Any]]) -> None:
    """Take over what an optimiser's ``state_dict`` gave, if that had a state; hyper-parameters stay."""
    if loaded and loaded["ipu_state"]:
        on_device.load_state_dict(
            {"state": loaded["ipu_state"], "param_groups": on_device.state_dict()["param_groups"]}
        )


def changed_constant(old: Any, compiled: List[Dict[str, Any]], new: torch.optim.Optimizer) -> Optional[str]:
    """Name of a compiled-in hyper-parameter whose value differs from the compiled one; None if there is none."""
    variable = getattr(old, "variable_attrs", None)
    if variable is None:
        return None
    for before, after in zip(compiled, hyper_parameters(new)):
        for name in before:
            if before[name] != after.get(name) and name in variable._allowed and variable.isConstant(name):
                return name
    return None
