"""The module that a step runs: the model with its loss."""

from __future__ import annotations

from typing import Tuple

from torch import Tensor, nn

from gnnkit.data import Batch
from gnnkit.nn import GNN
from gnnkit.tasks.base import Task


class LossModule(nn.Module):
    """A model and its task as one module, because compiled devices need the loss inside.

    Args:
        model: Computes outputs from blocks and features.
        task: Computes the loss from outputs and targets.
    """

    def __init__(self, model: GNN, task: Task) -> None:
        super().__init__()
        self.model = model
        self.task = task

    def forward(self, batch: Batch) -> Tuple[Tensor, Tensor]:
        """Compute the loss and the outputs of a batch.

        Returns:
            The mean loss over the batch's targets (scalar; 0 where the batch has no targets) and the outputs,
            [num_dst, out_channels].
        """
        outputs = self.model(batch.blocks, batch.x)
        loss = outputs.new_zeros(()) if batch.targets is None else self.task.loss(outputs, batch.targets)
        return loss, outputs
