"""The module that a step runs: the encoder with its task's head and loss.

Rules: what a head keeps is canonical as it is, under names that begin with ``task.``, beside the encoder's.
"""

from __future__ import annotations

from typing import Dict, Mapping, Optional, Tuple

import torch
from torch import Tensor, nn

from gnnkit.data import Batch
from gnnkit.errors import CheckpointError, ConfigError
from gnnkit.nn import GNN, forked_generator
from gnnkit.nn.parameters import name_seed
from gnnkit.tasks.base import Head, Task

PREFIX = "task."
"""What canonical names of a head's parameters begin with."""


class LossModule(nn.Module):
    """An encoder and its task as one module, because compiled devices need the loss inside.

    Args:
        model: The encoder: computes a row for each destination from blocks and features.
        task: Gives the head, and the loss of its outputs.
        seed: Of the head's initial parameters. None: the model's.

    Attributes:
        model: The encoder.
        task: The task.
        head: What stands around the encoder.

    Raises:
        ConfigError: The encoder has parameters whose names are those of a head.
    """

    def __init__(self, model: GNN, task: Task, seed: Optional[int] = None) -> None:
        super().__init__()
        self.model = model
        self.task = task
        with forked_generator():
            torch.manual_seed(name_seed(PREFIX, model.seed if seed is None else seed))
            self.head: Head = task.head(model.spec.out_channels)
        if self.has_head:
            taken = [name for name in model.parameters_by_name() if name.startswith(PREFIX)]
            if taken:
                raise ConfigError(f"The model's parameter {taken[0]!r} has a name of the task's head. Rename it.")

    @property
    def has_head(self) -> bool:
        """Whether the head does or keeps anything."""
        return type(self.head) is not Head

    def forward(self, batch: Batch) -> Tuple[Tensor, Tensor]:
        """Compute the loss and the outputs of a batch.

        Returns:
            The mean loss over the batch's targets (scalar; 0 for a batch without) and the head's outputs; for a batch
            without targets the encoder's, [num_dst, width].
        """
        targets = batch.targets
        graphs = () if batch.graphs is None else (batch.graphs,)  # Models of nodes take two arguments.
        if targets is None:
            outputs = self.model(batch.blocks, batch.x, *graphs)
            return outputs.new_zeros(()), outputs
        outputs = self.head(self.model(batch.blocks, self.head.inputs(batch.x, targets), *graphs), targets)
        return self.task.batch_loss(outputs, targets), outputs

    def weight(self, batch: Batch) -> float:
        """What the loss of a batch is a mean over; a user's own loss is one over targets."""
        if batch.targets is None:
            return 0.0
        return float(batch.num_targets) if self.task.custom_loss is not None else self.task.weight(batch.targets)

    def canonical_state(self) -> Dict[str, Tensor]:
        """All parameters and buffers under canonical names, the head's among them, in host memory."""
        return {**self.model.canonical_state(), **_head_state(self.head)}

    def load_canonical(self, values: Mapping[str, Tensor]) -> None:
        """Load what :meth:`canonical_state` gave.

        Raises:
            CheckpointError: Names or shapes differ; nothing has been loaded.
        """
        # Without a head, what begins so is a custom module's own.
        own = {name: value for name, value in values.items() if self.has_head and name.startswith(PREFIX)}
        expected = {name: tuple(value.shape) for name, value in _head_state(self.head).items()}
        if {name: tuple(value.shape) for name, value in own.items()} != expected:
            raise CheckpointError(
                f"The weights hold {_words(own)} for the head of task {self.task.name!r}, expected {_words(expected)}."
            )
        self.model.load_canonical({name: value for name, value in values.items() if name not in own})
        self.load_head({name[len(PREFIX) :]: value for name, value in own.items()})

    def load_head(self, values: Mapping[str, Tensor]) -> bool:
        """Load a head's parameters by their own names, if they are those of this one; returns whether they are."""
        state = self.head.state_dict()
        if {name: value.shape for name, value in values.items()} != {name: v.shape for name, v in state.items()}:
            return False
        with torch.no_grad():
            for name, value in values.items():
                state[name].copy_(value)
        return True

    def parameters_by_name(self) -> Dict[str, nn.Parameter]:
        """Trainable parameters by canonical name; their layout is the library's."""
        own = {f"{PREFIX}{name}": parameter for name, parameter in self.head.named_parameters()}
        return {**self.model.parameters_by_name(), **own}


def _head_state(head: nn.Module) -> Dict[str, Tensor]:
    state = head.state_dict()
    return {f"{PREFIX}{name}": value.detach().cpu().clone() for name, value in state.items()}


def _words(names: Mapping[str, object]) -> str:
    return ", ".join(names) or "nothing"
