"""Judging what a model gives for the items of a split, in host memory."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from gnnkit.data import Graph, Targets
from gnnkit.tasks import LossModule, Task


def judged_targets(task: Task, graph: Graph, split: str) -> Targets:
    """What is true of the items of a split.

    Args:
        task: Says which items these are.
        graph: From :meth:`gnnkit.tasks.Task.labelled`.
        split: Its name.
    """
    assert graph.y is not None, "the task has found labels"
    return Targets.of_labels(graph.y[task.items(graph, split).ids])


def head_outputs(module: LossModule, h: Tensor, targets: Targets) -> Tensor:
    """What the head makes of the encoder's outputs, computed in host memory.

    Args:
        module: With the weights of just now, on any device.
        h: The encoder's outputs, in host memory. Shape [M, width].
        targets: Of the same items.
    """
    if not module.has_head:
        return h
    head = copy.deepcopy(module.head).cpu().eval().to(h.dtype)
    with torch.no_grad():
        return head(h, targets)  # type: ignore[no-any-return]
