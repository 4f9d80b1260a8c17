"""Judging what a model gives for the items of a split, in host memory."""

from __future__ import annotations

import copy
import logging
import math
from typing import Optional

import torch
from torch import Tensor

from gnnkit.data import Targets
from gnnkit.tasks import LossModule, Task
from gnnkit.tasks.base import CLASSES, LABELS, NUMBERS

_LOG = logging.getLogger(__name__)


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


def batch_metric(task: Task, outputs: Tensor, targets: Optional[Targets]) -> Optional[float]:
    """The task's metric of a batch; None where it has none, because a batch is not judged as a split is.

    Args:
        task: What is trained.
        outputs: Of a step, on any device. Shape [N, C].
        targets: Of its batch.
    """
    is_judged_alike = task.outputs in (CLASSES, LABELS, NUMBERS) and not task.needs_training_outputs
    y = None if targets is None else targets.y
    if not is_judged_alike or targets is None or y is None or len(y) != len(outputs):  # Some outputs come later.
        return None
    real = torch.ones(len(y), dtype=torch.bool) if targets.mask is None else targets.mask.cpu()
    kept = Targets.of_labels(y.cpu()[real])
    try:
        value = task.judge(outputs.cpu()[real].float(), kept)[task.metric]
    # Metrics of users and of OGB are made for whole splits. What is only shown must not end a training.
    except Exception as error:
        _LOG.debug("The metric %s of a batch: %s: %s", task.metric, type(error).__name__, error)
        return None
    return value if math.isfinite(value) else None
