"""What a ``DGLGraph`` has no place for."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

import torch
from torch import Tensor

from gnnkit.data import Links
from gnnkit.data.lists import MANY, check_alike, describe_array


@dataclass(frozen=True, eq=False)
class Extras:
    """What a ``DGLGraph`` has no place for; the attribute ``gnnkit`` of one that :func:`to_dgl` made.

    Attributes:
        graph_y: Labels of the graphs, like ``Graph.graph_y``.
        class_names: Names of the classes.
        name: Name of the graph.
        metric: Metric that the data ask for.
        splits: Node ids by split, in the order that they had.
        is_batch: Whether the record stated where its graphs begin.
        feature_names: Names of the columns of ``feat``.
        links: Pairs of nodes to learn and judge, like ``Graph.links``.
        num_nodes: Number of nodes that the links are about.
        graph_splits: Numbers of graphs by split.
        graph_data: Further arrays of graphs by name.
        graph_names: A name for each graph.
        node_categories: Number of categories of each column of ``feat`` of nodes.
        edge_categories: Number of categories of each column of ``feat`` of edges.
    """

    graph_y: Optional[Tensor] = None
    class_names: Tuple[str, ...] = ()
    name: str = "graph"
    metric: Optional[str] = None
    splits: Mapping[str, Tensor] = field(default_factory=dict)
    is_batch: bool = False
    feature_names: Tuple[str, ...] = ()
    links: Optional[Links] = None
    num_nodes: int = 0
    graph_splits: Mapping[str, Tensor] = field(default_factory=dict)
    graph_data: Mapping[str, Tensor] = field(default_factory=dict)
    graph_names: Tuple[str, ...] = ()
    node_categories: Tuple[int, ...] = ()
    edge_categories: Tuple[int, ...] = ()


SHARED = tuple(each.name for each in fields(Extras) if each.name not in ("splits", "is_batch", "num_nodes"))
"""What has the name that it has in a ``Graph``."""

_ALIKE = ("class_names", "metric", "feature_names", "node_categories", "edge_categories")


def merge_extras(several: Sequence[Any], counts: Sequence[int]) -> Optional[Extras]:
    """What is said of the graphs of a list, each of which has its own; None if one has nothing.

    Args:
        several: The attribute ``gnnkit`` of each graph, or None.
        counts: Number of graphs that each is about: one, unless it is a batch.

    Raises:
        DataError: They are not alike.
    """
    noted: List[Extras] = [each for each in several if isinstance(each, Extras)]
    if not noted or len(noted) < len(several):
        return None
    check_alike([_layout(each) for each in noted])
    first = noted[0]
    splits: Dict[str, List[Tensor]] = {}
    start = 0
    for each, count in zip(noted, counts):
        for split, numbers in each.graph_splits.items():
            splits.setdefault(split, []).append(numbers + start)
        start += count
    return Extras(
        graph_y=None
        if first.graph_y is None
        else torch.cat([each.graph_y for each in noted if each.graph_y is not None]),
        name=first.name if len({each.name for each in noted}) == 1 else MANY,
        is_batch=True,
        graph_splits={split: torch.cat(numbers) for split, numbers in splits.items()},
        graph_data={name: torch.cat([each.graph_data[name] for each in noted]) for name in first.graph_data},
        graph_names=tuple(name for each in noted for name in each.graph_names),
        **{name: getattr(first, name) for name in _ALIKE},
    )


def _layout(extras: Extras) -> Dict[str, Any]:
    layout: Dict[str, Any] = {name: getattr(extras, name) or None for name in _ALIKE}
    layout["graph_y"] = None if extras.graph_y is None else describe_array(extras.graph_y)
    layout["graph_names"] = "names" if extras.graph_names else None
    return {**layout, **{f"graph_data[{name!r}]": describe_array(rows) for name, rows in extras.graph_data.items()}}
