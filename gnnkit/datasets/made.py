"""Features for graphs that have none, made from their structure."""

from __future__ import annotations

from dataclasses import replace
from typing import List, Tuple

import numpy as np
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


def one_hot_degrees(degrees: np.ndarray, most: int) -> Tuple[np.ndarray, List[str]]:
    """Degrees as 0/1 columns, which a sum over nodes counts: the features of social graphs in Xu et al. (2019).

    Args:
        degrees: Of every node. Shape [N], whole numbers.
        most: Degrees from this one on share a column.

    Returns:
        Shape [N, D], float32, with D columns for the degrees 0 to the largest, or to ``most``; and their names.

    Example:
        >>> x, names = one_hot_degrees(np.array([0, 1, 5]), 2)
        >>> x.tolist(), names
        ([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]], ['degree 0', 'degree 1', 'degree 2 or more'])
    """
    largest = int(degrees.max(initial=0))
    columns = np.minimum(degrees, most)
    names = [f"degree {degree}" for degree in range(min(largest, most) + 1)]
    if largest > most:
        names[-1] += " or more"
    return np.eye(len(names), dtype=np.float32)[columns], names
