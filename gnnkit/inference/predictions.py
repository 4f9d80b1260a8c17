"""What a model says: the ``Predictions``, ``GraphPredictions``, ``PairPredictions`` and ``Recommendations`` records."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Mapping, Optional, Tuple

from torch import Tensor

from gnnkit.errors import ConfigError

THRESHOLD = 0.5
"""Probability from which an item counts as a member of a class, where it may have several."""


class _Outputs:
    """What outputs mean, whatever they are about."""

    outputs: Tensor
    is_multi_label: bool
    class_names: Tuple[str, ...]
    are_numbers: bool

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
        """The most probable class of each item, shape [M], int64; for multi-label data, membership, [M, C], bool.

        Raises:
            ConfigError: Outputs are numbers.
        """
        self._check_classes()
        return self.outputs.sigmoid() >= THRESHOLD if self.is_multi_label else self.outputs.argmax(dim=1)

    def _check_classes(self) -> None:
        if self.are_numbers:
            raise ConfigError("The model gives numbers, which have no classes. Take the outputs.")


@dataclass(frozen=True, eq=False)
class Predictions(_Outputs):
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

    def __len__(self) -> int:
        """Number of nodes."""
        return self.nodes.numel()

    def part(self, start: int, stop: int) -> Predictions:
        """The predictions from one position up to another, by reference."""
        return replace(self, nodes=self.nodes[start:stop], outputs=self.outputs[start:stop])


@dataclass(frozen=True, eq=False)
class GraphPredictions(Predictions):
    """Outputs of a model for whole graphs, and what they mean. ``nodes`` are numbers of graphs, M of them.

    Attributes:
        names: A name for each graph, such as its SMILES. Empty if they have none.
        true: What the data say of the graphs: classes [M], int64, -100 for a missing one; labels [M, C] or numbers in
            the data's units [M, T], floating point, NaN for a missing one. None if they say nothing.
        splits: The split of each graph, "" for none. Empty if the data have no splits.
        skipped: What is wrong with SMILES that were left out, by row.

    Example:
        >>> import torch
        >>> said = GraphPredictions(torch.tensor([3]), torch.tensor([[0.0, 2.0]]), names=("CCO",), splits=("test",))
        >>> said.graphs.tolist(), said.classes.tolist(), said.part(0, 1).names
        ([3], [1], ('CCO',))
    """

    names: Tuple[str, ...] = ()
    true: Optional[Tensor] = None
    splits: Tuple[str, ...] = ()
    skipped: Mapping[int, str] = field(default_factory=dict)

    @property
    def graphs(self) -> Tensor:
        """Numbers of the graphs, in the order asked for; of SMILES their rows. Shape [M], int64."""
        return self.nodes

    def part(self, start: int, stop: int) -> GraphPredictions:
        """The predictions from one position up to another, by reference."""
        return replace(
            self,
            nodes=self.nodes[start:stop],
            outputs=self.outputs[start:stop],
            names=self.names[start:stop],
            true=None if self.true is None else self.true[start:stop],
            splits=self.splits[start:stop],
        )


@dataclass(frozen=True, eq=False)
class PairPredictions(_Outputs):
    """Outputs of a model for pairs of nodes, and what they mean. M is the number of pairs, C of classes or numbers.

    Attributes:
        pairs: Source and destination of each, in the order asked for. Shape [M, 2], int64 node ids.
        outputs: Logits, or numbers in the data's units. Shape [M, C], float32; float64 where that is the run's
            precision. Of scores C is 1.
        is_multi_label: Whether a pair can belong to several classes at once.
        class_names: Names of the classes or numbers that the model has learned, in the order of its outputs. Empty if
            it knows none.
        are_numbers: Whether outputs are numbers, which have no classes and no probabilities.
        are_scores: Whether outputs say how likely a pair has an edge.
        relations: Of triples, the name of each one's relation. Empty for pairs.

    Example:
        >>> import torch
        >>> said = PairPredictions(torch.tensor([[7, 2]]), torch.tensor([[0.0]]), are_scores=True)
        >>> said.probabilities.tolist()
        [[0.5]]
    """

    pairs: Tensor
    outputs: Tensor
    is_multi_label: bool = False
    class_names: Tuple[str, ...] = ()
    are_numbers: bool = False
    are_scores: bool = False
    relations: Tuple[str, ...] = ()

    @property
    def probabilities(self) -> Tensor:
        """Probability of every class, [M, C]; of scores that of an edge, [M, 1].

        That of an edge is what the loss "bce" learns, among as many negatives as training had. Other losses learn the
        order of scores alone.

        Raises:
            ConfigError: Outputs are numbers.
        """
        return self.outputs.sigmoid() if self.are_scores else super().probabilities

    def _check_classes(self) -> None:
        if self.are_scores:
            raise ConfigError("The model gives scores of pairs, which have no classes. Take the probabilities.")
        super()._check_classes()

    def __len__(self) -> int:
        """Number of pairs."""
        return len(self.pairs)

    def part(self, start: int, stop: int) -> PairPredictions:
        """The predictions from one position up to another, by reference."""
        relations = self.relations[start:stop]
        return replace(self, pairs=self.pairs[start:stop], outputs=self.outputs[start:stop], relations=relations)


@dataclass(frozen=True, eq=False)
class Recommendations:
    """The best destinations of nodes as sources.

    Attributes:
        nodes: The sources, in the order asked for. Shape [n], int64.
        ids: Destinations of each, the best first, of equals the smaller id; -1 where there are fewer. Shape [n, k],
            int64.
        scores: Theirs, minus infinity where there are fewer. Shape [n, k], float32; float64 where that is the run's
            precision.

    Example:
        >>> import torch
        >>> found = Recommendations(torch.tensor([4]), torch.tensor([[7, -1]]), torch.tensor([[0.0, -torch.inf]]))
        >>> len(found)
        1
    """

    nodes: Tensor
    ids: Tensor
    scores: Tensor

    def __len__(self) -> int:
        """Number of sources."""
        return len(self.nodes)
