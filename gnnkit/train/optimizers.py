"""Which optimiser updates the weights: by name, a class, or a function of the user's own."""

from __future__ import annotations

import inspect
from typing import Any, Callable, Dict, Mapping, Optional, Sequence, Type

from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer, RMSprop

from gnnkit.classes import check_arguments, find_class
from gnnkit.errors import ConfigError
from gnnkit.train.settings import OPTIMIZER_NAMES, TrainConfig

OPTIMIZERS: Mapping[str, Type[Optimizer]] = {"adam": Adam, "adamw": AdamW, "sgd": SGD, "rmsprop": RMSprop}
"""Optimisers by name. Any other is ``module:Class``."""
assert set(OPTIMIZERS) == set(OPTIMIZER_NAMES)

MakeOptimizer = Callable[[Sequence[nn.Parameter]], Optimizer]
"""From the parameters to their optimiser."""

_WHAT = "train.optimizer_options"
_TAKEN = ("self", "params", "lr", "weight_decay")


def make_optimizer(
    config: TrainConfig, parameters: Sequence[nn.Parameter], given: Optional[MakeOptimizer] = None
) -> Optimizer:
    """The optimiser of a training.

    Args:
        config: Its settings.
        parameters: What is trained.
        given: Makes it; None makes what the settings name.

    Raises:
        ConfigError: The class is not known here, takes other options, or cannot update without calling the model.

    Example:
        >>> config = TrainConfig(optimizer="sgd", lr=0.1, optimizer_options={"momentum": 0.9})
        >>> make_optimizer(config, [nn.Parameter()]).param_groups[0]["momentum"]
        0.9
    """
    optimizer = given(parameters) if given is not None else _named(config, parameters)
    if not isinstance(optimizer, Optimizer):
        raise ConfigError(f"optimizer gives a {type(optimizer).__qualname__}, expected a torch.optim.Optimizer.")
    closure = inspect.signature(type(optimizer).step).parameters.get("closure")
    if closure is not None and closure.default is inspect.Parameter.empty:
        raise ConfigError(
            f"{type(optimizer).__qualname__} calls the model several times in an update, which a step does not offer. "
            f"Take another optimiser, such as {', '.join(OPTIMIZERS)}."
        )
    return optimizer


def optimizer_name(optimizer: Optimizer) -> str:
    """What a configuration calls an optimiser: its name, or ``module:Class``."""
    names = {cls: name for name, cls in OPTIMIZERS.items()}
    return names.get(type(optimizer), f"{type(optimizer).__module__}:{type(optimizer).__qualname__}")


def _named(config: TrainConfig, parameters: Sequence[nn.Parameter]) -> Optimizer:
    is_ours = config.optimizer in OPTIMIZERS
    cls: Any = OPTIMIZERS[config.optimizer] if is_ours else find_class(config.optimizer, "train.optimizer")
    check_arguments(cls, config.optimizer_options, _WHAT, _TAKEN)
    arguments: Dict[str, Any] = {"lr": config.lr, **config.optimizer_options}
    takes_decay = "weight_decay" in inspect.signature(cls).parameters
    if takes_decay:
        arguments["weight_decay"] = config.weight_decay
    elif config.weight_decay:
        raise ConfigError(f"{config.optimizer} takes no weight_decay. Set train.weight_decay=0.")
    try:
        optimizer: Optimizer = cls(parameters, **arguments)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{config.optimizer} cannot be made with {arguments}: {error}.") from error
    return optimizer
