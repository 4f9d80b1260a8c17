"""Classification of edges: one class per pair of nodes, or any number of them."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import ClassVar, Optional

from torch import Tensor

from gnnkit.data import Graph, Targets
from gnnkit.errors import DataError
from gnnkit.registry import API_VERSION
from gnnkit.tasks.base import CLASSES
from gnnkit.tasks.node_classification import NodeClassification, NodeClassificationOptions
from gnnkit.tasks.pairs import PairOptions, PairTask, as_items, label_column, links_of


@dataclass(frozen=True)
class EdgeClassificationOptions(NodeClassificationOptions, PairOptions):
    """Options of the task ``edge_classification``: those of pairs, and those of classes.

    Attributes:
        label: The column of ``Graph.edge_data`` with the classes, where the data bring no pairs with theirs.
            Nothing: the only one.
        head: As for all tasks about pairs; "dot" and "cosine" give one score and cannot tell classes apart.
    """

    label: Optional[str] = None
    head: str = "mlp_joined"

    def __post_init__(self) -> None:
        NodeClassificationOptions.__post_init__(self)
        PairOptions.__post_init__(self)


class EdgeClassification(PairTask):
    """Learn the classes of pairs of nodes.

    Args:
        options: The settings.
        undirected: Whether (u, v) and (v, u) are the same pair.
        num_scores: How many classes there are.
        judge: Classification of the pairs as items of their own: its loss and its metrics.
    """

    name: ClassVar[str] = "edge_classification"
    api_version: ClassVar[int] = API_VERSION
    summary: ClassVar[str] = "The class of each edge, or its labels where it may have several."
    options_class = EdgeClassificationOptions
    outputs = CLASSES

    def __init__(
        self,
        options: Optional[EdgeClassificationOptions] = None,
        *,
        undirected: bool = False,
        num_scores: int = 1,
        judge: Optional[NodeClassification] = None,
    ) -> None:
        super().__init__(options, undirected=undirected, num_scores=num_scores)
        self._judge = judge or NodeClassification()
        self.outputs = self._judge.outputs
        self.metrics = self._judge.metrics

    @classmethod
    def label(cls, graph: Graph, options: EdgeClassificationOptions) -> str:
        """See :class:`gnnkit.tasks.PairTask`."""
        return label_column(graph, options.label, cls.name)

    @classmethod
    def for_graph(cls, graph: Graph, options: Optional[EdgeClassificationOptions] = None) -> EdgeClassification:
        """The task that the labels of a graph's pairs ask for.

        Raises:
            DataError: Pairs have no labels, or numbers instead of them, or a split has none.
            ConfigError: Weights do not fit the classes, or the head cannot tell them apart.
        """
        options = EdgeClassificationOptions() if options is None else options
        items = as_items(graph, cls.name)
        if items.has_numbers:
            raise DataError(
                "links.y",
                "it holds numbers, edge classification needs classes 0, 1, ...",
                fix="Regress them with --task edge_regression.",
            )
        names = {item.name for item in fields(NodeClassificationOptions)}
        judge = NodeClassification.for_graph(
            items, NodeClassificationOptions(**{name: getattr(options, name) for name in names})
        )
        undirected = links_of(graph).undirected
        return cls(options, undirected=undirected, num_scores=items.num_classes, judge=judge)

    def loss(self, outputs: Tensor, targets: Targets) -> Tensor:
        """As of node classification, over pairs.

        Args:
            outputs: Logits. Shape [T, C].
            targets: Their ``y`` are labels of pairs.
        """
        return self._judge.loss(outputs, targets)

    def weight(self, targets: Targets) -> float:
        """As of nodes."""
        return self._judge.weight(targets)
