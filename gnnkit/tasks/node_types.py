"""The side of a typed graph that a node task learns: labels and splits of one node type.

Rules: after this a node task knows nothing of types. Nodes of other types have no label and are in no split.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Mapping, Optional

import torch
from torch import Tensor

from gnnkit.data import IGNORED_LABEL, Graph, Typed
from gnnkit.errors import ConfigError, DataError
from gnnkit.sampling import shuffle_order


def learned_type(graph: Graph, node_type: Optional[str]) -> Optional[str]:
    """The node type that a node task learns; None on a graph without types.

    Args:
        graph: As loaded.
        node_type: What the user named. None: the only type with labels.

    Raises:
        ConfigError: A type is named and the graph has none, or none is named and several have labels.
        DataError: No type has labels.
        UnknownNameError: There is no such type.
    """
    typed = graph.typed
    if typed is None:
        if node_type is not None:
            raise ConfigError(
                f"task_options.node_type is {node_type!r}, but graph {graph.name!r} has no node types. Leave it out."
            )
        return None
    if node_type is not None:
        typed.schema.node_type(node_type)
        return node_type
    labelled = [name for name in typed.schema.node_types if name in typed.y] or [
        name for name in typed.schema.node_types if typed.splits.get(name)
    ]
    if not labelled:
        raise DataError("y", "nodes of no type have labels.", fix="Give labels of one type: typed.y.")
    if len(labelled) > 1:
        raise ConfigError(
            f"Nodes of several types have labels: {', '.join(labelled)}. Say which to learn: "
            f"task_options.node_type={labelled[0]}."
        )
    return labelled[0]


VALID_SHARE = 0.2
"""Share of the training nodes that becomes the validation nodes of data that have none."""


def with_labels_of_type(graph: Graph, node_type: Optional[str], seed: int = 0) -> Graph:
    """The graph with labels, splits, class names and other arrays of one node type as those of its nodes.

    Args:
        graph: As loaded. One that has been arranged stays as it is, and so does one without types.
        node_type: As for :func:`learned_type`, which says what is raised.
        seed: Of validation nodes, a fifth of the training nodes, where the data have none.

    Example:
        >>> import gnnkit
        >>> graph = gnnkit.load_dataset("karate")
        >>> with_labels_of_type(graph, None) is graph
        True
    """
    if graph.typed is not None and graph.y is not None:
        return graph
    name = learned_type(graph, node_type)
    if name is None:
        return graph
    typed = graph.typed
    assert typed is not None
    nodes = typed.nodes(name)
    data = {key: _spread(typed, nodes, values) for key, values in typed.node_data.get(name, {}).items()}
    return replace(
        graph,
        y=_spread(typed, nodes, typed.y[name]) if name in typed.y else None,
        splits={split: nodes[rows] for split, rows in _with_valid(typed.splits.get(name, {}), seed).items()},
        class_names=typed.class_names.get(name, ()),
        node_data={**graph.node_data, **data},
    )


def _with_valid(splits: Mapping[str, Tensor], seed: int) -> Mapping[str, Tensor]:
    """Splits in which a part of the training rows is for validation, where they have none."""
    if "valid" in splits or "train" not in splits:
        return splits
    rows = splits["train"]
    order = torch.from_numpy(shuffle_order(len(rows), seed=seed, epoch=0))
    num = max(1, round(VALID_SHARE * len(rows)))
    return {**splits, "train": rows[order[num:].sort().values], "valid": rows[order[:num].sort().values]}


def _spread(typed: Typed, nodes: Tensor, values: Tensor) -> Tensor:
    """Rows of a type as rows of all nodes. Missing are -100 among labels, NaN among numbers, 0 elsewhere."""
    numbers = values.is_floating_point() and values.ndim == 1 and bool((values != IGNORED_LABEL).all())
    fill = math.nan if numbers else IGNORED_LABEL if values.dtype not in (torch.bool, torch.uint8) else 0
    out = values.new_full((len(typed.node_type), *values.shape[1:]), fill)
    out[nodes] = values
    return out
