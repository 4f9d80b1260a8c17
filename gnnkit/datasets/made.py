"""Features for graphs that have none, made from their structure."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch.nn import functional

from gnnkit.data import Graph
from gnnkit.errors import ConfigError, DataError

KINDS = ("constant", "degree", "one_hot_degree")

_MOST = 100
"""Degrees from this one on share a column."""


def make_features(graph: Graph, kind: str) -> Graph:
    """Give a graph features.

    Args:
        graph: A graph without features.
        kind: "constant": 1 for every node; "degree": log(1 + in-degree); "one_hot_degree": a 0/1 column for each
            in-degree from 0 to 99 and one for those above, which a sum over nodes counts, as Xu et al. (2019) do for
            social data.

    Returns:
        The graph with features, float32: one column, or 101.

    Raises:
        ConfigError: There is no such kind.
        DataError: The graph has features.

    Example:
        >>> from gnnkit.data import from_edge_index
        >>> make_features(from_edge_index([[0], [1]]), "degree").x.tolist()
        [[0.0], [0.6931471824645996]]
    """
    if kind not in KINDS:
        raise ConfigError(f"make_features is {kind!r}, expected one of {', '.join(KINDS)}.")
    if graph.x is not None:
        raise DataError("x", f"the graph has {graph.num_features} features already.", fix="Leave make_features out.")
    made = replace(graph.notes, features=f"made: {kind}")
    degrees, names = graph.in_degrees, [kind]
    if kind == "one_hot_degree":
        names = [*(f"degree {degree}" for degree in range(_MOST)), f"degree {_MOST} or more"]
        x = functional.one_hot(degrees.clamp(max=_MOST), _MOST + 1).float()
    elif kind == "degree":
        x = degrees.float().log1p()[:, None]
    else:
        x = torch.ones(graph.num_nodes, 1)
    return replace(graph, x=x, feature_names=tuple(names), notes=made)
