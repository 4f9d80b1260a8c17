"""Regression of whole graphs: a number of each, or several of which some may be missing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Mapping, Optional

from torch import Tensor

from gnnkit.data import Graph, graph_items
from gnnkit.errors import UnknownNameError
from gnnkit.registry import API_VERSION
from gnnkit.tasks.base import NUMBERS
from gnnkit.tasks.graphs import GraphOptions, GraphTask, check_graphs_learnable, options_of
from gnnkit.tasks.node_regression import NodeRegression, NodeRegressionOptions, numbers_of


@dataclass(frozen=True)
class GraphRegressionOptions(NodeRegressionOptions, GraphOptions):
    """Options of the task ``graph_regression``: those of graphs, and those of numbers.

    Attributes:
        targets: Names of the arrays of ``Graph.graph_data`` to regress. Nothing: the numbers in ``Graph.graph_y``.
    """

    def __post_init__(self) -> None:
        NodeRegressionOptions.__post_init__(self)
        GraphOptions.__post_init__(self)


class GraphRegression(GraphTask):
    """Learn numbers of graphs.

    Args:
        options: The settings.
        judge: Regression of the graphs as items of their own.
    """

    name: ClassVar[str] = "graph_regression"
    api_version: ClassVar[int] = API_VERSION
    summary: ClassVar[str] = "A number of each graph, or several of which some may be missing."
    options_class = GraphRegressionOptions
    outputs = NUMBERS
    preset: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "model": {**GraphTask.preset["model"], "jumping_knowledge": "none", "dropout": 0.0, "head_layers": 2},
        "train": GraphTask.preset["train"],
    }

    def __init__(
        self, options: Optional[GraphRegressionOptions] = None, judge: Optional[NodeRegression] = None
    ) -> None:
        super().__init__(options, judge or NodeRegression())

    @classmethod
    def which_labelled(cls, graph: Graph, options: GraphRegressionOptions) -> Optional[Tensor]:
        """See :class:`GraphTask`: those with one of the targets."""
        if options.targets is None:
            return None
        _check_targets(graph, options)
        return (~numbers_of(graph_items(graph), options.targets)[0].isnan()).any(dim=1)

    @classmethod
    def for_graph(cls, graph: Graph, options: Optional[GraphRegressionOptions] = None) -> GraphRegression:
        """The task on the numbers of a record's graphs.

        Raises:
            DataError: Graphs have no numbers, one has no logarithm, or a split has none.
            UnknownNameError: There is no such array of ``graph_data``.
        """
        options = GraphRegressionOptions() if options is None else options
        _check_targets(graph, options)
        named = options.targets is not None
        items = graph_items(graph) if named else check_graphs_learnable(graph, "graph regression")
        return cls(options, NodeRegression.for_graph(items, options_of(NodeRegressionOptions, options)))


def _check_targets(graph: Graph, options: GraphRegressionOptions) -> None:
    for name in options.targets or ():
        if name not in graph.graph_data:
            raise UnknownNameError("array of graph_data:", name, graph.graph_data)
