"""From torch's optimisers to PopTorch's.

Rules: what the user did not set is left to PopTorch's default, which is torch's, because it is then compiled in; the
learning rate always stays changeable. What an IPU has not is refused, never replaced.
"""

from __future__ import annotations

import inspect
from typing import Any, Dict, Mapping, Optional, Tuple

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer, RMSprop

from gnnkit.devices import OptimizerState, parameter_names, torch_class
from gnnkit.errors import CapabilityError

SETTINGS: Mapping[str, Tuple[str, ...]] = {
    "SGD": ("momentum", "dampening", "weight_decay", "nesterov"),
    "Adam": ("betas", "eps", "weight_decay"),
    "AdamW": ("betas", "eps", "weight_decay"),
    "RMSprop": ("alpha", "eps", "weight_decay", "momentum", "centered"),
}
"""Settings of each optimiser besides the learning rate that go to the device, under torch's and PopTorch's name."""

_KINDS = {SGD: "SGD", Adam: "Adam", AdamW: "AdamW", RMSprop: "RMSprop"}
OPTIMIZERS = frozenset({"sgd", "adam", "adamw", "rmsprop"})
"""What ``train.optimizer`` may be."""
_CLIPPED = ("SGD", "Adam", "AdamW")
_REFUSED = ("amsgrad", "maximize", "differentiable", "decoupled_weight_decay")


def native_optimizer(poptorch: Any, optimizer: Optimizer, clip_norm: Optional[float]) -> Any:
    """PopTorch's counterpart of an optimiser, over the same parameters.

    Args:
        poptorch: PopTorch or its emulator.
        optimizer: One of torch's, with one group of parameters.
        clip_norm: Largest norm of the gradients. None: no clipping.

    Raises:
        CapabilityError: The IPU has no such optimiser, or not with these settings.
    """
    name = kind_of(optimizer)
    (group,) = optimizer.param_groups
    settings: Dict[str, Any] = {"lr": float(group["lr"]), **_changed(name, optimizer)}
    if clip_norm is not None:
        if name not in _CLIPPED:
            raise CapabilityError(f"On IPUs {name} does not clip gradients; {', '.join(_CLIPPED)} do. Unset clip_norm.")
        settings["max_grad_norm"] = float(clip_norm)
    classes = {
        "SGD": poptorch.optim.SGD,
        "Adam": poptorch.optim.Adam,
        "AdamW": poptorch.optim.AdamW,
        "RMSprop": poptorch.optim.RMSprop,
    }
    return classes[name](group["params"], **settings)


def kind_of(optimizer: Optimizer) -> str:
    """PopTorch's name for an optimiser.

    Raises:
        CapabilityError: It has none, or not with these settings.
    """
    name = _KINDS.get(torch_class(optimizer))
    if name is None:
        raise CapabilityError(
            f"IPUs have no optimiser {type(optimizer).__name__}; they have {', '.join(_KINDS.values())}."
        )
    if len(optimizer.param_groups) != 1:
        raise CapabilityError(
            f"The optimiser has {len(optimizer.param_groups)} groups of parameters; on IPUs give all of them in one."
        )
    for setting in _REFUSED:
        # Newer releases of torch note in AdamW what its name says already.
        if optimizer.param_groups[0].get(setting) and (name, setting) != ("AdamW", "decoupled_weight_decay"):
            raise CapabilityError(f"On IPUs {name} has no {setting}. Unset it.")
    return name


def read_state(module: nn.Module, device_optimizer: Any) -> Dict[str, Dict[str, Tensor]]:
    """The state that an optimiser has on the device.

    The emulator numbers parameters, as torch does. PopTorch names each tensor ``KIND___PARAMETER``, with kinds of its
    own ("Accl1", "Step"); these are handed on as they are, so that another IPU can go on from them, and nobody else.

    Args:
        module: Holds the parameters.
        device_optimizer: What :func:`native_optimizer` gave.

    Returns:
        As :meth:`gnnkit.devices.Step.state_dict`.
    """
    state = device_optimizer.state_dict()["ipu_state"] or {}
    names = parameter_names(module, device_optimizer)
    found: Dict[str, Dict[str, Tensor]] = {}
    for key, value in state.items():
        if isinstance(key, str):
            kind, _, name = key.partition(_BETWEEN)
            name = name[len(_PREFIX) :]
            if name in names:
                found.setdefault(name, {})[kind] = torch.as_tensor(value).detach().clone()
        else:
            found[names[key]] = {kind: torch.as_tensor(each).detach().clone() for kind, each in value.items()}
    return found


def write_state(module: nn.Module, device_optimizer: Any, state: OptimizerState, *, numbered: bool) -> None:
    """Keep a state for the program that is compiled next; see :func:`read_state`.

    Args:
        module: Holds the parameters.
        device_optimizer: What :func:`native_optimizer` gave.
        state: As :meth:`gnnkit.devices.Step.state_dict` gave it.
        numbered: Whether this PopTorch numbers parameters.

    Raises:
        CapabilityError: The state comes from an optimiser of torch, and this PopTorch has its own.
    """
    names = parameter_names(module, device_optimizer)
    own: Dict[Any, Any] = {}
    for number, name in enumerate(names):
        tensors = dict(state.get(name, {}))
        odd = sorted(set(tensors) & _OF_TORCH) if not numbered else sorted(set(tensors) - _OF_TORCH)
        if odd:
            raise CapabilityError(
                f"The optimiser's state has {', '.join(odd)}, which this device does not know: "
                "a run on an IPU goes on from the state of a run on an IPU. Start a new run from its weights with "
                "--init-from."
            )
        if numbered and tensors:
            own[number] = tensors
        own.update({} if numbered else {f"{kind}{_BETWEEN}{_PREFIX}{name}": each for kind, each in tensors.items()})
    if own:
        device_optimizer.set_state_dict({"ipu_state": own, "ipu_param": {}})


_BETWEEN = "___"
"""What PopTorch puts between the kind of a tensor and the parameter that it belongs to."""
_PREFIX = "module."
"""What a program puts before the names of its module's parameters."""
_OF_TORCH = frozenset({"step", "exp_avg", "exp_avg_sq", "momentum_buffer", "square_avg", "grad_avg"})
"""Tensors that torch's optimisers keep of a parameter."""


def learning_rate(optimizer: Optimizer) -> float:
    """The learning rate in force."""
    return float(optimizer.param_groups[0]["lr"])


def _changed(name: str, optimizer: Optimizer) -> Dict[str, Any]:
    """Settings whose values are not torch's defaults."""
    defaults = inspect.signature(type(optimizer)).parameters
    group = optimizer.param_groups[0]
    # PopTorch takes a tuple of betas; a configuration file has a list, which torch 2.0 keeps.
    values = {key: tuple(group[key]) if key == "betas" else group[key] for key in SETTINGS[name]}
    return {key: value for key, value in values.items() if value != defaults[key].default}
