"""What a model says about nodes: the ``Predictions`` record."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Tuple

from torch import Tensor

from gnnkit.errors import ConfigError

THRESHOLD = 0.5
"""Probability from which a node counts as a member of a class, where it may have several."""


@dataclass(frozen=True, eq=False)
class Predictions:
    """Outputs of a model for nodes, and what they mean. M is the number of nodes, C of classes.

    Attributes:
        nodes: Node ids in the graph, in the order asked for. Shape [M], int64.
        outputs: Logits, or numbers in the data's units; in host memory or mapped from a temporary file. Shape [M, C],
            float32; float64 where that is the run's precision.
        is_multi_label: Whether a node can belong to several classes at once.
        class_names: Names of the classes or numbers that the model has learned, in the order of its outputs. Empty if
            it knows none.
        are_numbers: Whether outputs are numbers, which have no classes and no probabilities.

    Example:
        >>> import torch
        >>> said = Predictions(torch.tensor([7]), torch.tensor([[0.0, 2.0]]), class_names=("cat", "dog"))
        >>> said.classes.tolist(), [round(p, 2) for p in said.probabilities[0].tolist()]
        ([1], [0.12, 0.88])
    """

    nodes: Tensor
    outputs: Tensor
    is_multi_label: bool = False
    class_names: Tuple[str, ...] = ()
    are_numbers: bool = False

    @property
    def probabilities(self) -> Tensor:
        """Probability of every class: by softmax, or for multi-label data each by its own sigmoid. Shape [M, C].

        Raises:
            ConfigError: Outputs are numbers.
        """
        self._check_classes()
        return self.outputs.sigmoid() if self.is_multi_label else self.outputs.softmax(dim=1)

    @property
    def classes(self) -> Tensor:
        """The most probable class of each node, shape [M], int64; for multi-label data, membership, [M, C], bool.

        Raises:
            ConfigError: Outputs are numbers.
        """
        self._check_classes()
        return self.outputs.sigmoid() >= THRESHOLD if self.is_multi_label else self.outputs.argmax(dim=1)

    def _check_classes(self) -> None:
        if self.are_numbers:
            raise ConfigError("The model gives numbers, which have no classes. Take the outputs.")

    def __len__(self) -> int:
        """Number of nodes."""
        return self.nodes.numel()

    def part(self, start: int, stop: int) -> Predictions:
        """The predictions from one position up to another, by reference."""
        return replace(self, nodes=self.nodes[start:stop], outputs=self.outputs[start:stop])
