"""Judging what a model gives for the items of a split, in host memory."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from gnnkit.data import Targets
from gnnkit.tasks import LossModule


def head_outputs(module: LossModule, h: Tensor, targets: Targets) -> Tensor:
    """What the task makes of the encoder's outputs, computed in host memory.

    Args:
        module: With the weights of just now, on any device.
        h: The encoder's outputs, in host memory. Shape [M, width].
        targets: Of the same items; rows are positions among the outputs.
    """
    if not module.has_head:
        return h
    head = copy.deepcopy(module.head).cpu().eval().to(h.dtype)
    with torch.no_grad():
        return module.task.score(head, h, targets)
