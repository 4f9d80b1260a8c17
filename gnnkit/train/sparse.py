"""Whether a table of embeddings is updated by sparse gradients, and by which optimiser.

Rules: what a sparse update cannot do as the user asked is refused where the user insists, and else done by dense
gradients. What is decided is recorded, because the two give other numbers.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Optional

from torch import nn
from torch.optim import Optimizer, SparseAdam

from gnnkit.devices import Device, JoinedOptimizer
from gnnkit.devices.base import SPARSE
from gnnkit.errors import ConfigError
from gnnkit.train.settings import TrainConfig

SPARSE_VALUES = 1 << 24
"""Values of a table from which on sparse gradients are taken where nothing is said."""

_BY_SPARSE_ADAM = ("betas", "eps", "maximize")
"""Options of Adam that torch's SparseAdam has, too; the others left say how Adam computes."""
_REACHING_ALL = {
    "adam": ("amsgrad", "decoupled_weight_decay", "differentiable"),
    "sgd": ("momentum", "differentiable"),
}
"""Options that a sparse update does not do, by optimiser."""


def decide_sparse(config: TrainConfig, table: Optional[nn.Parameter], device: Device) -> TrainConfig:
    """The settings with the decision in ``sparse_embeddings``; as they are for a model without embeddings.

    Args:
        config: Resolved settings.
        table: The embeddings, if the model learns some: trained ones.
        device: Runs the steps.

    Raises:
        ConfigError: Sparse gradients are insisted on, and something else does not go with them.
    """
    if table is None and not config.sparse_embeddings:
        return config
    problem = _problem(config, table)
    if config.sparse_embeddings and problem is not None:
        raise ConfigError(f"train.sparse_embeddings is true, but {problem}")
    if config.sparse_embeddings is not None or table is None:
        return config
    pays = config.is_sampled and table.numel() >= SPARSE_VALUES
    return replace(config, sparse_embeddings=pays and problem is None and SPARSE in device.capabilities.updates)


def _problem(config: TrainConfig, table: Optional[nn.Parameter]) -> Optional[str]:
    """Why gradients must be dense, and the way out."""
    name = config.optimizer
    if table is None:
        return "the model trains no embeddings of nodes. Leave it out."
    if name not in _REACHING_ALL:
        return f"optimiser {name!r} takes no sparse gradients; adam and sgd do."
    for option in _REACHING_ALL[name]:
        if config.optimizer_options.get(option):
            return f"{option} of {name!r} needs gradients of all rows. Leave out train.optimizer_options.{option}."
    if config.weight_decay:
        return f"weight_decay {config.weight_decay} changes all rows at every update. Set train.weight_decay=0."
    if config.average is not None:
        return f"train.average={config.average} goes over all rows at every update. Leave it out."
    return None


def join_table(config: TrainConfig, rest: Optional[Optimizer], table: nn.Parameter) -> Optimizer:
    """Adam's sparse form for a table, beside the optimiser of the other parameters.

    Args:
        config: Settings from :func:`decide_sparse`, with optimiser "adam".
        rest: Updates the other parameters; None if there are none.
        table: The table.

    Example:
        >>> table = nn.Embedding(4, 2, sparse=True).weight
        >>> join_table(TrainConfig(lr=0.1), None, table).param_groups[0]["lr"]
        0.1
    """
    options = {name: value for name, value in config.optimizer_options.items() if name in _BY_SPARSE_ADAM}
    own = SparseAdam([table], lr=config.lr, **options)
    return own if rest is None else JoinedOptimizer(rest, own)
