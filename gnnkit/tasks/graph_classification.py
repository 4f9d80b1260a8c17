"""Classification of whole graphs: one class for each, or any number of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Optional

from gnnkit.data import Graph
from gnnkit.errors import DataError
from gnnkit.registry import API_VERSION
from gnnkit.tasks.graphs import GraphOptions, GraphTask, check_graphs_learnable, options_of
from gnnkit.tasks.node_classification import NodeClassification, NodeClassificationOptions


@dataclass(frozen=True)
class GraphClassificationOptions(NodeClassificationOptions, GraphOptions):
    """Options of the task ``graph_classification``: those of graphs, and those of classes."""

    def __post_init__(self) -> None:
        NodeClassificationOptions.__post_init__(self)
        GraphOptions.__post_init__(self)


class GraphClassification(GraphTask):
    """Learn the classes of graphs.

    Args:
        options: The settings.
        judge: Classification of the graphs as items of their own.
    """

    name: ClassVar[str] = "graph_classification"
    api_version: ClassVar[int] = API_VERSION
    summary: ClassVar[str] = "The class of each graph, or its labels where it may have several."
    options_class = GraphClassificationOptions

    def __init__(
        self, options: Optional[GraphClassificationOptions] = None, judge: Optional[NodeClassification] = None
    ) -> None:
        super().__init__(options, judge or NodeClassification())

    @classmethod
    def for_graph(cls, graph: Graph, options: Optional[GraphClassificationOptions] = None) -> GraphClassification:
        """The task that the labels of a record's graphs ask for.

        Raises:
            DataError: Graphs have no labels, or numbers instead of them, or a split has none.
            ConfigError: Weights do not fit the classes.
        """
        options = GraphClassificationOptions() if options is None else options
        items = check_graphs_learnable(graph, "graph classification")
        if items.has_numbers:
            fix = "Regress them with --task graph_regression."
            raise DataError("graph_y", "it holds numbers, graph classification needs classes 0, 1, ...", fix=fix)
        return cls(options, NodeClassification.for_graph(items, options_of(NodeClassificationOptions, options)))
