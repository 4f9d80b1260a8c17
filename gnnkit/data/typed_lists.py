"""What has a type in many graphs: from those of a list to that of one record, and back.

Rules: all graphs have one schema, also where one of them has no nodes of a type. Nodes and edges keep their order, so
the rows of a type are those of the first graph, then those of the second.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence

import torch
from torch import Tensor

from gnnkit.data.typed import Typed

_TYPES = ("node_type", "edge_type")
_ARRAYS = ("x", "y", "edge_attr")
_GROUPS = ("node_data", "edge_data")
_OF_EDGES = ("edge_attr", "edge_data")


def typed_layout(typed: Optional[Typed], describe: Callable[[Tensor], str]) -> Dict[str, Any]:
    """What graphs of a list must agree in, by name."""
    if typed is None:
        return {"typed": None}
    relations = ", ".join(map(str, typed.schema.relations)) or "no relations"
    reverses = [relation.reverse for relation in typed.schema.relations]
    layout: Dict[str, Any] = {"typed": f"types {', '.join(typed.schema.node_types)} and {relations}"}
    if any(reverse is not None for reverse in reverses):
        layout["reverses"] = str(reverses)
    for field in _ARRAYS:
        layout.update({f"{field} of {name!r}": describe(rows) for name, rows in getattr(typed, field).items()})
    for field in _GROUPS:
        for name, held in getattr(typed, field).items():
            layout.update({f"{field}[{key!r}] of {name!r}": describe(rows) for key, rows in held.items()})
    for field in ("class_names", "feature_names", "node_categories"):
        layout.update({f"{field} of {name!r}": names for name, names in getattr(typed, field).items() if names})
    return layout


def join_typed(parts: Sequence[Optional[Typed]]) -> Optional[Typed]:
    """The types of a record, from those of its graphs, which are alike; None for graphs without types."""
    held = [part for part in parts if part is not None]
    if not held:
        return None
    joined: Dict[str, Any] = {name: torch.cat([getattr(part, name) for part in held]) for name in _TYPES}
    for field in _ARRAYS:
        names = getattr(held[0], field)
        joined[field] = {name: torch.cat([getattr(part, field)[name] for part in held]) for name in names}
    for field in _GROUPS:
        groups = {name: list(arrays) for name, arrays in getattr(held[0], field).items()}
        joined[field] = {
            name: {key: torch.cat([getattr(part, field)[name][key] for part in held]) for key in keys}
            for name, keys in groups.items()
        }
    return replace(held[0], **joined, splits=_joined_splits(held))


def _joined_splits(parts: Sequence[Typed]) -> Dict[str, Dict[str, Tensor]]:
    splits: Dict[str, Dict[str, List[Tensor]]] = {}
    starts = dict.fromkeys(parts[0].schema.node_types, 0)
    for part in parts:
        for name, held in part.splits.items():
            for split, rows in held.items():
                splits.setdefault(name, {}).setdefault(split, []).append(rows + starts[name])
        for name, count in part.num_nodes.items():
            starts[name] += count
    return {name: {split: torch.cat(rows) for split, rows in held.items()} for name, held in splits.items()}


def split_typed(typed: Typed, nodes: Sequence[int], edges: Sequence[int]) -> List[Typed]:
    """The types of each graph of a record.

    Args:
        typed: Those of the record.
        nodes: Number of nodes of each graph.
        edges: Number of edges of each graph.
    """
    node_types, edge_types = torch.split(typed.node_type, list(nodes)), torch.split(typed.edge_type, list(edges))
    parts = [replace(typed, node_type=each, edge_type=other) for each, other in zip(node_types, edge_types)]
    ends: Dict[str, Dict[str, int]] = {"nodes": {}, "edges": {}}
    found = []
    for part in parts:
        starts = {what: dict(held) for what, held in ends.items()}
        for what, counts in (("nodes", part.num_nodes), ("edges", part.num_edges)):
            ends[what] = {name: starts[what].get(name, 0) + count for name, count in counts.items()}
        found.append(_cut(typed, part, starts, ends))
    return found


def _cut(
    typed: Typed, part: Typed, starts: Mapping[str, Mapping[str, int]], ends: Mapping[str, Mapping[str, int]]
) -> Typed:
    """The rows from a start to an end of each type and relation."""

    def rows(field: str, name: str, values: Tensor) -> Tensor:
        what = "edges" if field in _OF_EDGES else "nodes"
        return values[starts[what].get(name, 0) : ends[what][name]]

    cut: Dict[str, Any] = {
        field: {name: rows(field, name, values) for name, values in getattr(typed, field).items()} for field in _ARRAYS
    }
    for field in _GROUPS:
        groups = getattr(typed, field)
        cut[field] = {
            name: {key: rows(field, name, values) for key, values in held.items()} for name, held in groups.items()
        }
    cut["splits"] = {}
    for name, held in typed.splits.items():
        first, last = starts["nodes"].get(name, 0), ends["nodes"][name]
        inside = {split: ids[(ids >= first) & (ids < last)] - first for split, ids in held.items()}
        inside = {split: ids for split, ids in inside.items() if ids.numel()}
        if inside:
            cut["splits"][name] = inside
    return replace(part, **cut)
