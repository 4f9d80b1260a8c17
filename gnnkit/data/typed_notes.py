"""What a typed graph holds, in words: counts by type and relation."""

from __future__ import annotations

from collections import Counter
from typing import Any, Callable, Dict, Mapping

from gnnkit.data.graph import Graph
from gnnkit.data.typed import Schema
from gnnkit.data.typed_views import expect_typed, type_nodes

_MOST_LISTED = 8


def typed_lines(graph: Graph, labels_of: Callable[[Graph], str]) -> Dict[str, str]:
    """Lines by topic: "nodes", "edges", "features", "labels" and "splits" of a typed graph.

    Args:
        graph: A typed graph.
        labels_of: Says what the labels of a graph are.
    """
    typed = expect_typed(graph)
    parts = {name: type_nodes(graph, name) for name in typed.schema.node_types}
    labelled = [f"{name}: {labels_of(part)}" for name, part in parts.items() if part.y is not None]
    splits = [
        f"{name}: " + ", ".join(f"{split} {ids.numel():,}" for split, ids in part.splits.items())
        for name, part in parts.items()
        if part.splits
    ]
    features = {name: part.num_features or "none" for name, part in parts.items()}
    has_features = any(part.x is not None for part in parts.values())
    names = short_relations(typed.schema)
    counts = {names[label]: count for label, count in typed.num_edges.items()}
    num_reversed = sum(relation.reverse is not None for relation in typed.schema.relations)
    reverses = f", {num_reversed} with a declared reverse" if num_reversed else ""
    return {
        "nodes": f"{graph.num_nodes:,} of {_counted(len(parts), 'type')} ({_listed(typed.num_nodes)})",
        "edges": f"{graph.num_edges:,} of {_counted(len(counts), 'relation')} ({_listed(counts)}){reverses}",
        "features": _listed(features) if has_features else "none",
        "labels": "; ".join(labelled) or "none",
        "splits": "; ".join(splits) or "none",
    }


def short_relations(schema: Schema) -> Dict[str, str]:
    """What to call relations, by ``src:name:dst``: their name alone, where only one relation has it.

    Example:
        >>> from gnnkit.data import Relation
        >>> short_relations(Schema(("a", "b"), (Relation("a", "to", "b"), Relation("b", "to", "b"))))
        {'a:to:b': 'a:to:b', 'b:to:b': 'b:to:b'}
    """
    taken = Counter(relation.name for relation in schema.relations)
    return {str(each): each.name if taken[each.name] == 1 else str(each) for each in schema.relations}


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}" + ("s" if count != 1 else "")


def _listed(counts: Mapping[str, Any]) -> str:
    """Each name with its number; of many, the largest."""
    if not counts:
        return "none"
    names = list(counts)
    if len(names) > _MOST_LISTED:
        names = sorted(names, key=lambda name: -counts[name] if isinstance(counts[name], int) else 0)[:_MOST_LISTED]
    more = len(counts) - len(names)
    shown = [
        f"{name} {counts[name]:,}" if isinstance(counts[name], int) else f"{name} {counts[name]}" for name in names
    ]
    return ", ".join([*shown, *([f"and {more:,} more"] if more else [])])
