"""Copies of models: what is trained is a copy of what was given, or it is refused.

Rules: on its own backend a model is copied with all that belongs to it. On another backend it is built anew from its
specification, which knows no custom class, module or hook.
"""

from __future__ import annotations

import copy
from typing import Dict, List, Optional

from torch import nn

from gnnkit.errors import ConfigError
from gnnkit.nn.conv_library import ConvLibrary
from gnnkit.nn.custom import CustomModel
from gnnkit.nn.failures import OUT_OF_MEMORY
from gnnkit.nn.gnn import GNN
from gnnkit.nn.spec import ModelSpec

_METHODS = ("forward", "layer", "output", "lower")
_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def beyond_spec(model: GNN) -> Optional[str]:
    """What a model has that its specification does not say, as a clause; None if there is nothing.

    Args:
        model: The model.

    Example:
        >>> import gnnkit
        >>> model = gnnkit.build_model("gcn", gnnkit.load_dataset("karate"))
        >>> model.convs[0] = nn.Identity()
        >>> beyond_spec(model)
        'its module convs.0 is of class Identity'
    """
    if isinstance(model, CustomModel):
        return "it is a custom module"
    if type(model) is not GNN:
        return f"it is of class {type(model).__qualname__}"
    expected = dict(GNN(model.spec, model.backend, model.seed).named_modules())
    found = dict(model.named_modules())
    for name in [*found, *expected]:
        here, there = found.get(name), expected.get(name)
        if here is None or there is None or type(here) is not type(there):
            what = "missing" if here is None else f"of class {type(here).__qualname__}"
            return f"its module {name} is {what}"
        if any(method in vars(here) and method not in vars(there) for method in _METHODS):
            return f"a method of its {_called(name)} was replaced"
        if any(getattr(here, hooks, None) and not getattr(there, hooks, None) for hooks in _HOOKS):
            return f"its {_called(name)} has hooks"
    if _shapes(model) != _shapes(expected[""]):
        return "its parameters have other names or shapes"
    return None


def has_own_forward(model: GNN) -> bool:
    """Whether outputs are computed in another way than layer by layer."""
    own = type(model).forward is not GNN.forward or type(model).output is not GNN.output
    return own or any(name in vars(model) for name in ("forward", "output")) or any(getattr(model, h) for h in _HOOKS)


def copied(model: GNN, backend: ConvLibrary) -> GNN:
    """A copy on another backend or on the same one, in host memory, with the same weights, frozen where it is.

    Args:
        model: Is left as it is.
        backend: Where the copy computes.

    Raises:
        ConfigError: The copy would not be what the model is.
    """
    if _is_same(model.backend, backend) or isinstance(model, CustomModel):
        try:
            twin: GNN = copy.deepcopy(model, {id(model.backend): backend})
            return twin.cpu()
        except OUT_OF_MEMORY:
            raise
        except Exception as error:  # What a module of somebody else keeps may be anything.
            reason = beyond_spec(model)
            if reason is not None:
                problem = f"{type(error).__name__}: {error}"
                raise ConfigError(f"The model cannot be copied: {reason}, and copying it fails ({problem}).") from error
    return rebuilt(model, backend)


def rebuilt(model: GNN, backend: ConvLibrary, spec: Optional[ModelSpec] = None) -> GNN:
    """A model built anew from a specification, with the weights of another.

    Args:
        model: Is left as it is.
        backend: Where the new one computes.
        spec: Like the model's, but for what has no parameters. None: the model's.

    Raises:
        ConfigError: The model has more than its specification says.
    """
    check_rebuildable(model, f"built anew on backend {backend.name!r}")
    new = GNN(model.spec if spec is None else spec, backend, model.seed)
    first = next(model.parameters(), None)
    if first is not None:
        new.to(first.dtype)
    new.load_canonical(model.canonical_state())
    freeze_alike(model, new)
    return new.train(model.training)


def check_rebuildable(model: GNN, purpose: str) -> None:
    """Refuse a model that has more than its specification says.

    Args:
        model: The model.
        purpose: What it cannot be: ``"compared"``.

    Raises:
        ConfigError: It is refused.
    """
    if not isinstance(model, GNN):
        raise ConfigError(f"The model is a {type(model).__qualname__}, expected one of gnnkit.build_model.")
    reason = beyond_spec(model)
    if reason is not None:
        raise ConfigError(
            f"The model cannot be {purpose}: {reason}, which its specification does not say. Build it on that backend, "
            "or write what is your own as a layer (gnnkit.nn.MessagePassing), which runs on every backend."
        )


def check_parameter_names(model: GNN, reason: str) -> None:
    """Refuse a model with convolutions whose parameters the specification does not know.

    Args:
        model: The model.
        reason: What :func:`beyond_spec` says about it.

    Raises:
        ConfigError: It is refused.
    """
    state = model.state_dict()
    known = set(model.native_names())
    unknown = sorted(known ^ set(state))
    if unknown:
        raise ConfigError(
            f"The model cannot be trained: {reason}, and a convolution {model.spec.name!r} has not just these "
            f"parameters: {', '.join(unknown)}. Write a convolution of your own as a layer "
            "(gnnkit.nn.MessagePassing) and give that to build_model."
        )


def freeze_alike(model: GNN, other: GNN) -> None:
    """Freeze the parameters of another model that are frozen in this one."""
    frozen = set(frozen_parameters(model))
    for name, parameter in other.parameters_by_name().items():
        parameter.requires_grad_(name not in frozen)


def frozen_parameters(model: GNN) -> List[str]:
    """Canonical names of the parameters that are not to be trained (``requires_grad`` is False)."""
    return [name for name, parameter in model.parameters_by_name().items() if not parameter.requires_grad]


def _is_same(backend: ConvLibrary, other: ConvLibrary) -> bool:
    options = [getattr(each, "options", None) for each in (backend, other)]
    return type(backend) is type(other) and (None in options or options[0] == options[1])


def _called(name: str) -> str:
    return f"module {name}" if name else "outermost module"


def _shapes(module: nn.Module) -> Dict[str, object]:
    # named_parameters() leaves out those that are shared with others before them.
    return {name: parameter.shape for name, parameter in module.named_parameters()}
