"""Typed graphs of all kinds, for tests that hold for any of them."""

from __future__ import annotations

from typing import Any, Dict

import hypothesis.strategies as st
import torch

from gnnkit.data import Graph, add_reverses, from_typed, part_fingerprints, to_typed

RELATIONS = ("a:likes:a", "a:owns:b", "b:near:b", "c:knows:a", "a:owns:c")
"""Self-relations, two relations of one name, and several between the same types."""


def same(first: Graph, second: Graph) -> bool:
    """Whether two typed graphs hold the same, with names, but without notes."""
    mine, theirs = ({**to_typed(each), "notes": None} for each in (first, second))
    names = [key for key, value in mine.items() if key in ("name", "metric", "reverses", "class_names")]
    named = all(mine[key] == theirs[key] for key in names)
    return named and part_fingerprints(first) == part_fingerprints(second)


@st.composite
def typed_graphs(draw: st.DrawFn, *, min_relations: int = 0, float_weights: bool = True) -> Graph:
    """Graphs with types without nodes, relations without edges, repeated edges, loops, and any arrays or none."""
    counts = {name: draw(st.integers(0, 4)) for name in "abc"}
    random = torch.Generator().manual_seed(draw(st.integers(0, 1 << 30)))
    chosen = draw(st.lists(st.sampled_from(RELATIONS), min_size=min_relations, unique=True))
    edges = {label: _edges(label, counts, draw(st.integers(0, 6)), random) for label in chosen}
    sizes = {label: ends.shape[1] for label, ends in edges.items()}
    fields: Dict[str, Any] = {
        "x": {name: torch.randn(counts[name], 2 + place, generator=random) for place, name in enumerate("ab")},
        "y": {"a": torch.randint(0, 3, (counts["a"],), generator=random)},
        "class_names": {"a": ["red", "green", "blue"]},
        "splits": {"b": {"train": [0], "test": [1]}} if counts["b"] > 1 else {},
        "node_data": {"c": {"age": torch.randn(counts["c"], 2, generator=random)}},
        "edge_attr": {label: torch.randn(size, 3, generator=random) for label, size in list(sizes.items())[:2]},
        "edge_weight": {label: torch.rand(size, generator=random) for label, size in list(sizes.items())[1:2]},
        "edge_data": {label: {"year": torch.arange(size)} for label, size in list(sizes.items())[:1]},
        "feature_names": {"a": ["p", "q"]},
    }
    left_out = draw(st.sets(st.sampled_from(sorted(set(fields) - {"feature_names", "class_names"}))))
    fields.update({name: {} for name in left_out})
    if "x" in left_out:
        fields["feature_names"] = {}
    if "y" in left_out:
        fields["class_names"] = {}
    graph = from_typed(edges, num_nodes=counts, name="toy", **fields)
    return add_reverses(graph) if draw(st.booleans()) else graph


def _edges(label: str, counts: Dict[str, int], size: int, random: torch.Generator) -> torch.Tensor:
    src, _, dst = label.split(":")
    size = size if counts[src] and counts[dst] else 0
    ends = [torch.randint(0, max(1, counts[name]), (size,), generator=random) for name in (src, dst)]
    return torch.stack(ends)
