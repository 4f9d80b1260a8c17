"""The optimisers of the interface: host objects that hold hyper-parameters, and their counterparts on the device.

Rules: a hyper-parameter that the constructor received stays variable, one left at None takes its default and is
compiled as a constant (the learning rate is always variable). Accumulator types and loss scaling matter for float16
only; they are kept without effect.
"""

# ruff: noqa: N802 - the names are PopTorch's.
from __future__ import annotations

from typing import Any, Dict, Iterable, Optional, Tuple

import torch

from .errors import Error, NotEmulatedError, OptimizerError
from .restrictions import refuse

#: Hyper-parameters that torch's optimisers do not know, with their defaults.
_EXTRAS = {"loss_scaling": 1.0, "velocity_scaling": 1.0, "max_grad_norm": None}


class VariableAttributes:
    """Which hyper-parameters are compiled in, and which ``setOptimizer`` may change.

    Args:
        variable_attributes: Names that may change.
        allowed_attributes: All names.
    """

    def __init__(self, variable_attributes: Iterable[str], allowed_attributes: Iterable[str]) -> None:
        self._variable = set(variable_attributes)
        self._allowed = set(allowed_attributes)

    def _check(self, attr: str) -> None:
        if attr not in self._allowed:
            raise Error(f"{attr!r} is no hyper-parameter of this optimiser. Known: {', '.join(sorted(self._allowed))}.")

    def isConstant(self, attr: str) -> bool:
        """Whether a hyper-parameter is compiled in."""
        self._check(attr)
        return attr not in self._variable

    def markAsConstant(self, attr: str) -> None:
        """Compile a hyper-parameter in."""
        self._check(attr)
        self._variable.discard(attr)

    def markAsVariable(self, attr: str) -> None:
        """Keep a hyper-parameter changeable."""
        self._check(attr)
        self._variable.add(attr)


class Optimizer:
    """What the optimisers share: extra hyper-parameters, and a state that lives on the device."""

    variable_attrs: VariableAttributes
    _device: Any = None  # What runs the optimiser, once it is compiled.
    _loaded_state: Optional[Dict[str, Any]] = None

    def __init__(self) -> None:
        raise Error("Optimizer is the base of the optimisers; take SGD, Adam, AdamW, RMSprop or LAMB.")

    def _begin(self, kind: type, params: Any, extras: Dict[str, Any], **values: Any) -> None:
        """Build torch's optimiser, then add what torch does not know and note what may change.

        Args:
            kind: Torch's class.
            params: As for torch's class.
            extras: Hyper-parameters that torch does not know; None takes the default.
            values: Those that it knows; None leaves them to torch and compiles them in.
        """
        if values.pop("amsgrad", None):
            refuse(22, "amsgrad=True was asked for", where="")
        for name in [name for name in values if name.endswith("accum_type")]:
            accumulated = values.pop(name)
            if accumulated not in (None, torch.float16, torch.float32):
                raise OptimizerError(f"{name} is {accumulated}; expected torch.float32 or torch.float16.")
        given = {name: value for name, value in values.items() if value is not None}
        check_betas(given.get("betas", ()))  # Later releases of torch make a tuple of them.
        kind.__init__(self, params, **given)  # type: ignore[misc]
        for name, value in extras.items():
            value = _EXTRAS[name] if value is None else value
            self.defaults[name] = value  # type: ignore[attr-defined]
            for group in self.param_groups:  # type: ignore[attr-defined]
                group.setdefault(name, value)
        variable = {"lr", *given, *(name for name, value in extras.items() if value is not None)}
        self.variable_attrs = VariableAttributes(variable, self.defaults)  # type: ignore[attr-defined]

    def state_dict(self) -> Dict[str, Any]:
        """State as it is on the device, or as it was loaded; torch's own entries stand beside it, for schedulers."""
        state = self.get_state_dict() or {"ipu_state": None, "ipu_param": None}
        return {**state, **torch.optim.Optimizer.state_dict(self)}  # type: ignore[arg-type]

    def get_state_dict(self) -> Dict[str, Any]:
        """State, or an empty dictionary before the first step."""
        if self._device is not None:
            state: Dict[str, Any] = self._device.optimizer_state()
            return state
        return self._loaded_state if self._loaded_state and self._loaded_state["ipu_state"] is not None else {}

    def set_state_dict(self, state: Dict[str, Any]) -> None:
        """Take a state to the device, or keep it for the next compilation.

        Raises:
            Error: It does not come from an optimiser of this interface.
        """
        if not state or "ipu_state" not in state or "ipu_param" not in state:
            raise Error("The state was not saved by an optimiser for IPUs: 'ipu_state' and 'ipu_param' are missing.")
        self._loaded_state = state
        if self._device is not None:
            self._device.load_optimizer_state(state)

    def load_state_dict(self, state: Dict[str, Any]) -> None:
        """Load what ``state_dict`` returned, rates included.

        Raises:
            Error: It does not come from an optimiser of this interface.
        """
        self.set_state_dict(state)
        torch.optim.Optimizer.load_state_dict(self, state)  # type: ignore[arg-type]

    def has_state(self) -> bool:
        """Whether there is a state."""
        return bool(self.get_state_dict())


def _accumulators(gradients: Any, first: Any, second: Any) -> Dict[str, Any]:
    """Types of accumulators, by the names of the constructors' parameters."""
    names = ("accum_type", "first_order_momentum_accum_type", "second_order_momentum_accum_type")
    return dict(zip(names, (gradients, first, second)))


class SGD(Optimizer, torch.optim.SGD):
    """Stochastic gradient descent with momentum; see :class:`torch.optim.SGD`."""

    def __init__(
        self,
        params: Any,
        lr: float,
        momentum: Optional[float] = None,
        dampening: Optional[float] = None,
        weight_decay: Optional[float] = None,
        nesterov: Optional[bool] = None,
        maximize: Optional[bool] = None,
        foreach: Optional[bool] = None,
        differentiable: Optional[bool] = None,
        loss_scaling: Optional[float] = None,
        velocity_scaling: Optional[float] = None,
        use_combined_accum: Optional[bool] = None,
        accum_type: Optional[torch.dtype] = None,
        velocity_accum_type: Optional[torch.dtype] = None,
        max_grad_norm: Optional[float] = None,
    ) -> None:
        extras = {
            "loss_scaling": loss_scaling,
            "velocity_scaling": velocity_scaling,
            "max_grad_norm": max_grad_norm,
        }
        self._begin(
            torch.optim.SGD,
            params,
            extras,
            lr=lr,
            momentum=momentum,
            dampening=dampening,
            weight_decay=weight_decay,
            nesterov=nesterov,
            maximize=maximize,
            accum_type=accum_type,
            velocity_accum_type=velocity_accum_type,
        )


class Adam(Optimizer, torch.optim.Adam):
    """Adam; see :class:`torch.optim.Adam`. No AMSGrad."""

    def __init__(
        self,
        params: Any,
        lr: Optional[float] = None,
        betas: Optional[Tuple[float, float]] = None,
        eps: Optional[float] = None,
        weight_decay: Optional[float] = None,
        amsgrad: Optional[bool] = None,
        foreach: Optional[bool] = None,
        maximize: Optional[bool] = None,
        capturable: Optional[bool] = None,
        differentiable: Optional[bool] = None,
        fused: Optional[bool] = None,
        loss_scaling: Optional[float] = None,
        accum_type: Optional[torch.dtype] = None,
        first_order_momentum_accum_type: Optional[torch.dtype] = None,
        second_order_momentum_accum_type: Optional[torch.dtype] = None,
        max_grad_norm: Optional[float] = None,
    ) -> None:
        extras = {"loss_scaling": loss_scaling, "max_grad_norm": max_grad_norm}
        shared = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "maximize": maximize}
        types = _accumulators(accum_type, first_order_momentum_accum_type, second_order_momentum_accum_type)
        self._begin(torch.optim.Adam, params, extras, **shared, **types, amsgrad=amsgrad)


class AdamW(Optimizer, torch.optim.AdamW):
    """Adam with decoupled weight decay; see :class:`torch.optim.AdamW`. No AMSGrad."""

    def __init__(
        self,
        params: Any,
        lr: Optional[float] = None,
        betas: Optional[Tuple[float, float]] = None,
        eps: Optional[float] = None,
        weight_decay: Optional[float] = None,
        amsgrad: Optional[bool] = None,
        maximize: Optional[bool] = None,
        foreach: Optional[bool] = None,
        capturable: Optional[bool] = None,
        differentiable: Optional[bool] = None,
        fused: Optional[bool] = None,
        loss_scaling: Optional[float] = None,
        bias_correction: Optional[bool] = None,
        accum_type: Optional[torch.dtype] = None,
        first_order_momentum_accum_type: Optional[torch.dtype] = None,
        second_order_momentum_accum_type: Optional[torch.dtype] = None,
        max_grad_norm: Optional[float] = None,
    ) -> None:
        if bias_correction is False:
            raise NotEmulatedError("AdamW(bias_correction=False)", "Take bias_correction=True.")
        extras = {"loss_scaling": loss_scaling, "max_grad_norm": max_grad_norm}
        shared = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "maximize": maximize}
        types = _accumulators(accum_type, first_order_momentum_accum_type, second_order_momentum_accum_type)
        self._begin(torch.optim.AdamW, params, extras, **shared, **types, amsgrad=amsgrad)


class RMSprop(Optimizer, torch.optim.RMSprop):
    """RMSprop; see :class:`torch.optim.RMSprop`."""

    def __init__(
        self,
        params: Any,
        lr: Optional[float] = None,
        alpha: Optional[float] = None,
        eps: Optional[float] = None,
        weight_decay: Optional[float] = None,
        momentum: Optional[float] = None,
        centered: Optional[bool] = None,
        foreach: Optional[bool] = None,
        maximize: Optional[bool] = None,
        differentiable: Optional[bool] = None,
        loss_scaling: Optional[float] = None,
        accum_type: Optional[torch.dtype] = None,
        first_order_momentum_accum_type: Optional[torch.dtype] = None,
        second_order_momentum_accum_type: Optional[torch.dtype] = None,
        use_tf_variant: Optional[bool] = None,
    ) -> None:
        if use_tf_variant:
            raise NotEmulatedError("RMSprop(use_tf_variant=True)", "Take use_tf_variant=False.")
        values = {"lr": lr, "alpha": alpha, "eps": eps, "weight_decay": weight_decay, "momentum": momentum}
        extras = {"loss_scaling": loss_scaling}
        values.update(_accumulators(accum_type, first_order_momentum_accum_type, second_order_momentum_accum_type))
        self._begin(torch.optim.RMSprop, params, extras, **values, centered=centered, maximize=maximize or None)


class _LambStep(torch.optim.Optimizer):
    """LAMB (You et al., 2020, "Large batch optimization for deep learning"), as a torch optimiser."""

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        betas: Tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
        bias_correction: bool = True,
        max_weight_norm: Optional[float] = 65500.0,  # The largest number of float16.
    ) -> None:
        rates = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, {**rates, "bias_correction": bias_correction, "max_weight_norm": max_weight_norm})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Update every parameter: Adam's direction, scaled by ||w|| / ||direction|| per tensor."""
        for group in self.param_groups:
            first, second = group["betas"]
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["step"] = torch.zeros(())
                    state["exp_avg"] = torch.zeros_like(parameter)
                    state["exp_avg_sq"] = torch.zeros_like(parameter)
                state["step"] += 1
                state["exp_avg"].lerp_(parameter.grad, 1 - first)
                state["exp_avg_sq"].mul_(second).addcmul_(parameter.grad, parameter.grad, value=1 - second)
                steps = float(state["step"]) if group["bias_correction"] else float("inf")
                mean = state["exp_avg"] / (1 - first**steps)
                variance = state["exp_avg_sq"] / (1 - second**steps)
                direction = mean / (variance.sqrt() + group["eps"]) + group["weight_decay"] * parameter
                weight_norm, norm = parameter.norm(), direction.norm()
                if group["max_weight_norm"] is not None:
                    weight_norm = weight_norm.clamp(max=group["max_weight_norm"])
                both = (weight_norm > 0) & (norm > 0)
                ratio = torch.where(both, weight_norm / norm, torch.ones_like(norm))
                parameter.sub_(group["lr"] * ratio * direction)


class LAMB(Optimizer, _LambStep):
    """Layer-wise adaptive moments (You et al., 2020)."""

    def __init__(
        self,
        params: Any,
        lr: Optional[float] = None,
        betas: Optional[Tuple[float, float]] = None,
        eps: Optional[float] = None,
        weight_decay: Optional[float] = None,
        bias_correction: Optional[bool] = None,
        loss_scaling: Optional[float] = None,
        max_weight_norm: Optional[float] = None,
        accum_type: Optional[torch.dtype] = None,
        first_order_momentum_accum_type: Optional[torch.dtype] = None,
        second_order_momentum_accum_type: Optional[torch.dtype] = None,
    ) -> None:
        self._begin(
            _LambStep,
            params,
            {"loss_scaling": loss_scaling},
            lr=lr,
            betas=betas,
            eps=eps,
            weight_decay=weight_decay,
            bias_correction=bias_correction,
            max_weight_norm=max_weight_norm,
            **_accumulators(accum_type, first_order_momentum_accum_type, second_order_momentum_accum_type),
        )


def check_betas(betas: Any) -> None:
    """Refuse betas that are no tuple.

    Raises:
        OptimizerError: They are something else.
    """
    if not isinstance(betas, tuple):
        raise OptimizerError(f"betas are a {type(betas).__name__}; expected a tuple of two numbers.")
