"""Regression of edges: a number of each pair of nodes, or several."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import ClassVar, Dict, Optional

from torch import Tensor

from gnnkit.data import Graph, Targets
from gnnkit.errors import ConfigError
from gnnkit.registry import API_VERSION
from gnnkit.tasks.base import NUMBERS
from gnnkit.tasks.node_regression import NodeRegression, NodeRegressionOptions
from gnnkit.tasks.pairs import PairOptions, PairTask, as_items, label_column, links_of


@dataclass(frozen=True)
class EdgeRegressionOptions(NodeRegressionOptions, PairOptions):
    """Options of the task ``edge_regression``: those of pairs, and those of numbers.

    Attributes:
        label: The column of ``Graph.edge_data`` with the numbers, where the data bring no pairs with theirs.
            Nothing: the only one.
        head: As for all tasks about pairs; "dot" and "cosine" give one number.
    """

    label: Optional[str] = None
    head: str = "mlp_joined"

    def __post_init__(self) -> None:
        NodeRegressionOptions.__post_init__(self)
        PairOptions.__post_init__(self)
        if self.targets is not None:
            raise ConfigError("Option 'targets' names arrays of nodes. What is learnt of edges is task_options.label.")


class EdgeRegression(PairTask):
    """Learn numbers of pairs of nodes.

    Args:
        options: The settings.
        undirected: Whether (u, v) and (v, u) are the same pair.
        judge: Regression of the pairs as items of their own: its loss, its units and its metrics.
    """

    name: ClassVar[str] = "edge_regression"
    api_version: ClassVar[int] = API_VERSION
    summary: ClassVar[str] = "A number of each edge, or several of which some may be missing."
    options_class = EdgeRegressionOptions
    outputs = NUMBERS

    def __init__(
        self,
        options: Optional[EdgeRegressionOptions] = None,
        *,
        undirected: bool = False,
        judge: Optional[NodeRegression] = None,
    ) -> None:
        self._judge = judge or NodeRegression()
        super().__init__(options, undirected=undirected, num_scores=len(self._judge.units.names))
        self.metrics, self.units = self._judge.metrics, self._judge.units

    @classmethod
    def label(cls, graph: Graph, options: EdgeRegressionOptions) -> str:
        """See :class:`gnnkit.tasks.PairTask`."""
        return label_column(graph, options.label, cls.name)

    @classmethod
    def for_graph(cls, graph: Graph, options: Optional[EdgeRegressionOptions] = None) -> EdgeRegression:
        """The task on the numbers of a graph's pairs.

        Raises:
            DataError: Pairs have no numbers, one has no logarithm, or a split has none.
            ConfigError: The head gives one number, and there are several.
        """
        options = EdgeRegressionOptions() if options is None else options
        names = {item.name for item in fields(NodeRegressionOptions)}
        chosen = NodeRegressionOptions(**{name: getattr(options, name) for name in names})
        judge = NodeRegression.for_graph(as_items(graph, cls.name), chosen)
        return cls(options, undirected=links_of(graph).undirected, judge=judge)

    def labelled(self, graph: Graph) -> Graph:
        """The graph with scaled numbers [n, T] of its pairs, NaN for a missing one."""
        links = links_of(graph)
        y = {
            split: self._judge.units.to_model(values.double().reshape(len(values), -1))
            for split, values in links.y.items()
        }
        return replace(graph, links=replace(links, y=y))

    def loss(self, outputs: Tensor, targets: Targets) -> Tensor:
        """As of node regression, over pairs.

        Args:
            outputs: Scaled numbers. Shape [T, C].
            targets: Scaled numbers in ``y``.
        """
        return self._judge.loss(outputs, targets)

    def weight(self, targets: Targets) -> float:
        """As of nodes."""
        return self._judge.weight(targets)

    def judge(self, scores: Tensor, targets: Targets) -> Dict[str, float]:
        """See :class:`gnnkit.tasks.Task`; in the data's units, of logarithms where those are learned."""
        return self._judge.judge(scores, targets)
