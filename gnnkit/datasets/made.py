"""Features for graphs that have none, made from their structure."""

from __future__ import annotations

from dataclasses import replace

import torch

from gnnkit.data import Graph
from gnnkit.errors import ConfigError, DataError

KINDS = ("constant", "degree")


def make_features(graph: Graph, kind: str) -> Graph:
    """Give a graph features.

    Args:
        graph: A graph without features.
        kind: "constant": 1 for every node; "degree": log(1 + in-degree).

    Returns:
        The graph with one column of features, float32.

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
    degrees = graph.in_degrees.to(torch.float32)
    x = torch.ones_like(degrees) if kind == "constant" else degrees.log1p()
    made = replace(graph.notes, features=f"made: {kind}")
    return replace(graph, x=x[:, None], feature_names=(kind,), notes=made)
