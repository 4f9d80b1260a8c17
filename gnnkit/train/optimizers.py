"""Which optimiser updates the weights: by name, a class, or a function of the user's own."""

from __future__ import annotations

import inspect
from dataclasses import replace
from typing import Any, Callable, Dict, Mapping, Optional, Sequence, Tuple, Type

from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer, RMSprop, SparseAdam

from gnnkit.classes import check_arguments, class_path, find_class
from gnnkit.devices import eager_class, optimizer_parts, torch_class
from gnnkit.errors import ConfigError
from gnnkit.nn.failures import OUT_OF_MEMORY
from gnnkit.train.settings import OPTIMIZER_NAMES, TrainConfig
from gnnkit.train.sparse import join_table

OPTIMIZERS: Mapping[str, Type[Optimizer]] = {"adam": Adam, "adamw": AdamW, "sgd": SGD, "rmsprop": RMSprop}
"""Optimisers by name. Any other is ``module:Class``."""
assert set(OPTIMIZERS) == set(OPTIMIZER_NAMES)

MakeOptimizer = Callable[..., Optimizer]
"""A class, which is called with the settings, or a function from the parameters to their optimiser, which decides them.
"""

_WHAT = "train.optimizer_options"
_TAKEN = ("self", "params", "lr", "weight_decay")


def make_optimizer(
    config: TrainConfig,
    parameters: Sequence[nn.Parameter],
    given: Optional[MakeOptimizer] = None,
    *,
    table: Optional[nn.Parameter] = None,
) -> Tuple[Optimizer, TrainConfig]:
    """The optimiser of a training.

    Args:
        config: Its settings.
        parameters: What is trained.
        given: Makes it; None makes what the settings name.
        table: That of the parameters which has sparse gradients. SGD takes them as they are, beside Adam an
            optimiser of its own has to.

    Returns:
        The optimiser, and the settings with the learning rate and the weight decay that it has.

    Raises:
        ConfigError: The class is not known here, takes other options, or cannot update without calling the model.

    Example:
        >>> config = TrainConfig(optimizer="sgd", lr=0.1, optimizer_options={"momentum": 0.9})
        >>> make_optimizer(config, [nn.Parameter()])[0].param_groups[0]["momentum"]
        0.9
    """
    if table is not None and config.optimizer == "adam":
        others = [parameter for parameter in parameters if parameter is not table]
        rest = make_optimizer(config, others, given)[0] if others else None
        return join_table(config, rest, table), config
    decides = given is not None and not isinstance(given, type)
    optimizer = given(parameters) if given is not None and decides else _from_class(config, parameters, given)
    if not isinstance(optimizer, Optimizer):
        raise ConfigError(f"optimizer gives a {type(optimizer).__qualname__}, expected a torch.optim.Optimizer.")
    _check_step(optimizer)
    if isinstance(optimizer, SparseAdam):
        raise ConfigError(
            "SparseAdam takes sparse gradients alone, which only learnt embeddings of nodes have. Take optimizer "
            "'adam' with sparse_embeddings=True, which updates the embeddings by SparseAdam."
        )
    if decides:
        group = optimizer.param_groups[0]
        config = replace(config, lr=float(group["lr"]), weight_decay=float(group.get("weight_decay", 0.0)))
    return optimizer, config


def short_name(path: str) -> str:
    """The name of an optimiser that has one, for ``module:Class``; others keep that.

    Example:
        >>> short_name("torch.optim:Adam"), short_name("torch.optim:Adagrad")
        ('adam', 'torch.optim:Adagrad')
    """
    for name, cls in OPTIMIZERS.items():
        if path in (class_path(cls), f"torch.optim:{cls.__name__}"):
            return name
    return path


def optimizer_name(optimizer: Optimizer) -> str:
    """What a configuration calls an optimiser: its name, or ``module:Class``."""
    return short_name(class_path(torch_class(optimizer_parts(optimizer)[0])))


def _check_step(optimizer: Optimizer) -> None:
    closure = inspect.signature(type(optimizer).step).parameters.get("closure")
    if closure is not None and closure.default is inspect.Parameter.empty:
        raise ConfigError(
            f"{type(optimizer).__qualname__} calls the model several times in an update, which a step does not offer. "
            f"Take another optimiser, such as {', '.join(OPTIMIZERS)}."
        )


def _from_class(config: TrainConfig, parameters: Sequence[nn.Parameter], cls: Any) -> Optimizer:
    name = config.optimizer
    if cls is None:
        cls = OPTIMIZERS[name] if name in OPTIMIZERS else find_class(name, "train.optimizer", (Optimizer,))
    check_arguments(cls, config.optimizer_options, _WHAT, _TAKEN)
    arguments: Dict[str, Any] = {"lr": config.lr, **config.optimizer_options}
    takes_decay = "weight_decay" in inspect.signature(cls).parameters
    if takes_decay:
        arguments["weight_decay"] = config.weight_decay
    elif config.weight_decay:
        raise ConfigError(f"{name} takes no weight_decay. Set train.weight_decay=0.")
    try:
        made = eager_class(cls) if cls in OPTIMIZERS.values() else cls
        optimizer: Optimizer = made(parameters, **arguments)
    except OUT_OF_MEMORY:
        raise
    except Exception as error:  # What a constructor makes of arguments that it does not like is its own choice.
        raise ConfigError(f"{name} cannot be made with {arguments}: {error}.") from error
    return optimizer
