"""Typed graphs there and back through HeteroData."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch_geometric.data import Batch, HeteroData

from gnnkit.data import (
    Graph,
    add_reverses,
    from_typed,
    given_links,
    join_graphs,
    part_fingerprints,
    split_graphs,
    to_typed,
)
from gnnkit.errors import DataError
from gnnkit_pyg.backend import PygBackend

backend = PygBackend()


def assert_same(first: Graph, second: Graph) -> None:
    assert part_fingerprints(first) == part_fingerprints(second)
    mine, theirs = ({**to_typed(each), "notes": None} for each in (first, second))
    for name in ("name", "metric", "reverses", "class_names", "feature_names"):
        assert mine[name] == theirs[name], name
    assert first.graph_names == second.graph_names


def toy(seed: int = 0) -> Graph:
    """An empty type, a type without edges, an empty relation, loops, repeated edges, and all kinds of arrays."""
    random = torch.Generator().manual_seed(seed)
    ends = torch.randint(0, 4, (2, 9), generator=random)
    graph = from_typed(
        {"user:likes:user": ends, "item:near:item": [[1, 1, 0], [1, 1, 2]], "user:owns:box": [[], []]},
        num_nodes={"lost": 3, "user": 4, "item": 4, "box": 0},
        x={"user": torch.randn(4, 2, generator=random), "lost": torch.randn(3, 5, generator=random)},
        y={"lost": [0, 1, -100], "item": torch.randn(4, generator=random)},
        splits={"lost": {"train": [0], "valid": [1]}},
        node_data={"box": {"size": torch.empty(0, 2)}, "item": {"age": [1, 2, 3, 4]}},
        edge_attr={"user:likes:user": torch.randn(9, 3, generator=random)},
        edge_weight={"item:near:item": [1.0, 2.0, 3.0]},
        edge_data={"user:likes:user": {"year": torch.arange(9)}},
        class_names={"lost": ["no", "yes"]},
        feature_names={"user": ["a", "b"]},
        name="toy",
    )
    return add_reverses(graph) if seed % 2 else graph


@pytest.mark.parametrize("seed", range(4))
def test_nothing_is_lost(seed: int) -> None:
    graph = toy(seed)
    assert_same(backend.from_native(backend.to_native(graph)), graph)


def test_links_go_along() -> None:
    graph = given_links(toy(), {"train": {"likes": [[0, 3]]}, "test": {"near": [[2, 3]]}})
    again = backend.from_native(backend.to_native(graph))
    assert_same(again, graph)
    assert again.links.relations["test"].tolist() == [1]


def test_many_graphs() -> None:
    record = join_graphs([toy(1), toy(3)], graph_y=[0, 1], graph_names=["p", "q"], graph_splits={"test": [1]})
    natives = [backend.to_native(each) for each in split_graphs(record)]
    for obj in (backend.to_native(record), natives, Batch.from_data_list(natives)):
        again = backend.from_native(obj)
        assert_same(again, record)
        assert again.graph_ptr.tolist() == [0, 11, 22] and again.graph_splits["test"].tolist() == [1]


def test_nodes_of_a_type_that_lie_apart_come_together() -> None:
    joined = join_graphs([toy(0), toy(2)])
    apart = from_typed(**to_typed(joined))
    graph = replace(joined, graph_ptr=None)  # One graph whose types are mixed.
    assert_same(backend.from_native(backend.to_native(graph)), apart)


def foreign() -> Any:
    data = HeteroData()
    data["paper"].x = torch.rand(3, 2)
    data["paper"].y = torch.tensor([0, 1, -1])
    data["paper"].train_mask = torch.tensor([True, False, False])
    data["paper"].val_mask = torch.tensor([False, False, False])
    data["author", "writes", "paper"].edge_index = torch.tensor([[4, 0], [0, 2]])
    data["author", "writes", "paper"].edge_attr = torch.rand(2)
    data["venue"].num_nodes = 2
    data["venue"].rank = torch.tensor([3, 1])
    return data


def test_data_of_someone_else() -> None:
    parts = to_typed(backend.from_native(foreign()))
    assert parts["num_nodes"] == {"paper": 3, "venue": 2, "author": 5}
    assert parts["y"]["paper"].tolist() == [0, 1, -100]
    assert list(parts["splits"]["paper"]) == ["train"]
    assert parts["edges"]["author:writes:paper"].tolist() == [[4, 0], [0, 2]]
    assert parts["edge_attr"]["author:writes:paper"].shape == (2, 1)
    assert parts["node_data"]["venue"]["rank"].tolist() == [3, 1]


def test_what_has_no_place_is_named_in_a_warning() -> None:
    data = foreign()
    data["venue"].title = ["a", "b"]
    data.source = "web"
    with pytest.warns(UserWarning, match=r"title of 'venue', source"):
        backend.from_native(data)


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda data: data["paper"].update({"x": torch.full((3, 1), float("nan"))}), "x of 'paper', row 0"),
        (lambda data: data["venue"].update({"y": torch.zeros(3, dtype=torch.int64)}), "y of 'venue': y has 3 rows"),
        (lambda data: data["author"].update({"num_nodes": 2}), "edges of 'author:writes:paper', row 0: source 4"),
    ],
)
def test_what_breaks_a_rule_is_named_by_type(change: Any, words: str) -> None:
    data = foreign()
    change(data)
    with pytest.raises(DataError, match=words):
        backend.from_native(data)


def test_names_that_mean_something_else_are_refused() -> None:
    graph = from_typed({}, num_nodes={"a": 2}, node_data={"a": {"num_nodes": [1, 2]}})
    with pytest.raises(DataError, match="node_data of 'a': the name 'num_nodes' has another meaning"):
        backend.to_native(graph)
