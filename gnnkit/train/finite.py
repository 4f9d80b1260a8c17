"""Training goes on with finite numbers alone: losses, weights, outputs.

Rules: a loss in host memory is looked at as soon as the step returns it, one on another device every few batches and
at the end of the epoch, so that no step waits for it; weights are looked at before they are evaluated or saved.
"""

from __future__ import annotations

import math
from typing import List, Optional, Tuple

import torch
from torch import Tensor

from gnnkit.devices import Step, StepResult
from gnnkit.errors import TrainingError
from gnnkit.tasks import LossModule

_LOOK_EVERY = 32
"""Batches after which losses on another device are looked at; each look waits for the device."""
_CHUNK = 1 << 24
"""Values that are looked at at a time."""


class Losses:
    """The losses of one epoch.

    Args:
        epoch: Counted from 1.
        module: What is trained.
        step: The step that trains it.
        lr: The learning rate.
        before: Sum of losses times targets, and number of targets, of batches that another process has done.
    """

    def __init__(
        self, epoch: int, module: LossModule, step: Step, lr: float, before: Tuple[float, int] = (0.0, 0)
    ) -> None:
        self._epoch = epoch
        self._module = module
        self._step = step
        self._lr = lr
        self._before = before
        self._found: List[Tuple[int, Tensor, int]] = []
        self._num_seen = 0
        self._seen = before
        self._gradient_norm: Optional[Tensor] = None

    def __len__(self) -> int:
        """Number of batches, but those of another process."""
        return len(self._found)

    @property
    def num_targets(self) -> int:
        """Targets of all batches, but those of another process."""
        return sum(count for _, _, count in self._found)

    def add(self, index: int, result: StepResult) -> Optional[float]:
        """Take in a batch's loss.

        Returns:
            The mean over the epoch so far, where losses have just been looked at.

        Raises:
            TrainingError: This loss, or one that was not looked at before, is NaN or infinite.
        """
        self._found.append((index, result.loss, result.num_targets))
        self._gradient_norm = result.gradient_norm
        if result.loss.device.type == "cpu" or len(self._found) - self._num_seen >= _LOOK_EVERY:
            start = self._num_seen
            for value, (_, _, count) in zip(self._check(start), self._found[start:]):
                self._seen = self._seen[0] + value * count, self._seen[1] + count
            return self._seen[0] / max(self._seen[1], 1)
        return None

    def mean(self) -> float:
        """Mean over all targets, once the device is done with all batches: some fill losses in later.

        Raises:
            TrainingError: A loss is NaN or infinite.
        """
        total, num_targets = self.total(len(self))
        return total / max(num_targets, 1)

    @property
    def gradient_norm(self) -> Optional[float]:
        """That of the last update, once the device is done with all batches. None where nothing was clipped."""
        return None if self._gradient_norm is None else float(self._gradient_norm)

    def total(self, num: int) -> Tuple[float, int]:
        """Sum of losses times targets, and number of targets, of all batches up to the first ``num`` of this process.

        Raises:
            TrainingError: A loss is NaN or infinite.
        """
        total, num_targets = self._before
        for value, (_, _, count) in zip(self._check(0), self._found[:num]):
            total, num_targets = total + value * count, num_targets + count
        return total, num_targets

    def _check(self, start: int) -> List[float]:
        values = [float(loss) for _, loss, _ in self._found[start:]]
        for value, (index, _, _) in zip(values, self._found[start:]):
            if not math.isfinite(value):
                self._step.pull()
                where = f"epoch {self._epoch}, batch {index}"
                raise diverged(f"the loss of {where} is {value}", self._module, self._lr)
        self._num_seen = len(self._found)
        return values


def check_weights(module: LossModule, epoch: int, lr: float) -> None:
    """Refuse to go on with weights that are NaN or infinite.

    Args:
        module: With the weights of just now in host memory or on its device.
        epoch: The epoch that has ended, counted from 1.
        lr: The learning rate.

    Raises:
        TrainingError: One is.
    """
    with torch.no_grad():
        sums = [parameter.sum() for parameter in module.parameters()]
        # Finite numbers can have an infinite sum, so that a sum alone is no proof.
        if sums and not math.isfinite(float(torch.stack([part.float() for part in sums]).sum())):
            for name, parameter in module.parameters_by_name().items():
                if not bool(parameter.isfinite().all()):
                    raise diverged(f"weights {name} are not finite after epoch {epoch}", module, lr)


def check_outputs(outputs: Tensor, what: str, module: LossModule, epoch: int, lr: float) -> None:
    """Refuse to judge outputs that are NaN or infinite.

    Args:
        outputs: Shape [N, C].
        what: Name of the split.
        module: What gave them.
        epoch: The epoch that has ended, counted from 1.
        lr: The learning rate.

    Raises:
        TrainingError: One is.
    """
    rows = max(1, _CHUNK // max(1, outputs.shape[1]))
    parts = (outputs[start : start + rows] for start in range(0, len(outputs), rows))
    broken = sum(int((~part.isfinite()).any(dim=1).sum()) for part in parts)
    if broken:
        problem = f"the outputs of {broken:,} of {len(outputs):,} {what} nodes are not finite after epoch {epoch}"
        raise diverged(problem, module, lr)


def diverged(problem: str, module: LossModule, lr: float) -> TrainingError:
    """The error that ends a training.

    Args:
        problem: What is not finite, and when.
        module: Its norms are told.
        lr: The learning rate.
    """
    weights = _norm([parameter.detach() for parameter in module.parameters()]) or 0.0
    gradients = _norm([parameter.grad for parameter in module.parameters() if parameter.grad is not None])
    norms = f"norm of the weights {weights:.3g}"
    if gradients is not None:
        norms += f", of the gradients {gradients:.3g}"
    return TrainingError(
        f"Training diverged: {problem} (learning rate {lr:g}, {norms}). Lower train.lr, set train.clip_norm, or look "
        "for very large features. What was saved before is kept."
    )


def _norm(tensors: List[Tensor]) -> Optional[float]:
    return math.sqrt(sum(float(tensor.double().square().sum()) for tensor in tensors)) if tensors else None
