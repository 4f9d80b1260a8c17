"""What a ``Data`` has no place for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Optional, Sequence, Tuple

from gnnkit.data import Links


@dataclass(frozen=True)
class Extras:
    """What a ``Data`` has no place for; the attribute ``gnnkit`` of one that :func:`to_pyg` made.

    Attributes:
        node_data: Names of the arrays of nodes.
        edge_data: Names of the arrays of edges.
        graph_data: Names of the arrays of graphs.
        y_of_graphs: Whether ``y`` labels graphs, not nodes.
        class_names: Names of the classes.
        name: Name of the graph.
        metric: Metric that the data ask for.
        feature_names: Names of the columns of ``x``.
        links: Pairs of nodes to learn and judge, like ``Graph.links``.
        num_nodes: Number of nodes that the links are about.
        node_categories: Number of categories of each column of ``x``.
        edge_categories: Number of categories of each column of ``edge_attr``.
    """

    node_data: Tuple[str, ...] = ()
    edge_data: Tuple[str, ...] = ()
    graph_data: Tuple[str, ...] = ()
    y_of_graphs: bool = False
    class_names: Tuple[str, ...] = ()
    name: str = "graph"
    metric: Optional[str] = None
    feature_names: Tuple[str, ...] = ()
    links: Optional[Links] = None
    num_nodes: int = 0
    node_categories: Tuple[int, ...] = ()
    edge_categories: Tuple[int, ...] = ()


def merge_extras(several: Sequence[Any]) -> Optional[Extras]:
    """What is true of graphs together: the first one's, with a name of all of them; None if one has no extras."""
    noted = [each for each in several if isinstance(each, Extras)]
    if not noted or len(noted) < len(several):
        return None
    is_one = len({each.name for each in noted}) == 1
    return replace(noted[0], name=noted[0].name if is_one else "graphs")
