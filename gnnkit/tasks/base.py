"""The ``Task`` interface: what is learned, from which nodes, and how the result is judged.

Rules: the loss sees outputs and targets of a batch and nothing else, because it is part of a device's step. Judging
happens in host memory, on labels of nodes that no training has seen. A task knows of no backend and no device.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Callable, ClassVar, Dict, Mapping, Optional, Tuple

from torch import Tensor

from gnnkit.data import IGNORED_LABEL, SPLITS, Graph, Targets
from gnnkit.errors import DataError
from gnnkit.loading import Draw

Readout = Callable[[Tensor], Tensor]
"""From outputs [N, out_channels] to scores [N, C], both in host memory."""


class Task(ABC):
    """What the Trainer needs to know about what it trains for.

    Attributes:
        name: What users type after ``--task``, and what capabilities call it.
        settings: Names of the training's settings that :meth:`for_graph` takes.
        preset: Defaults in the sections "model" and "train" of a configuration; what the user says wins.
        needs_batches: Whether it learns from sampled batches alone.
        needs_training_outputs: Whether :meth:`readout` needs the outputs of the training nodes.
        metric: The metric that picks the best model; it comes first in every report.
    """

    name: ClassVar[str]
    settings: ClassVar[Tuple[str, ...]] = ()
    preset: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    needs_batches: ClassVar[bool] = False
    needs_training_outputs: ClassVar[bool] = False
    metric: str

    @classmethod
    @abstractmethod
    def for_graph(cls, graph: Graph, **settings: Any) -> Task:
        """The task on a graph.

        Args:
            graph: With features, labels and splits.
            settings: Those that the class names.

        Raises:
            DataError: The graph lacks something.
        """

    @abstractmethod
    def loss(self, outputs: Tensor, targets: Targets) -> Tensor:
        """Mean loss over the targets of a batch; 0 for a batch without targets.

        Args:
            outputs: Shape [N, out_channels].
            targets: ``Batch.targets``; those outside its ``mask`` do not count. ``num`` says nothing here, because
                compiled steps see tensors alone.
        """

    def num_outputs(self, graph: Graph) -> Optional[int]:
        """How many outputs a model must have per node; None: any number."""
        return None

    def training_nodes(self, graph: Graph) -> Tensor:
        """The nodes that an epoch goes through. Shape [n], int64."""
        return graph.splits["train"]

    def draw(self, graph: Graph, seed: int) -> Optional[Draw]:
        """What draws a sampled batch's seeds and targets from its nodes; None: the nodes with their labels.

        Args:
            graph: The prepared graph.
            seed: Seed of what is drawn.
        """
        return None

    def readout(self, outputs: Tensor, y: Tensor) -> Readout:
        """How outputs become scores that can be judged. Here they are scores already.

        Args:
            outputs: Of the training nodes. Shape [N, out_channels].
            y: Their labels. Shape [N] or [N, C].
        """
        return _unchanged

    @abstractmethod
    def validation_loss(self, scores: Tensor, y: Tensor) -> Tensor:
        """Mean loss of scores [N, C] of nodes with labels, which decides between equals by metric."""

    @abstractmethod
    def evaluate(self, scores: Tensor, y: Tensor) -> float:
        """The metric that picks the best model, for scores [N, C] and labels in host memory."""

    @abstractmethod
    def evaluate_all(self, scores: Tensor, y: Tensor) -> Dict[str, float]:
        """All metrics that fit the data, the one that picks the best model first."""


def _unchanged(outputs: Tensor) -> Tensor:
    return outputs


def check_learnable(graph: Graph, task: str) -> None:
    """Refuse a graph that lacks what learning and judging need.

    Args:
        graph: The graph.
        task: What the message calls the task.

    Raises:
        DataError: No features, no labels, or no split to train, validate or test on, or one without a labelled node.
    """
    for name, value in (("x", graph.x), ("y", graph.y)):
        if value is None:
            raise DataError(name, f"the graph has none, {task} needs them.", fix=f"Pass {name}=... .")
    for split in SPLITS:
        if split not in graph.splits or not graph.splits[split].numel():
            raise DataError(
                f"splits[{split!r}]", "is empty or missing.", fix="Give node ids for train, valid and test."
            )
    assert graph.y is not None
    for split in SPLITS:
        if not bool((graph.y[graph.splits[split]] != IGNORED_LABEL).any()):
            raise DataError(
                f"splits[{split!r}]",
                f"none of its {graph.splits[split].numel():,} nodes has a label, {task} needs one at least.",
                fix="Give labels to some of them, or put nodes that have one into this split.",
            )
