"""The ``Task`` interface: what is learned, from which items, and how the result is judged.

Rules: the loss sees outputs and targets of a batch and nothing else, because it is part of a device's step. Judging
happens in host memory, on items that no training has seen. A task knows of no backend and no device. Everything that it
draws is keyed by seed, epoch and item.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Callable, ClassVar, Dict, FrozenSet, List, Mapping, NamedTuple, Optional, Type, TypeVar

from torch import Tensor, nn

from gnnkit.data import SPLITS, Graph, Items, Targets, missing_array
from gnnkit.errors import DataError
from gnnkit.loading import Draw
from gnnkit.options import NoOptions, Option, describe_options
from gnnkit.tasks.metrics import Metric
from gnnkit.tasks.units import Units

T = TypeVar("T", bound="Task")

Readout = Callable[[Tensor], Tensor]
"""From outputs [N, width] to scores [N, C], both in host memory."""

Loss = Callable[[Tensor, Targets], Tensor]
"""From outputs and targets of a batch to their mean loss, a scalar."""

FREE_SHAPES = "free_shapes"
"""What a loss may need of a device: shapes inside it depend on values."""

NEEDS = frozenset({FREE_SHAPES})
"""All that a loss may need of a device, and a device may offer."""

CLASSES, LABELS, NUMBERS, EMBEDDINGS, SCORES = "classes", "labels", "numbers", "embeddings", "scores"
"""What outputs of a model can be: one class an item, several labels an item, numbers, vectors that mean nothing, or how
likely two nodes have an edge."""


class Judged(NamedTuple):
    """What is judged in a split.

    Attributes:
        nodes: Nodes whose outputs of the encoder are needed. Shape [M], int64.
        targets: What is true; rows are positions among these nodes.
    """

    nodes: Tensor
    targets: Targets


class Head(nn.Module):
    """What stands around the encoder for a task. This one changes nothing.

    Parameters of a head are drawn by the seed and kept with the model's, under names that begin with ``task.``.
    """

    def inputs(self, x: Tensor, targets: Targets) -> Tensor:
        """What the encoder reads. A task whose head changes it declares :attr:`Task.changes_inputs`.

        Args:
            x: Features of the first block's source nodes, the batch's seeds first. Shape [num_src, F].
            targets: Those of the batch.
        """
        return x

    def forward(self, h: Tensor, targets: Targets) -> Tensor:
        """Outputs from what the encoder gives.

        Args:
            h: A row for each of the last block's destinations. Shape [num_dst, width].
            targets: Those of the batch; of items that are judged, without rows.
        """
        return h


class Task(ABC):
    """What the Trainer needs to know about what it trains for. Plugins of the group ``gnnkit.tasks`` derive from it.

    Args:
        options: An instance of ``options_class``; None takes the defaults.

    Attributes:
        name: What users type after ``--task``: the name of the entry point.
        api_version: Version of the plugin interface that the class was written for.
        summary: One line for ``gnnkit tasks``.
        options_class: A dataclass whose fields, all with defaults, are the task's settings: users give them under
            ``task_options`` and read its docstring in ``gnnkit run --help-config``.
        preset: Defaults in the sections "model" and "train" of a configuration; what the user says wins.
        needs: What its loss needs of a device besides tensors of fixed shapes: "free_shapes" where shapes depend on
            values. A device that does not declare it is refused.
        needs_batches: Whether it learns from sampled batches alone; so do all tasks that draw their targets.
        needs_training_outputs: Whether :meth:`readout` needs the outputs of the training nodes.
        changes_inputs: Whether its head changes features before the encoder reads them. Nothing of the first layer is
            then computed while loading.
        needs_features: Whether data without node features are refused unless the user asks for learnt embeddings of
            nodes. Where it is False, the model learns them by itself, as wide as its hidden layers.
        needs_relations: Whether its items are pairs with a relation, so that it learns from typed graphs alone, and its
            targets' ``y`` are relations.
        level: What its items are: "nodes" or "edges".
        outputs: What outputs are: "classes", "labels", "numbers", "embeddings" or "scores".
        metrics: How outputs are judged, by name; the first one picks the best model.
        units: How outputs that are numbers are brought into the data's units. None for other outputs.
        custom_loss: What the user gave instead of :meth:`loss`.
        options: The settings.
    """

    name: ClassVar[str]
    api_version: ClassVar[int]
    summary: ClassVar[str] = ""
    options_class: ClassVar[Type[Any]] = NoOptions
    preset: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    needs: ClassVar[FrozenSet[str]] = frozenset()
    needs_batches: ClassVar[bool] = False
    needs_training_outputs: ClassVar[bool] = False
    changes_inputs: ClassVar[bool] = False
    level: ClassVar[str] = "nodes"
    needs_features: ClassVar[bool] = True
    needs_relations: ClassVar[bool] = False
    outputs: str = CLASSES
    metrics: Mapping[str, Metric]
    units: Optional[Units] = None
    custom_loss: Optional[Loss] = None
    options: Any

    def __init__(self, options: Any = None) -> None:
        self.options = self.options_class() if options is None else options

    @classmethod
    def describe_options(cls) -> List[Option]:
        """All options in words."""
        return describe_options(cls.options_class)

    @classmethod
    def arrange(cls, graph: Graph, options: Any, seed: int) -> Graph:
        """The graph with the items of this task, split where the data do not say how. Done before anything else.

        Args:
            graph: As loaded. One that has been arranged stays as it is.
            options: An instance of ``options_class``.
            seed: The run's.
        """
        return graph

    @classmethod
    @abstractmethod
    def for_graph(cls: Type[T], graph: Graph, options: Any) -> T:
        """The task on a graph.

        Args:
            graph: From :meth:`arrange`, with features, labels and splits, not prepared.
            options: An instance of ``options_class``.

        Raises:
            DataError: The graph lacks something.
            ConfigError: An option does not fit the graph.
        """

    @abstractmethod
    def loss(self, outputs: Tensor, targets: Targets) -> Tensor:
        """Mean loss over the targets of a batch; 0 for a batch without targets.

        Args:
            outputs: What the head gives.
            targets: ``Batch.targets``; those outside its ``mask`` do not count. ``num`` says nothing here, because
                compiled steps see tensors alone.
        """

    def batch_loss(self, outputs: Tensor, targets: Targets) -> Tensor:
        """The loss that is trained: the user's own if there is one, else :meth:`loss`."""
        return (self.custom_loss or self.loss)(outputs, targets)

    def weight(self, targets: Targets) -> float:
        """What :meth:`loss` is a mean over, so that losses of parts of a batch make up that of the whole.

        Args:
            targets: Of the batch.

        Returns:
            The number of targets; where they do not count alike, the sum of their weights.
        """
        return float(targets.num)

    def num_outputs(self, graph: Graph) -> Optional[int]:
        """How many outputs the encoder must have per node; None: any number."""
        return None

    def labelled(self, graph: Graph) -> Graph:
        """The graph with what is learned and judged as ``y``, as :class:`gnnkit.data.Targets` has it."""
        return graph

    def items(self, graph: Graph, split: str) -> Items:
        """What an epoch goes through ("train"), or what is judged ("valid", "test").

        Args:
            graph: From :meth:`labelled`.
            split: Name of a split.
        """
        return Items("nodes", graph.splits[split])

    def judged(self, graph: Graph, split: str) -> Judged:
        """What is judged in a split.

        Args:
            graph: From :meth:`labelled`.
            split: Name of a split.
        """
        ids = self.items(graph, split).ids
        assert graph.y is not None, "the task has found labels"
        return Judged(ids, Targets.of_labels(graph.y[ids]))

    def draw(self, graph: Graph, seed: int) -> Optional[Draw]:
        """What a batch learns from its items; None: the nodes themselves with their labels.

        Args:
            graph: From :meth:`labelled`, prepared.
            seed: Seed of what is drawn.
        """
        return None

    def facts(self, graph: Graph, seed: int) -> Dict[str, Any]:
        """What the manifest of a run says about this task on these data, as plain values.

        Args:
            graph: From :meth:`labelled`, prepared.
            seed: Seed of what is drawn.
        """
        return {}

    def head(self, width: int) -> Head:
        """What stands around the encoder.

        Args:
            width: How wide the encoder's outputs are.
        """
        return Head()

    def score(self, head: Head, h: Tensor, targets: Targets) -> Tensor:
        """What is judged, from what the encoder gives. Computed in host memory.

        Args:
            head: The task's, with its weights of just now.
            h: A row for each of :attr:`Judged.nodes`.
            targets: Theirs.
        """
        scores: Tensor = head(h, targets)
        return scores

    def readout(self, outputs: Tensor, y: Tensor) -> Readout:
        """How outputs become scores that can be judged. Here they are scores already.

        Args:
            outputs: Of the training nodes. Shape [N, width].
            y: Their labels. Shape [N] or [N, C].
        """
        return _unchanged

    def judge(self, scores: Tensor, targets: Targets) -> Dict[str, float]:
        """All metrics, the one that picks the best model first.

        Args:
            scores: Of items in host memory. Shape [N, C].
            targets: Theirs.
        """
        assert targets.y is not None, "items that are judged have labels"
        return {name: metric(scores, targets.y) for name, metric in self.metrics.items()}

    def validation_loss(self, scores: Tensor, targets: Targets) -> Tensor:
        """Mean loss of what is judged, which decides between equals by metric."""
        return self.batch_loss(scores, targets)

    @property
    def metric(self) -> str:
        """The metric that picks the best model."""
        return next(iter(self.metrics))

    @property
    def higher_is_better(self) -> bool:
        """Whether a larger value of :attr:`metric` is better."""
        return self.metrics[self.metric].higher_is_better


def _unchanged(outputs: Tensor) -> Tensor:
    return outputs


def check_learnable(graph: Graph, task: str, known: Optional[Tensor]) -> None:
    """Refuse a graph that lacks what learning and judging need.

    Args:
        graph: The graph.
        task: What the message calls the task.
        known: Of which nodes something is known. Shape [N], bool. None: the graph has no labels.

    Raises:
        DataError: No labels, or no split to train, validate or test on, or one without a labelled node.
    """
    if known is None:
        raise missing_array("y", task)
    for split in SPLITS:
        if split not in graph.splits or not graph.splits[split].numel():
            raise DataError(
                f"splits[{split!r}]", "is empty or missing.", fix="Give node ids for train, valid and test."
            )
    for split in SPLITS:
        if not bool(known[graph.splits[split]].any()):
            raise DataError(
                f"splits[{split!r}]",
                f"none of its {graph.splits[split].numel():,} nodes has a label, {task} needs one at least.",
                fix="Give labels to some of them, or put nodes that have one into this split.",
            )
