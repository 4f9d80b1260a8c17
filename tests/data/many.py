"""Records of many graphs for property tests, and what it means that two are the same."""

from __future__ import annotations

from typing import Any, List

import torch
from hypothesis import strategies as st

from gnnkit.data import Graph, fingerprint, from_edge_index

FLOATS = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
FIELDS = ["x", "y", "weight", "attr", "node", "edge", "graph_y", "data", "names", "splits", "graph_splits"]
NAMES = ("name", "metric", "class_names", "feature_names", "graph_names", "node_categories", "edge_categories")


def assert_same(first: Graph, second: Graph) -> None:
    assert fingerprint(first) == fingerprint(second)
    for name in NAMES:
        assert getattr(first, name) == getattr(second, name), name


@st.composite
def parts(draw: Any, most: int = 5, least: int = 1) -> List[Graph]:
    """Graphs that are alike, with any of the fields; many without nodes, without edges or with one node."""
    sizes = draw(st.lists(st.sampled_from([0, 0, 1, 1, 2, 3, 5]), min_size=least, max_size=most))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 1000)))
    dtype, width = draw(st.sampled_from(FLOATS)), draw(st.integers(1, 3))
    kept = draw(st.sets(st.sampled_from(FIELDS)))
    codes, several = draw(st.booleans()), draw(st.booleans())

    def rows(count: int, *shape: int) -> torch.Tensor:
        return torch.randn(count, *shape, generator=generator).to(dtype)

    def numbers(most: int, *shape: int) -> torch.Tensor:
        return torch.randint(0, most, shape, generator=generator)

    graphs = []
    for number, size in enumerate(sizes):
        count = int(numbers(2 * size + 1, 1)) if size else 0
        edges = numbers(max(size, 1), 2, count)
        order = torch.randperm(size, generator=generator)
        fields = {
            "x": {
                "x": numbers(4, size, width) if codes else rows(size, width),
                "node_categories": [4] * width if codes else [],
            },
            "y": {"y": (rows(size, 3) > 0).float() if several else numbers(3, size)},
            "weight": {"edge_weight": rows(count)},
            "attr": {
                "edge_attr": numbers(3, count, 2) if codes else rows(count, 2),
                "edge_categories": [3, 5] if codes else [],
            },
            "node": {"node_data": {"cube": torch.arange(size * 4).reshape(-1, 2, 2), "flag": rows(size) > 0}},
            "edge": {"edge_data": {"edge_time": torch.arange(count, dtype=torch.int32)}},
            "graph_y": {"graph_y": rows(1, 2) if several else numbers(3, 1)},
            "data": {"graph_data": {"fold": numbers(5, 1), "graph_map": rows(1, 2, 2)}},
            "names": {"graph_names": [f"graph {number}"]},
            "splits": {"splits": {name: ids for name, ids in (("train", order[:1]), ("test", order[1:])) if len(ids)}},
            "graph_splits": {"graph_splits": {["train", "valid", "test"][number % 3]: [0]} if number % 4 else {}},
        }
        chosen = {name: value for field in sorted(kept) for name, value in fields[field].items()}
        graphs.append(from_edge_index(edges, size, class_names=["a", "b", "c"], metric="macro_f1", name="m", **chosen))
    return graphs
