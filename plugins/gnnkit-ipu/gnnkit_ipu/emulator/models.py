"""Wrapping models, for training and for inference."""

# ruff: noqa: N802 - PopTorch's names.
from __future__ import annotations

from typing import Optional

import torch
from torch import nn

from . import optim
from .executor import PoplarExecutor
from .options import Options
from .restrictions import refuse
from .wrapping import is_wrapped

_VERSION = "3.4.0"


def trainingModel(
    model: nn.Module, options: Optional[Options] = None, optimizer: Optional[torch.optim.Optimizer] = None
) -> PoplarExecutor:
    """Wrap a module whose forward computes the loss: a call runs forward, backward and update.

    Args:
        model: The module.
        options: Settings; frozen from now on.
        optimizer: SGD with rate 0.01 if not given.

    Raises:
        RestrictionError: The model is wrapped already, or the optimiser is none of the device's.
    """
    model = model._user_model if isinstance(model, PoplarExecutor) else model
    if is_wrapped(model):
        refuse(26, f"{type(model).__name__} is wrapped by trainingModel already", where="")
    optimizer = optim.SGD(model.parameters(), lr=0.01) if optimizer is None else optimizer
    return PoplarExecutor(model, options, True, _VERSION, optimizer, model)


def inferenceModel(model: nn.Module, options: Optional[Options] = None) -> PoplarExecutor:
    """Wrap a module for running it forward only.

    Args:
        model: The module.
        options: Settings; frozen from now on.

    Raises:
        RestrictionError: The options accumulate gradients.
    """
    model = model._user_model if isinstance(model, PoplarExecutor) else model
    return PoplarExecutor(model, options, False, _VERSION, None, model)
